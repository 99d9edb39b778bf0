"""Score matching against exact scores: how well each loss trains, what makes the losses one, and where that ends.

    training        a small network trained with a loss: the true Fisher divergence at every level over the steps, the noise of
                    the loss's gradient, the time
    equivalence     at a fixed network: each loss less the Fisher divergence and its constant; gradients of the denoising forms
    trace           at a fixed network: the mean and the variance of the estimators of its divergence
    small-noise     the gradient's noise at the exact score against lam, on full and on thin support
    finite-sample   trained on a fixed set: the loss on it, and the true Fisher divergence

The networks that are trained are of one shape, with eps as their output; in `equivalence` every kind of output has its turn.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice, repeat
from time import process_time
from typing import Any

import torch

from sdebench._support.errors import UsageError, near_miss
from sdebench.catalogue import get_problem
from sdebench.integration.prediction import KINDS
from sdebench.matching import breakdown, equivalence
from sdebench.matching.batch import Batch, Levels, batches, draw, stratified
from sdebench.matching.losses import LOSSES, Objective, plain_weight
from sdebench.matching.network import ScoreNet
from sdebench.matching.training import divergence, gradient_noise, train
from sdebench.problems import GaussianMixture, Problem
from sdebench.studies.base import numbers
from sdebench.studies.setting import context

KEYS = frozenset(
    {"kinds", "problems", "losses", "weights", "outputs", "probes", "supports", "sizes", "seeds", "steps", "points"}
)
SHAPE = (16, 16)  # of a mini-batch: levels, and samples at each
_RATE, _GRADIENTS, _LEVELS = 3e-3, 32, 10
_AT = (-1.0, 0.0, 1.0, 2.0)  # lams of the equivalences
_SMALL = tuple(-1.0 + 0.5 * k for k in range(17))  # and of small noise
_FINITE = ("fisher", "implicit", "sliced-vr", "denoising-eps")
_CLEAN = ("implicit", "sliced", "sliced-vr", "denoising-eps")
_FIRST, _FIXED_LEVELS = 64, 8  # steps to the first mark, and levels of a fixed set
_DRAWS, _POINTS, _PROBES = 1 << 14, 16, 1024


def _whole(settings: dict, key: str, default: list[int], least: int) -> list[int]:
    return numbers(settings.get(key, default), key, least)


def _named(settings: dict, key: str, default: Iterable[str], allowed: Iterable[str]) -> list[str]:
    names = settings.get(key, list(default))
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names:
        raise UsageError(f"{key} is {names!r}: give a name, or a list of names, in quotes")
    for name in names:
        if name not in allowed:
            near = near_miss(name, allowed) if isinstance(name, str) else ""
            raise UsageError(f"unknown name {name!r} in {key}{near} (there are: {', '.join(allowed)})")
    return names


def _problems(settings: dict) -> list[str]:
    for name in (names := settings.get("problems", ["mixture-1d", "mixture-2d"])):
        problem = get_problem(name)
        if problem.dim > 2 or not isinstance(problem.law, GaussianMixture):
            raise UsageError(f"problem {name!r} is no mixture in one or two dimensions: give one, as 'mixture-2d'")
    return names


def _training(settings: dict) -> list[dict]:
    """Each loss with its own weight, unless weights are named."""
    common = {"steps": _whole(settings, "steps", [1024], 1)[0], "points": settings.get("points", 4096)}
    weights = ["plain", *KINDS]
    return [
        {"problem": name, "loss": loss, "weight": plain_weight(loss) if weight == "plain" else weight, "seed": seed} | common
        for name in _problems(settings)
        for loss in _named(settings, "losses", tuple(LOSSES), LOSSES)
        for weight in _named(settings, "weights", ("plain",), weights)
        for seed in _whole(settings, "seeds", [0], 0)
    ]


def _equivalence(settings: dict) -> list[dict]:
    return [
        {"problem": name, "output": kind, "loss": loss, "seed": seed}
        for name in _problems(settings)
        for kind in _named(settings, "outputs", KINDS, KINDS)
        for loss in _named(settings, "losses", tuple(LOSSES), LOSSES)
        if loss != "fisher"
        for seed in _whole(settings, "seeds", [0], 0)
    ]


def _trace(settings: dict) -> list[dict]:
    probes = _named(settings, "probes", tuple(equivalence.PROBES), equivalence.PROBES)
    seeds = _whole(settings, "seeds", [0], 0)
    return [{"problem": n, "probe": probe, "seed": seed} for n in _problems(settings) for probe in probes for seed in seeds]


def _small_noise(settings: dict) -> list[dict]:
    return [
        {"problem": name, "support": support, "loss": loss, "points": settings.get("points", 4096), "seed": seed}
        for name in _problems(settings)
        for support in _named(settings, "supports", breakdown.SUPPORTS, breakdown.SUPPORTS)
        if support != "segments" or get_problem(name).dim > 1
        for loss in _named(settings, "losses", _CLEAN, LOSSES)
        if loss != "fisher"
        for seed in _whole(settings, "seeds", [0], 0)
    ]


def _finite_sample(settings: dict) -> list[dict]:
    common = {"steps": _whole(settings, "steps", [1024], 1)[0], "points": settings.get("points", 4096)}
    return [
        {"problem": name, "loss": loss, "size": size, "seed": seed} | common
        for name in _problems(settings)
        for loss in _named(settings, "losses", _FINITE, LOSSES)
        for size in _whole(settings, "sizes", [64, 512], _FIXED_LEVELS)
        for seed in _whole(settings, "seeds", [0], 0)
    ]


_CASES: dict[str, Callable[[dict], list[dict]]] = {
    "training": _training,
    "equivalence": _equivalence,
    "trace": _trace,
    "small-noise": _small_noise,
    "finite-sample": _finite_sample,
}
KINDS_OF_CASE = tuple(_CASES)


def cases(settings: dict) -> list[dict]:
    """The cases of a `[[study]]` table: those of every kind asked for."""
    kinds = _named(settings, "kinds", KINDS_OF_CASE, KINDS_OF_CASE)
    return [{"study": "score-matching", "kind": kind} | case for kind in kinds for case in _CASES[kind](settings)]


def _lams(problem: Problem) -> tuple[float, float]:
    ns, (s, t) = problem.schedule, problem.span
    return ns.lam(s), ns.lam(t)


def _kept(problem: Problem, points: int) -> Batch:
    """The draws at which every network is compared with the exact score: the same for all losses and seeds."""
    levels = stratified(problem.schedule, _lams(problem), _LEVELS)
    return draw(problem.law, levels, points, torch.Generator().manual_seed(5000))


def _levels(batch: Batch) -> dict:
    """What a divergence is read with: lambda(t) under which it is the squared error of eps, and E norm(score)^2."""
    levels, energy = batch.levels, batch.score.square().sum(-1).mean(1)
    return {"lam": levels.lams, "t": levels.times, "weight": levels.weight("eps").flatten(), "energy": energy}


def _marks(steps: int) -> list[int]:
    """The start, and the whole way halved again and again."""
    marks = [steps]
    while marks[0] // 2 >= _FIRST:
        marks.insert(0, marks[0] // 2)
    return [0, *marks]


def _run(case: dict, problem: Problem, objective: Objective, data: Iterator[Batch], noted: Callable[[ScoreNet], dict]) -> dict:
    """Train; at the marks: processor seconds of the steps so far, the divergence and its standard error (levels,), and what is
    noted."""
    net, kept = ScoreNet(problem.dim, seed=case["seed"]), _kept(problem, case["points"])
    run = train(net, objective, data, case["steps"], _RATE, 2000 + case["seed"])
    out: dict[str, list] = {}
    done, seconds = 0, 0.0
    for mark in _marks(case["steps"]):
        start = process_time()
        for _ in islice(run, mark - done):
            pass
        seconds, done = seconds + process_time() - start, mark
        found = divergence(net, kept)
        row = {"step": mark, "seconds": seconds, "fisher": found.value, "error": found.error} | noted(net)
        for key, value in row.items():
            out.setdefault(key, []).append(value)
    return out | _levels(kept)


def _measure_training(case: dict, problem: Problem) -> dict:
    objective, seed = Objective(case["loss"], case["weight"]), case["seed"]
    fresh = partial(batches, problem.law, problem.schedule, _lams(problem), SHAPE)

    def noise(net: ScoreNet) -> dict:
        return gradient_noise(net, objective, fresh(3000 + seed), _GRADIENTS, 4000 + seed)._asdict()

    return _run(case, problem, objective, fresh(1000 + seed), noise)


def _measure_finite(case: dict, problem: Problem) -> dict:
    objective, rng = Objective(case["loss"], "eps"), torch.Generator().manual_seed(1000 + case["seed"])
    levels = stratified(problem.schedule, _lams(problem), _FIXED_LEVELS)
    fixed = draw(problem.law, levels, case["size"] // _FIXED_LEVELS, rng)

    def on_the_set(net: ScoreNet) -> dict:
        return {"loss": float(objective(net, fixed, torch.Generator().manual_seed(4000)).detach())}

    return _run(case, problem, objective, repeat(fixed), on_the_set)


def _fixed(case: dict, problem: Problem, draws: int) -> tuple[ScoreNet, Levels, Batch, int]:
    """An untrained network, the levels, draws at them, and a seed for more."""
    net = ScoreNet(problem.dim, case.get("output", "eps"), seed=case["seed"])
    levels, seed = Levels(problem.schedule, _AT), 1000 * (1 + case["seed"]) + KINDS.index(net.kind)
    return net, levels, draw(problem.law, levels, draws, torch.Generator().manual_seed(seed)), seed + 100


def _measure_equivalence(case: dict, problem: Problem) -> dict:
    net, levels, batch, seed = _fixed(case, problem, 64)
    found = equivalence.gaps(net, case["loss"], problem.law, levels, _DRAWS, seed)
    data: dict[str, Any] = {"lam": levels.lams, **{k: [getattr(g, k) for g in found] for k in equivalence.Gap._fields}}
    if case["loss"].startswith("denoising-"):
        data["gradient"] = equivalence.gradient_gaps(net, batch)[plain_weight(case["loss"])]
    return data


def _measure_trace(case: dict, problem: Problem) -> dict:
    net, _, batch, seed = _fixed(case, problem, _POINTS)
    return equivalence.trace_estimate(net, batch, case["probe"], _PROBES, seed)._asdict()


def _measure_small_noise(case: dict, problem: Problem) -> dict:
    law, levels = breakdown.on_support(problem.law, case["support"]), Levels(problem.schedule, _SMALL)
    batch = draw(law, levels, case["points"], torch.Generator().manual_seed(1000 + case["seed"]))
    noise, error = breakdown.gradient_noise(case["loss"], batch, case["seed"])
    return {"noise": noise, "error": error} | _levels(batch)


_MEASURES: dict[str, Callable[[dict, Problem], dict]] = {
    "training": _measure_training,
    "equivalence": _measure_equivalence,
    "trace": _measure_trace,
    "small-noise": _measure_small_noise,
    "finite-sample": _measure_finite,
}


def measure(case: dict) -> dict:
    """Run one case; returns its `context`, `claims` and `data` for the record."""
    problem = get_problem(case["problem"])
    return {"context": context(problem), "claims": {}, "data": _MEASURES[case["kind"]](case, problem)}
