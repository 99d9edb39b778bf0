"""Our steps beside diffusers' schedulers on the same grid: what agrees, and what is another method than its name says."""

import importlib
from itertools import pairwise

import pytest
import torch
from comparison import WRONG, agree, difference, from_past, model_on, ours, peers, state

import sdebench as sb
from sdebench import grids
from sdebench.integration.prediction import Model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

VP, EDM, FLOW = sb.schedules.VPLinear(), sb.schedules.EDM(), sb.schedules.Rectified()
GRIDS = {
    "irregular": grids.irregular(VP, 0.9, 0.05, 12),
    "jitter": grids.jitter(VP, 0.95, 0.02, 16, seed=3),
    "uniform_t": grids.uniform_t(VP, 0.9, 0.1, 12),
}


class _Double:
    """`torch` for a scheduler's module, with float64 where it says float32: some cast the state down in every step."""

    def __getattr__(self, name):
        return getattr(torch, "float64" if name == "float32" else name)


@pytest.fixture
def scheduler(monkeypatch):
    """A function that makes the named scheduler of diffusers ready to cross a grid, in float64."""
    diffusers = pytest.importorskip("diffusers")

    def make(name, grid, ns=VP, **settings):
        made = getattr(diffusers, name)(**settings)
        monkeypatch.setattr(importlib.import_module(type(made).__module__), "torch", _Double())
        return peers.prepare(made, ns, grid)

    return make


def cross(scheduler, x, times, ns=VP, reading="eps", scaled=False, **settings):
    """All states of the scheduler's run, and the predictions it was given.

    `times`: those of its evaluations.  `scaled`: its state is x/alpha.
    """
    model, states, outs = model_on(ns), [x], []
    for label, t in zip(scheduler.timesteps, times, strict=True):
        outs.append(model(ns.alpha(t) * x if scaled else x, t))
        x = scheduler.step(outs[-1].read(reading), label, x, return_dict=False, **settings)[0]
        states.append(x)
    return states, outs


END = {"lower_order_final": False, "final_sigmas_type": "sigma_min"}
MULTISTEP = "DPMSolverMultistepScheduler"
PLAIN = {
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "dpm-solver-1": (MULTISTEP, END | {"solver_order": 1, "algorithm_type": "dpmsolver"}),
    "dpm-solver-2m": (MULTISTEP, END | {"solver_order": 2, "algorithm_type": "dpmsolver"}),
    "dpm-solver++-2m": (MULTISTEP, END | {"solver_order": 2}),
    "dpm-solver-3m-shipped": (MULTISTEP, END | {"solver_order": 3, "algorithm_type": "dpmsolver"}),
    "dpm-solver++-3m-shipped": (MULTISTEP, END | {"solver_order": 3}),
    "dpm-solver++-2m-lower-final": (MULTISTEP, END | {"solver_order": 2, "euler_at_final": True}),
    "unipc-3-lower-final": ("UniPCMultistepScheduler", {"solver_order": 3, "final_sigmas_type": "sigma_min"}),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("name", PLAIN)
def test_schedulers_in_one_evaluation_a_step(scheduler, name, grid):
    peer, settings = PLAIN[name]
    x = state(VP, grid[0])
    agree(ours(name, VP, x, grid), cross(scheduler(peer, grid, **settings), x, grid[:-1])[0][-1])


KINDS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ddim", "dpm-solver-2m", "dpm-solver++-2m"])
def test_whatever_the_network_predicts(scheduler, name, kind):
    peer, settings = PLAIN[name]
    grid, exact = GRIDS["irregular"], model_on(VP)
    x = state(VP, grid[0])
    states, _ = cross(scheduler(peer, grid, **settings, prediction_type=KINDS[kind]), x, grid[:-1], reading=kind)
    model = Model(lambda x, t: exact(x, t).read(kind), VP, kind)
    agree(sb.integrate(sb.get_solver(name), model, x, grid), states[-1])


@pytest.mark.parametrize("form", ["", "++"])
def test_multistep_3_is_not_the_third_order_method(scheduler, form):
    """FINDING: their second difference lacks its factor 2, which moves the state by far more than rounding."""
    grid, x = GRIDS["irregular"], state(VP, GRIDS["irregular"][0])
    states, _ = cross(scheduler(MULTISTEP, grid, **END, solver_order=3, algorithm_type=f"dpmsolver{form}"), x, grid[:-1])
    assert difference(ours(f"dpm-solver{form}-3m", VP, x, grid), states[-1]) > WRONG


def test_edm_multistep_3_lacks_the_factor_too(scheduler):
    grid = grids.irregular(EDM, 20.0, 0.05, 12)
    peer, x = scheduler("EDMDPMSolverMultistepScheduler", grid, EDM, **END, solver_order=3), state(EDM, grid[0])
    peer.convert_model_output = lambda x0, sample: x0  # without the preconditioning, which belongs to a network
    states, _ = cross(peer, x, grid[:-1], EDM, "x0")
    agree(ours("dpm-solver++-3m-shipped", EDM, x, grid), states[-1])
    assert difference(ours("dpm-solver++-3m", EDM, x, grid), states[-1]) > WRONG


def test_lower_order_final_of_3m(scheduler):
    """Their default below 15 steps: the last two steps are of order 2 and 1."""
    grid, x, model = GRIDS["irregular"], state(VP, GRIDS["irregular"][0]), model_on(VP)
    peer = scheduler(MULTISTEP, grid, solver_order=3, final_sigmas_type="sigma_min")
    theirs = cross(peer, x, grid[:-1])[0][-1]
    names = ["dpm-solver++-3m-shipped"] * (len(grid) - 3) + ["dpm-solver++-2m", "ddim"]
    past = ()
    for name, (s, t) in zip(names, pairwise(grid), strict=True):
        x, past, _ = sb.get_solver(name).step(model, x, s, t, past)
    agree(x, theirs)


def refined(ns, grid, fractions):
    """The grid, with times at the given fractions (in lam) of each of its intervals."""
    inner = [ns.t(ns.lam(s) + q * (ns.lam(t) - ns.lam(s))) for s, t in pairwise(grid) for q in fractions]
    return tuple(sorted((*grid, *inner), reverse=True))


SINGLESTEP = "DPMSolverSinglestepScheduler"


@pytest.mark.parametrize("r", [0.5, 0.3])
@pytest.mark.parametrize(("form", "name"), [("dpmsolver", "dpm-solver-2"), ("dpmsolver++", "dpm-solver++-2s")])
def test_singlestep_2(scheduler, form, name, r):
    grid = GRIDS["irregular"]
    fine, x = refined(VP, grid, [r]), state(VP, grid[0])
    states, _ = cross(scheduler(SINGLESTEP, fine, **END, solver_order=2, algorithm_type=form), x, fine[:-1])
    agree(ours(f"{name}[r={r}]", VP, x, grid), states[-1])


@pytest.mark.parametrize(("form", "name"), [("dpmsolver", "dpm-solver-3"), ("dpmsolver++", "dpm-solver++-3s")])
def test_singlestep_3_mixes_two_methods(scheduler, form, name):
    """FINDING: neither of their two `solver_type`s is the paper's algorithm 2, which has u_2 of the one and x_t of the other.

    "midpoint" makes u_2 as DPM-Solver-2 would, with phi_1/2 in place of phi_2; "heun" makes u_2 as the paper does, but x_t
    with a second difference that the paper's method does not have.
    """
    grid = GRIDS["irregular"]
    fine, x, model = refined(VP, grid, [1 / 3, 2 / 3]), state(VP, grid[0]), model_on(VP)
    settings = END | {"algorithm_type": form, "solver_order": 3}
    right = ours(name, VP, x, grid)
    for kind in ("midpoint", "heun"):
        states, _ = cross(scheduler(SINGLESTEP, fine, solver_type=kind, **settings), x, fine[:-1])
        assert difference(right, states[-1]) > WRONG
    mixed = scheduler(SINGLESTEP, fine, **settings)
    for i, (label, t) in enumerate(zip(mixed.timesteps, fine)):
        mixed.register_to_config(solver_type="heun" if i % 3 == 1 else "midpoint")
        x = mixed.step(model(x, t).eps, label, x, return_dict=False)[0]
    agree(right, x)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("bh", [1, 2])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_unipc(scheduler, k, bh, grid):
    """Up to the state from which their last step starts: that step is not corrected, and ours are."""
    x = state(VP, grid[0])
    peer = scheduler("UniPCMultistepScheduler", grid, **END, solver_order=k, solver_type=f"bh{bh}")
    cross(peer, x, grid[:-1])
    agree(ours(f"unipc-{k}" + "-bh1" * (bh == 1), VP, x, grid[:-1]), peer.last_sample)


@pytest.mark.parametrize("name", ["plms", "pndm"])
def test_pndm(scheduler, name):
    """Their Runge-Kutta start uses the middle in t, as ours; PLMS, CompVis's start by the improved Euler method."""
    grid = GRIDS["uniform_t"]
    peer, x = scheduler("PNDMScheduler", grid, skip_prk_steps=name == "plms"), state(VP, grid[0])
    halves = [0.5 * (s + t) for s, t in pairwise(grid)] if name == "pndm" else []
    times = sorted((*grid, *halves))[len(halves) // len(grid[1:]) + 1 :]  # label 0 is the start of the last step
    agree(ours(name, VP, x, grid), cross(peer, x, [times[i] for i in peer.timesteps])[0][-1])


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_ipndm(scheduler, grid):
    x = state(VP, grid[0])
    agree(ours("ipndm-4", VP, x, grid), cross(scheduler("IPNDMScheduler", grid), x, grid[:-1], reading="v")[0][-1])


IN_SIGMA = {
    "ddim": ("EulerDiscreteScheduler", 1),
    "heun-edm": ("HeunDiscreteScheduler", 2),
    "midpoint-log-sigma": ("KDPM2DiscreteScheduler", 2),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("name", IN_SIGMA)
def test_schedulers_in_sigma(scheduler, name, grid):
    """Their state is x/alpha; KDPM2's midpoint is the geometric mean of the levels, which is the middle of lam."""
    peer, calls = IN_SIGMA[name]
    times = [(s, t if name == "heun-edm" else VP.t((VP.lam(s) + VP.lam(t)) / 2)) for s, t in pairwise(grid)]
    times = [u for pair in times for u in pair[:calls]]
    x = state(VP, grid[0])
    states, _ = cross(scheduler(peer, grid), x / VP.alpha(grid[0]), times, scaled=True)
    agree(ours(name, VP, x, grid), VP.alpha(grid[-1]) * states[-1])


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_lms(scheduler, k, grid):
    x = state(VP, grid[0])
    states, _ = cross(scheduler("LMSDiscreteScheduler", grid), x / VP.alpha(grid[0]), grid[:-1], scaled=True, order=k)
    for name in (f"lms-{k}", f"deis-rhoab-{k}"):
        agree(ours(name, VP, x, grid), VP.alpha(grid[-1]) * states[-1])


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_deis_3_is_the_right_3m(scheduler, grid):
    """DEIS in log(rho) interpolates eps in lam, as the eps form of 3M should: it has the factor 2 that their own 3M lacks.

    Their second step differs (the exact phi_2 where 2M has phi_1/2), so each later step is compared from their own past.
    """
    peer = scheduler("DEISMultistepScheduler", grid, solver_order=3, lower_order_final=False)
    states, outs = cross(peer, state(VP, grid[0]), grid[:-1])
    for x, theirs in from_past(sb.get_solver("dpm-solver-3m"), states, outs, grid, VP, 2):
        agree(x, theirs)
    wrong = from_past(sb.get_solver("dpm-solver-3m-shipped"), states, outs, grid, VP, 2)
    assert max(difference(x, theirs) for x, theirs in wrong) > WRONG


FLOWS = {"euler-t": ("FlowMatchEulerDiscreteScheduler", 1), "heun-t": ("FlowMatchHeunDiscreteScheduler", 2)}


@pytest.mark.parametrize("name", FLOWS)
def test_flow_matching(scheduler, name):
    """On straight paths Euler and Heun in t, of the velocity."""
    grid = grids.irregular(FLOW, 0.95, 0.05, 12)
    peer, calls = FLOWS[name]
    times, x = [u for pair in pairwise(grid) for u in pair[:calls]], state(FLOW, grid[0])
    agree(ours(name, FLOW, x, grid), cross(scheduler(peer, grid, FLOW), x, times, FLOW, "velocity")[0][-1])
