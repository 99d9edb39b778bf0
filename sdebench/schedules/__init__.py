r"""Noise schedules: `x_t = alpha_t x_0 + sigma_t eps`, floats in, floats out, float64 throughout.

    lam = log(alpha / sigma)          rises along sampling
    f   = d log(alpha) / dt           drift of the forward SDE  dx = f x dt + g dw
    g2  = d(sigma^2)/dt - 2 f sigma^2 = -2 sigma^2 d(lam)/dt

(Kingma et al. 2021, arXiv:2107.00630; Lu et al. 2022, arXiv:2206.00927, eq. 2.3.)  Every formula is written so that
nothing cancels near an end: `sigma` comes from `expm1` or a product of sines, never from `sqrt(1 - alpha**2)`.
"""

from sdebench.schedules.base import NoiseSchedule, OutsideDomain, check_schedule, softplus
from sdebench.schedules.consistency import check
from sdebench.schedules.rectified import Rectified
from sdebench.schedules.ve import EDM, VE
from sdebench.schedules.vp import VPCosine, VPLinear

SCHEDULES = {c.__name__: c for c in (VPLinear, VPCosine, VE, EDM, Rectified)}

__all__ = [
    "EDM",
    "SCHEDULES",
    "VE",
    "NoiseSchedule",
    "OutsideDomain",
    "Rectified",
    "VPCosine",
    "VPLinear",
    "check",
    "check_schedule",
    "softplus",
]
