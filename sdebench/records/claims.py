"""What a case of the order study is held to, by what a method says of itself.

Knows no solver and no torch: claims are the dict that a record keeps of them, so that measuring and reading follow one rule.
"""

from typing import Any

from sdebench.grids import is_irregular

WHOLE_RUNS = ("global", "weak")  # the error of a state, and of a law, over whole runs on each grid
Exponents = tuple[float | None, float | None]


def held_to(claims: dict[str, Any], kind: str, grid: str) -> Exponents:
    """(the exponent that the literature claims for this kind and grid, the one that the method states), None for none.

    A method that states another order on irregular grids is held there to that statement, not to a claim that its
    authors made for smooth ones.  The weak order of a stochastic method is judged as a global one is; its strong order is
    stated by whoever states one, and claims nothing else.  No claim at all (`claims == {}`) is a solver that could not even be
    made.
    """
    if not claims:
        return None, None
    claimed, stated = claims["claimed_order"], claims["order"]
    irregular = claims.get("order_irregular", stated)
    main = claims.get("main_order", irregular)
    if kind in WHOLE_RUNS and is_irregular(grid):
        return (claimed if irregular == stated else irregular), irregular
    strong = claims.get("strong_order")  # records made before there were stochastic methods lack it
    exponents = {
        "global": (claimed, stated),
        "weak": (claimed, stated),
        "strong": (strong, strong),
        "main": (claimed, main),
        "local": (main + 1, main + 1),
        "tolerance": (1, 1),
    }
    return exponents.get(kind, (None, None))
