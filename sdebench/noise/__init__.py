r"""Noise: the Ito integrals that a step asks for, as pure functions of what is asked.

    int_{lam_s}^{lam_t} w dB,     B a standard Brownian motion in the clock of lam,     g dw = sqrt(2) sigma dB

for a deterministic weight w: a centred normal of variance `int w^2 dlam`.  A step asks for disjoint intervals only, each
once, with all its weights together; asked twice for the same, a noise gives the same bits.

    WhiteNoise      an independent draw for every interval
    BrownianPath    one path for all of them (`brownian.py`)
"""

from sdebench.noise.brownian import BrownianPath
from sdebench.noise.integrals import (
    DATA,
    EPS,
    TIME,
    Custom,
    Exponential,
    Noise,
    Power,
    Weight,
    check,
    combined,
    covariance,
    factor,
    gram,
    sd,
)
from sdebench.noise.white import Named, WhiteNoise, check_dtype, check_shape, normals, stream

__all__ = [
    "DATA",
    "EPS",
    "TIME",
    "BrownianPath",
    "Custom",
    "Exponential",
    "Named",
    "Noise",
    "Power",
    "Weight",
    "WhiteNoise",
    "check",
    "check_dtype",
    "check_shape",
    "combined",
    "covariance",
    "factor",
    "gram",
    "normals",
    "sd",
    "stream",
]
