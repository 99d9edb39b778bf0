"""What a ladder of errors says of a claim: the fit, and what speaks against believing it.

One rule for whoever measures now and whoever reads records later.  Knows no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from sdebench.fit import TOLERANCE, Fit, fit_ladder, fit_order, verdict

CONFIRMED, REFUTED, OPEN, EXACT, FAILED = VERDICTS = ("confirmed", "refuted", "not asymptotic", "exact", "failed")
_ROUNDING = {"float64": 1e-8, "float32": 1e-3, "bfloat16": 1e-1}  # a floor above these is a poor reference


@dataclass(frozen=True)
class Judgement:
    """A fit, and what keeps an order that looks confirmed from being believed, or ""."""

    fit: Fit
    veto: str = ""
    ceiling: float = float("inf")

    @property
    def reason(self) -> str:
        """Why nothing is resolved or nothing confirmed, or ""."""
        return self.fit.reason or self.veto

    def verdict(self, claim: float | None) -> str:
        """`confirmed`, `refuted`, `not asymptotic` or `exact`; "" where there is no claim.

        A claim above the ceiling, the order that a start-up or a last step allows at most, is never confirmed.
        """
        if self.fit.exact:
            return EXACT
        if claim is None or claim != claim:
            return ""
        found = verdict(self.fit, claim)
        return OPEN if found == CONFIRMED and claim > self.ceiling + TOLERANCE else found


def judge(kind: str, data: Mapping[str, Any], stated: float | None = None, dtype: str = "float64") -> Judgement:
    """Judge the data of a case of the order study; `stated` is the order that the method itself states for this case.

    The ceiling is the lowest order that the start-up or the last steps show by themselves, or that the method states.
    """
    fit = _describe(kind, data, fit_ladder(data), dtype)
    if not fit.resolved:
        return Judgement(fit)
    lost = _lost(data, fit)
    if lost:
        return Judgement(replace(fit, reason=lost))
    ceilings = dict(_parts(data))
    if stated is not None and kind in ("global", "weak") and fit.order > stated + 0.5:
        ceilings["the order that the method states"] = stated
    low = min(ceilings, key=lambda name: ceilings[name], default="")
    if not low or ceilings[low] > fit.order - 0.5:
        return Judgement(fit)
    veto = f"this span shows order {round(fit.order)}; {low}, {ceilings[low]:.2g}, is below what it shows"
    return Judgement(fit, veto, round(ceilings[low], 1))


def _parts(data: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(what it is, the order that it allows) of the start-up and the last steps, where their own ladders are sharp."""
    found = []
    for name, ladder in (data.get("parts") or {}).items():
        fit = fit_ladder(ladder)
        if fit.resolved:
            found.append((f"the order of {name}", fit.order + fit.half_width))
    return found


def _describe(kind: str, data: Mapping[str, Any], fit: Fit, dtype: str) -> Fit:
    """The fit, with a reason that says more where there is one."""
    if fit.exact and max(data["floor"]) > _ROUNDING.get(dtype, _ROUNDING["float64"]):
        return replace(fit, reason="hidden: the error is below the error bar of the reference, or of the samples")
    if fit.diverges and "not finite" in fit.reason:
        return replace(fit, reason=f"diverges: the state is not finite, first {_first_lost(kind, data)}")
    return fit


def _first_lost(kind: str, data: Mapping[str, Any]) -> str:
    """Where on the ladder, from its largest steps on, an error first is not finite: its square, past 1e154, is not either."""
    rungs = zip(data["n"], data["h"], data["rms"])
    n, h = next((n, h) for n, h, error in rungs if error is None or not isfinite(error))
    if kind == "tolerance":
        return f"at tolerance {h:.3g}"
    return f"at h = {h:.3g}" if kind == "local" else f"at {n} steps"


def _lost(data: Mapping[str, Any], fit: Fit) -> str:
    """What to say where some points end in another mode, so that RMS and median tell different orders; "" elsewhere."""
    last = max(fit.window, key=lambda i: data["n"][i] or 0) if fit.window else 0
    if not data.get("lost") or not data["lost"][last]:
        return ""
    rms, median = (fit_order(data["h"], data[name], data["floor"]) for name in ("rms", "median"))
    if abs(rms.order - median.order) < 0.5:
        return ""
    count, points = data["lost"][last], data["points"]
    share = f"{count} of {points} points ({100 * count / points:.2g} %) end in another mode"
    return f"RMS and median tell different orders, {rms.order:.2f} and {median.order:.2f}: {share}"
