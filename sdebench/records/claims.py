"""What a method says of itself, as a record keeps it, and what a case of the order study is held to by it.

Knows no solver and no torch: measuring and reading follow one rule.
"""

from dataclasses import asdict, dataclass, fields
from math import isinf, nan
from typing import Any

from sdebench._support.errors import MOST, STRANGERS, UsageError, describe, is_number, shown
from sdebench.grids import is_irregular

WHOLE_RUNS = ("global", "weak")  # the error of a state, and of a law, over whole runs on each grid
Exponents = tuple[float | None, float | None]


@dataclass(frozen=True)
class Claims:
    """The claims of a method (`sdebench.integration.solver.Method` says what each means)."""

    claimed_order: float = nan
    order: float = nan
    order_irregular: float = nan
    main_order: float = nan
    nfe_per_step: float = nan
    memory: int = 0
    stochastic: bool = False
    strong_order: float | None = None
    adaptive: bool = False
    from_noise: str = "not stated"
    to_data: str = "not stated"
    family: str = ""
    reference: str = ""

    @classmethod
    def of(cls, method: Any) -> "Claims":
        """What a method states.  Raises UsageError for what no method can state."""
        values = {}
        for key in fields(cls):
            try:
                values[key.name] = _read(key.name, key.default, getattr(method, key.name))
            except ValueError as error:
                raise UsageError(f"{type(method).__name__} states {key.name} = {error}") from None
            except STRANGERS as error:
                raise UsageError(f"{type(method).__name__} cannot tell its {key.name} ({describe(error)}): mend it") from None
        return cls(**values)

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> "Claims | None":
        """The claims in a record; None where it has none, of a solver that could not even be made.

        Raises ValueError, which says what is wrong, for what no method can state.
        """
        if not said:
            return None
        known = {key.name: key.default for key in fields(cls)}
        found = {name: _read(name, known[name], value) for name, value in said.items() if name in known}
        order = found.get("order", nan)
        irregular = found.get("order_irregular", order)
        return cls(**{"order_irregular": irregular, "main_order": irregular} | found)

    def to_json(self) -> dict[str, Any]:
        """The claims as a record has them."""
        return asdict(self)


def _read(name: str, default: Any, value: Any) -> Any:
    """A claim of the type that its field has; null in JSON is a number that is not there.  Raises ValueError."""
    if isinstance(default, bool | str):
        if type(value) is not type(default):
            raise ValueError(f"{shown(value)}: give {'true or false' if isinstance(default, bool) else 'a text'}")
        return value
    if value is None:
        return None if name == "strong_order" else nan
    if not is_number(value) or isinstance(value, bool) or isinf(float(value)) or abs(float(value)) > MOST:
        raise ValueError(f"{shown(value)}: give a number, {MOST:,} at most")
    return value if isinstance(value, int | float) else float(value)


def held_to(claims: Claims | None, kind: str, grid: str) -> Exponents:
    """(the exponent that the literature claims for this kind and grid, the one that the method states), None for none.

    A method that states another order on irregular grids is held there to that statement, not to a claim that its
    authors made for smooth ones.  The weak order of a stochastic method is judged as a global one is; its strong order is
    stated by whoever states one, and claims nothing else.
    """
    if claims is None:
        return None, None
    claimed, stated, irregular, main = claims.claimed_order, claims.order, claims.order_irregular, claims.main_order
    if kind in WHOLE_RUNS and is_irregular(grid):
        return (claimed if irregular == stated else irregular), irregular
    exponents: dict[str, Exponents] = {
        "global": (claimed, stated),
        "weak": (claimed, stated),
        "strong": (claims.strong_order, claims.strong_order),
        "main": (claimed, main),
        "local": (main + 1, main + 1),
        "tolerance": (1, 1),
    }
    return exponents.get(kind, (None, None))
