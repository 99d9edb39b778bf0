"""How many processes and threads there may be: more than a few times the cores only fill the memory."""

import os


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def most_jobs() -> int:
    """The greatest number of processes that measure at a time."""
    return max(16, 4 * cores())


def most_threads() -> int:
    """The greatest number of threads of a process."""
    return max(64, 4 * cores())
