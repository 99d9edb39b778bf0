"""Recipes: all that decides the numbers of a training, in a TOML file."""

from dataclasses import MISSING, asdict, dataclass, fields
from importlib import resources
from itertools import pairwise
from math import cos, pi
from pathlib import Path
from typing import Any

from sdebench._support.errors import MOST, UsageError, near_miss, real, shown, whole
from sdebench._support.files import check_name
from sdebench._support.reading import is_file, read_toml
from sdebench.integration.prediction import KINDS

TASKS = ("denoiser", "classifier", "progressive", "consistency")
_PLAIN_LISTS = ("lams", "halvings")
_WHOLES = {
    "batch": (1, 16_384),
    "steps": (1, MOST),
    "warmup": (0, MOST),
    "cooldown": (0, MOST),
    "shifts": (0, 64),
    "validate": (1, MOST),
    "seed": (0, 2**63 - 1),
    "intervals": (0, 100_000),
}  # name -> the least and the greatest that it may be
_REALS = {"rate": 1e38, "clip": 1e38, "time_scale": 1e9}  # name -> the greatest; all are above 0
_FARTHEST, _HALVINGS = 1000.0, 20  # an end of lams, and how many halvings


@dataclass(frozen=True)
class Recipe:
    """What is trained on what, and how.  `network` holds the settings of the network's class.

    The rate rises over `warmup` steps, stays, and falls to zero over the last `cooldown` ones (`decay`: "linear" or
    "cosine"); so a run may be resumed with another end until it begins to fall.  `ema` is the decay of the average of
    the weights, the one that is kept.  `autocast` runs the network in bfloat16.  `shifts` moves images by up to so many pixels.
    `kind`, `schedule` and `lams`, the interval of lam = (noisy, clean), are of a denoiser, and so is `time_scale`: the network
    is told `time_scale t`, of which its embedding takes sines and cosines of frequencies from 1 down to 1e-4.

    A student has these, and its network, of its `teacher`, a network as `get_network` takes it.  `halvings` are the steps of
    the students of a progressive distillation, of which each is trained for `steps`; `intervals` those of a consistency model.
    """

    name: str
    task: str
    data: str
    network: dict[str, Any]
    batch: int
    steps: int
    rate: float
    warmup: int
    cooldown: int
    ema: float
    decay: str = "linear"
    clip: float = 1.0
    flips: bool = True
    shifts: int = 0
    autocast: bool = False
    channels_last: bool = False
    validate: int = 1000
    seed: int = 0
    kind: str = "v"
    schedule: str = "VPCosine"
    lams: tuple[float, float] = (-5.0, 5.5)
    time_scale: float = 1000.0
    teacher: str = ""
    halvings: tuple[int, ...] = ()
    intervals: int = 0

    def __post_init__(self):
        check_name(self.name, "the name of a recipe")
        if self.task not in TASKS:
            raise UsageError(f"task {shown(self.task)} of recipe {self.name!r}: give one of {', '.join(TASKS)}")
        if self.decay not in ("linear", "cosine"):
            raise UsageError(f"decay {shown(self.decay)} of recipe {self.name!r}: give 'linear' or 'cosine'")
        if not (self.batch >= 1 and self.steps >= 1 and self.rate > 0 and 0 <= self.ema < 1 and self.validate >= 1):
            raise UsageError(f"recipe {self.name!r}: give batch, steps, validate >= 1, rate > 0 and 0 <= ema < 1")
        for name, (least, most) in _WHOLES.items():
            whole(getattr(self, name), f"{name} of recipe {self.name!r}", least, most)
        for name, highest in _REALS.items():
            real(getattr(self, name), f"{name} of recipe {self.name!r}", 0, highest, above=True)
        if not 0 <= self.cooldown <= self.steps - self.warmup:
            raise UsageError(
                f"recipe {self.name!r}: warmup {self.warmup} and cooldown {self.cooldown} do not fit into "
                f"{self.steps} steps: give more steps"
            )
        if len(self.lams) != 2 or not -_FARTHEST <= self.lams[0] < self.lams[1] <= _FARTHEST:
            raise UsageError(f"lams {shown(self.lams)} of recipe {self.name!r}: give two numbers, the noisier (lower) first")
        if len(self.halvings) > _HALVINGS or not all(n <= MOST for n in self.halvings):
            raise UsageError(
                f"halvings {shown(self.halvings)} of recipe {self.name!r}: give {_HALVINGS} numbers of steps at most"
            )
        if self.kind not in KINDS:
            raise UsageError(f"kind {shown(self.kind)} of recipe {self.name!r}: give one of {', '.join(KINDS)}")
        self._check_student()

    def _check_student(self) -> None:
        """Raise UsageError for settings of a student that its task has not, or that do not fit together."""
        ladder, has = (
            self.halvings,
            {
                "halvings": self.task == "progressive",
                "intervals": self.task == "consistency",
                "teacher": self.task in ("progressive", "consistency"),
            },
        )
        for name, known in has.items():
            if getattr(self, name) and not known:
                raise UsageError(f"{name} of recipe {self.name!r}, whose task is {self.task!r}: leave it out")
        if self.teacher and self.network:
            raise UsageError(f"recipe {self.name!r} has a network and a teacher: leave the network out, it is the teacher's")
        if has["teacher"] and self.kind != "v":
            raise UsageError(f"kind {self.kind!r} of recipe {self.name!r}, whose task is {self.task!r}: give 'v'")
        if self.task == "progressive" and not self.teacher:
            raise UsageError(f"recipe {self.name!r} has no teacher: give the network to begin with, as teacher = 'digits'")
        if self.task == "progressive" and not (ladder and ladder[-1] >= 1 and all(a == 2 * b for a, b in pairwise(ladder))):
            raise UsageError(
                f"halvings {list(ladder)} of recipe {self.name!r}: give numbers of steps, each half of the one "
                "before, as [8, 4, 2, 1]"
            )
        if self.task == "consistency" and self.intervals < 2:
            raise UsageError(f"intervals {self.intervals} of recipe {self.name!r}: give how many the path has, 2 or more")

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        up = min(1.0, (step + 1) / (self.warmup + 1))
        left = min(1.0, (self.steps - step) / (self.cooldown + 1))
        return self.rate * up * (left if self.decay == "linear" else 0.5 - 0.5 * cos(pi * left))

    def ema_at(self, step: int) -> float:
        """The decay of the averaged weights after a step: (1 + n) / (10 + n) until that reaches `ema`.

        So, at first, of n steps the weights after step j count by 9 (j+1)...(j+8) / ((n+1)...(n+9)), or about 9/n (j/n)^8: it
        is an average over the last tenth or so of the training, however long that is, and soon forgets the beginning.
        """
        return min(self.ema, (1 + step) / (10 + step))

    def falls_from(self) -> int:
        """The first step at which the rate depends on `steps`."""
        return self.steps - self.cooldown

    def plain(self) -> dict[str, Any]:
        """The recipe as plain data."""
        return asdict(self) | {name: list(getattr(self, name)) for name in _PLAIN_LISTS}


def names() -> dict[str, Path]:
    """The recipes that come with the package."""
    folder = Path(str(resources.files("sdebench"))) / "training" / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load(recipe: str, **changed: Any) -> Recipe:
    """The recipe of that name or in that TOML file, with some settings changed.  Raises UsageError for what is wrong in it."""
    known, path = names(), Path(recipe)
    path = known.get(recipe, path)
    if not is_file(path):
        near = near_miss(recipe, known)
        raise UsageError(f"unknown recipe {shown(recipe)}{near} (there are: {', '.join(known)}; or give a TOML file)")
    return from_plain({"name": path.stem} | read_toml(path, "give a recipe in TOML") | changed)


def from_plain(content: dict[str, Any]) -> Recipe:
    """The recipe of plain data, as in a TOML file or a checkpoint."""
    allowed = {part.name: part for part in fields(Recipe)}
    for key in content:
        if key not in allowed:
            raise UsageError(f"unknown key {shown(key)} of a recipe{near_miss(key, allowed)} (it has: {', '.join(allowed)})")
    if content.get("teacher"):
        content = {"network": {}} | content
    missing = [name for name, part in allowed.items() if part.default is MISSING and name not in content]
    if missing:
        raise UsageError(f"a recipe without {missing[0]!r}: give it")
    for name, value in content.items():
        _check_type(name, value, allowed[name].type)
    return Recipe(**content | {name: tuple(content[name]) for name in _PLAIN_LISTS if name in content})


def _check_type(name: str, value: Any, kind: Any) -> None:
    """Raise UsageError unless the value is of the kind that its field states."""
    right = {
        str: isinstance(value, str),
        bool: isinstance(value, bool),
        int: type(value) is int,
        float: isinstance(value, int | float) and not isinstance(value, bool),
    }.get(kind)
    what = getattr(kind, "__name__", "list")
    if name in _PLAIN_LISTS:
        allowed, what = ((int,), "list of whole numbers") if name == "halvings" else ((int, float), "list of numbers")
        right = isinstance(value, list | tuple) and all(type(each) in allowed for each in value)
    elif name == "network":
        right = isinstance(value, dict)
    if not right:
        raise UsageError(f"{name} of a recipe is {shown(value)}: give a {what}")
