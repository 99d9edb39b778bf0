"""`sdebench train`."""

from pathlib import Path
from typing import Annotated

import typer

from sdebench._support.processes import most_threads
from sdebench.cli.output import emit, say


def train(
    recipe: Annotated[str, typer.Argument(help="A name of 'sdebench list recipes', or a TOML file.")],
    out: Annotated[Path | None, typer.Option(help="The folder of the training; runs/RECIPE unless given.")] = None,
    data: Annotated[Path | None, typer.Option(help="Where the images are; the variable SDEBENCH_CIFAR10 unless given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the folder.")] = False,
    steps: Annotated[int | None, typer.Option(help="Another number of steps.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="Threads of torch; as many as cores unless given.")] = None,
    minutes: Annotated[float, typer.Option(help="Minutes between checkpoints.")] = 3.0,
    download: Annotated[bool, typer.Option("--download", help="Load CIFAR-10 from its home, checksummed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> int:
    """Train a network by a recipe; it may be killed at any moment, and --resume goes on, losing a few minutes at most.

    The folder gets a log, a checkpoint, sample grids and the loss curve as it goes, and `model/` at the end.
    """
    import torch

    from sdebench import training
    from sdebench._support.errors import whole
    from sdebench.networks import safe
    from sdebench.training import recipe as recipes

    if threads is not None:
        torch.set_num_threads(whole(threads, "--threads", 1, most_threads()))
    chosen = recipes.load(recipe, **({} if steps is None else {"steps": steps}))
    folder = out or Path("runs") / chosen.name
    try:
        with _Bar() as bar:
            model = training.train(chosen, folder, data, device, resume, download, minutes, bar.show)
    except KeyboardInterrupt:
        say(f"stopped: the same command with --resume goes on from the checkpoint in {folder}")
        return 130
    figures = safe.card(model)["figures"]
    if as_json:
        emit({"model": str(model), "figures": figures})
    else:
        say(f"trained {chosen.name}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
        print(model)
    return 0


class _Bar:
    """Step, loss and speed on stderr; a line a validation where that is no terminal."""

    def __enter__(self) -> "_Bar":
        from sdebench.cli.progress import bar

        self.bar = bar()
        self.task = self.bar.add_task("", total=None)
        self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.stop()

    def show(self, at) -> None:
        """Where the training stands."""
        words = f"loss {at.loss:.4f}, {at.rate:.0f} images/s"
        if at.figures and self.bar.disable:
            say(f"step {at.step} of {at.steps}: {words}, validation {at.figures['validation']:.4f}")
        self.bar.update(self.task, completed=at.step, total=at.steps, description=words)
