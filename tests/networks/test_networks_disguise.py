"""An exact model poses as a loaded network: solvers must not see a difference, and every wrong reading of it must show.

The schedule, the kind and what the network is told of a time come from the folder's own files, as for any network; only its
function is exchanged for one that knows the law by Bayes' rule and keeps its noise levels itself.
"""

from dataclasses import replace
from functools import partial

import pytest
import torch
from image_networks import CARD, CHAIN, LAW, SHAPE, Chain, Cosine, folder

import sdebench as sb
from sdebench import grids
from sdebench.integration.prediction import Counted
from sdebench.networks import NetworkModel, Scaled
from sdebench.problems import Problem

LEVELS = (999, 930, 850, 760, 660, 560, 450, 330, 210, 100, 40, 10, 1, 0)  # unequal, both ends
ON_LEVELS = ("ddim", "dpm-solver-2m", "dpm-solver++-2m", "unipc-3", "heun-edm", "ipndm-4", "ddpm")  # evaluate at nodes alone
PREDICTION = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}


def disguised(path, net, **files):
    """The problem of a folder in float64, with `net` for a network."""
    return replace(sb.get_network(str(folder(path, **files)), "float64"), net=net)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A chain of 1000 levels, by the kind that it predicts."""
    made = {}
    for kind, name in PREDICTION.items():
        config = CHAIN if kind == "eps" else CHAIN | {"prediction_type": name}
        made[kind] = disguised(tmp_path_factory.mktemp(kind), Chain(kind), chain=config)
    return made


@pytest.fixture(scope="module")
def cosine(tmp_path_factory):
    return disguised(tmp_path_factory.mktemp("cosine"), Cosine(), card=CARD)


def difference(solver, problem, grid, model=None):
    """The largest difference at the end between the disguise, on images, and the exact model, on vectors, from one start."""
    solver, ns, x = sb.get_solver(solver), problem.schedule, problem.initial(8, seed=3)
    ends = []
    for asked, start in ((model or problem.model, x), (Problem("", LAW, ns, problem.span).model, x.flatten(1))):
        noise = sb.WhiteNoise(ns, tuple(start.shape), 11) if solver.stochastic else None
        ends.append(sb.integrate(solver, asked, start, grid, noise))
    assert ends[0].shape == x.shape
    assert torch.isfinite(ends[1]).all()
    return float((ends[0].flatten(1) - ends[1]).abs().max())


def on_levels(problem):
    return [(i + 1) / problem.schedule.steps for i in LEVELS]


@pytest.mark.parametrize("kind", PREDICTION)
@pytest.mark.parametrize("solver", ON_LEVELS)
def test_a_chain_of_integers_in_disguise_is_the_exact_model(chain, solver, kind):
    """To rounding: 1e-10, where v and x0 lose some digits of eps at the noisy end.  The network is told integers, exactly."""
    assert difference(solver, chain[kind], on_levels(chain[kind])) < 1e-10


WRONG_INDEX = {
    "one level late": lambda t: min(1000 * t, 999),
    "one level early": lambda t: max(round(1000 * t - 2), 0),
    "1000 t": lambda t: min(round(1000 * t), 999),
    "999 t": lambda t: round(999 * t),
}


@pytest.mark.parametrize("solver", ["ddim", "unipc-3"])
@pytest.mark.parametrize("index", WRONG_INDEX.values(), ids=WRONG_INDEX)
def test_a_wrong_index_is_seen(chain, solver, index):
    problem = chain["eps"]
    wrong = NetworkModel(problem.net, problem.schedule, "eps", index, torch.float64)
    assert difference(solver, problem, on_levels(problem), wrong) > 1e-4


@pytest.mark.parametrize("kind", PREDICTION)
def test_a_wrong_kind_is_seen(chain, kind):
    problem = chain[kind]
    for other in PREDICTION.keys() - {kind}:
        wrong = NetworkModel(problem.net, problem.schedule, other, problem.time, torch.float64)
        assert difference("ddim", problem, on_levels(problem), wrong) > 1e-2


@pytest.mark.parametrize("solver", [*ON_LEVELS, "dpm-solver-2", "dpm-solver-3", "exprk5s8", "rk4-lam", "euler-maruyama"])
def test_a_network_of_continuous_time_in_disguise_is_the_exact_model(cosine, solver):
    """Told 1000 t between any levels: 1e-8, for its sigma comes from 1 - alpha^2, which cancels at the clean end."""
    problem = cosine
    assert difference(solver, problem, grids.jitter(problem.schedule, *problem.span, 12)) < 1e-8


@pytest.mark.parametrize(("kind", "scale"), [("v", 999.0), ("v", 1.0), ("eps", 1000.0)])
def test_a_wrong_scale_or_kind_of_a_continuous_network_is_seen(cosine, kind, scale):
    problem = cosine
    wrong = NetworkModel(problem.net, problem.schedule, kind, Scaled(scale), torch.float64)
    assert difference("ddim", problem, grids.uniform_lam(problem.schedule, *problem.span, 12), wrong) > 1e-4


FIXED = [name for name in sb.list_solvers() if not getattr(sb.get_solver(name), "adaptive", False) and name != "analytic-dpm"]


@pytest.mark.parametrize("name", FIXED)
def test_every_solver_takes_images_as_it_takes_vectors(cosine, name):
    """(B, C, H, W) in place of (B, d), with the same noise: nothing in a step may depend on the shape."""
    problem = cosine
    assert difference(name, problem, grids.uniform_lam(problem.schedule, *problem.span, 8)) < 1e-7


def test_analytic_dpm_says_what_a_network_does_not_know(cosine):
    problem = cosine
    x = problem.initial(2, seed=0)
    noise = sb.WhiteNoise(problem.schedule, tuple(x.shape), 1)
    with pytest.raises(sb.UsageError, match="mean square"):
        sb.integrate(sb.get_solver("analytic-dpm"), Counted(problem.model), x, [0.5, 0.4], noise)


def test_a_disguise_declared_by_its_factory_is_told_the_schedules_own_time(tmp_path, monkeypatch):
    """`module:factory`: fn(x, t) with t a float of the schedule."""
    lines = [
        "import sdebench as sb",
        "from image_networks import LAW, SHAPE",
        "from sdebench.networks import Declared",
        "ns = sb.schedules.EDM()",
        "exact = sb.problems.exact_model(LAW, ns)",
        "def make():",
        "    def fn(x, t):",
        "        assert isinstance(t, float)",
        "        return exact(x.flatten(1), t).x0.reshape(x.shape)",
        "    return Declared(fn, 'x0', ns, SHAPE, (-3.0, 3.0))",
    ]
    (tmp_path / "declared_network.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    problem = sb.get_network("declared_network:make", "float64")
    assert (problem.shape, problem.dim, problem.name, len(problem.sha256)) == (SHAPE, 16, "declared_network:make", 64)
    assert difference("dpm-solver-2", problem, grids.uniform_lam(problem.schedule, *problem.span, 10)) < 1e-10


HOLDERS = {
    "a Module": lambda net: net,
    "its method": lambda net: net.forward,
    "a closure": lambda net: lambda x, t: net(x),
    "a partial": lambda net: partial(torch.func.functional_call, net),
}


@pytest.mark.parametrize("how", HOLDERS)
def test_new_weights_of_a_factory_are_another_network(how):
    """Whatever holds the Module: results of the old weights are not taken for those of the new ones."""
    from sdebench.networks.loading import _code_hash

    net, other = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    hashes = [_code_hash(test_new_weights_of_a_factory_are_another_network, HOLDERS[how](one)) for one in (net, other, net)]
    assert hashes[0] == hashes[2] != hashes[1]
