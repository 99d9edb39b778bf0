"""The command line.  Exit status 0, 1 (a claim refuted, a gate failed) or 2 (bad input: one line says what to type).

Everything that takes time to import, torch above all, is imported inside the command that needs it.
"""

import errno
import io
import os
import re
import sys
import warnings
from contextlib import suppress
from typing import Any

import typer

from sdebench._support.errors import UsageError, cut, describe, describe_os_error, shorten, shown
from sdebench._support.escape import xml
from sdebench.cli import audit, compare, gate, listing, order, profile, publish, quality, run, train, tune

app = typer.Typer(
    name="sdebench",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="The numerical-analysis suite for samplers of diffusion models: orders measured, claims checked.",
)
app.command("list")(listing.list_)
app.command("run")(run.run)
app.command("order")(order.order)
app.command("audit")(audit.audit)
app.command("fid")(quality.fid)
app.command("profile")(profile.profile)
app.command("tune")(tune.tune)
app.command("train")(train.train)
app.command("check")(gate.check)
app.command("baseline")(gate.baseline)
app.command("compare")(compare.compare)
app.command("report")(publish.report)


_EXTRAS = {"pyarrow": "parquet"}  # of what the main job does not need; `engine.cluster` says its own
_WANTED = {"int": "a whole number", "float": "a number"}
_NOT_A_NUMBER = re.compile(r"Invalid value for '(.+)': (.+) is not a valid (int|float)")
_ARGUMENTS = {
    "order": "unipc-3",
    "audit": "diffusers:DDIMScheduler",
    "compare": "before.json after.json",
    "train": "digits",
}  # of what cannot go without any


def _complain(message: str) -> int:
    print(f"sdebench: {shorten(xml(message))}", file=sys.stderr)
    return 2


def _warn(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"sdebench: {shorten(xml(str(message)))}", file=sys.stderr)


def _misused(error: Any) -> str:
    """What typer has against the arguments: the option, what came, and whose help shows what there is."""
    message, param = error.format_message(), getattr(error, "param", None)
    command = getattr(getattr(error, "ctx", None), "command_path", "sdebench")
    if param and hasattr(error.__cause__, "errors"):  # pydantic's, which alone knows what came
        its = error.__cause__.errors()[0]
        message = f"{param.opts[0]} is {shown(its['input'])}: give {_WANTED.get(its['type'].partition('_')[0], its['msg'])}"
    elif match := _NOT_A_NUMBER.match(message):  # click's
        message = f"{match[1]} is {match[2]}: give {_WANTED[match[3]]}"
    if (name := command.rpartition(" ")[2]) in _ARGUMENTS and type(error).__name__ == "MissingParameter":
        message = f"{message.rstrip('.')}: type for example '{command} {_ARGUMENTS[name]}'"
    return f"{cut(message.rstrip('.'))} ('{command} --help' shows what there is)"


def _invoke(arguments: list[str] | None) -> int:
    """Run one command, and have what it printed written; its exit status."""
    try:
        status = int(app(arguments, prog_name="sdebench", standalone_mode=False) or 0)
    except Exception as error:  # typer's own, of whichever click it carries
        if type(error).__name__ == "Abort":
            raise KeyboardInterrupt from error
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.ctx.get_help())  # type: ignore[attr-defined]  # that kind of error has it
            return int(error.exit_code)  # type: ignore[attr-defined]
        if not hasattr(error, "format_message"):
            raise
        return _complain(_misused(error))
    sys.stdout.flush()
    return status


def _status(arguments: list[str] | None) -> int:
    """Run one command; its exit status.  Whatever goes wrong is one line, and no success."""
    try:
        return _invoke(arguments)
    except UsageError as error:
        return _complain(str(error))
    except ModuleNotFoundError as error:
        if (name := str(error.name).partition(".")[0]) not in _EXTRAS:
            raise
        return _complain(f"this needs {name}, which is not installed: pip install 'sdebench[{_EXTRAS[name]}]'")
    except BrokenPipeError:
        return _stop_printing()
    except OSError as error:
        _drop_output()
        printed = error.filename is None and error.errno in (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT)
        return _complain(describe_os_error(error, "standard output" if printed else error.filename))
    except KeyboardInterrupt:
        print("sdebench: stopped", file=sys.stderr)
        return 130
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # so typer and rich tell it
            return _stop_printing()
        code = "" if error.code in (None, 0) else f" ({shown(error.code)})"
        return _complain(f"code of yours called sys.exit{code}, and nothing is finished: mend it, or leave it out")
    except MemoryError:
        return _complain("the memory is full: give fewer samples, points or --jobs")
    except Exception as error:
        if os.environ.get("SDEBENCH_TRACEBACK"):
            raise
        return _complain(f"a fault of sdebench ({describe(error)}): set SDEBENCH_TRACEBACK=1 to see where, and report it")


def _stop_printing() -> int:
    """The reader of a pipe, such as head, has seen enough: that is no failure."""
    _drop_output()
    return 0


def _drop_output() -> None:
    """Forget what could not be written, so that Python does not try, and fail, again at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            with suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _set_path() -> None:
    """Let package.module:Class be found in the folder that the user stands in: after everything else, so that no file there
    takes the place of a library."""
    with suppress(OSError):  # the folder may have been removed
        here = os.getcwd()
        sys.path[:] = [folder for folder in sys.path if folder]
        if here not in sys.path:
            sys.path.append(here)


def _set_streams() -> None:
    """Have the three standard streams, so that no file of ours gets the number of one that is closed, and print what a terminal
    has no characters for as its code."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


_LEAVE, _PROCESS = os._exit, os.getpid()


def _end(status: int) -> None:
    """In the place of `os._exit`, which in a stranger's solver would end a gate with success before it has compared anything:
    raise, as `sys.exit` does.  Children of this process end by it as ever."""
    if os.getpid() != _PROCESS:
        _LEAVE(status)
    raise SystemExit(status)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `sdebench` command."""
    os._exit = _end  # type: ignore[assignment]  # of the same signature, but for Never
    _set_streams()
    _set_path()
    warnings.showwarning = _warn
    sys.exit(_status(arguments))
