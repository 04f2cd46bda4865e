"""The ledger as its one writer sees it: where the chain stands, and what is recorded already.

Numbers, chains and seals a flush of records, and adds it in one step. What is
recorded is learnt from the ledger itself, so that a new leader knows as much as the
one before. It must not decide what to record.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from controller.accounts.entries import Attempt
from controller.apis.json import Json
from controller.clients.git.errors import LedgerCorruptError
from controller.clients.git.repository import NO_COMMIT, Commit
from controller.records.canonical import CanonicalError, parsed
from controller.records.chain import (
    ChainState,
    LedgerIdentity,
    digest_of,
    record_content,
    record_path,
    seal_path,
)
from controller.records.history import trailers_of
from controller.records.record import message_of
from controller.records.seals import (
    Seal,
    SealUnreadableError,
    public_key_of,
    read_seal,
    seal_message,
    sealed,
    state_after,
)

_INDEXED: Final = ("Entry", "Attempt")


class HoldsLedger(Protocol):
    """The part of `LedgerRepository` that is used; everything blocks."""

    @property
    def identity(self) -> LedgerIdentity:
        """Whose ledger it is."""
        ...

    def head(self) -> str:
        """The last commit."""
        ...

    def append(self, commits: Sequence[Commit], *, onto: str) -> str:
        """Add commits after `onto`, all or none; the new head."""
        ...

    def last_seal(self, head: str) -> bytes | None:
        """The seal that a head ends with."""
        ...

    def trailers(self, head: str, *, after: str) -> Iterable[Mapping[str, str]]:
        """The trailers of every commit up to `head`, of those after `after`."""
        ...

    def leads_to(self, ancestor: str, head: str) -> bool:
        """Whether `ancestor` is `head` or comes before it."""
        ...

    def find(self, head: str, *, trailer: str) -> bytes | None:
        """The file that the last commit with that trailer added."""
        ...


class LedgerBook:
    """One ledger, open to be written. Everything here blocks.

    Attributes:
        head: the commit up to which it was read.
        state: where the chain stands there.
        public_key: whose signature the seals carry, hex.
    """

    def __init__(
        self, repository: HoldsLedger, *, seed: bytes, clock_ms: Callable[[], int]
    ) -> None:
        """Read nothing yet.

        Args:
            repository: where it is.
            seed: the private seed of 32 bytes that seals are signed with.
            clock_ms: milliseconds since the epoch.
        """
        self.head = NO_COMMIT
        self.state = ChainState.start(repository.identity)
        self.public_key = public_key_of(seed)
        self._repository = repository
        self._seed = seed
        self._clock_ms = clock_ms
        self._recorded: set[bytes] = set()

    def read(self) -> None:
        """Learn what was committed since the last time, or all of it.

        Raises:
            LedgerError: it cannot be read, or is not this ledger.
        """
        head = self._repository.head()
        state = self._state_at(head)
        if not self._repository.leads_to(self.head, head):
            # Another leader's history took the place of ours: what only ours had is not recorded.
            self.head = NO_COMMIT
            self._recorded.clear()
        for trailers in self._repository.trailers(head, after=self.head):
            self._note(trailers)
        self.head, self.state = head, state

    def leads_from(self, commit: str) -> bool:
        """Whether the ledger goes on after that commit, or ends with it."""
        return self._repository.leads_to(commit, self.head)

    def is_committed(self, identity: str) -> bool:
        """Whether there is a record of that identity, as of `head`."""
        return _hashed(identity) in self._recorded

    def append(self, records: Sequence[Mapping[str, Json]], *, replicas: Mapping[str, int]) -> None:
        """Add a flush of records, sealed; all of it, or nothing.

        Args:
            records: in order; at least one.
            replicas: for the seal.

        Raises:
            LedgerMovedError: someone else has added some; `read`, and decide anew.
            LedgerError: anything else; nothing was added.
        """
        at = max(self._clock_ms(), self.state.at)  # a clock set back does not reorder the files
        commits: list[Commit] = []
        seq, head = self.state.seq, self.state.head
        for record in records:
            seq += 1
            content = record_content(record, seq=seq, prev=head)
            path = record_path(seq, str(record.get("change")), at)
            commits.append(Commit(path, content, message_of(record, seq=seq, prev=head), at))
            head = digest_of(content)
        seal = Seal(
            identity=self._repository.identity,
            first=self.state.seq + 1,
            last=seq,
            count=len(records),
            head=head,
            prev=self.state.seal,
            replicas=replicas,
            at=at,
        )
        content = sealed(seal, seed=self._seed)
        commits.append(Commit(seal_path(seq, at), content, seal_message(seal), at))
        self.head = self._repository.append(commits, onto=self.head)
        self.state = state_after(content)
        for commit in commits:
            self._note(trailers_of(commit.message))

    def find(self, attempt: Attempt) -> Mapping[str, Json] | None:
        """The record of an attempt, if there is one."""
        trailer = f"Attempt: {attempt.replica}/{attempt.number}"
        content = self._repository.find(self.head, trailer=trailer)
        try:
            record = parsed(content) if content is not None else None
        except CanonicalError as error:
            raise LedgerCorruptError(f"{trailer}: its record cannot be read: {error}") from error
        return record if isinstance(record, dict) else None

    def _state_at(self, head: str) -> ChainState:
        content = self._repository.last_seal(head)
        if content is None:
            return ChainState.start(self._repository.identity)
        try:
            seal = read_seal(content)
        except SealUnreadableError as error:
            raise LedgerCorruptError(f"the seal at {head} cannot be read: {error}") from error
        if seal.identity != self._repository.identity:
            problem = f"the seal at {head} is of another ledger: {seal.identity}"
            raise LedgerCorruptError(f"{problem}; see what `governor verify` finds")
        return state_after(content)

    def _note(self, trailers: Mapping[str, str]) -> None:
        self._recorded |= {_hashed(f"{key} {trailers[key]}") for key in _INDEXED if key in trailers}


def _hashed(identity: str) -> bytes:
    """16 bytes for each: a long ledger has millions."""
    return hashlib.blake2b(identity.encode(), digest_size=16).digest()
