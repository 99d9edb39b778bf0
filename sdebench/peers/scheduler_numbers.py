"""What the numbers of a scheduler mean: where it puts a state at a time, and what its network is told by one."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from math import cos, exp, inf, isfinite, log, pi, sin, sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdebench._support.errors import STRANGERS
from sdebench.peers.base import Level, NotOffered, parameters

_WORDS = {  # diffusers' word for a parametrisation -> ours
    "epsilon": "eps",
    "sample": "x0",
    "v_prediction": "v",
    "flow_prediction": "velocity",
    "flow": "velocity",
}
THEIRS = {ours: theirs for theirs, ours in _WORDS.items() if theirs != "flow"}


def names(function: Any, skip: int = 0) -> list[str]:
    """The names by which a call may give values, after the first ones."""
    usable = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, one in parameters(function).items() if one.kind in usable][skip:]


def config_of(scheduler: Any) -> Mapping[str, Any]:
    """Its configuration, by name; nothing where it has none."""
    found = getattr(scheduler, "config", None)
    return found if isinstance(found, Mapping) else vars(found) if hasattr(found, "__dict__") else {}


def tensor_of(value: Any) -> Tensor:
    """Numbers as a tensor of their own digits: torch would make Python's numbers float32."""
    return value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))


def prediction_of(scheduler: Any) -> str:
    """The parametrisation that a scheduler expects, as one of PREDICTIONS."""
    config = config_of(scheduler)
    theirs = config.get("prediction_type")
    if theirs is None and hasattr(scheduler, "get_scalings_for_boundary_condition"):
        return "raw output of a consistency model"
    if theirs is None:
        theirs = "flow_prediction" if is_flow(scheduler) else "epsilon"
    if hasattr(scheduler, "precondition_outputs"):
        return "edm" if theirs == "epsilon" else "edm-v" if theirs == "v_prediction" else str(theirs)
    return _WORDS.get(theirs, str(theirs))


def is_flow(scheduler: Any) -> bool:
    """Whether its states are (1 - s) data + s noise: it says so, or it has sigmas and no chain."""
    config = config_of(scheduler)
    if config.get("use_flow_sigmas") or config.get("prediction_type") in ("flow_prediction", "flow"):
        return True
    chain = any(hasattr(scheduler, name) for name in ("alphas_cumprod", "betas", "precondition_noise", "precondition_inputs"))
    return not chain and hasattr(scheduler, "sigmas")


def noised(scheduler: Any, times: Tensor) -> list[Level]:
    """Where the scheduler puts a state at each time: `add_noise` of unit data and of unit noise."""
    n = len(times)
    data = torch.cat([torch.ones(n), torch.zeros(n)]).double().view(-1, 1, 1, 1)
    if callable(add := getattr(scheduler, "add_noise", None)):
        out = add(data, 1 - data, torch.cat([times, times]))
    elif callable(scale := getattr(scheduler, "scale_noise", None)):
        out = scale(data, torch.cat([times, times]), 1 - data)
    else:
        raise NotOffered("no add_noise")
    values = out.flatten().double().tolist()
    return [Level(a, s) for a, s in zip(values[:n], values[n:])]


def told_ratio(scheduler: Any) -> Callable[[float], float]:
    """s/a at which a network is trained on the time t: t -> ratio.  Raises NotOffered where the object does not say."""
    config = config_of(scheduler)
    length = float(config.get("num_train_timesteps") or 1000)
    if is_flow(scheduler):
        return lambda t: _over(t / length, 1 - t / length)
    if config.get("timestep_type") == "continuous" and config.get("prediction_type") == "v_prediction":  # EDM's c_noise
        return lambda t: exp(4 * t)
    if callable(inputs := getattr(scheduler, "precondition_noise", None) or getattr(scheduler, "sigma_to_t", None)):
        sigmas = np.exp(np.linspace(log(1e-4), log(1e4), 4001))
        try:
            times = np.array(
                [float(tensor_of(inputs(torch.tensor(s, dtype=torch.float64))).flatten()[0]) for s in sigmas[::10]]
            )
        except STRANGERS:
            times = np.array([float(np.ravel(inputs(s))[0]) for s in sigmas[::10]])
        order = np.argsort(times)
        logs = np.log(sigmas[::10])[order]
        return lambda t: exp(float(np.interp(t, times[order], logs)))
    if (chain := getattr(scheduler, "alphas_cumprod", None)) is not None:
        bars = tensor_of(chain).double().clamp(0, 1).tolist()
        ratios = [_over(sqrt(1 - bar), sqrt(bar)) for bar in bars]
        return lambda t: _between(ratios, t)
    betas, alphas = getattr(scheduler, "betas", None), getattr(scheduler, "alphas", None)
    if betas is not None and alphas is not None:  # of one circle, as IPNDM has it: t is the angle over pi/2
        return lambda t: _over(sin(t * pi / 2), cos(t * pi / 2))
    raise NotOffered("nothing tells at which level the network is trained on a time")


def _over(s: float, a: float) -> float:
    return s / a if a > 1e-12 else inf


def _between(ratios: Sequence[float], t: float) -> float:
    """The ratio between two training steps: linear in its logarithm, as a network interpolates."""
    t = min(max(t, 0.0), len(ratios) - 1.0)
    low = int(t)
    if low == t or not (isfinite(ratios[low + 1]) and ratios[low] > 0):
        return ratios[round(t)]
    return exp(log(ratios[low]) + (t - low) * (log(ratios[low + 1]) - log(ratios[low])))
