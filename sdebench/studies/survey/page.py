"""The survey, statement by statement: a page of Markdown from the records of the study."""

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from sdebench._support.escape import code
from sdebench._support.escape import markdown as markdown_text
from sdebench.records import Record
from sdebench.report.page import provenance

HOLDS, CORRECTED, FALSE, FAILED = VERDICTS = ("holds", "holds after a correction", "does not hold", "failed")
_AWAY = 5.0  # a formula is shown wrong when its error is at least so many times what is allowed
_SHOWN = {HOLDS: "holds", CORRECTED: "**holds after a correction**", FALSE: "**does not hold**", FAILED: "**failed**"}
_LEAD = """\
This suite implements a survey in slides, "A Survey on Diffusion Model Through SDE". Here every formula of it, and every
claim about one, is evaluated twice: as it is printed and, where that is another formula, as it should be. Nothing is sampled:
densities, scores and flows of Gaussian mixtures are exact, expectations and integrals are quadratures, derivatives are
extrapolated or automatic. Each row is a case of `tests/survey/test_survey.py`.

- Formulas are transcribed to ASCII: `s` is the score model, `z` standard normal, `norm` the Euclidean norm, `x^` an estimate,
  `dw-bar` the noise of reversed time.
- **Error** is how far a formula is from the truth, **allowed** how far it may be. Where a statement is about an order, the
  error is the distance of the measured order from that one, and says so.
- A formula **holds after a correction** when it is wrong as printed and the right one holds. A claim **does not hold** when no
  change of a formula would make it true; what is true instead is then given.
- Numbers in brackets name corrections: 1 to 14 are misprints; a to g are smaller ones; those with n are
  statements that are inexact, or that lack a condition, and misprints found later."""


def _number(value: float | None) -> float:
    """A number of a record, in which null stands for one that is not finite."""
    return inf if value is None else value


def verdict(record: Record) -> str:
    """What a record of the study says of its statement.

    A printed formula that is neither right nor plainly wrong, or a right one that is not, is "failed": nothing is decided.
    """
    if not record.is_ok:
        return FAILED
    data, context = record.data, record.context
    printed, right = _number(data["printed_error"]), _number(data["right_error"])
    if right > data["tolerance"]:
        return FAILED
    if printed <= data["printed_tolerance"]:
        return HOLDS if not context["right"] and not context["instead"] else FAILED
    if printed < _AWAY * data["printed_tolerance"] or not (context["right"] or context["instead"]):
        return FAILED
    return CORRECTED if context["right"] else FALSE


def ordered(records: Iterable[Record]) -> list[Record]:
    """The records in the order of the slides; failed ones, which may not know their place, first."""
    return sorted(records, key=lambda r: (r.context.get("place", -1), r.case["statement"]))


def _error(value: float | None, of_order: bool) -> str:
    if _number(value) == inf:
        return "infinite"
    return f"order, {value:.1g} off" if of_order else f"{value:.1e}" if value else "0"


def _formulas(context: Mapping[str, Any]) -> str:
    """The statement as printed, and under it what is right or true instead."""
    lines = [f"**{markdown_text(context['title'])}**", code(context["printed"])]
    if context["right"]:
        lines.append(f"right [{markdown_text(context['correction'])}]: {code(context['right'])}")
    if context["instead"]:
        lines.append(f"instead [{markdown_text(context['correction'])}]: {markdown_text(context['instead'])}")
    return "<br>".join(lines)


def _row(record: Record) -> str:
    context, data = record.context, record.data
    if not record.is_ok:
        return f"| | {markdown_text(record.case['statement'])}<br>{markdown_text(record.message)} | | | | {_SHOWN[FAILED]} |"
    changed, same = context["right"] or context["instead"], data["printed_tolerance"] == data["tolerance"]
    allowed = f"order {data['tolerance']:g}" if data["of_order"] else f"{data['tolerance']:.0e}"
    cells = (
        markdown_text(context["equation"]),
        _formulas(context),
        _error(data["printed_error"], data["of_order"] and same),
        _error(data["right_error"], data["of_order"]) if changed else "",
        allowed if same else f"{data['printed_tolerance']:.0e}; {allowed}",
        _SHOWN[verdict(record)],
    )
    return f"| {' | '.join(cells)} |"


_HEAD = """\
| Eq. | Statement | Error as printed | Error when right | Allowed | Verdict |
| --- | --- | ---: | ---: | ---: | --- |"""


def _chapter(name: str, records: list[Record]) -> list[str]:
    how = [f"- {markdown_text(r.context['title'])}: {markdown_text(r.context['how'])}" for r in records if r.context]
    details = "\n".join(["<details><summary>How each was measured</summary>", "", *how, "", "</details>"])
    return [f"## {markdown_text(name)}", "\n".join([_HEAD, *map(_row, records)]), details]


def _corrections(records: list[Record]) -> str:
    """Which statements each correction changes."""
    named: dict[str, list[str]] = {}
    for record in records:
        if record.context.get("correction"):
            named.setdefault(record.context["correction"], []).append(record.context["title"])

    def place(name: str) -> tuple:
        return (not name.isdigit(), len(name), int(name) if name.isdigit() else 0, name)

    told = ((markdown_text(name), markdown_text("; ".join(named[name]))) for name in sorted(named, key=place))
    return "\n".join(f"- [{name}] {titles}" for name, titles in told)


def count_verdicts(records: Iterable[Record]) -> str:
    """How many statements hold, and how many do not."""
    verdicts = [verdict(record) for record in records]
    words = {HOLDS: "hold", CORRECTED: "hold after a correction", FALSE: "do not hold", FAILED: "failed"}
    return ", ".join(f"{verdicts.count(v)} {words[v]}" for v in VERDICTS if v in verdicts)


def _summary(chapters: dict[str, list[Record]]) -> str:
    """The verdicts of each chapter, counted."""
    lines = ["| Chapter | Statements | hold | hold after a correction | do not hold |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, members in chapters.items():
        found = [verdict(record) for record in members]
        lines.append(
            f"| {markdown_text(name)} | {len(found)} | {found.count(HOLDS)} | {found.count(CORRECTED)} | {found.count(FALSE)} |"
        )
    return "\n".join(lines)


def markdown(records: Iterable[Record]) -> str:
    """The page."""
    kept = ordered(records)
    chapters: dict[str, list[Record]] = {}
    for record in kept:
        chapters.setdefault(record.context.get("chapter", "Not measured"), []).append(record)
    counts = count_verdicts(kept)
    parts = ["# The survey, statement by statement", f"{len(kept)} statements: {counts}.", _LEAD, _summary(chapters)]
    for name, members in chapters.items():
        parts += _chapter(name, members)
    parts += [
        "## Corrections",
        _corrections(kept),
        "## Reproduce",
        "`sdebench run benchmarks/survey.toml` measures, `sdebench report` makes this page.",
        "\n".join(f"- {name}: {markdown_text(text)}" for name, text in provenance(kept)),
    ]
    return "\n\n".join(parts) + "\n"
