r"""How the law of a chain is carried from step to step: atoms, places with masses, at any spacing that is asked for.

    Start      a law that is known
    Smeared    sum_j m_j N(y; x_j, width^2): after a step with noise in its last line
    Mapped     the law of G(X): after a step without

Atoms integrate smooth functions exactly: the trapezoidal rule on a uniform grid converges spectrally for them (Trefethen and
Weideman 2014, SIAM Rev. 56, 385), as soon as its spacing is about half of the width of what it resolves.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, pi, sqrt

import numpy as np

from sdebench.laws.density import BETWEEN, REACH, Density, Exact

PER_WIDTH = 0.6  # spacing over width: the whole rule errs by 2 exp(-2 (pi/0.6)^2) = 3e-24, its halves by 2e-6
NEGLIGIBLE = 1e-21
_MOST_NODES = 1 << 21
_TERMS = 20

Map = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Atoms:
    """Places and masses, (n,); `parity` (n,) tells the half rules apart, 0 to `classes` - 1."""

    places: np.ndarray
    masses: np.ndarray
    parity: np.ndarray
    classes: int = 2

    def kept(self) -> "Atoms":
        """Those that are not negligible."""
        keep = self.masses > NEGLIGIBLE
        return Atoms(self.places[keep], self.masses[keep], self.parity[keep], self.classes)


def _uniform(law: Density | Exact, spacing: float) -> Atoms:
    """The trapezoidal rule of a density."""
    density = law.density(spacing) if isinstance(law, Exact) else law
    x, p = density.refined(spacing)
    _refuse(len(x))
    return Atoms(x, p * ((x[-1] - x[0]) / (len(x) - 1)), np.arange(len(x)) % 2)


def _refuse(n: int) -> None:
    if n > _MOST_NODES:
        raise RuntimeError(f"the law of the chain needs {n} nodes: its kernel is too narrow for its extent")


@dataclass(eq=False)
class Start:
    """The law that a chain begins with."""

    law: Density | Exact

    @property
    def spacing(self) -> float:
        """Of nodes that resolve the law."""
        return self.law.spacing

    def atoms(self, spacing: float) -> Atoms:
        """The law at that spacing or a finer one."""
        return _uniform(self.law, spacing)

    def density(self) -> Density:
        """The law on uniform nodes."""
        return self.law.density() if isinstance(self.law, Exact) else self.law


@dataclass(eq=False)
class Smeared:
    """`sum_j m_j N(y; x_j, width^2)`: what a step with noise in its last line makes of atoms."""

    source: Atoms
    width: float
    _found: dict[float, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def spacing(self) -> float:
        """Of nodes that resolve the law."""
        return PER_WIDTH * self.width

    def _values(self, spacing: float) -> tuple[np.ndarray, np.ndarray]:
        """(nodes (n,), density by classes (k, n))."""
        spacing = min(spacing, self.spacing)
        if spacing not in self._found:
            low, high = (f(self.source.places) for f in (np.min, np.max))
            reach = ceil(REACH * self.width / spacing)
            first, last = round(low / spacing) - reach - 1, round(high / spacing) + reach + 1
            _refuse(last - first)
            nodes = spacing * np.arange(first, last + 1)
            self._found = {spacing: (nodes, _spread(self.source, self.width, len(nodes), spacing, first, reach))}
        return self._found[spacing]

    @property
    def mass(self) -> float:
        """Total mass on the nodes."""
        _, parts = self._values(self.spacing)
        return float(parts.sum()) * self.spacing

    def disagreement(self) -> float:
        """Distance in L1 of the half rules, at its largest over the ways to halve."""
        _, parts = self._values(self.spacing)
        bits = self.source.classes.bit_length() - 1
        split = [sum((1 if k >> b & 1 else -1) * part for k, part in enumerate(parts)) for b in range(bits)]
        return max(float(np.abs(s).sum()) * self.spacing for s in split)

    def atoms(self, spacing: float) -> Atoms:
        """The law at that spacing or a finer one."""
        nodes, parts = self._values(spacing)
        return Atoms(nodes, parts.sum(0) * min(spacing, self.spacing), np.arange(len(nodes)) % 2)

    def density(self) -> Density:
        """The law on uniform nodes."""
        nodes, parts = self._values(BETWEEN * self.width)
        return Density(nodes, parts.sum(0), np.full(len(nodes), (nodes[-1] - nodes[0]) / (len(nodes) - 1)))


def _spread(source: Atoms, width: float, n: int, spacing: float, first: int, reach: int) -> np.ndarray:
    r"""Density on n nodes, (classes, n), by moments: Greengard and Strain 1991, SIAM J. Sci. Stat. Comput. 12, 79.

        e^{-(z - d)^2/2} = e^{-z^2/2} sum_k He_k(z) d^k/k!

    d is an atom's distance to its nearest node, z that of this node to another, in widths; |d| <= 0.3.  So every atom is
    touched once a term, not once for every node in its reach.  The series is cut where its terms are 1e-19 in the middle, and
    1e-9 of the value at the end of the reach.
    """
    place = source.places / spacing
    near = np.rint(place)
    index = near.astype(int) - first + n * source.parity
    d = (place - near) * (spacing / width)
    z = np.arange(-reach, reach + 1) * (spacing / width)
    kernel, before = np.exp(-0.5 * z * z) / (width * sqrt(2 * pi)), np.zeros_like(z)
    moment, out = source.masses, np.zeros((source.classes, n))
    for k in range(_TERMS):
        binned = np.bincount(index, moment, out.size).reshape(out.shape)
        out += [np.convolve(part, kernel, "same") for part in binned]
        moment = moment * d / (k + 1)
        kernel, before = z * kernel - k * before, kernel
    return np.maximum(out, 0.0)


@dataclass(eq=False)
class Mapped:
    """The law of G(X), X of the law `base`; G increases where there is mass to speak of.

    Raises RuntimeError where it does not, once a density is asked for.
    """

    base: "Start | Smeared | Mapped"
    map: Map

    @cached_property
    def _stretch(self) -> tuple[float, float]:
        """The least and the largest slope of G in the bulk."""
        gaps = bulk_gaps(self.base.atoms(self.base.spacing), self.map) / self.base.spacing
        return float(gaps.min()), float(gaps.max())

    @property
    def spacing(self) -> float:
        """Of nodes that resolve the law."""
        return self.base.spacing * min(self._stretch[0], 1.0)

    def atoms(self, spacing: float) -> Atoms:
        """The law at that spacing or a finer one."""
        found = self.base.atoms(min(self.base.spacing, spacing / self._stretch[1])).kept()
        return Atoms(self.map(found.places), found.masses, found.parity)

    def density(self) -> Density:
        """The law on uniform nodes."""
        whole, law = self.map, self.base
        while isinstance(law, Mapped):
            whole, law = _after(whole, law.map), law.base
        return mapped_density(law.density(), whole)


def _after(second: Map, first: Map) -> Map:
    return lambda x: second(first(x))


def bulk_gaps(atoms: Atoms, fn: Map) -> np.ndarray:
    """Distances of the images of neighbouring atoms, where there is mass."""
    bulk = atoms.masses > 1e-14 * atoms.masses.max()
    return np.abs(np.diff(fn(atoms.places[bulk])))


def mapped_density(law: Density, fn: Map) -> Density:
    """The law of fn(X) on uniform nodes: `p(x)/fn'(x)` at `x = fn^{-1}(y)`.  Raises RuntimeError where fn folds the law."""
    kept = np.flatnonzero(law.density > 1e-16 * law.density.max())
    x = law.nodes[max(kept[0] - 1, 0) : kept[-1] + 2]
    y = fn(x)
    gaps = np.diff(y)
    if gaps.min() <= 0:
        raise RuntimeError(f"the map folds the law near {x[int(gaps.argmin())]:.4g}: its image has no smooth density")
    n = ceil((y[-1] - y[0]) / gaps.min()) + 1
    for _ in range(5):
        _refuse(n)
        nodes = np.linspace(y[0], y[-1], n)
        at = _inverse(fn, x, y, nodes)
        p = law.pdf(at) / _slope(fn, at, 0.01 * law.spacing)
        found = Density(nodes, p, np.full(n, nodes[1] - nodes[0]))
        if abs(found.mass - law.mass) <= 1e-10 and found.lost <= 1e-11:
            return found
        n = 2 * n - 1
    raise RuntimeError(f"the image of the law is not resolved by {n // 2 + 1} nodes: its mass is {found.mass!r}")


def _inverse(fn: Map, x: np.ndarray, y: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """fn^{-1}(wanted), by Newton with slopes over a thousandth of the table's cells, kept in those cells."""
    cell = np.clip(np.searchsorted(y, wanted, side="right") - 1, 0, len(x) - 2)
    low, high = x[cell], x[cell + 1]
    at = low + (high - low) * (wanted - y[cell]) / (y[cell + 1] - y[cell])
    delta = 1e-3 * (x[1] - x[0])
    for _ in range(12):
        value, right, left = np.split(fn(np.concatenate([at, at + delta, at - delta])), 3)
        step = (value - wanted) * 2 * delta / (right - left)
        at = np.clip(at - step, low, high)
        if np.abs(step).max() <= 1e-14 * (x[-1] - x[0]):
            break
    return at


def _slope(fn: Map, x: np.ndarray, delta: float) -> np.ndarray:
    """dfn/dx by the central difference of order 8."""
    weights = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
    places = np.concatenate([x + k * delta for k in (1, 2, 3, 4, -1, -2, -3, -4)])
    values = fn(places).reshape(8, -1)
    return sum(w * (values[k] - values[k + 4]) for k, w in enumerate(weights)) / delta


Law = Start | Smeared | Mapped
