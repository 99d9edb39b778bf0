"""The survey, statement by statement: every formula of the slides as printed and as it should be.

One record a statement.  Its texts are in the context, so that a report reads records and nothing else; the verdict is derived
when it is read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdebench._support.registry import register_study
from sdebench.records import Record
from sdebench.studies.base import Found, Study

if TYPE_CHECKING:
    from sdebench.report.section import Section


@dataclass(frozen=True)
class SurveySettings:
    """`statements` are keys of statements; all of them where none is given."""

    statements: tuple[str, ...] = ()


@dataclass(frozen=True)
class SurveyCase:
    """One statement."""

    statement: str
    kind: str = "statement"


@register_study("survey")
class SurveyStudy(Study):
    """Every formula of the survey, evaluated as printed and as it should be."""

    settings, case = SurveySettings, SurveyCase

    def cases(self, settings: SurveySettings) -> list[SurveyCase]:
        """Every statement, or those named."""
        from sdebench.survey import STATEMENTS, get

        return [SurveyCase(get(key).key) for key in settings.statements or STATEMENTS]

    def measure(self, case: SurveyCase) -> Found:
        """Evaluate one statement."""
        from sdebench.survey import STATEMENTS, get

        statement = get(case.statement)
        context = statement.texts() | {"place": list(STATEMENTS).index(statement.key)}
        return Found(context, data=statement.check()._asdict())

    def code(self, case: SurveyCase) -> Iterable[Any]:
        """The check of the statement."""
        from sdebench.survey import get

        return [get(case.statement).check]

    def section(self, records: list[Record]) -> "Section":
        """Counts, and a page of its own."""
        from sdebench.report.section import Page, Section, Text
        from sdebench.studies.survey.page import count_verdicts, markdown

        text = f"The survey behind this suite, {len(records)} statements: {count_verdicts(records)}."
        page = Page("survey", "The survey, statement by statement: every formula, measured", markdown(records))
        return Section("survey", "The survey", (Text(text), page))
