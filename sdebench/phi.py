r"""The phi functions of exponential integrators, on host floats.

    phi_0(z) = e^z,   phi_{k+1}(z) = (phi_k(z) - 1/k!) / z,   phi_k(z) = sum_j z^j / (j + k)!

(Hochbruck and Ostermann 2010, Acta Numerica 19, 209.)  The recursion upwards cancels for small z, the one
downwards to phi_0 and phi_1 for negative z: so the highest phi comes from its series where |z| is small, those between
follow from it, and the first two are the library's exp and expm1.
"""

from math import exp, expm1, factorial

_SERIES_BELOW = 4.0
_INVERSE = tuple(1 / factorial(n) for n in range(48))
_TERMS = ((0.05, 8), (0.5, 13), (2.0, 22), (_SERIES_BELOW, 32))  # |z| up to which so many terms reach the last place


def phis(n: int, z: float) -> tuple[float, ...]:
    """`(phi_0(z), ..., phi_n(z))`, each to a few units in the last place for |z| <= 40."""
    first = exp(z), (expm1(z) / z if z else 1.0)
    if n < 2:
        return first[: n + 1]
    if abs(z) > _SERIES_BELOW:
        out = list(first)
        for k in range(1, n):
            out.append((out[k] - _INVERSE[k]) / z)
        return tuple(out)
    out = [_series(n, z)]
    for k in range(n - 1, 1, -1):
        out.append(z * out[-1] + _INVERSE[k])
    return (*first, *reversed(out))


def _series(n: int, z: float) -> float:
    """sum_j z^j / (j + n)!, by Horner's rule."""
    terms = next(count for bound, count in _TERMS if abs(z) <= bound)
    total = 0.0
    for c in _INVERSE[n + terms : n - 1 : -1]:
        total = total * z + c
    return total


def phi(k: int, z: float) -> float:
    """phi_k(z)."""
    return phis(k, z)[k]
