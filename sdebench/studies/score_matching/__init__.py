"""Score matching against exact scores: how well each loss trains, what makes the losses one, and where that ends.

    training        a small network trained with a loss: the true Fisher divergence at every level over the steps, the noise of
                    the loss's gradient, the time
    equivalence     at a fixed network: each loss less the Fisher divergence and its constant; gradients of the denoising forms
    trace           at a fixed network: the mean and the variance of the estimators of its divergence
    small-noise     the gradient's noise at the exact score against lam, on full and on thin support
    finite-sample   trained on a fixed set: the loss on it, and the true Fisher divergence

The networks that are trained are of one shape, with eps as their output; `equivalence` takes every kind of output in turn.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_study
from sdebench.records import Record
from sdebench.studies.base import Found, Study, problem_factory
from sdebench.studies.settings import choices, choices_from, problems, whole, wholes

if TYPE_CHECKING:
    from sdebench.report.section import Section

KINDS = ("training", "equivalence", "trace", "small-noise", "finite-sample")
FIXED_LEVELS = 8  # of a fixed set of samples
_FINITE = ("fisher", "implicit", "sliced-vr", "denoising-eps")
_CLEAN = ("implicit", "sliced", "sliced-vr", "denoising-eps")
_LOSSES = "sdebench.matching.losses:LOSSES"


@dataclass(frozen=True)
class MatchingSettings:
    """What a `[[study]]` table may say.  `losses` has a default of its own in each kind; the weight "plain" is a loss's own."""

    kinds: tuple[str, ...] = choices(KINDS)
    problems: tuple[str, ...] = problems("mixture-1d", "mixture-2d")
    losses: tuple[str, ...] | None = choices_from(_LOSSES)
    weights: tuple[str, ...] = choices(("plain", "x0", "eps", "v", "score", "velocity"), ("plain",))
    outputs: tuple[str, ...] = choices(("x0", "eps", "v", "score", "velocity"))
    probes: tuple[str, ...] = choices(("rademacher", "normal"))
    supports: tuple[str, ...] = choices(("full", "segments", "points"))
    sizes: tuple[int, ...] = wholes((64, 512), least=FIXED_LEVELS, most=1_000_000)
    seeds: tuple[int, ...] = wholes((0,), least=0)
    steps: int = whole(1024, least=1, most=1_000_000)
    points: int = whole(4096, least=1, most=1_000_000)


@dataclass(frozen=True)
class MatchingCase:
    """One case of one kind; the fields that a kind has no use for are None."""

    kind: str
    problem: str
    loss: str | None = None
    weight: str | None = None
    output: str | None = None
    probe: str | None = None
    support: str | None = None
    size: int | None = None
    seed: int = 0
    steps: int | None = None
    points: int | None = None


@register_study("score-matching")
class MatchingStudy(Study):
    """Losses of score matching, held against the exact score."""

    settings, case = MatchingSettings, MatchingCase

    def cases(self, settings: MatchingSettings) -> list[MatchingCase]:
        """The cases of every kind asked for, on mixtures in one or two dimensions."""
        from sdebench.catalogue import get_problem
        from sdebench.problems import GaussianMixture

        for name in settings.problems:
            problem = get_problem(name)
            if problem.dim > 2 or not isinstance(problem.law, GaussianMixture):
                raise UsageError(f"problem {name!r} is not a mixture in one or two dimensions: give one, as 'mixture-2d'")
        makers = {
            "training": _training,
            "equivalence": _equivalence,
            "trace": _trace,
            "small-noise": _small_noise,
            "finite-sample": _finite_sample,
        }
        return [case for kind in settings.kinds for case in makers[kind](settings)]

    def measure(self, case: MatchingCase) -> Found:
        """Run one case."""
        from sdebench.studies.score_matching.measure import measure

        return measure(case)

    def code(self, case: MatchingCase) -> Iterable[Any]:
        """The problem; the losses are in the code of `measure`."""
        return [problem_factory(case.problem)]

    def section(self, records: list[Record]) -> "Section":
        """Tables and figures of each kind."""
        from sdebench.studies.score_matching.section import make_section

        return make_section(records)


def _losses(settings: MatchingSettings, default: Iterable[str] | None = None) -> tuple[str, ...]:
    from sdebench.matching.losses import LOSSES

    return settings.losses or tuple(default or LOSSES)


def _training(settings: MatchingSettings) -> list[MatchingCase]:
    """Each loss with its own weight, unless weights are named."""
    from sdebench.matching.losses import plain_weight

    return [
        MatchingCase(
            "training",
            name,
            loss,
            plain_weight(loss) if weight == "plain" else weight,
            seed=seed,
            steps=settings.steps,
            points=settings.points,
        )
        for name in settings.problems
        for loss in _losses(settings)
        for weight in settings.weights
        for seed in settings.seeds
    ]


def _equivalence(settings: MatchingSettings) -> list[MatchingCase]:
    return [
        MatchingCase("equivalence", name, loss, output=kind, seed=seed)
        for name in settings.problems
        for kind in settings.outputs
        for loss in _losses(settings)
        if loss != "fisher"
        for seed in settings.seeds
    ]


def _trace(settings: MatchingSettings) -> list[MatchingCase]:
    return [
        MatchingCase("trace", name, probe=probe, seed=seed)
        for name in settings.problems
        for probe in settings.probes
        for seed in settings.seeds
    ]


def _small_noise(settings: MatchingSettings) -> list[MatchingCase]:
    from sdebench.catalogue import get_problem

    return [
        MatchingCase("small-noise", name, loss, support=support, points=settings.points, seed=seed)
        for name in settings.problems
        for support in settings.supports
        if support != "segments" or get_problem(name).dim > 1
        for loss in _losses(settings, _CLEAN)
        if loss != "fisher"
        for seed in settings.seeds
    ]


def _finite_sample(settings: MatchingSettings) -> list[MatchingCase]:
    return [
        MatchingCase("finite-sample", name, loss, size=size, seed=seed, steps=settings.steps, points=settings.points)
        for name in settings.problems
        for loss in _losses(settings, _FINITE)
        for size in settings.sizes
        for seed in settings.seeds
    ]
