r"""Networks that are exact: the posterior mean of a law of blurred images, one softmax over all images.

    r_k = softmax_k[ (alpha x.y_k - alpha^2 |y_k|^2/2)/V ],      V = alpha^2 h^2 + sigma^2
    E[x_0 | x] = m + (alpha h^2/V)(x - alpha m),                 m = sum_k r_k y_k

What is left of a sampler's distance from exact draws is the sampler's error, and nothing else.
"""

import torch
from torch import Tensor, nn

from sdebench.data import blurred, load
from sdebench.data.images import to_state
from sdebench.networks.problem import NetworkProblem
from sdebench.schedules import NoiseSchedule, VPCosine

LAMS = (-5.0, 5.5)
_CHUNK = 8192  # images at a time


class PosteriorMean(nn.Module):
    """`(x, t) -> E[x_0 | x_t = x]`, (B, C, H, W), of images (N, C, H, W) as uint8, each blurred by h.

    The images are taken from their mean before any product: |x|^2 is the same for all of them and never formed, so float32
    loses in the exponent no more than 6e-8 of |x||y|/V.
    """

    images: Tensor
    centre: Tensor
    norms: Tensor

    def __init__(self, images: Tensor, h: float, schedule: NoiseSchedule):
        super().__init__()
        self.h, self.schedule = h, schedule
        self._kept: Tensor | None = None
        self.register_buffer("images", images.flatten(1))
        centre = torch.stack([to_state(part).double().sum(0) for part in self.images.split(_CHUNK)]).sum(0) / len(images)
        self.register_buffer("centre", centre)
        norms = [(to_state(part).double() - centre).square().sum(1) for part in self.images.split(_CHUNK)]
        self.register_buffer("norms", torch.cat(norms))

    def _centred(self, x: Tensor) -> Tensor:
        """The images less their mean, (N, d), in the dtype of x on its device; kept, since they cost more than a product."""
        if self._kept is None or (self._kept.dtype, self._kept.device) != (x.dtype, x.device):
            self._kept = torch.empty(self.images.shape, dtype=x.dtype, device=x.device)
            for part, out in zip(self.images.split(_CHUNK), self._kept.split(_CHUNK)):
                out.copy_(to_state(part).to(self.centre.dtype) - self.centre)
        return self._kept

    def forward(self, x: Tensor, t: float) -> Tensor:
        """The posterior mean at time t of the schedule."""
        alpha, sigma = self.schedule.levels(t)
        wide = alpha * alpha * self.h * self.h + sigma * sigma
        y, images = x.flatten(1) - alpha * self.centre, self._centred(x)
        exponents = torch.addmm(self.norms, y, images.T, beta=-0.5 * alpha * alpha / wide, alpha=alpha / wide)
        mean = torch.softmax(exponents, 1) @ images
        return (self.centre + mean + (alpha * self.h * self.h / wide) * (y - alpha * mean)).view_as(x)


def network(spec: str) -> NetworkProblem:
    """The exact network of a law of blurred images.  Raises UsageError for a setting that it has not."""
    law, schedule = blurred.read(spec, load), VPCosine()
    net = PosteriorMean(law.images, law.h, schedule)
    span = schedule.t(LAMS[0]), schedule.t(LAMS[1])
    card = {"name": spec, "data": {"name": spec}, "draws": spec}
    return NetworkProblem(spec, net, schedule, "x0", None, span, tuple(law.images.shape[1:]), law.sha256, card)
