"""The audit: other people's samplers, run as they are on exact problems."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_study
from sdebench.records import Record
from sdebench.studies.base import Found, Study
from sdebench.studies.settings import optional, strings

if TYPE_CHECKING:
    from sdebench.report.section import Section


@dataclass(frozen=True)
class AuditSettings:
    """What a `[[study]]` table may say."""

    peers: tuple[str, ...] | None = optional(strings())
    interface: str = ""
    releases: tuple[str, ...] | None = optional(strings())
    full: bool = False


@dataclass(frozen=True)
class AuditCase:
    """One peer: its spec, its interface where that is not told by the signature, and what its code is.

    `version` is that of its package, or the first digits of the SHA-256 of its file; `release` is a published version of the
    package that is not installed; `checks` are those that are made, all unless given.
    """

    peer: str
    version: str
    full: bool = False
    interface: str | None = None
    release: str | None = None
    claim: int | None = None
    checks: tuple[str, ...] | None = None


@register_study("audit")
class AuditStudy(Study):
    """What is right and wrong with other people's samplers."""

    settings, case = AuditSettings, AuditCase

    def cases(self, settings: AuditSettings) -> list[AuditCase]:
        """A case a peer, and a release where there are some."""
        if not settings.peers:
            raise UsageError("no peers: give peers = ['package.module:Name[key=value,...]', ...]")
        return [
            make_case(peer, settings.full, settings.interface, release)
            for peer in settings.peers
            for release in settings.releases or ("",)
        ]

    def measure(self, case: AuditCase) -> Found:
        """Run one case."""
        from sdebench.studies.audit.measure import measure

        return measure(case)

    def section(self, records: list[Record]) -> "Section | None":
        """The certificates and the faults."""
        from sdebench.studies.audit.section import make_section

        return make_section(records)

    def code(self, case: AuditCase) -> Iterable[Any]:
        """The code of the audit alone: the peer's is told by its version."""
        return ()


def make_case(
    peer: str,
    full: bool = False,
    interface: str = "",
    release: str = "",
    claim: int | None = None,
    checks: tuple[str, ...] = (),
) -> AuditCase:
    """The case of a spec.  Raises UsageError for one that cannot be read."""
    from sdebench.peers.spec import version_of

    version = release or version_of(peer)
    return AuditCase(peer, version, full, interface or None, release or None, claim, checks or None)
