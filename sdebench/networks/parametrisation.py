"""What a model's folder says of its network: on which schedule, of which kind, and what it is told of a time."""

import inspect
import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from math import cos, exp, inf, pi, sqrt
from pathlib import Path
from typing import Any

from sdebench._support.errors import UsageError, cut, describe, near_miss, shown
from sdebench.integration.prediction import KINDS
from sdebench.networks import safe
from sdebench.networks.discrete import Discrete
from sdebench.networks.model import Scaled
from sdebench.schedules import SCHEDULES, NoiseSchedule, Rectified

_NO_CHAINS = ("EDM", "KarrasVe", "ScoreSde", "FlowMatch", "CM", "SCM")  # schedulers whose betas, if any, are not a chain's
_LEVELS = 100_000  # of a chain, at most
_CHAIN = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end")
_UNDERSTOOD = (*_CHAIN, "trained_betas", "prediction_type", "predict_epsilon", "rescale_betas_zero_snr", "use_flow_sigmas")
_OF_SAMPLING = (
    *("algorithm_type", "clip_sample", "clip_sample_range", "corrector_order", "disable_corrector", "eta", "euler_at_final"),
    *("dynamic_thresholding_ratio", "final_sigmas_type", "flow_shift", "interpolation_type", "lambda_min_clipped", "s_noise"),
    *("lower_order_final", "original_inference_steps", "predict_x0", "predictor_order", "sample_max_value", "set_alpha_to_one"),
    *("shift_terminal", "sigma_max", "sigma_min", "skip_prk_steps", "solver_order", "solver_p", "solver_type", "steps_offset"),
    *("tau_func", "thresholding", "time_shift_type", "timestep_scaling", "timestep_spacing", "timestep_type", "variance_type"),
    *("use_beta_sigmas", "use_dynamic_shifting", "use_exponential_sigmas", "use_karras_sigmas", "use_lu_lambdas"),
)  # keys that say how diffusers samples, and leave alone what the network was trained on
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
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        ArithmeticError,
    ) as error:  # a value of another type than its key's
        what = folder / safe.CARD if "schedule" in card else path
        raise UsageError(f"cannot read {what} ({describe(error)}): give the file that came with the weights") from None


def _continuous(card: dict[str, Any], path: Path) -> tuple[NoiseSchedule, str, Callable[[float], float]]:
    """Of a network that knows all times of the card's schedule."""
    time = card.get("time", {"kind": "continuous"})
    if time["kind"] != "continuous":
        raise UsageError(
            f"{path} has a schedule, and a time of kind {shown(time['kind'])}: a chain is given by "
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
    prediction = config.get("prediction_type") or ("epsilon" if config.get("predict_epsilon", True) else "sample")
    kind = kind_of(_PREDICTIONS.get(prediction, prediction) if isinstance(prediction, str) else prediction, path)
    said = {"kind": card.get("kind", kind), "steps": card.get("time", {}).get("steps", chain.steps)}
    if said != {"kind": kind, "steps": chain.steps}:
        its = f"{cut(str(said['kind']), 60)} and {cut(str(said['steps']), 60)} steps"
        raise UsageError(f"{safe.CARD} says {its}, {path} {kind} and {chain.steps}: give the two that belong together")
    return chain, kind, chain.index


def scheduler_files(folder: Path) -> tuple[Path, Path]:
    """Where diffusers keeps the scheduler's config: of a pipeline, and of a single model."""
    return folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json"


def kind_of(kind: Any, where: Path | str) -> str:
    """The kind of prediction.  Raises UsageError, naming `where` it stands, for one that is none."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise UsageError(f"{where} has the kind of prediction {shown(kind)}: give one of {', '.join(KINDS)}")
    return kind


def schedule_of(text: str) -> NoiseSchedule:
    """The schedule of `VPCosine` or `VPCosine(s=0.008)`.  Raises UsageError where there is none."""
    found = re.fullmatch(r"(\w+)(?:\((.*)\))?", str(text).strip())
    name = found[1] if found else str(text)
    if name not in SCHEDULES:
        raise UsageError(f"unknown schedule {shown(text)}{near_miss(name, SCHEDULES)} (there are: {', '.join(SCHEDULES)})")
    try:
        pairs = [part.split("=") for part in filter(None, (found[2] or "").split(","))]  # type: ignore[index]  # its name was found
        return SCHEDULES[name](**{key.strip(): float(value) for key, value in pairs})
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"cannot read the schedule {shown(text)} ({describe(error)}): give it as {SCHEDULES[name]()}"
        ) from None


def _betas(config: dict[str, Any], path: Path) -> list[float]:
    """The betas of a scheduler's config, by the formulas of diffusers (in float64; there they are rounded to float32).

    Raises UsageError for what does not describe a chain, and for a key that is not understood.
    """
    name = str(config.get("_class_name", ""))
    if name.startswith(_NO_CHAINS) or config.get("use_flow_sigmas") or config.get("timestep_type") == "continuous":
        raise UsageError(
            f"{path} is of {cut(name, 60) or 'a scheduler'} in continuous time, no chain: give a card.json instead"
        )
    found = _with_defaults(config, name, path)
    if found.get("trained_betas") is not None:
        return _checked_betas(found["trained_betas"], path)
    if found.get("rescale_betas_zero_snr"):
        raise UsageError(f"{path} rescales to zero terminal SNR, where lam is infinite: give a chain without it")
    kind, n = found["beta_schedule"], found["num_train_timesteps"]
    if type(n) is not int or n > _LEVELS:
        raise UsageError(f"{path} has the num_train_timesteps {shown(n)}: give a whole number, {_LEVELS:,} at most")
    even = [i / max(n - 1, 1) for i in range(n)]
    if kind == "squaredcos_cap_v2":
        kept = [cos((i / n + 0.008) / 1.008 * pi / 2) ** 2 for i in range(n + 1)]
        return [min(1 - b / a, 0.999) for a, b in pairwise(kept)]
    first, last = float(found["beta_start"]), float(found["beta_end"])
    if kind == "linear":
        return [first + (last - first) * q for q in even]
    if kind == "scaled_linear":
        return [(sqrt(first) + (sqrt(last) - sqrt(first)) * q) ** 2 for q in even]
    if kind == "sigmoid":
        return [first + (last - first) / (1 + exp(6 - 12 * q)) for q in even]
    raise UsageError(
        f"{path} has the beta_schedule {shown(kind)}: give linear, scaled_linear, sigmoid, squaredcos_cap_v2, or trained_betas"
    )


def _with_defaults(config: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    """The config with the defaults of its own class for what it leaves out.

    Raises UsageError for a key that is not known to leave the chain alone, unless it is off (null or false), and for one
    that is left out where the class is not known.
    """
    chain = config.get("trained_betas") is None
    found = {key: value for key, value in config.items() if not key.startswith("_")}
    if chain and not all(key in found for key in _CHAIN):
        found = _defaults_of(name) | found
    for key, value in found.items():
        if key not in _UNDERSTOOD and key not in _OF_SAMPLING and value is not None and value is not False:
            raise UsageError(
                f"{path} has {shown(key)} = {shown(value)}, which is not understood and may change the chain: give a scheduler "
                "without it, or a card.json with the schedule"
            )
    cosine = found.get("beta_schedule") == "squaredcos_cap_v2"  # which needs no first and no last beta
    lacks = [key for key in _CHAIN if key not in found and not (cosine and key in ("beta_start", "beta_end"))]
    if chain and lacks:
        raise UsageError(
            f"{path} is of {cut(name, 60) or 'a scheduler'} without betas ({', '.join(lacks)}): give that of a chain, as "
            "DDPMScheduler, or a card.json with the schedule"
        )
    return found


@cache
def _defaults_of(name: str) -> dict[str, Any]:
    """What a scheduler of diffusers takes for what its config leaves out; nothing for a class that is not there."""
    if not re.fullmatch(r"[A-Za-z]\w{,80}Scheduler", name):
        return {}
    import diffusers

    made = getattr(diffusers, name, None)
    if made is None:
        return {}
    parameters = inspect.signature(made.__init__).parameters.items()
    return {key: p.default for key, p in parameters if p.default is not p.empty}


def _checked_betas(betas: Any, path: Path) -> list[float]:
    """Betas that somebody gave, as a list of numbers."""
    if not isinstance(betas, list | tuple) or len(betas) > _LEVELS:
        raise UsageError(f"{path} has the trained_betas {shown(betas)}: give a list of numbers, {_LEVELS:,} at most")
    return list(betas)
