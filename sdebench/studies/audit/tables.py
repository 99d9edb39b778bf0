"""The tables of the audit: certificates, faults, and a package over its releases."""

from collections.abc import Iterable

import pandas as pd

from sdebench.records import Record
from sdebench.report.table import Column, Table
from sdebench.studies.audit.certificate import faults_of, readings_of, repeat, row_of
from sdebench.studies.audit.known import thread_of

_CERTIFICATE = (
    Column("Sampler", "peer"),
    Column("Calls a step", "calls", "plain"),
    Column("Levels", "levels", tip="where the state is, against what the network is told and where the run should end"),
    Column("Best error", "best", "error", tip="as shipped, of the data's spread, at up to 200 steps"),
    Column("at N", "steps", "plain"),
    Column("Claim", "claim", "plain"),
    Column("Main order", "main", "order", tip="on our levels, from an exact past"),
    Column("Order of a run", "order", "order", tip="on our levels, with its own start"),
    Column("float32", "float32", "error", tip="what float32 adds at 50 steps, of the data's spread"),
    Column("Law", "law", tip="of stochastic code: exact mean and spread against the right ones"),
    Column("Is", "identity", tip="which of our methods gives the same states"),
    Column("Faults", "faults", "count"),
)


def split_releases(records: Iterable[Record]) -> tuple[list[Record], list[Record]]:
    """(records of what is installed, records of published releases)."""
    found: tuple[list[Record], list[Record]] = [], []
    for record in records:
        found[bool(record.case.get("release"))].append(record)
    return found


def certificates(records: Iterable[Record]) -> pd.DataFrame:
    """One row a sampler."""
    return pd.DataFrame([row_of(record) for record in records])


def certificate_table(frame: pd.DataFrame, package: str) -> Table:
    """The certificates of one package."""
    chosen = frame[frame["package"] == package].assign(peer=frame["peer"].str.partition(":")[2])
    versions = ", ".join(dict.fromkeys(chosen["version"]))
    caption = f"{package} {versions}. A certificate a configuration; an empty cell was not measured or is not offered."
    return Table(f"audit-{package}", f"Certificates: {package}", caption, chosen, _CERTIFICATE)


def fault_table(records: Iterable[Record], package: str) -> Table:
    """One row a sampler that has faults: what they are, where they are discussed, and how to find them again."""
    rows = []
    for record in records:
        faults = faults_of(record)
        if record.context.get("package", "") == package and faults:
            peer, checks = record.case["peer"], list(dict.fromkeys(fault["check"] for fault in faults))
            threads = dict.fromkeys(filter(None, (thread_of(peer, check) for check in checks)))
            rows.append(
                {
                    "peer": peer.partition(":")[2],
                    "what": "; ".join(fault["what"] for fault in faults) + ".",
                    "known": ", ".join(threads),
                    "repeat": repeat(record.case, *checks),
                }
            )
    columns = (
        Column("Sampler", "peer"),
        Column("What was found", "what", "prose"),
        Column("Discussed", "known", "link"),
        Column("Find it again", "repeat", "command"),
    )
    caption = "Each was found on two problems. Errors are in units of the data's spread."
    return Table(f"audit-faults-{package}", f"Faults: {package}", caption, pd.DataFrame(rows), columns)


def price_table(records: Iterable[Record]) -> Table:
    """One row a default that has a price, or a limit of an interface."""
    rows = [
        {"peer": record.case["peer"].partition(":")[2], "check": one["check"], "sort": one["verdict"], "what": one["what"]}
        for record in records
        for one in readings_of(record)
        if one["verdict"] in ("price", "limit")
    ]
    columns = (Column("Sampler", "peer"), Column("Check", "check"), Column("Sort", "sort"), Column("What", "what", "prose"))
    caption = (
        "price: a documented default or an approximation, with what it costs. limit: the interface does not let it be measured."
    )
    return Table("audit-prices", "Prices and limits", caption, pd.DataFrame(rows), columns)


def release_table(records: Iterable[Record]) -> Table:
    """A row a sampler, a column a release: which checks find faults."""
    found: dict[str, dict[str, str]] = {}
    for record in records:
        if record.is_ok:
            checks = ", ".join(dict.fromkeys(fault["check"] for fault in faults_of(record))) or "none"
        else:
            checks = "not there" if "has no" in record.message else "not measured"
        found.setdefault(record.case["peer"], {})[record.case["release"]] = checks
    releases = sorted({name for row in found.values() for name in row}, key=_as_numbers)
    frame = pd.DataFrame([{"peer": peer} | {f"r{name}": row.get(name, "") for name in releases} for peer, row in found.items()])
    columns = (Column("Sampler", "peer"), *(Column(name, f"r{name}", tip="checks that find faults") for name in releases))
    return Table("audit-releases", "Over releases", "Which checks find a fault, release by release.", frame, columns)


def _as_numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else -1 for part in release.split("."))
