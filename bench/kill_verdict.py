"""Compares what truly happened with what the ledger says.

Neither Governor's reader nor its verifier has a say in it: `bench.ledger` reads bare Git.
Decides only whether the promises held; it repairs nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.kill_witness import Audited, Seen
from bench.ledger import Record

_SUPPORTED = frozenset({"persisted", "unknown"})
"""Outcomes that a write which did take effect may have."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many of what; all but the first four must be 0."""

    persisted: int
    """Creates and updates of the agent that were stored, by the witness."""
    proven: int
    """Of them, how many the ledger calls persisted."""
    deleted: int
    records: int
    unrecorded: int
    """Stored, and no record, or one that says otherwise."""
    late: int
    """Recorded as received after the API server had completed it."""
    false: int
    """Called persisted, and never stored."""
    duplicates: int
    gaps: int

    @property
    def holds(self) -> bool:
        """Whether every promise held."""
        return not (self.unrecorded or self.late or self.false or self.duplicates or self.gaps)

    def __str__(self) -> str:
        return (
            f"stored {self.persisted} (proven {self.proven}), deleted {self.deleted}, records "
            f"{self.records}: unrecorded {self.unrecorded}, late {self.late}, false {self.false}, "
            f"duplicates {self.duplicates}, gaps {self.gaps}"
        )


def judge(events: Sequence[Seen], audited: Iterable[Audited], records: Sequence[Record]) -> Verdict:
    """Hold the ledger's records against the witness and the audit log."""
    stored, deleted = _stored(events)
    by_write = {
        (entry["uid"], record["change"]): record
        for record in records
        if (entry := record.get("entry")) and record["action"] in {"create", "update"}
    }
    confirmed = list(audited)
    stored |= {
        (one.uid, one.change)
        for one in confirmed
        if one.change and not one.subresource and one.verb != "delete"
    }
    supported = {
        write for write in stored if write in by_write and by_write[write]["outcome"] in _SUPPORTED
    }
    proven = {write for write in supported if by_write[write]["outcome"] == "persisted"}
    claimed = {write for write, record in by_write.items() if record["outcome"] == "persisted"}
    said_deleted = {
        record["entry"]["uid"]
        for record in records
        if record.get("entry")
        and record["action"] == "delete"
        and record["outcome"] in {"gone", "unknown"}
    }
    return Verdict(
        persisted=len(stored),
        proven=len(proven),
        deleted=len(deleted),
        records=len(records),
        unrecorded=len(stored - supported)
        + sum(1 for one in confirmed if one.lacks_stamp)
        + len(deleted - said_deleted)
        + _scales(confirmed, records),
        late=_late(confirmed, by_write),
        false=len(claimed - stored),
        duplicates=_duplicates(records),
        gaps=_gaps(records),
    )


def _stored(events: Sequence[Seen]) -> tuple[set[tuple[str, str]], set[str]]:
    """The writes whose stamp came with a version; and the uids that ended.

    Pods that a controller made have no stamp, and end without the agent.
    """
    stamps: dict[str, str] = {}
    stored: set[tuple[str, str]] = set()
    for seen in events:
        if seen.change and stamps.get(seen.uid) != seen.change and not seen.is_deleted:
            stored.add((seen.uid, seen.change))
        stamps[seen.uid] = seen.change
    return stored, {seen.uid for seen in events if seen.is_deleted and seen.change}


def _scales(confirmed: Iterable[Audited], records: Iterable[Record]) -> int:
    """Scales that the API server confirmed, beyond those that have a record that fits.

    Those that ask a version for what it has are one: nothing tells one from the next, nothing
    comes of any, and while the first is not decided they share its entry.
    """
    scales = (one for one in confirmed if one.subresource == "scale")
    asked = len({(one.uid, one.version, one.replicas) for one in scales})
    told = sum(
        1
        for record in records
        if record.get("entry")
        and record["action"] in {"value", "no-op", "nothing"}
        and record["request"]["subresource"] == "scale"
    )
    return max(0, asked - told)


def _late(confirmed: Iterable[Audited], by_write: Mapping[tuple[str, str], Record]) -> int:
    found = ((one, by_write.get((one.uid, one.change))) for one in confirmed)
    return sum(
        1 for one, record in found if record is not None and record["receivedAt"] > one.completed
    )


def _duplicates(records: Iterable[Record]) -> int:
    records = list(records)
    keys = Counter(record["entry"]["key"] for record in records if record.get("entry"))
    attempts = Counter(tuple(record["attempt"].values()) for record in records)
    return sum(count - 1 for counter in (keys, attempts) for count in counter.values())


def _gaps(records: Sequence[Record]) -> int:
    """Numbers that are missing in the ledger's sequence."""
    numbers = [record["seq"] for record in records]
    return len(set(range(1, len(numbers) + 1)) - set(numbers))
