r"""Interpolatory weights: the integral of the polynomial through given nodes, for a weight function known by its moments.

    w_j = int_0^1 k(theta) l_j(theta) dtheta,     mu_n = int_0^1 k(theta) theta^n dtheta

`theta` runs from 0 (where the step stands) to 1 (where it goes); past nodes are negative.  Adams methods have k = 1,
exponential Adams methods `k = e^{(1 - theta) z}`, whose moments are `n! phi_{n+1}(z)`.
"""

from collections.abc import Callable, Sequence
from functools import cache
from math import factorial

from sdebench._support.quadrature import gauss_legendre
from sdebench.phi import phis


def interpolatory(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    """The weights w_j, one a node, that integrate theta^n exactly: `sum_j w_j node_j^n = mu_n`, n = 0 .. k-1.

    The Vandermonde system by Bjorck and Pereyra 1970, Math. Comp. 24: k^2 operations, and no loss for ordered nodes.
    """
    w, k = list(moments[: len(nodes)]), len(nodes)
    for j in range(k - 1):
        for i in range(k - 1, j, -1):
            w[i] -= nodes[j] * w[i - 1]
    for j in range(k - 2, -1, -1):
        for i in range(j + 1, k):
            w[i] /= nodes[i] - nodes[i - j - 1]
        for i in range(j, k - 1):
            w[i] -= w[i + 1]
    return w


def adams(nodes: Sequence[float]) -> list[float]:
    """Weights of variable-step Adams-Bashforth."""
    return interpolatory(nodes, [1 / (n + 1) for n in range(len(nodes))])


def exponential(nodes: Sequence[float], z: float) -> list[float]:
    """Weights of exponential Adams methods, `int e^{(1 - theta) z} l_j`."""
    phi = phis(len(nodes), z)
    return interpolatory(nodes, [n_factorial * p for n_factorial, p in zip(_FACTORIALS, phi[1:])])


_FACTORIALS = tuple(map(factorial, range(12)))


def quadrature(
    nodes: Sequence[float], kernel: Callable[[float], tuple[float, float]], points: int, panels: int = 1
) -> list[float]:
    """Weights for a kernel known in another variable q in [0, 1]: `kernel(q)` gives (k dtheta/dq, theta); Gauss-Legendre, in
    so many panels.
    """
    moments = [0.0] * len(nodes)
    for q, w in _rule(points, panels):
        value, theta = kernel(q)
        value *= w
        for n in range(len(nodes)):
            moments[n] += value
            value *= theta
    return interpolatory(nodes, moments)


@cache
def _rule(points: int, panels: int) -> tuple[tuple[float, float], ...]:
    """(node, weight) pairs of Gauss-Legendre on each of so many parts of [0, 1]."""
    rule = list(zip(*(values.tolist() for values in gauss_legendre(points))))
    return tuple(((i + q) / panels, w / panels) for i in range(panels) for q, w in rule)
