r"""Interpolatory weights: the integral of the polynomial through given nodes, for a weight function known by its moments.

    w_j = int_0^1 k(theta) l_j(theta) dtheta = sum_n [theta^n] l_j  mu_n,     mu_n = int_0^1 k(theta) theta^n dtheta

`theta` runs from 0 (where the step stands) to 1 (where it goes); past nodes are negative.  Adams methods have k = 1,
exponential Adams methods `k = e^{(1 - theta) z}`, whose moments are `n! phi_{n+1}(z)`.
"""

from collections.abc import Callable, Sequence
from functools import cache
from math import factorial

import numpy as np

from ..phi import phis


def interpolatory(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    """The weights w_j, one a node, of the moments mu_0 .. mu_{k-1}."""
    weights = []
    for j, node in enumerate(nodes):
        poly, scale = [1.0], 1.0  # coefficients of prod_{i != j} (theta - node_i), lowest power first
        for i, other in enumerate(nodes):
            if i != j:
                poly = [-other * c + up for c, up in zip([*poly, 0.0], [0.0, *poly])]
                scale *= node - other
        weights.append(sum(c * mu for c, mu in zip(poly, moments)) / scale)
    return weights


def adams(nodes: Sequence[float]) -> list[float]:
    """Weights of variable-step Adams-Bashforth."""
    return interpolatory(nodes, [1 / (n + 1) for n in range(len(nodes))])


def exponential(nodes: Sequence[float], z: float) -> list[float]:
    """Weights of exponential Adams methods, `int e^{(1 - theta) z} l_j`."""
    k = len(nodes)
    phi = phis(k, z)
    return interpolatory(nodes, [factorial(n) * phi[n + 1] for n in range(k)])


@cache
def _gauss(n: int) -> tuple[tuple[float, float], ...]:
    """Nodes and weights of Gauss-Legendre on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(n)
    return tuple(zip((0.5 * (x + 1)).tolist(), (0.5 * w).tolist()))


def quadrature(nodes: Sequence[float], kernel: Callable[[float], float]) -> list[float]:
    """Weights for any smooth kernel on [0, 1]: its moments by a 12-point Gauss rule, exact to rounding for short steps."""
    moments = [0.0] * len(nodes)
    for theta, w in _gauss(12):
        value = w * kernel(theta)
        for n in range(len(nodes)):
            moments[n] += value
            value *= theta
    return interpolatory(nodes, moments)
