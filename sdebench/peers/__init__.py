"""Adapters to other people's samplers, one file a kind of interface.

    sb.peers.from_scheduler(scheduler)           diffusers' interface
    sb.peers.from_sigmas_function(fn)            f(model, x, sigmas, ...)
    sb.peers.from_net_function(fn)               f(net, latents, num_steps=...)
    sb.peers.from_class(cls)                     cls(model_fn, noise_schedule, ...).sample(x, steps, ...)
    sb.peers.from_azula(cls)                     a sampler of azula
    sb.peers.from_sdeint(fn)                     torchsde's integrator, on the reverse SDE
    sb.peers.from_callable(fn)                   anything else, as f(model, x, times)
    sb.peers.get_peer("package.module:Name[key=value,...]", kind="")

The kind is told by the signature, or given: a word of KINDS.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sdebench._support.errors import UsageError, near_miss, shown
from sdebench.peers import azula as _azula
from sdebench.peers import callable as _callable
from sdebench.peers import net as _net
from sdebench.peers import paper_class as _paper_class
from sdebench.peers import scheduler as _scheduler
from sdebench.peers import sdeint as _sdeint
from sdebench.peers import sigmas as _sigmas
from sdebench.peers.base import Level, NotOffered, Peer, PeerFault, RunPlan, Session
from sdebench.peers.spec import load, split

from_scheduler = _scheduler.from_object
from_sigmas_function = _sigmas.from_function
from_net_function = _net.from_net_function
from_class = _paper_class.from_class
from_azula = _azula.from_azula
from_sdeint = _sdeint.from_sdeint
from_callable = _callable.from_callable

KINDS: dict[str, tuple[Callable[[Any], bool], Callable[..., Peer]]] = {  # in the order in which they are tried
    "scheduler": (_scheduler.is_scheduler, _scheduler.from_target),
    "sigmas": (_sigmas.is_sigmas_function, lambda name, target, settings: _sigmas.from_function(target, name, settings)),
    "net": (_net.is_net_function, lambda name, target, settings: _net.from_net_function(target, name, settings)),
    "class": (_paper_class.is_paper_class, lambda name, target, settings: _paper_class.from_class(target, name, settings)),
    "azula": (_azula.is_azula_sampler, lambda name, target, settings: _azula.from_azula(target, name, settings)),
    "sdeint": (_sdeint.is_sdeint, lambda name, target, settings: _sdeint.from_sdeint(target, name, settings)),
    "callable": (_callable.is_callable, _callable.from_target),
}


def get_peer(spec: str, kind: str = "") -> tuple[Peer, tuple[str, ...]]:
    """(the peer of a spec, the libraries that placeholders stood in for).  Raises UsageError."""
    if kind and kind not in KINDS:
        raise UsageError(f"unknown kind of interface {shown(kind)}{near_miss(kind, KINDS)} (there are: {', '.join(KINDS)})")
    module, name, settings = split(spec)
    target, stood_in = load(module, name)
    return adapt(spec, target, settings, kind), stood_in


def as_peer(sampler: Any) -> Peer:
    """The peer itself, or that of a spec string, of a scheduler that was made, of a class or of a function."""
    if isinstance(sampler, Peer):
        return sampler
    if isinstance(sampler, str):
        return get_peer(sampler)[0]
    if not isinstance(sampler, type) and _scheduler.is_scheduler(sampler):
        return from_scheduler(sampler)
    return adapt(getattr(sampler, "__name__", type(sampler).__name__), sampler, {})


def adapt(name: str, target: Any, settings: Mapping[str, Any], kind: str = "") -> Peer:
    """The peer of a class or a function."""
    fits = [word for word, (is_one, _) in KINDS.items() if is_one(target)]
    chosen = kind or (fits[0] if fits else "")
    if not chosen:
        raise UsageError(f"{name} has no interface that is known ({', '.join(KINDS)}): say which it has with --as")
    return KINDS[chosen][1](name, target, settings)


__all__ = [
    "KINDS",
    "Level",
    "NotOffered",
    "Peer",
    "PeerFault",
    "RunPlan",
    "Session",
    "adapt",
    "as_peer",
    "from_azula",
    "from_callable",
    "from_class",
    "from_net_function",
    "from_scheduler",
    "from_sdeint",
    "from_sigmas_function",
    "get_peer",
]
