"""What a model's folder says of its network: on which schedule, of which kind, and what it is told of a time."""

import re
from collections.abc import Callable
from itertools import pairwise
from math import cos, exp, inf, pi, sqrt
from pathlib import Path
from typing import Any

from sdebench._support.errors import UsageError, near_miss
from sdebench.integration.prediction import KINDS
from sdebench.networks import safe
from sdebench.networks.discrete import Discrete
from sdebench.networks.model import Scaled
from sdebench.schedules import SCHEDULES, NoiseSchedule, Rectified

_NO_CHAINS = ("EDM", "KarrasVe", "ScoreSde", "FlowMatch", "CM", "SCM")  # schedulers whose betas, if any, are not a chain's
_PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}  # of diffusers


def parametrisation(folder: Path, card: dict[str, Any]) -> tuple[NoiseSchedule, str, Callable[[float], float]]:
    """(schedule, kind, what the network is told of a time): from the card, or from the scheduler's config of diffusers.

    Raises UsageError where neither says it, or both do and differ.
    """
    path = next((path for path in scheduler_files(folder) if path.is_file()), None)
    if path is None and "schedule" not in card:
        raise UsageError(f"{folder} says nothing of its noise: give {safe.CARD} with a schedule, or scheduler_config.json")
    try:
        return _continuous(card, folder / safe.CARD) if "schedule" in card else _chain(safe.read_json(path), card, path)  # type: ignore[arg-type]  # None only where the other one is asked
    except UsageError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # a value of another type than its key wants
        what = folder / safe.CARD if "schedule" in card else path
        raise UsageError(f"cannot read {what} ({error}): give the file that came with the weights") from None


def _continuous(card: dict[str, Any], path: Path) -> tuple[NoiseSchedule, str, Callable[[float], float]]:
    """Of a network that knows all times of the card's schedule."""
    time = card.get("time", {"kind": "continuous"})
    if time["kind"] != "continuous":
        raise UsageError(
            f"{path} has a schedule, and a time of kind {time['kind']!r}: a chain is given by "
            "scheduler_config.json, without a schedule in the card"
        )
    schedule, kind, scale = schedule_of(card["schedule"]), kind_of(card.get("kind"), path), float(time.get("scale", 1.0))
    if kind == "velocity" and not isinstance(schedule, Rectified):
        raise UsageError(f"{path} has a velocity on {schedule}: it is dx/dt of Rectified alone; give that, or another kind")
    if not 0 < scale < inf:
        raise UsageError(f"{path} has the time scale {scale:g}: give what the network's own time is at t = 1, above 0")
    return schedule, kind, Scaled(scale)


def _chain(config: dict[str, Any], card: dict[str, Any], path: Path) -> tuple[NoiseSchedule, str, Callable[[float], float]]:
    """Of a network that knows the levels of the scheduler's chain."""
    chain = Discrete(_betas(config, path))
    prediction = config.get("prediction_type", "epsilon")
    kind = kind_of(_PREDICTIONS.get(prediction, prediction), path)
    said = {"kind": card.get("kind", kind), "steps": card.get("time", {}).get("steps", chain.steps)}
    if said != {"kind": kind, "steps": chain.steps}:
        raise UsageError(
            f"{safe.CARD} says {said['kind']} and {said['steps']} steps, {path} {kind} and {chain.steps}: give "
            "the two that belong together"
        )
    return chain, kind, chain.index


def scheduler_files(folder: Path) -> tuple[Path, Path]:
    """Where diffusers keeps the scheduler's config: of a pipeline, and of a single model."""
    return folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json"


def kind_of(kind: Any, where: Path | str) -> str:
    """The kind of prediction.  Raises UsageError, naming `where` it stands, for one that is none."""
    if kind not in KINDS:
        raise UsageError(f"{where} has the kind of prediction {kind!r}: give one of {', '.join(KINDS)}")
    return kind


def schedule_of(text: str) -> NoiseSchedule:
    """The schedule of `VPCosine` or `VPCosine(s=0.008)`.  Raises UsageError where there is none."""
    found = re.fullmatch(r"(\w+)(?:\((.*)\))?", str(text).strip())
    name = found[1] if found else str(text)
    if name not in SCHEDULES:
        raise UsageError(f"unknown schedule {text!r}{near_miss(name, SCHEDULES)} (there are: {', '.join(SCHEDULES)})")
    try:
        pairs = [part.split("=") for part in filter(None, (found[2] or "").split(","))]  # type: ignore[index]  # its name was found
        return SCHEDULES[name](**{key.strip(): float(value) for key, value in pairs})
    except (TypeError, ValueError) as error:
        raise UsageError(f"cannot read the schedule {text!r} ({error}): give it as {SCHEDULES[name]()}") from None


def _betas(config: dict[str, Any], path: Path) -> list[float]:
    """The betas of a scheduler's config, by the formulas of diffusers (in float64; there they are rounded to float32)."""
    name = config.get("_class_name", "")
    if name.startswith(_NO_CHAINS) or config.get("use_flow_sigmas") or config.get("timestep_type") == "continuous":
        raise UsageError(f"{path} is of {name or 'a scheduler'} in continuous time, no chain: give a card.json instead")
    if config.get("trained_betas") is not None:
        return config["trained_betas"]
    if "beta_schedule" not in config and "beta_start" not in config:
        raise UsageError(
            f"{path} is of {config.get('_class_name', 'a scheduler')} without betas: give that of a chain, as "
            "DDPMScheduler, or a card.json with the schedule"
        )
    if config.get("rescale_betas_zero_snr"):
        raise UsageError(f"{path} rescales to zero terminal SNR, where lam is infinite: give a chain without it")
    kind, n = config.get("beta_schedule", "linear"), int(config.get("num_train_timesteps", 1000))
    first, last = float(config.get("beta_start", 0.0001)), float(config.get("beta_end", 0.02))
    even = [i / max(n - 1, 1) for i in range(n)]
    if kind == "linear":
        return [first + (last - first) * q for q in even]
    if kind == "scaled_linear":
        return [(sqrt(first) + (sqrt(last) - sqrt(first)) * q) ** 2 for q in even]
    if kind == "sigmoid":
        return [first + (last - first) / (1 + exp(6 - 12 * q)) for q in even]
    if kind == "squaredcos_cap_v2":
        kept = [cos((i / n + 0.008) / 1.008 * pi / 2) ** 2 for i in range(n + 1)]
        return [min(1 - b / a, 0.999) for a, b in pairwise(kept)]
    raise UsageError(
        f"{path} has the beta_schedule {kind!r}: give linear, scaled_linear, sigmoid, squaredcos_cap_v2, or trained_betas"
    )
