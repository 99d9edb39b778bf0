"""What the fuzzer asks of every input, and the inputs that it is made of.

A command may end with 0, with 1 and a cause, or with 2 and a line; it raises nothing, takes ten seconds at most, asks for a few
gigabytes at most, and leaves the files of others as they were.

About 4,000 inputs in the gate, in two minutes.  Ten times as many by hand, in about an hour; a line at the end tells how many:
SDEBENCH_FUZZ=long pytest tests/fuzz
"""

import contextlib
import copy
import io
import json
import math
import os
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from sdebench import cli
from sdebench._support.errors import UsageError

LONG = os.environ.get("SDEBENCH_FUZZ") == "long"
SECONDS, WAITED = 10, 60  # of one input: of the processor's time, and in all, for a machine may be busy with other things
ROOM = 6 << 30  # address space beyond what there is
PRECIOUS = {"README.md": "# my own project\n", "notes.txt": "precious\n", "tables/mine.csv": "a,b\n1,2\n", "mine.jsonl": "{}\n"}


def examples(n: int) -> settings:
    """n inputs in the gate; ten times as many where SDEBENCH_FUZZ=long.  The same ones on every run."""
    checks = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example)
    return settings(
        max_examples=10 * n if LONG else n, derandomize=True, deadline=None, database=None, suppress_health_check=checks
    )


tried: Counter[str] = Counter()  # how many commands were run, and how many calls made


class Hang(BaseException):
    """An input that took too long."""


def _alarm(*_: object) -> None:
    raise Hang(f"more than {SECONDS} s of work, or {WAITED} s in all")


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Within it time and memory are limited."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, hard))
    timers = ((signal.ITIMER_PROF, signal.SIGPROF, SECONDS), (signal.ITIMER_REAL, signal.SIGALRM, WAITED))
    before = [signal.signal(number, _alarm) for _, number, _ in timers]
    for timer, _, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (timer, number, _), old in zip(timers, before):
            signal.setitimer(timer, 0)
            signal.signal(number, old)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A new folder with somebody's files, to stand in."""
    before, path = Path.cwd(), [*sys.path]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        for file, text in PRECIOUS.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(text)
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)
            sys.path[:] = path


def survive(*arguments: str) -> tuple[int, str, str]:
    """Run a command in the folder in which one stands; (status, stdout, stderr) if it ended as it may."""
    tried["commands"] += 1
    out, err = io.StringIO(), io.StringIO()
    status: Any = None
    os.environ["SDEBENCH_TRACEBACK"] = "1"  # so that a fault of ours is no line
    try:
        with bounded(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main([*arguments])
    except SystemExit as end:
        status = end.code
    finally:
        del os.environ["SDEBENCH_TRACEBACK"]
    said = out.getvalue() + err.getvalue()
    assert status in (0, 1, 2), (status, said)
    assert "Traceback" not in said, said
    assert "the memory is full" not in said, said
    assert status == 0 or said.strip(), f"status {status} without a word"
    for line in err.getvalue().splitlines():
        assert len(line) <= 1100, line
    for file, text in PRECIOUS.items():
        assert Path(file).read_text() == text, f"{file} was changed"
    return status, out.getvalue(), err.getvalue()


def refuse(call: Callable[[], Any], *also: type[Exception]) -> Any:
    """What a call of the Python API gives, or the UsageError that it raises; anything else that it raises is a fault."""
    tried["calls"] += 1
    with bounded():
        try:
            return call()
        except (UsageError, *also) as error:
            found = error
    assert len(str(found)) <= 1100, str(found)
    return found


LONG_TEXT = "x" * 10_000
texts = st.one_of(
    st.sampled_from(
        [
            *("", " ", "..", "../up", "/", "/etc/passwd", "/dev/zero", "/dev/null", ".", "~", "a/b", "x.jsonl", "a\nb", "a\tb"),
            *("$\\frac{a$", "$x$", "<script>alert(1)</script>", "=1+1", "@cmd", "+1", "-1", "a|b", "`x`", "[x](y)", "\x1b[2J"),
            *(
                "sys:exit",
                "os:abort",
                "os:_exit",
                "json:JSONDecoder",
                "builtins:dict",
                "no.such:Thing",
                ":",
                "::error::x",
                "a:b:c",
            ),
            *(
                "ddim",
                "ddim[",
                "ddim[eta=1]",
                "dpm-solver-2[r=nan]",
                "dpm-solver-2[r=1e999]",
                "ddim-eta[eta=0.5]",
                "all",
                "family:",
            ),
            *("nan", "inf", "1e999", "9" * 400, "9" * 5000, "\ud800", "\x00", "日本語", LONG_TEXT, "mixture-1d", "uniform_lam"),
            *("cuda:99", "meta", "float16", "%s%n", "{0}", "\u202e", "true", "null", "None"),
        ]
    ),
    st.text(max_size=12),
)
numbers = st.one_of(
    st.sampled_from([0, -1, 1, 2, 3, 10**6, 10**9, 2**31, 2**63, -(2**63), 2**64, 10**20, -(10**30)]),
    st.integers(-5, 300),
    st.sampled_from([0.0, -0.0, 0.5, -1.5, 1e-320, 1e300, -1e308, math.nan, math.inf, -math.inf]),
)
leaves = st.one_of(st.none(), st.booleans(), numbers, texts)
junk = st.one_of(
    leaves,
    leaves,
    st.lists(leaves, max_size=3),
    st.dictionaries(texts, leaves, max_size=3),
    st.sampled_from([[], {}, [[[[]]]], [None] * 40, {"a": {"b": {"c": []}}}, [[1, 2], [3]]]),
)


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths of everything in a value."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value[:6]) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places(inner, (*path, key))


@st.composite
def spoilt(draw: Callable, value: Any, least: int = 1) -> Any:
    """The value with one to three things in it replaced, removed or added."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(least, 3))):
        path = draw(st.sampled_from(list(places(value))))
        if not path:
            if draw(st.integers(0, 20)) == 0:
                return copy.deepcopy(draw(junk))
            continue
        inside = value
        for key in path[:-1]:
            inside = inside[key]
        deed = draw(st.sampled_from(["put", "put", "put", "drop", "add"]))
        if deed == "drop":
            del inside[path[-1]]
        elif deed == "add" and isinstance(inside, dict):
            inside[draw(texts)] = copy.deepcopy(draw(junk))
        else:
            inside[path[-1]] = copy.deepcopy(draw(junk))
        if not isinstance(value, dict | list) or not value:
            break
    return value


@st.composite
def torn(draw: Callable, content: bytes) -> bytes:
    """Bytes with some of them cut off, changed, doubled or put before."""
    deed = draw(st.sampled_from(["cut", "flip", "double", "before", "none", "mark", "utf-16", "deep", "nul"]))
    at = draw(st.integers(0, max(len(content) - 1, 0)))
    if deed == "cut":
        return content[:at]
    if deed == "flip" and content:
        return content[:at] + bytes([content[at] ^ draw(st.integers(1, 255))]) + content[at + 1 :]
    if deed == "double":
        return content[:at] + content[at:] * 2
    if deed == "before":
        return draw(st.binary(max_size=20)) + content
    if deed == "mark":
        return b"\xef\xbb\xbf" + content
    if deed == "utf-16":
        return content.decode("utf-8", "replace").encode("utf-16")
    if deed == "deep":
        return content[:at] + b"[" * draw(st.sampled_from([70, 900, 100_000])) + content[at:]
    return content.replace(b" ", b"\0", 1) if deed == "nul" else content


def text_of(value: Any) -> bytes:
    """JSON as others may write it: with NaN, infinities and lone surrogates."""
    return json.dumps(value).encode()


def toml_of(value: Any) -> str:
    """A table as TOML, as far as TOML has what is in it."""
    value = value if isinstance(value, dict) else {"x": value}
    plain = {
        key: inner for key, inner in value.items() if not (isinstance(inner, list) and inner and isinstance(inner[0], dict))
    }
    lines = [f"{json.dumps(str(key))} = {_toml(inner)}" for key, inner in plain.items()]
    for key, inner in value.items():
        if key not in plain:
            for table in inner:
                lines.append(f"[[{json.dumps(str(key))}]]")
                if isinstance(table, dict):
                    lines += [f"{json.dumps(str(k))} = {_toml(v)}" for k, v in table.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if value is None:
        return '"null"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(str(k))} = {_toml(v)}' for k, v in value.items())}}}"
    return json.dumps(value)
