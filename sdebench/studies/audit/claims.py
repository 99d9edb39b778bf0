"""What is claimed of known classes and functions, with the reference; without a claim an order is told, not judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sdebench.peers import Peer


@dataclass(frozen=True)
class Claim:
    """An order, and who states it."""

    order: int
    reference: str


_LU = "Lu et al. 2022, arXiv:2206.00927"
_LU_PP = "Lu et al. 2022, arXiv:2211.01095"
_KARRAS = "Karras et al. 2022, arXiv:2206.00364"
_SONG = "Song et al. 2020, arXiv:2010.02502"

Rule = Callable[[Mapping[str, Any]], Claim | None]


def _fixed(order: int, reference: str) -> Rule:
    return lambda settings: Claim(order, reference)


def _setting(name: str, default: int, reference: str, more: int = 0) -> Rule:
    return lambda settings: Claim(int(settings.get(name, default)) + more, reference)


def _dpm(settings: Mapping[str, Any]) -> Claim | None:
    kind = settings.get("algorithm_type", "dpmsolver++")
    return None if kind.startswith("sde") else Claim(int(settings.get("solver_order", 2)), _LU_PP if "++" in kind else _LU)


def _unipc(settings: Mapping[str, Any]) -> Claim:
    order = int(settings.get("solver_order", 2))
    return Claim(order + 1, "Zhao et al. 2023, arXiv:2302.04867, theorem 3.1: order p + 1 with the corrector")


CLAIMS: dict[str, Rule] = {  # the last part of the module, or the package, and the name
    "diffusers:DDIMScheduler": _fixed(1, _SONG),
    "diffusers:DDIMInverseScheduler": _fixed(1, _SONG),
    "diffusers:DDIMParallelScheduler": _fixed(1, _SONG),
    "diffusers:CogVideoXDDIMScheduler": _fixed(1, _SONG),
    "diffusers:DPMSolverMultistepScheduler": _dpm,
    "diffusers:DPMSolverMultistepInverseScheduler": _dpm,
    "diffusers:DPMSolverSinglestepScheduler": _dpm,
    "diffusers:EDMDPMSolverMultistepScheduler": _dpm,
    "diffusers:DEISMultistepScheduler": _setting("solver_order", 2, "Zhang and Chen 2022, arXiv:2204.13902"),
    "diffusers:UniPCMultistepScheduler": _unipc,
    "diffusers:EulerDiscreteScheduler": _fixed(1, _KARRAS),
    "diffusers:EDMEulerScheduler": _fixed(1, _KARRAS),
    "diffusers:HeunDiscreteScheduler": _fixed(2, f"{_KARRAS}, algorithm 1"),
    "diffusers:KDPM2DiscreteScheduler": _fixed(2, f"{_KARRAS}, algorithm 2"),
    "diffusers:LMSDiscreteScheduler": _fixed(4, "linear multistep of order 4, by its default"),
    "diffusers:PNDMScheduler": _fixed(2, "Liu et al. 2022, arXiv:2202.09778"),
    "diffusers:IPNDMScheduler": _fixed(4, "Zhang and Chen 2022, arXiv:2204.13902: Adams-Bashforth weights of order 4"),
    "diffusers:FlowMatchEulerDiscreteScheduler": _fixed(1, "Euler's method"),
    "diffusers:FlowMatchHeunDiscreteScheduler": _fixed(2, "Heun's method"),
    "k_diffusion:sample_euler": _fixed(1, _KARRAS),
    "k_diffusion:sample_heun": _fixed(2, f"{_KARRAS}, algorithm 1"),
    "k_diffusion:sample_dpm_2": _fixed(2, f"{_KARRAS}, algorithm 2"),
    "k_diffusion:sample_lms": _setting("order", 4, "linear multistep, by its setting"),
    "k_diffusion:sample_dpmpp_2m": _fixed(2, _LU_PP),
    "k_diffusion:sample_dpmpp_2m_sde": _fixed(2, _LU_PP),
    "k_diffusion:sample_dpmpp_3m_sde": _fixed(3, f"{_LU_PP}, the third order of its name"),
    "k_diffusion:sample_dpmpp_2s_ancestral": _fixed(2, _LU_PP),
    "k_diffusion:sample_dpmpp_sde": _fixed(2, _LU_PP),
    "azula:DDIMSampler": _fixed(1, _SONG),
    "azula:EulerSampler": _fixed(1, "Euler's method"),
    "azula:HeunSampler": _fixed(2, "Heun's method"),
    "azula:zABSampler": _setting("order", 2, "Adams-Bashforth, by its setting"),
    "azula:vABSampler": _setting("order", 2, "Adams-Bashforth, by its setting"),
    "azula:zEABSampler": _setting("order", 2, "exponential Adams-Bashforth, by its setting"),
    "azula:xEABSampler": _setting("order", 2, "exponential Adams-Bashforth, by its setting"),
    "azula:REABSampler": _setting("order", 2, "exponential Adams-Bashforth, by its setting"),
}


CONSISTENCY = ("FlowMatchLCMScheduler", "LCMScheduler")  # classes whose network is a consistency function
OTHER_NETWORKS = {  # classes whose network is something that the audit has no exact one of
    "CMStochasticIterativeScheduler": "the raw output of a consistency model",
    "FlowMapEulerDiscreteScheduler": "a flow map, of two times",
    "PiflowScheduler": "the coefficients of a policy",
    "SCMScheduler": "the output of a consistency model in TrigFlow's parametrisation",
    "TCDScheduler": "a trajectory consistency function, of two times",
}


def claim_of(peer: Peer) -> Claim | None:
    """What is claimed: by the user, by the table, or by the class itself (`order` on our own)."""
    if peer.claim is not None:
        return Claim(peer.claim, "--claim")
    target = peer.target
    package = str(getattr(target, "__module__", "")).partition(".")[0]
    rule = CLAIMS.get(f"{package}:{getattr(target, '__name__', '')}")
    return rule(peer.settings) if rule else None
