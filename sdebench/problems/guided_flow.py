"""Guided problems: the probability flow of an exact guided model.  Its reference is that of two integrators."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, whole
from sdebench._support.registry import register_problem
from sdebench.problems.guidance import Guided, check_weight
from sdebench.problems.labelled import LabelledMixture
from sdebench.problems.problem import Problem
from sdebench.problems.shipped import mixture_2d, on_schedule


@dataclass(frozen=True, eq=False)
class NoLaw:
    """What a guided problem has in the place of a law: `dim`, and one line for whoever asks for more.

    The guided score is not that of x_t for any law of x_0, so the guided flow has marginals, but none that is known, and the
    reverse SDE with the guided score has others.
    """

    name: str
    dim: int

    has_flow = False

    def __post_init__(self):
        whole(self.dim, "dim", 1)

    def _refuse(self, *_: Any) -> NoReturn:
        raise UsageError(
            f"problem {self.name!r} has no law, since the marginals of a guided flow are not a diffusion of a law: "
            "give a problem that is not guided"
        )

    marginal = flow = flow_with_error = sample = mean = cov = _refuse


def check_has_law(problem: Problem) -> None:
    """Raise UsageError for a problem without a law: of a method's law there is then nothing to compare with."""
    if isinstance(problem.law, NoLaw):
        problem.law.marginal()


@dataclass(frozen=True, eq=False)
class GuidedProblem(Problem):
    """The flow of `labelled`'s exact guided model for `label`, with weight `w` of Ho and Salimans: libraries' scale is 1 + w.

    It begins at draws of x_s given the label, at s = span[0]: at little signal that is the noise that a sampler begins with.
    `model` is called once a step and asks two: an evaluation, as studies count it, is one of double batch, or two of one.
    """

    labelled: LabelledMixture
    label: int
    w: float

    def __post_init__(self):
        super().__post_init__()
        check_weight(self.w), self.labelled.given(self.label)

    @cached_property
    def model(self) -> Guided:  # type: ignore[override]  # a model all the same
        """The exact guided model."""
        return self.labelled.guided_model(self.schedule, self.label, self.w)

    def initial(self, n: int, seed: int) -> Tensor:
        """`n` draws of x_s given the label, s = span[0], (n, d) float64."""
        n = whole(n, "the number of points", 1)
        return self.labelled.given(self.label).marginal(self.schedule, self.span[0]).sample(n, seed)


def guided_problem(
    name: str, labelled: LabelledMixture, label: int, w: float, schedule: str, lams: tuple[float, float]
) -> GuidedProblem:
    """The guided problem on a schedule with its default parameters, over the interval `lams` = (noisy, clean) of lam."""
    at = on_schedule(name, labelled.given(label), schedule, lams)
    return GuidedProblem(name, NoLaw(name, labelled.dim), at.schedule, at.span, labelled, label, w)  # type: ignore[arg-type]  # what stands for a law


@register_problem("guided-2d")
def guided_2d(w: float = 3.0, schedule: str = "VPCosine", noisy: float = -1.0, clean: float = 1.5) -> GuidedProblem:
    """`mixture-2d` with two labels, guided to the one of two components, between two lams.  w = 0 is their flow alone."""
    law: Any = mixture_2d().law  # a GaussianMixture
    labelled = LabelledMixture(law.weights, law.means, law.covs, (0, 0, 1, 1, 1))
    return guided_problem("guided-2d", labelled, 0, w, schedule, (noisy, clean))


@register_problem("guided-16d")
def guided_16d(w: float = 3.0, schedule: str = "Rectified", noisy: float = -1.5, clean: float = 1.5) -> GuidedProblem:
    """Eight components in 16-D under four labels, no two turned alike, guided to the first two, between two lams."""
    rng = torch.Generator().manual_seed(16)
    means = torch.randn(8, 16, dtype=torch.float64, generator=rng)
    basis = torch.linalg.qr(torch.randn(8, 16, 16, dtype=torch.float64, generator=rng))[0]
    sd = 0.35 + 0.25 * torch.rand(8, 16, dtype=torch.float64, generator=rng)
    covs = (basis * sd.square().unsqueeze(1)) @ basis.transpose(1, 2)
    weights = torch.tensor([0.2, 0.1, 0.15, 0.1, 0.1, 0.15, 0.1, 0.1], dtype=torch.float64)
    labelled = LabelledMixture(weights, 0.5 * means, (covs + covs.transpose(1, 2)) / 2, (0, 0, 1, 1, 2, 2, 3, 3))
    return guided_problem("guided-16d", labelled, 0, w, schedule, (noisy, clean))
