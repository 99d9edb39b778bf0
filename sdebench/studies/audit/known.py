"""Where a fault that the audit finds is discussed already: public threads, by the class and the check."""

KNOWN: dict[tuple[str, str], str] = {}  # (class or function, check) -> address


def thread_of(peer: str, check: str) -> str:
    """The thread in which a fault of a peer is discussed; "" where none is known."""
    name = peer.partition("[")[0].rpartition(":")[2]
    return KNOWN.get((name, check), "")
