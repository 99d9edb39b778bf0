"""Where a fault that the audit finds is discussed already: public threads, by the class and the check."""

_DIFFUSERS = "https://github.com/huggingface/diffusers"
KNOWN: dict[tuple[str, str], str] = {  # (class or function, check) -> address
    ("DDIMScheduler", "levels"): f"{_DIFFUSERS}/issues/12633",
    ("DDIMScheduler", "ladder"): f"{_DIFFUSERS}/issues/11347",
    ("DDIMScheduler", "middle"): f"{_DIFFUSERS}/issues/12633",
    ("LMSDiscreteScheduler", "middle"): f"{_DIFFUSERS}/issues/5630",
    ("FlowMatchEulerDiscreteScheduler", "law"): f"{_DIFFUSERS}/issues/8549",
}


def thread_of(peer: str, check: str) -> str:
    """The thread in which a fault of a peer is discussed; "" where none is known."""
    name = peer.partition("[")[0].rpartition(":")[2]
    return KNOWN.get((name, check), "")
