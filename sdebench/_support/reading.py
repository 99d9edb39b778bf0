"""Files of others, before anything believes them: regular ones, of bounded size, of bounded nesting.

Every file that is read comes through here.  A FIFO is not waited for, a device is not drained, and what is handed to a library
by its path (weights, pictures, archives) is measured first.  Where there is no file FileNotFoundError is raised, so that the
caller can say how to make one; everything else that is wrong is a UsageError that names the file, the rule and the remedy.
"""

import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, BinaryIO

from sdebench._support.errors import UsageError, cut, describe_os_error, shown

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
CONFIG = 16 * MIB  # bytes of a card, a configuration, an index
SUITE = MIB  # of a suite or a recipe
DATA = 256 * MIB  # of results, a baseline, a history of benchmarks
WEIGHTS = 16 * GIB  # of the weights of a network
DEPTH = 64  # lists and tables within each other
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_DOTTED = re.compile(rf"(?:[\w\"'-]+[ \t]*\.[ \t]*){{{DEPTH}}}")  # keys of TOML in each other, which take their square in time


def size_of(n: int) -> str:
    """A number of bytes for people."""
    unit, name = next((u for u in ((GIB, "GB"), (MIB, "MB"), (KIB, "KB")) if n >= u[0]), (1, "bytes"))
    return f"{n / unit:.3g} {name}"


def _check(path: Path, about: os.stat_result, most: int, advice: str) -> None:
    """Raise UsageError unless that is a regular file of so many bytes at most."""
    if not stat.S_ISREG(about.st_mode):
        what = next((name for test, name in _KINDS if test(about.st_mode)), "something else")
        raise UsageError(f"{cut(str(path))} is not a file but {what}: {advice}")
    if about.st_size > most:
        raise UsageError(
            f"{cut(str(path))} has {size_of(about.st_size)}, and {size_of(most)} is the most that is read: {advice}"
        )


def open_file(path: str | Path, most: int, advice: str = "give a file") -> BinaryIO:
    """A regular file, open for reading.  Raises FileNotFoundError, or UsageError for anything else that it may be."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(2, "No such file", str(path)) from None
    except OSError as error:
        raise UsageError(f"cannot read {describe_os_error(error, path)}") from None
    except ValueError:  # a name with a NUL in it
        raise UsageError(f"cannot read {shown(str(path))}: give a name without characters that no file has") from None
    try:
        _check(Path(path), os.fstat(handle), most, advice)
    except BaseException:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def check_file(path: str | Path, most: int, advice: str = "give a file") -> Path:
    """The path, if it is that of a regular file of so many bytes at most: for libraries, which open it by themselves."""
    open_file(path, most, advice).close()
    return Path(path)


def is_file(path: Path) -> bool:
    """Whether a regular file is there; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_bytes(path: str | Path, most: int = DATA, advice: str = "give a file") -> bytes:
    """The content of a file, which may grow while it is read."""
    with open_file(path, most, advice) as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise UsageError(f"cannot read {describe_os_error(error, path)}") from None
    if len(content) > most:
        raise UsageError(f"{cut(str(path))} has more than {size_of(most)}, the most that is read: {advice}")
    return content


def read_text(path: str | Path, most: int = DATA, advice: str = "give a file of text in UTF-8") -> str:
    """The text of a file in UTF-8, with a byte order mark or without."""
    content = read_bytes(path, most, advice)
    try:
        return decode(content)
    except ValueError as error:
        raise UsageError(f"{cut(str(path))} {error}: {advice}") from None


def decode(content: bytes) -> str:
    """The text of bytes in UTF-8, with a byte order mark or without.  Raises ValueError, which says what it is instead."""
    if content.startswith(_UTF16):
        raise ValueError("is in UTF-16, not UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8") from None


def parse_json(content: bytes | str) -> Any:
    """The value of JSON text.  Raises ValueError, which says what is wrong, for anything that is not plain and bounded."""
    text = decode(content) if isinstance(content, bytes) else content
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except json.JSONDecodeError:
        raise ValueError("is not JSON") from None
    except ValueError:  # a whole number of more digits than Python reads
        raise ValueError("has a number of thousands of digits") from None
    return check_plain(value)


def check_plain(value: Any) -> Any:
    """The value, if what it holds can be worked with: DEPTH levels at most, whole numbers of 64 bits, text that can be written.

    Raises ValueError, which says what is wrong.
    """
    level = [value]
    for _ in range(DEPTH):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one
                inner += one.values()
            elif isinstance(one, list):
                inner += one
            elif isinstance(one, str):
                if not (one.isascii() or _is_encodable(one)):
                    raise ValueError("has text with half a character in it (a lone surrogate)")
            elif type(one) is int and not -(2**63) <= one < 2**64:
                raise ValueError("has a whole number of more than 64 bits")
        if not inner:
            return value
        level = inner
    raise ValueError("is nested too deeply")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_json(path: str | Path, advice: str, most: int = CONFIG) -> Any:
    """The value of a JSON file."""
    content = read_bytes(path, most, advice)
    try:
        return parse_json(content)
    except ValueError as error:
        raise UsageError(f"{cut(str(path))} {error}: {advice}") from None


def read_toml(path: str | Path, advice: str) -> dict[str, Any]:
    """The table of a TOML file."""
    text = read_text(path, SUITE, advice)
    try:
        if _DOTTED.search(text):
            raise RecursionError
        table: dict[str, Any] = check_plain(tomllib.loads(text))
        return table
    except RecursionError:
        what = "is nested too deeply"
    except tomllib.TOMLDecodeError as error:
        what = f"is not TOML ({cut(str(error))})"
    except ValueError as error:
        what = cut(str(error))
    raise UsageError(f"{cut(str(path))} {what}: {advice}")
