"""Commands of this Python in a folder of their own, as on a machine without a network."""

import os
import shlex
import sys
from pathlib import Path

import forks

ROOT = Path(__file__).parents[2]


def make_commands(tools: Path, *names: str) -> None:
    """Write `sdebench`, `pip` and the like into the folder: each runs in this Python, `sdebench` as a fork."""
    for name in names:
        own = [sys.executable, *(["-m", name] if name != "python" else [])]
        command = forks.command(name) if name == "sdebench" else own
        (tools / name).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        (tools / name).chmod(0o755)


def offline(tools: Path, site: Path) -> dict[str, str]:
    """This environment, with those commands first on the path, the package of this tree, and one thread.

    `pip install .` needs no network, and puts the package into `site`, where this environment finds it and no other does.
    """
    return os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(map(str, (site, ROOT))),
        "PIP_TARGET": str(site),
        "PIP_UPGRADE": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PYTHONUNBUFFERED": "1",  # stdout and stderr in the order of a terminal
        "OMP_NUM_THREADS": "1",
    }
