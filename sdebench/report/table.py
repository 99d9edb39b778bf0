"""A table: a frame of plain values, and how its columns are shown.  Nothing here knows a study."""

from typing import NamedTuple

import pandas as pd


class Column(NamedTuple):
    """How one column of a frame is shown.

    `kind` is text, count, order, bound, error, distance, fixed, seconds, plain (three digits, no exponent), percent (one
    decimal), verdict, paper, prose (it wraps), command or link; `half_width` names the column of the interval (a bound's sign,
    a verdict's scope), `why` the column of the reason for a missing value, `tip` explains the heading, `judged` the column of
    the verdict on an order, which is marked where it is refuted, `note` the column of what is written after an error or a
    distance.
    """

    heading: str
    key: str
    kind: str = "text"
    half_width: str = ""
    why: str = ""
    tip: str = ""
    judged: str = ""
    note: str = ""


class Table(NamedTuple):
    """A frame of plain values, the columns to show of it, and what it is."""

    name: str
    title: str
    caption: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]


def case_columns(frame: pd.DataFrame) -> tuple[Column, ...]:
    """Solver, then problem and dtype where there is more than one of them."""
    more = (Column("Problem", "problem"), Column("dtype", "dtype"))
    return (Column("Solver", "solver"), *(c for c in more if c.key in frame and frame[c.key].nunique() > 1))
