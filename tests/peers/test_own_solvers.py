"""Every method of ours, wrapped as each kind of foreign code and run through its adapter, gives our own result."""

import pytest
import torch
from peer_runs import network, state, uneven
from wrapped import TorchNoise, as_callable, as_scheduler, as_sigmas_function

from sdebench.catalogue import get_solver, list_solvers
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Model
from sdebench.peers import Level, RunPlan, from_callable, from_scheduler, from_sigmas_function
from sdebench.schedules import EDM, Rectified, VPLinear

NEEDS_MORE = {"analytic-dpm"}  # asks the model for more than a foreign network tells
SOLVERS = [name for name in list_solvers() if not (get_solver(name).adaptive or name in NEEDS_MORE)]
NO_SCHEDULER = {"edm-stochastic", "edm-stochastic-gamma", "edm-stochastic-rate", "annealed-langevin"}  # move before they ask
N = 6


def ours(solver, ns, kind, levels):
    """The result of `integrate`, of the network of the tests."""
    x = state()

    def fn(y, t):
        return getattr(network(y, Level(*ns.levels(t)), t), kind)

    torch.manual_seed(1)
    noise = TorchNoise(ns, tuple(x.shape)) if solver.stochastic else None
    return integrate(solver, Model(fn, ns, kind), x, [ns.t(level.lam) for level in levels], noise=noise)


def theirs(peer, plan):
    """The result through the adapter."""
    torch.manual_seed(1)
    with torch.no_grad():
        return peer.prepare(plan).run(network, state())


@pytest.mark.parametrize("name", SOLVERS)
def test_as_a_function_of_sigmas(name):
    solver, levels = get_solver(name), uneven(N, convention="ve")
    found = theirs(from_sigmas_function(as_sigmas_function(solver)), RunPlan(N, levels))
    torch.testing.assert_close(found, ours(solver, EDM(), "x0", levels), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("ns", [VPLinear(), Rectified()], ids=["VPLinear", "Rectified"])
@pytest.mark.parametrize("name", SOLVERS)
def test_as_a_plain_function(name, ns):
    solver, levels = get_solver(name), uneven(N, convention="vp" if ns == VPLinear() else "flow")
    found = theirs(from_callable(as_callable(solver, ns), "eps", ns), RunPlan(N, levels))
    torch.testing.assert_close(found, ours(solver, ns, "eps", levels), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in SOLVERS if name not in NO_SCHEDULER])
def test_as_a_scheduler(name):
    solver, levels = get_solver(name), uneven(N)
    found = theirs(from_scheduler(as_scheduler(solver)), RunPlan(N, levels))
    torch.testing.assert_close(found, ours(solver, VPLinear(), "eps", levels), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("prediction", ["sample", "v_prediction"])
@pytest.mark.parametrize("name", ["dpm-solver++-2m", "unipc-3", "rk4-lam", "dpm-solver-fast"])
def test_as_a_scheduler_of_another_parametrisation(name, prediction):
    solver, levels = get_solver(name), uneven(N)
    kind = {"sample": "x0", "v_prediction": "v"}[prediction]
    found = theirs(from_scheduler(as_scheduler(solver)), RunPlan(N, levels, prediction=kind))
    torch.testing.assert_close(found, ours(solver, VPLinear(), "eps", levels), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", sorted(NO_SCHEDULER))
def test_what_moves_before_it_asks_can_be_no_scheduler(name):
    with pytest.raises(ValueError, match="asks first about another state"):
        as_scheduler(get_solver(name))


def test_a_state_that_is_written_over_is_the_one_from_which_a_scheduler_goes_on():
    """An exact past is put in so: the network writes the exact state where the scheduler's own was."""
    levels, asked = uneven(3), []
    exact = [torch.full_like(state(), float(i)) for i in range(3)]

    def writes(x, told, time):
        x.copy_(exact[len(asked)])
        asked.append(told)
        return network(x, told, time)

    with torch.no_grad():
        end = from_scheduler(as_scheduler(get_solver("ddim"))).prepare(RunPlan(3, levels)).run(writes, state())
    x0, eps, _ = network(exact[2], levels[2], 0.0)
    torch.testing.assert_close(end, levels[3].a * x0 + levels[3].s * eps, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["dpm-solver++-2m", "dpm-solver-2", "unipc-3", "dpm-solver++-2m-lower-final"])
def test_as_a_scheduler_that_begins_in_the_middle(name):
    solver, levels = get_solver(name), uneven(N)
    begin = 2 * solver.nfe_per_step
    found = theirs(from_scheduler(as_scheduler(solver)), RunPlan(N, levels, begin=begin))
    torch.testing.assert_close(found, ours(solver, VPLinear(), "eps", levels[2:]), rtol=1e-9, atol=1e-9)
