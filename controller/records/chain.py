"""The chain of records: numbers, hashes, and the name of each file.

Every record carries its number and the hash of the one before, so that a loss, an
edit or a change of order anywhere shows at the next. Here is how that is written;
`controller.records.verification` says how it is checked. It must not read a clock,
a file or a repository.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from controller.apis.json import Json
from controller.records.canonical import canonical

RECORDS: Final = "records"
SEALS: Final = "seals"
WRITER_NAME: Final = "Governor"
WRITER_EMAIL: Final = "governor@governor.dev"
_PER_DIRECTORY: Final = 100
_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_UNNAMED = "unnamed"


@dataclass(frozen=True, slots=True)
class LedgerIdentity:
    """Whose ledger it is. Another epoch is another ledger, with a chain of its own.

    Raises:
        ValueError: it could not be the name of a Git ref.
    """

    cluster: str
    """The uid of the namespace `kube-system`."""
    epoch: int = 1

    def __post_init__(self) -> None:
        if not _CLUSTER.fullmatch(self.cluster):
            raise ValueError(f"cluster: {self.cluster!r} is no uid")
        if self.epoch < 1:
            raise ValueError(f"epoch: {self.epoch} is below 1")

    @property
    def ref(self) -> str:
        """The Git ref that holds it."""
        return f"refs/heads/ledger/{self.cluster}/{self.epoch}"

    @property
    def genesis(self) -> str:
        """What stands for the hash before the first record, and before the first seal."""
        return digest_of(canonical({"cluster": self.cluster, "epoch": self.epoch}))


@dataclass(frozen=True, slots=True)
class ChainState:
    """Where a chain stands after its last seal, which is all that is needed to go on."""

    seq: int
    """The number of the last record; 0 before the first."""
    head: str
    """The hash of the last record."""
    seal: str
    """The hash of the last seal."""
    at: int = 0
    """When that seal was made, milliseconds since the epoch."""
    replicas: Mapping[str, int] = field(default_factory=lambda: MappingProxyType(dict[str, int]()))
    """What the seal says of the outboxes."""

    @classmethod
    def start(cls, identity: LedgerIdentity) -> "ChainState":
        """Before the first record."""
        return cls(0, identity.genesis, identity.genesis)


def digest_of(content: bytes) -> str:
    """SHA-256 of a file of the ledger, hex."""
    return hashlib.sha256(content).hexdigest()


def record_content(record: Mapping[str, Json], *, seq: int, prev: str) -> bytes:
    """The file of one record: the record, its number, and the hash of the file before.

    Raises:
        ValueError: the record has one of those fields already.
        CanonicalError: a value of it has no canonical form.
    """
    if "seq" in record or "prev" in record:
        raise ValueError("seq, prev: the chain sets them; the record must not have them")
    return canonical({**record, "seq": seq, "prev": prev})


def record_path(seq: int, change: str, at: int) -> str:
    """Where a record's file is: by the hour of its commit, at most 100 to a directory.

    Git writes every directory anew in which something changed, so their width is what
    a commit costs.

    Args:
        seq: the record's number.
        change: the change's id; one that could not be a file's name is left out.
        at: when it was committed, milliseconds since the epoch.
    """
    name = change if _NAME.fullmatch(change) else _UNNAMED
    return f"{_directory(RECORDS, seq, at)}/{seq:012d}-{name}.json"


def seal_path(last: int, at: int) -> str:
    """Where the seal is that goes up to the record of that number."""
    return f"{_directory(SEALS, last, at)}/{last:012d}.json"


def _directory(kind: str, seq: int, at: int) -> str:
    hour = datetime.fromtimestamp(at // 1000, UTC).strftime("%Y/%m/%d/%H")
    return f"{kind}/{hour}/{seq // _PER_DIRECTORY:010d}"
