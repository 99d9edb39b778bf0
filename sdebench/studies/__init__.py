"""The studies: each a set of cases, how one is measured, and its section of the report.

A new study is one file or folder here that registers itself, or an entry point in the group `sdebench.studies`; `ORDER` is
the order of the sections on the page, and studies that it does not name come last.
"""

ORDER = (
    "order",
    "calibration",
    "ends",
    "work_precision",
    "law",
    "family",
    "score_matching",
    "quality",
    "profile",
    "floor",
    "survey",
)
