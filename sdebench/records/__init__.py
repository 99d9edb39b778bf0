"""Records: what was measured, and all that is needed to repeat it, in an append-only JSON Lines file."""

from sdebench.records.claims import WHOLE_RUNS, Claims, held_to
from sdebench.records.record import (
    LIBRARIES,
    SCHEMA,
    ArraysFile,
    Record,
    Rekeyed,
    canonical,
    clean,
    find_fault,
    latest,
    make_key,
    make_record,
    provenance,
)
from sdebench.records.store import TornLine, Writer, append, find_spoilt, load_arrays, read

__all__ = [
    "LIBRARIES",
    "SCHEMA",
    "WHOLE_RUNS",
    "ArraysFile",
    "Claims",
    "Record",
    "Rekeyed",
    "TornLine",
    "Writer",
    "append",
    "canonical",
    "clean",
    "find_fault",
    "find_spoilt",
    "held_to",
    "latest",
    "load_arrays",
    "make_key",
    "make_record",
    "provenance",
    "read",
]
