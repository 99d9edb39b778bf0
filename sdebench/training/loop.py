"""The loop of a training: steps, a log, checkpoints, and the finished folder."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sdebench import data
from sdebench._support.errors import UsageError, describe
from sdebench._support.files import check_own, make_folder, write_atomic
from sdebench._support.reading import DATA, parse_json, read_text
from sdebench.networks import safe
from sdebench.networks.problem import device_of
from sdebench.training.classifier import Labels
from sdebench.training.consistency import ConsistencyTraining
from sdebench.training.denoiser import Denoiser
from sdebench.training.progressive import Halving
from sdebench.training.recipe import Recipe
from sdebench.training.state import CHECKPOINT, State

LOG = "log.jsonl"
_TASKS = {"denoiser": Denoiser, "classifier": Labels, "consistency": ConsistencyTraining}
_MINUTES = 1_000_000  # between checkpoints, at most
_LOGGED = 20  # steps between two lines of the log
_MODEL = ("card.json", "config.json", "diffusion_pytorch_model.safetensors", "model.safetensors", "reference.safetensors")


class Progress(NamedTuple):
    """Where a training stands."""

    step: int
    steps: int
    loss: float
    rate: float  # images a second while it trained, without checks, pictures and checkpoints
    figures: dict[str, float]


def train(
    recipe: Recipe,
    folder: Path,
    root: Path | None = None,
    device: str = "cpu",
    resume: bool = False,
    download: bool = False,
    minutes: float = 3.0,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Train by the recipe; returns the folder of the finished network, `folder/model`.

    A progressive distillation is one training after the other, in `folder/steps-16`, `folder/steps-8`, ..., each student the
    teacher of the next; the last one's folder is returned.
    `folder` gets `checkpoint.safetensors` every so many `minutes` and on an interrupt, `log.jsonl`, pictures of samples and of
    the loss.  A resumed training goes on bit for bit on a CPU, with the same number of threads; cuDNN's sums have no order.
    Raises UsageError for a folder that holds a training while `resume` is not set, or none where it is, for one with files that
    no training made and that this one would replace, and once the loss is not finite: the last checkpoint stays.
    """
    folders = [folder / f"steps-{n}" for n in recipe.halvings] or [folder]
    _check_folder(folder, any(os.path.lexists(each / CHECKPOINT) for each in folders), resume)
    for each in folders:
        _check_files(each)
    if not 0 <= minutes <= _MINUTES:
        raise UsageError(f"minutes = {minutes:g} between checkpoints: give a number, 0 or more, {_MINUTES:,} at most")
    device_of(device)  # refuses one that is not there
    images = data.load(recipe.data, root, download)
    if not recipe.halvings:
        return _trained(_TASKS[recipe.task](recipe, images, device), folder, device, minutes, watch)
    teacher = recipe.teacher
    for steps, each in zip(recipe.halvings, folders):
        teacher = str(_trained(Halving(recipe, images, device, teacher, steps), each, device, minutes, watch))
    return Path(teacher)


def _trained(task: Any, folder: Path, device: str, minutes: float, watch: Callable[[Progress], None]) -> Path:
    """Train, from the checkpoint in the folder on where there is one; one that is finished is finished again, to the bit."""
    state = State(task.network(), task.recipe, device, getattr(task, "teacher_sha256", ""))
    make_folder(folder)
    if (folder / CHECKPOINT).is_file():
        state.restore(folder)
    return _finish(task, state, folder, _steps(task, state, folder, minutes, watch))


def _check_folder(folder: Path, held: bool, resume: bool) -> None:
    if held and not resume:
        raise UsageError(f"{folder} holds a training already: add --resume to go on, or give another --out")
    if resume and not held:
        raise UsageError(f"{folder} holds no checkpoint: leave --resume out to begin, or give the --out of the training")


def _check_files(folder: Path) -> None:
    """Raise UsageError where a training in the folder would replace what no training made."""
    check_own(folder / LOG, lambda content: _is_line(content.split(b"\n")[0].decode(errors="replace")), "the log of a training")
    pictures = [*folder.glob("samples-*.png"), *folder.glob("loss.png")]
    begun = (folder / LOG).exists() or (folder / CHECKPOINT).exists()
    strange = [] if begun else pictures
    if os.path.lexists(folder / "model") and not _is_model(folder / "model"):
        strange = [folder / "model", *strange]
    if strange:
        raise UsageError(f"{strange[0]} was made by no training, and this one would replace it: give another --out")


def _is_model(folder: Path) -> bool:
    """Whether a training made the folder: its card has a recipe, and nothing else lies in it."""
    try:
        return "recipe" in safe.card(folder) and {path.name for path in folder.iterdir()} <= set(_MODEL)
    except (UsageError, OSError):
        return False


def _loss(task: Any, state: State, first: bool) -> torch.Tensor:
    """The loss of the batch of a step.  Raises UsageError where the network cannot make the first one with the data."""
    try:
        return task.loss(state.net, state.step)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if not first or isinstance(error, UsageError):
            raise
        shape = tuple(task.data.shape)
        raise UsageError(
            f"the network of recipe {task.recipe.name!r} does not fit images of {shape} ({describe(error)}): give it the "
            "channels and the size of the data, and a batch that fits into memory"
        ) from None


def _steps(task: Any, state: State, folder: Path, minutes: float, watch: Callable[[Progress], None]) -> dict[str, float]:
    """Make all steps that are left; the figures after the last one, none if there was no step to make."""
    recipe, figures, log, begin = state.recipe, {}, _Log(folder / LOG, state.step), state.step
    began = saved = time.monotonic()
    with _Interrupt() as interrupt:
        while state.step < recipe.steps:
            loss = _loss(task, state, state.step == begin)
            state.update(loss)
            last = state.step == recipe.steps
            checks, saves = last or state.step % recipe.validate == 0, last or time.monotonic() - saved > 60 * minutes
            if interrupt.came and not last:
                state.save(folder)
                raise KeyboardInterrupt
            if not (checks or saves or state.step % _LOGGED == 0):
                continue
            value = _finite({"loss": float(loss.detach())}, state)["loss"]  # waits for the device: all steps are made
            log.trained += time.monotonic() - began
            figures = _validate(task, state, folder) if checks else {}
            if checks or state.step % _LOGGED == 0:
                watch(log.add(state.step, recipe, value, figures))
            if saves:
                state.save(folder)
                saved = time.monotonic()
            began = time.monotonic()
    return figures


class _Interrupt:
    """Makes an interrupt wait for the end of the step, so that what is saved is whole; a second one does not wait."""

    def __enter__(self) -> "_Interrupt":
        self.came, self.before = False, signal.getsignal(signal.SIGINT)
        self.waits = threading.current_thread() is threading.main_thread() and callable(self.before)  # else nobody is asked
        if self.waits:
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, *_: object) -> None:
        self.came = True
        signal.signal(signal.SIGINT, self.before)

    def __exit__(self, *_: object) -> None:
        if self.waits:
            signal.signal(signal.SIGINT, self.before)


def _finite(figures: dict[str, float], state: State) -> dict[str, float]:
    """The figures.  Raises UsageError where one is not finite."""
    for name, value in figures.items():
        if not isfinite(value):
            raise state.diverged(f"{name} is {value}")
    return figures


def _validate(task: Any, state: State, folder: Path) -> dict[str, float]:
    """The validation figures as the network is now, and its picture.  Raises UsageError where one is not finite."""
    figures = _finite(task.validate(state.ema), state)
    task.picture(folder, state.ema, state.step)
    return figures


def _finish(task: Any, state: State, folder: Path, figures: dict[str, float]) -> Path:
    from sdebench.training.pictures import loss_curve

    figures = figures or _finite(task.validate(state.ema), state)
    loss_curve(folder / "loss.png", folder / LOG)
    return task.save(folder / "model", state.ema, {"steps": state.step} | figures)


class _Log:
    """`log.jsonl`, a line every so many steps; on resuming, lines of steps that are made again are dropped."""

    def __init__(self, path: Path, step: int):
        lines = read_text(path, DATA, "give the folder of a training").splitlines() if path.exists() else []
        kept = [line for line in lines if _step_of(line) <= step]
        write_atomic(path, "".join(f"{line}\n" for line in kept))
        self.path, self.last, self.trained = path, step, 0.0  # seconds of training since the last line

    def add(self, step: int, recipe: Recipe, loss: float, figures: dict[str, float]) -> Progress:
        speed = (step - self.last) * recipe.batch / max(self.trained, 1e-9)
        line = {"step": step, "loss": loss, "learning rate": recipe.rate_at(step - 1), "images a second": round(speed, 1)}
        with open(self.path, "a") as file:
            file.write(json.dumps(line | figures, allow_nan=False) + "\n")
        self.last, self.trained = step, 0.0
        return Progress(step, recipe.steps, loss, speed, figures)


def _step_of(line: str) -> float:
    """The step of a line of the log; infinite for one that was torn by a kill."""
    return json.loads(line)["step"] if _is_line(line) else float("inf")


def _is_line(line: str) -> bool:
    """Whether that is a line of a training's log."""
    try:
        found = parse_json(line)
    except ValueError:
        return False
    names = ("step", "loss", "learning rate")
    return isinstance(found, dict) and all(isinstance(found.get(name), int | float) for name in (*names, *found))
