"""A client of a Dask cluster that executes nothing of what the cluster sends.

distributed unpickles results, their types, errors and the warnings that workers send to all clients.  Here a pickle gives
bytes, exceptions of the built-in kinds, and placeholders that do nothing.
"""

import builtins
import io
import pickle
from collections.abc import Iterator
from typing import Any

_PLAIN = (str, int, float, bool, bytes, type(None))


class Inert:
    """Stands for whatever a pickle names: it can be called, filled and asked, and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Nothing."""

    def extend(self, values: Any) -> None:
        """Nothing."""


def _rebuild(kind: Any, said: Any, cause: Any = None, *_: Any) -> Exception:
    """The exception that tblib has packed, without its traceback: `said` is its arguments, or its attributes."""
    arguments = said.get("args", ()) if isinstance(said, dict) else said
    words = [word for word in arguments if isinstance(word, _PLAIN)]
    kind = kind if isinstance(kind, type) and issubclass(kind, Exception) else Exception
    try:
        error = kind(*words)
    except Exception:  # a kind that asks for other arguments
        error = Exception(kind.__name__, *words)
    error.__cause__ = cause if isinstance(cause, Exception) else None
    return error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = getattr(builtins, name, None) if module == "builtins" else None
        if found is bytes or (isinstance(found, type) and issubclass(found, Exception)):
            return found
        if module == "tblib.pickling_support" and name.startswith("unpickle_exception"):
            return _rebuild
        if (module, name) == ("distributed.scheduler", "KilledWorker"):
            from distributed import KilledWorker

            return KilledWorker
        return Inert


def unpickle(data: Any, *, buffers: Any = ()) -> Any:
    """What a pickle says, with nothing in it brought to life but bytes and exceptions."""
    return _Unpickler(io.BytesIO(data), buffers=buffers).load()


def read_error(said: Any) -> Exception:
    """The exception that a message of the cluster holds, pickled or not; an Exception without words for anything else."""
    if isinstance(said, bytes | bytearray | memoryview):
        try:
            said = unpickle(said)
        except Exception:  # what is not a pickle may raise anything
            said = None
    return said if isinstance(said, Exception) else Exception(said if isinstance(said, str) else "its kind is unknown here")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it, as far as ten links."""
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__


class Guard:
    """From its making until `lift`, distributed unpickles by `unpickle` in this process."""

    def __init__(self) -> None:
        from distributed import client
        from distributed.protocol import pickle as theirs

        self._places: dict[Any, Any] = {place: place.loads for place in (client, theirs)}
        for place in self._places:
            place.loads = unpickle

    def lift(self) -> None:
        """Give distributed its own function back."""
        for place, loads in self._places.items():
            place.loads = loads


def connect(scheduler: str, timeout: float) -> Any:
    """A client of the scheduler at that address, to be made under a Guard."""
    from distributed import Client

    class InertClient(Client):
        def __del__(self) -> None:
            """Nothing: one that never met its scheduler would take ten seconds, and print a traceback, to leave it."""

        def _handle_task_erred(self, key: Any = None, exception: Any = None, traceback: Any = None) -> None:
            """End the future.  distributed's own handler fails, and the future waits for ever, at an error it cannot read."""
            super()._handle_task_erred(key, read_error(exception))

        def subscribe_topic(self, topic: str, handler: Any) -> None:
            """Nothing: what workers print, and warnings, whose pickles distributed reads by the standard library."""

    return InertClient(scheduler, timeout=timeout, set_as_default=False)
