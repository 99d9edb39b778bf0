"""The problems that the suite ships, by name.  `name[schedule=EDM]` moves one to another schedule, over the same lam.

Spans of lam are where every grid family is asymptotic for affordable numbers of steps: the components' standard
deviations are comparable with the noise, so the flow is plainly nonlinear and yet smooth.
"""

from math import pi

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, near_miss
from sdebench._support.registry import register_problem
from sdebench.problems.mixture import GaussianMixture
from sdebench.problems.problem import Law, Problem
from sdebench.problems.product import ProductMixture
from sdebench.schedules import SCHEDULES


def on_schedule(name: str, law: Law, schedule: str, lams: tuple[float, float]) -> Problem:
    """The problem on a schedule with its default parameters, over the interval `lams` = (noisy, clean) of lam."""
    if schedule not in SCHEDULES:
        known = f"{near_miss(schedule, SCHEDULES)} (there are: {', '.join(SCHEDULES)})"
        raise UsageError(f"unknown schedule {schedule!r} of problem {name!r}{known}")
    ns = SCHEDULES[schedule]()
    return Problem(name, law, ns, (ns.t(lams[0]), ns.t(lams[1])))


def _rotation(d: int, seed: int) -> Tensor:
    """A random orthogonal matrix."""
    rng = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=rng))[0]


@register_problem("gaussian")
def gaussian(schedule: str = "EDM") -> Problem:
    """One Gaussian in 3-D, its eigenvalues spread over a factor 16: the flow is linear and known in closed form."""
    basis = _rotation(3, seed=3)
    cov = (basis * torch.tensor([0.1, 0.4, 1.6], dtype=torch.float64)) @ basis.T
    law = GaussianMixture([1.0], [[0.5, -1.0, 0.8]], ((cov + cov.T) / 2).unsqueeze(0))
    return on_schedule("gaussian", law, schedule, (-1.0, 2.0))


@register_problem("mixture-1d")
def mixture_1d(schedule: str = "VPLinear") -> Problem:
    """Two modes in 1-D, of unequal weight and width: exact flow by quantiles."""
    law = GaussianMixture([0.4, 0.6], [[-1.0], [0.9]], [0.4**2, 0.5**2])
    return on_schedule("mixture-1d", law, schedule, (-1.0, 1.5))


@register_problem("mixture-2d")
def mixture_2d(schedule: str = "VPCosine") -> Problem:
    """Five anisotropic components on a circle of radius 1.5, each turned its own way."""
    angle = torch.arange(5, dtype=torch.float64) * (2 * pi / 5)
    means = 1.5 * torch.stack([angle.cos(), angle.sin()], 1)
    turn = 0.7 + 1.3 * angle
    along, across = torch.stack([turn.cos(), turn.sin()], 1), torch.stack([-turn.sin(), turn.cos()], 1)
    covs = 0.6**2 * along[:, :, None] * along[:, None] + 0.35**2 * across[:, :, None] * across[:, None]
    law = GaussianMixture([0.3, 0.15, 0.2, 0.1, 0.25], means, covs)
    return on_schedule("mixture-2d", law, schedule, (-1.0, 1.5))


@register_problem("grid-25")
def grid_25(schedule: str = "VE") -> Problem:
    """25 equal modes on a 5 x 5 grid of spacing 1.5 in 2-D."""
    line = 1.5 * torch.arange(-2, 3, dtype=torch.float64)
    law = GaussianMixture([1 / 25] * 25, torch.cartesian_prod(line, line), [0.4**2] * 25)
    return on_schedule("grid-25", law, schedule, (-1.0, 1.5))


@register_problem("product-16d")
def product_16d(schedule: str = "Rectified") -> Problem:
    """A rotated product of 16 bimodal mixtures, no two alike: 65,536 modes, exact flow by quantiles."""
    step = torch.linspace(-1, 1, 16, dtype=torch.float64)
    weights = torch.stack([0.5 + 0.15 * step, 0.5 - 0.15 * step], 1)
    means = torch.stack([-0.9 - 0.2 * step, 0.9 - 0.1 * step.square()], 1)
    sd = torch.stack([0.45 + 0.05 * step, 0.5 - 0.05 * step], 1)
    law = ProductMixture(_rotation(16, seed=16), weights, means, sd.square())
    return on_schedule("product-16d", law, schedule, (-1.0, 1.5))


def _smooth_images(n: int, size: int, seed: int) -> Tensor:
    """(n, 3 size^2): random low-frequency cosine patterns in three colours, each of RMS 1."""
    rng = torch.Generator().manual_seed(seed)
    grid = (torch.arange(size, dtype=torch.float64) + 0.5) * (pi / size)
    waves = torch.cos(torch.arange(5, dtype=torch.float64)[:, None] * grid)
    decay = 1 / (1 + torch.arange(5, dtype=torch.float64).square())
    amplitude = torch.randn(n, 3, 5, 5, dtype=torch.float64, generator=rng) * decay[:, None] * decay
    images = torch.einsum("ncij,ix,jy->ncxy", amplitude, waves, waves).reshape(n, -1)
    return images / images.square().mean(1, keepdim=True).sqrt()


@register_problem("image")
def image(schedule: str = "EDM") -> Problem:
    """256 isotropic components of 3 x 32 x 32 numbers: one smooth picture, varied smoothly in 256 ways.

    The variations are faint (RMS 0.07): in 3072 dimensions that is a distance of 5.5, so that the component is decided
    inside of the span.  Pictures unlike each other would be told apart at sigma = 20 already, and the flow be linear here.
    """
    patterns = _smooth_images(257, 32, seed=32)
    law = GaussianMixture([1 / 256] * 256, 0.5 * patterns[:1] + 0.07 * patterns[1:], [0.5**2] * 256)
    return on_schedule("image", law, schedule, (-1.0, 1.5))
