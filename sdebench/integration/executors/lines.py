"""Which lines of a trace are formed, and over what: the fewest vectors read and written.

A line that is read once is put into its reader.  A line that is read again is formed, unless its readers have its parts before
them anyway.  Answers of the model and of the noise, and the states at which the model is asked, are there in any case.
"""

from bisect import bisect

from sdebench.integration.executors.trace import Evaluated, Line, Trace

Terms = dict[Line, float]


def formed(seen: Trace) -> dict[Line, Terms]:
    """The lines to form, oldest first, each over others of them and over what comes from outside."""
    evaluations = [e for e in seen.events if isinstance(e, Evaluated)]
    wanted = {seen.end, *(e.state for e in evaluations)}
    flat = _over_kept(_reached(wanted), wanted)
    readers: dict[Line, list[Line]] = {}
    for line, terms in flat.items():
        for v in terms:
            readers.setdefault(v, []).append(line)
    ages = [e.answer.age for e in evaluations]
    for line in [line for line in flat if line not in wanted]:
        elsewhere = [r for r in readers[line] if bisect(ages, r.age) != bisect(ages, line.age)]
        more = sum(len(flat[line].keys() - flat[r].keys()) - 1 for r in elsewhere)  # reads beyond those of the line itself
        if more <= 0:
            _put_in(line, flat, readers)
    return flat


def _reached(ends: set[Line]) -> list[Line]:
    """The lines on which the given ones rest, oldest first."""
    stack, found = list(ends), set()
    while stack:
        line = stack.pop()
        if line not in found:
            found.add(line)
            stack.extend(line.terms)
    return sorted(found, key=lambda line: line.age)


def _over_kept(lines: list[Line], wanted: set[Line]) -> dict[Line, Terms]:
    """The lines that are wanted or read more than once, each over others of them and over what comes from outside."""
    uses: dict[Line, int] = {}
    for line in lines:
        for part in line.terms:
            uses[part] = uses.get(part, 0) + 1
    kept = {line for line in lines if line in wanted or not line.terms or uses[line] > 1}
    flat: dict[Line, Terms] = {}
    for line in lines:
        total: Terms = {}
        for part, c in line.terms.items():
            for v, d in ((part, 1.0),) if part in kept else flat[part].items():
                total[v] = total.get(v, 0.0) + float(c) * d
        flat[line] = {v: c for v, c in total.items() if c} or total  # a zero stays a zero of something
    return {line: terms for line, terms in flat.items() if line in kept and terms}


def _put_in(line: Line, flat: dict[Line, Terms], readers: dict[Line, list[Line]]) -> None:
    """Put the parts of the line into its readers, and forget it."""
    terms = flat.pop(line)
    for reader in readers.pop(line):
        c = flat[reader].pop(line)
        for v, d in terms.items():
            if v not in flat[reader]:
                readers[v].append(reader)
            flat[reader][v] = flat[reader].get(v, 0.0) + c * d
    for v in terms:
        readers[v].remove(line)
