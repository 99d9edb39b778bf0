"""Results as data: a results file as a pandas DataFrame, one row a case."""

from pathlib import Path
from typing import Any

import pandas as pd

from sdebench._support.errors import STRANGERS, describe
from sdebench.records import Record, read

_HEAD = ("study", "status", "message")
_TAIL = ("key", "code", "machine", "made")


def _row(record: Record) -> dict[str, Any]:
    """A record flat: what was measured, what the solver claims (`claims_`), the numbers, and where it was made."""
    claims = record.claims.to_json() if record.claims else {}
    return {
        **{name: getattr(record, name) for name in _HEAD},
        **{name: value for name, value in record.case.items() if name != "study"},
        **{f"claims_{name}": value for name, value in claims.items()},
        **record.context,
        **record.data,
        **{name: getattr(record, name) for name in _TAIL},
    }


def load_results(path: str | Path, orders: bool = False) -> pd.DataFrame:
    """The records of a results file, one row a case in the order of making.

    Columns are the settings of the case, the claims of its solver as `claims_...`, its context (schedule, span, dim), and its
    numbers; what a ladder measured is a list in its cell.  With `orders`, cases of the order study also have `fit_order`,
    `fit_half_width`, `fit_constant`, `claim`, `verdict` and `reason`; NaN and "" elsewhere.

    Reads the file and loads no torch.  Raises UsageError for a file that is not one of results.
    """
    records = read(path)
    frame = pd.DataFrame([_row(record) for record in records])
    if orders:
        from sdebench.studies.order.judged import measured

        keys = {
            "fit_order": "order",
            "fit_half_width": "half_width",
            "fit_constant": "constant",
            "claim": "claim",
            "verdict": "verdict",
            "reason": "reason",
        }
        blank = dict.fromkeys(keys, float("nan")) | {"verdict": "", "reason": ""}
        judged = {}
        for record in _of_orders(records):
            try:
                (m,) = measured([record])
                judged[record.key] = {name: getattr(m, key) for name, key in keys.items()}
            except STRANGERS as error:  # it holds something else than the study writes
                judged[record.key] = blank | {"reason": f"cannot be read ({describe(error)})"}
        more = pd.DataFrame([judged.get(record.key, blank) for record in records], columns=list(keys))
        frame = pd.concat([frame, more], axis=1)
    return frame


def _of_orders(records: list[Record]) -> list[Record]:
    return [record for record in records if record.study == "order" and record.claims]
