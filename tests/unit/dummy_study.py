"""A study for the runner's tests: cases that last as long as told, and succeed, raise, diverge or die as told."""

import os
import time

import numpy as np

KEYS = frozenset({"count", "seconds", "what", "log", "arrays"})


def cases(settings: dict) -> list[dict]:
    """`count` cases, all alike but for their number."""
    rest = {k: v for k, v in settings.items() if k != "count"}
    return [{"study": "dummy", "number": i, **rest} for i in range(settings.get("count", 3))]


def measure(case: dict) -> dict:
    """Numbers made of the case's own, after a line in the log that tells how often this was called."""
    time.sleep(case.get("seconds", 0.0))
    if "log" in case:
        with open(case["log"], "a") as log:
            log.write(f"{case['number']}\n")
    what = case.get("what", "ok") if case["number"] == 1 else "ok"
    if what == "raise":
        raise ZeroDivisionError("no such step\nand a second line")
    if what == "die":
        os._exit(9)
    rms = {"nan": [float("nan"), float("inf")], "one nan": [0.5, float("nan")]}.get(what, [0.5, 0.25])
    found = {"context": {"dim": 1}, "claims": {}, "data": {"n": [8, 16], "rms": rms}}
    return found | ({"arrays": {"x": np.full(case["arrays"], float(case["number"]))}} if "arrays" in case else {})
