"""What a check says: one figure, in words, with a verdict."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sdebench.studies.audit.trial import Trial

Verdict = Literal["right", "fault", "price", "limit", "told"]


@dataclass(frozen=True)
class Reading:
    """One figure.  `name` is the same for the same kind of finding on every problem, `what` says it in words."""

    check: str
    name: str
    what: str
    value: float | None
    verdict: Verdict
    steps: int | None = None


Check = Callable[["Trial", bool], Iterator[Reading]]
