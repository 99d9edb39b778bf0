"""The loop of a training: steps, a log, checkpoints, and the finished folder."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .. import data
from ..errors import UsageError
from ..files import write_atomic
from ..networks.problem import device_of
from .classifier import Labels
from .denoiser import Denoiser
from .recipe import Recipe
from .state import CHECKPOINT, State

LOG = "log.jsonl"
_TASKS = {"denoiser": Denoiser, "classifier": Labels}
_LOGGED = 20  # steps between two lines of the log


class Progress(NamedTuple):
    """Where a training stands."""

    step: int
    steps: int
    loss: float
    rate: float  # images a second
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

    `folder` gets `checkpoint.safetensors` every so many `minutes`, `log.jsonl`, pictures of samples and of the loss.  A
    resumed training goes on bit for bit on the same machine and number of threads.  Raises UsageError for a folder that
    holds a training while `resume` is not set, or none where it is.
    """
    _check_folder(folder, resume)
    device_of(device)  # refuses one that is not there
    task = _TASKS[recipe.task](recipe, data.load(recipe.data, root, download), device)
    state = State(task.network(), recipe, device)
    folder.mkdir(parents=True, exist_ok=True)
    if resume:
        state.restore(folder)
    log = _Log(folder / LOG, state.step)
    saved = time.monotonic()
    while state.step < recipe.steps:
        loss = task.loss(state.net, state.step)
        state.update(loss)
        if state.step % recipe.validate == 0 or state.step == recipe.steps:
            log.figures = task.validate(state.ema)
            task.picture(folder, state.ema, state.step)
        if state.step % _LOGGED == 0 or log.figures:
            watch(log.add(state.step, recipe, loss))
        if time.monotonic() - saved > 60 * minutes or state.step == recipe.steps:
            state.save(folder)
            saved = time.monotonic()
    return _finish(task, state, folder)


def _check_folder(folder: Path, resume: bool) -> None:
    held = (folder / CHECKPOINT).is_file()
    if held and not resume:
        raise UsageError(f"{folder} holds a training already: add --resume to go on, or give another --out")
    if resume and not held:
        raise UsageError(f"{folder} holds no checkpoint: leave --resume out to begin, or give the --out of the training")


def _finish(task: Any, state: State, folder: Path) -> Path:
    from .pictures import loss_curve

    figures = {"steps": state.step} | task.validate(state.ema)
    loss_curve(folder / "loss.png", folder / LOG)
    return task.save(folder / "model", state.ema, figures)


class _Log:
    """`log.jsonl`, a line every so many steps; on resuming, lines of steps that are made again are dropped."""

    def __init__(self, path: Path, step: int):
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if _step_of(line) <= step]
        write_atomic(path, "".join(f"{line}\n" for line in kept))
        self.path, self.last, self.at, self.figures = path, step, time.monotonic(), {}

    def add(self, step: int, recipe: Recipe, loss: torch.Tensor) -> Progress:
        now = time.monotonic()
        speed = (step - self.last) * recipe.batch / max(now - self.at, 1e-9)
        made = Progress(step, recipe.steps, float(loss.detach()), speed, self.figures)
        line = {"step": step, "loss": made.loss, "learning rate": recipe.rate_at(step - 1), "images a second": round(speed, 1)}
        with open(self.path, "a") as file:
            file.write(json.dumps(line | self.figures) + "\n")
        self.last, self.at, self.figures = step, now, {}
        return made


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):  # torn by a kill
        return float("inf")
