"""How the score-matching study measures."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, repeat
from time import process_time
from typing import Any

import torch

from sdebench.catalogue import get_problem
from sdebench.integration.prediction import KINDS
from sdebench.matching import breakdown, equivalence
from sdebench.matching.batch import Batch, Levels, batches, draw, stratified
from sdebench.matching.losses import Objective, plain_weight
from sdebench.matching.network import ScoreNet
from sdebench.matching.training import divergence, gradient_noise, train
from sdebench.problems import Problem
from sdebench.studies.base import Found
from sdebench.studies.score_matching import FIXED_LEVELS, MatchingCase
from sdebench.studies.setting import context

SHAPE = (16, 16)  # of a mini-batch: levels, and samples at each
_RATE, _GRADIENTS, _LEVELS = 3e-3, 32, 10
_AT = (-1.0, 0.0, 1.0, 2.0)  # lams of the equivalences
_SMALL = tuple(-1.0 + 0.5 * k for k in range(17))  # and of small noise
_FIRST = 64  # steps to the first mark
_DRAWS, _POINTS, _PROBES = 1 << 14, 16, 1024


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


def _run(
    case: MatchingCase, problem: Problem, objective: Objective, data: Iterator[Batch], noted: Callable[[ScoreNet], dict]
) -> dict:
    """Train; at the marks: processor seconds of the steps so far, the divergence and its standard error (levels,), and what is
    noted."""
    net, kept = ScoreNet(problem.dim, seed=case.seed), _kept(problem, case.points)
    run = train(net, objective, data, case.steps, _RATE, 2000 + case.seed)
    out: dict[str, list] = {}
    done, seconds = 0, 0.0
    for mark in _marks(case.steps):
        start = process_time()
        for _ in islice(run, mark - done):
            pass
        seconds, done = seconds + process_time() - start, mark
        found = divergence(net, kept)
        row = {"step": mark, "seconds": seconds, "fisher": found.value, "error": found.error} | noted(net)
        for key, value in row.items():
            out.setdefault(key, []).append(value)
    return out | _levels(kept)


def _measure_training(case: MatchingCase, problem: Problem) -> dict:
    objective, seed = Objective(case.loss, case.weight), case.seed
    fresh = partial(batches, problem.law, problem.schedule, _lams(problem), SHAPE)

    def noise(net: ScoreNet) -> dict:
        return gradient_noise(net, objective, fresh(3000 + seed), _GRADIENTS, 4000 + seed)._asdict()

    return _run(case, problem, objective, fresh(1000 + seed), noise)


def _measure_finite(case: MatchingCase, problem: Problem) -> dict:
    objective, rng = Objective(case.loss, "eps"), torch.Generator().manual_seed(1000 + case.seed)
    levels = stratified(problem.schedule, _lams(problem), FIXED_LEVELS)
    fixed = draw(problem.law, levels, case.size // FIXED_LEVELS, rng)

    def on_the_set(net: ScoreNet) -> dict:
        return {"loss": float(objective(net, fixed, torch.Generator().manual_seed(4000)).detach())}

    return _run(case, problem, objective, repeat(fixed), on_the_set)


def _fixed(case: MatchingCase, problem: Problem, draws: int) -> tuple[ScoreNet, Levels, Batch, int]:
    """An untrained network, the levels, draws at them, and a seed for more."""
    net = ScoreNet(problem.dim, case.output or "eps", seed=case.seed)
    levels, seed = Levels(problem.schedule, _AT), 1000 * (1 + case.seed) + KINDS.index(net.kind)
    return net, levels, draw(problem.law, levels, draws, torch.Generator().manual_seed(seed)), seed + 100


def _measure_equivalence(case: MatchingCase, problem: Problem) -> dict:
    net, levels, batch, seed = _fixed(case, problem, 64)
    found = equivalence.gaps(net, case.loss, problem.law, levels, _DRAWS, seed)  # type: ignore[arg-type]  # the problem is a mixture
    data: dict[str, Any] = {"lam": levels.lams, **{k: [getattr(g, k) for g in found] for k in equivalence.Gap._fields}}
    if case.loss.startswith("denoising-"):
        data["gradient"] = equivalence.gradient_gaps(net, batch)[plain_weight(case.loss)]
    return data


def _measure_trace(case: MatchingCase, problem: Problem) -> dict:
    net, _, batch, seed = _fixed(case, problem, _POINTS)
    return equivalence.trace_estimate(net, batch, case.probe, _PROBES, seed)._asdict()


def _measure_small_noise(case: MatchingCase, problem: Problem) -> dict:
    law, levels = breakdown.on_support(problem.law, case.support), Levels(problem.schedule, _SMALL)  # type: ignore[arg-type]  # the problem is a mixture
    batch = draw(law, levels, case.points, torch.Generator().manual_seed(1000 + case.seed))
    noise, error = breakdown.gradient_noise(case.loss, batch, case.seed)
    return {"noise": noise, "error": error} | _levels(batch)


_MEASURES: dict[str, Callable[[MatchingCase, Problem], dict]] = {
    "training": _measure_training,
    "equivalence": _measure_equivalence,
    "trace": _measure_trace,
    "small-noise": _measure_small_noise,
    "finite-sample": _measure_finite,
}


def measure(case: MatchingCase) -> Found:
    """Run one case."""
    problem = get_problem(case.problem)
    return Found(context(problem), data=_MEASURES[case.kind](case, problem))
