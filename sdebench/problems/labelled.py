r"""A Gaussian mixture with a label on each component: its law, the law of each label, and the exact guided models.

x_0 | k ~ sum_{j: l_j = k} (w_j / P(k)) N(mu_j, C_j),        P(k) = sum_{j: l_j = k} w_j
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, near_miss, shown
from sdebench.problems.guidance import EVERYWHERE, Guided, guided
from sdebench.problems.mixture import GaussianMixture
from sdebench.problems.problem import exact_model
from sdebench.schedules import NoiseSchedule


@dataclass(frozen=True, eq=False)
class LabelledMixture:
    """`weights` (K,), `means` (K, d), `covs` (K, d, d) or (K,), as a GaussianMixture's; `labels`, K whole numbers.

    Components may share a label: those are the law of that class.  At least two labels, else there is nothing to guide.
    Raises UsageError for what GaussianMixture refuses, and for labels that are not K whole numbers, two or more of them
    unlike.
    """

    weights: Any
    means: Any
    covs: Any
    labels: tuple[int, ...]

    def __post_init__(self):
        size = len(self.law.weights)
        labels = self.labels.tolist() if isinstance(self.labels, Tensor) else self.labels
        if not isinstance(labels, tuple | list) or len(labels) != size or any(type(k) is not int for k in labels):
            raise UsageError(f"labels are {shown(self.labels)}: give {size} whole numbers, one a component")
        if len(set(labels)) < 2:
            raise UsageError(f"all labels are {labels[0]}: give two different ones at least, or there is nothing to guide")
        object.__setattr__(self, "labels", tuple(labels))

    @cached_property
    def law(self) -> GaussianMixture:
        """The law without its labels."""
        return GaussianMixture(self.weights, self.means, self.covs)

    @property
    def dim(self) -> int:
        """Dimension of the states."""
        return self.law.dim

    def _of(self, label: int) -> list[int]:
        """The components of a label."""
        if type(label) is not int or label not in self.labels:
            known = sorted(set(self.labels))
            there = ", ".join(map(str, known))
            raise UsageError(
                f"no component has the label {shown(label)}{near_miss(label, map(str, known))} (there are: {there})"
            )
        return [j for j, its in enumerate(self.labels) if its == label]

    def probability(self, label: int) -> float:
        """P(k)."""
        return float(self.law.weights[self._of(label)].sum())

    def given(self, label: int) -> GaussianMixture:
        """The law of x_0 given its label."""
        at = self._of(label)
        weights = self.law.weights[at]
        covs = torch.as_tensor(self.covs, dtype=torch.float64)
        return GaussianMixture(weights / weights.sum(), self.law.means[at], covs[at])

    def guided_model(
        self, ns: NoiseSchedule, label: int, w: float, interval: tuple[float, float] = EVERYWHERE, rescale: float = 0.0
    ) -> Guided:
        """The exact guided model: `eps = (1 + w) eps(x, t | label) - w eps(x, t)`, both of exact scores; see `guided`.

        At each t by itself its score is that of the density p_t(x) p_t(label | x)^(1 + w), up to a constant factor.  It is NOT
        the model of a law of x_0: these densities are not those of x_t (Bradley and Nakkiran 2024, arXiv:2408.09000).
        """
        return guided(exact_model(self.given(label), ns), exact_model(self.law, ns), w, interval, rescale)
