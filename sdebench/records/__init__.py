"""Records: what was measured, and all that is needed to repeat it, in an append-only JSON Lines file."""

from sdebench.records.store import (
    LIBRARIES,
    SCHEMA,
    TornLine,
    Writer,
    append,
    canonical,
    clean,
    code_hash,
    fault,
    key,
    latest,
    load_arrays,
    make,
    provenance,
    read,
    spoilt,
)

__all__ = [
    "LIBRARIES",
    "SCHEMA",
    "TornLine",
    "Writer",
    "append",
    "canonical",
    "clean",
    "code_hash",
    "fault",
    "key",
    "latest",
    "load_arrays",
    "make",
    "provenance",
    "read",
    "spoilt",
]
