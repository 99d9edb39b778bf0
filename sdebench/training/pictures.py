"""Pictures of a training: samples as it goes, and the loss over its steps."""

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from sdebench._support.reading import DATA, parse_json, read_text
from sdebench.catalogue import get_solver
from sdebench.data import Images, to_uint8
from sdebench.grids import Grid
from sdebench.integration.integrate import integrate
from sdebench.networks.model import NetworkModel, Scaled
from sdebench.noise import normals, stream
from sdebench.schedules import NoiseSchedule
from sdebench.training.recipe import Recipe

_ROWS, _COLUMNS = 6, 10


class Painter(Protocol):
    """What is needed of a task to paint samples of its network."""

    recipe: Recipe
    data: Images
    device: str
    schedule: NoiseSchedule
    time: Scaled


def sample_grid(path: Path, task: Painter, net: nn.Module, solver: str, grid: Grid) -> None:
    """Sixty samples, by the solver over the grid, always from the same noise, as a PNG."""
    ns = task.schedule
    shape = (_ROWS * _COLUMNS, *task.data.shape)
    x = ns.sigma(grid[0]) * normals(stream(task.recipe.seed, "pictures"), 0, shape, torch.float32).to(task.device)
    model = NetworkModel(net, ns, task.recipe.kind, task.time, device=task.device)
    x = integrate(get_solver(solver), model, x, grid)
    tiled(path, to_uint8(x / ns.alpha(grid[-1])).cpu(), _COLUMNS)


def tiled(path: Path, images: Tensor, columns: int, zoom: int = 3) -> None:
    """Images, uint8 (N, C, H, W), as one PNG, row by row, each pixel enlarged."""
    from PIL import Image

    n, channels, height, width = images.shape
    sheet = images.reshape(n // columns, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    sheet = sheet.reshape(n // columns * height, columns * width, channels)
    picture = Image.fromarray(sheet.squeeze(-1).numpy())
    picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST).save(path)


def loss_curve(path: Path, log: Path) -> None:
    """The loss of the batches and the validation loss over the steps, as a PNG."""
    from matplotlib.figure import Figure

    lines = [parse_json(line) for line in read_text(log, DATA).splitlines()]
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([line["step"] for line in lines], [line["loss"] for line in lines], lw=0.6, color="0.6", label="a batch")
    checked = [line for line in lines if "validation" in line]
    axes.plot([line["step"] for line in checked], [line["validation"] for line in checked], "o-", ms=3, label="validation")
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
