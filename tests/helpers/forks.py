"""`python -m NAME` and `python -c CODE` as a fork of a process that has loaded the libraries, and nothing of sdebench.

Torch and the rest take some five seconds to load, and the tests run a hundred commands.  A command has its own folder,
environment, module path and standard files here, and imports sdebench itself; its process ends with it.

A test of how a process starts, is killed or ends needs a process of its own instead.
"""

import atexit
import gc
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

_LIBRARIES = (
    "torch",
    "scipy.integrate",
    "scipy.optimize",
    "scipy.stats",
    "pandas",
    "matplotlib.pyplot",
    "typer",
    "rich",
    "jinja2",
    "diffusers",
)
_LENGTH = 8  # bytes that tell how long a message is
# What stands for `python -m`: it hands over its files, folder and environment, and ends as the command does.
_CLIENT = """
import json, os, socket, sys
_, address, *command = sys.argv
with socket.socket(socket.AF_UNIX) as server:
    server.connect(address)
    words = json.dumps({"command": command, "folder": os.getcwd(), "environment": dict(os.environ)}).encode()
    socket.send_fds(server, [len(words).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(words)
    told = server.recv(4)
status = int.from_bytes(told, "big", signed=True) if told else 70
if status < 0:
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


def command(module: str) -> list[str]:
    """What stands for `[sys.executable, "-m", module]`; of the module "-c" for `[sys.executable, "-c"]`."""
    address = _address()
    return [sys.executable, "-I", "-S", str(Path(address).with_name("client.py")), address, module]


@cache
def _address() -> str:
    """The socket of a server that ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="forks-"))
    (folder / "client.py").write_text(_CLIENT)
    own = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "XDG_CACHE_HOME": str(folder)}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | own
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    server = subprocess.Popen([sys.executable, "-P", __file__, folder / "socket"], env=environment, **pipes)
    assert server.stdout.readline() == b"ready\n"

    @atexit.register
    def close() -> None:
        server.communicate()
        shutil.rmtree(folder)

    return str(folder / "socket")


def _serve(address: str) -> str:
    """Fork for each command, until stdin ends.  Returns in a fork, with the module to run."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a fork
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        print("ready", flush=True)
        while sys.stdin not in (ready := select.select([server, sys.stdin], [], [])[0]):
            assert ready
            connection, _ = server.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                server.close()
                return _begin(connection)
            connection.close()
    sys.exit()


def _begin(connection: socket.socket) -> str:
    """Fork once more: this process tells how the command ends, the other is to run it."""
    length, files, _, _ = socket.recv_fds(connection, _LENGTH, 3)
    with connection.makefile("rb") as stream:
        asked = json.loads(stream.read(int.from_bytes(length, "big")))
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.send(status.to_bytes(4, "big", signed=True))
        os._exit(0)
    connection.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    for number, name in enumerate(("stdin", "stdout", "stderr")):  # of other files than before: one may seek, the other not
        stream = open(number, "w" if number else "r", errors="backslashreplace" if number == 2 else None, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.stdout.reconfigure(line_buffering="PYTHONUNBUFFERED" in os.environ)
    sys.stderr.reconfigure(line_buffering=True)
    sys.argv = asked["command"]
    first = "" if sys.argv[0] == "-c" else asked["folder"]
    sys.path[:0] = [first, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return sys.argv[0]


if __name__ == "__main__":
    for name in _LIBRARIES:
        import_module(name)
    assert "sdebench" not in sys.modules
    gc.freeze()  # what is loaded stays shared
    asked = _serve(sys.argv[1])
    if asked == "-c":
        here = sys.modules["__main__"] = ModuleType("__main__")
        exec(sys.argv.pop(1), vars(here))
    else:
        runpy.run_module(asked, run_name="__main__", alter_sys=True)
