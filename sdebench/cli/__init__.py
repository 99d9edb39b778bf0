"""The command line.  Exit status 0, 1 (a claim refuted, a gate failed) or 2 (bad input: one line says what to type).

Everything that takes time to import, torch above all, is imported inside the command that needs it.
"""

import os
import re
import sys
import warnings
from typing import Any

import typer

from sdebench._support.errors import UsageError
from sdebench.cli import compare, gate, listing, order, profile, publish, quality, run, train

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
app.command("fid")(quality.fid)
app.command("profile")(profile.profile)
app.command("train")(train.train)
app.command("check")(gate.check)
app.command("baseline")(gate.baseline)
app.command("compare")(compare.compare)
app.command("report")(publish.report)


_EXTRAS = {"pyarrow": "parquet"}  # of what the main job does not need; `engine.cluster` says its own
_WANTED = {"int": "a whole number", "float": "a number"}
_NOT_A_NUMBER = re.compile(r"Invalid value for '(.+)': (.+) is not a valid (int|float)")
_ARGUMENTS = {"order": "unipc-3", "compare": "before.json after.json", "train": "digits"}  # of what cannot go without any


def _complain(message: str) -> int:
    print(f"sdebench: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _warn(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"sdebench: {message}", file=sys.stderr)


def _misused(error: Any) -> str:
    """What typer has against the arguments: the option, what came, and whose help shows what there is."""
    message, param = error.format_message(), getattr(error, "param", None)
    command = getattr(getattr(error, "ctx", None), "command_path", "sdebench")
    if param and hasattr(error.__cause__, "errors"):  # pydantic's, which alone knows what came
        its = error.__cause__.errors()[0]
        message = f"{param.opts[0]} is {its['input']!r}: give {_WANTED.get(its['type'].partition('_')[0], its['msg'])}"
    elif match := _NOT_A_NUMBER.match(message):  # click's
        message = f"{match[1]} is {match[2]}: give {_WANTED[match[3]]}"
    if (name := command.rpartition(" ")[2]) in _ARGUMENTS and type(error).__name__ == "MissingParameter":
        message = f"{message.rstrip('.')}: type for example '{command} {_ARGUMENTS[name]}'"
    return f"{message.rstrip('.')} ('{command} --help' shows what there is)"


def _status(arguments: list[str] | None) -> int:
    """Run one command; its exit status."""
    try:
        return int(app(arguments, prog_name="sdebench", standalone_mode=False) or 0)
    except UsageError as error:
        return _complain(str(error))
    except ModuleNotFoundError as error:
        if (name := str(error.name).partition(".")[0]) not in _EXTRAS:
            raise
        return _complain(f"this needs {name}, which is not installed: pip install 'sdebench[{_EXTRAS[name]}]'")
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _complain(f"{error.strerror or error}: {error.filename or ''}; give a path that can be read and written")
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own usage errors, of whichever click it carries
            return _complain(_misused(error))
        raise


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `sdebench` command."""
    sys.path.insert(0, os.getcwd())  # package.module:Class of the folder that the user stands in
    warnings.showwarning = _warn
    sys.exit(_status(arguments))
