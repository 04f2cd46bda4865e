"""One committer with everything around it: a real repository, the rest in memory."""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from controller.accounts.entries import Attempt, Entry
from controller.apis.json import Json
from controller.clients.git.remote import LedgerRemote
from controller.clients.git.repository import LedgerRepository
from controller.clients.outbox.rows import RowKind
from controller.records.canonical import parsed
from controller.records.history import identity_of, trailers_of
from controller.records.verification import ChainVerifier, Finding
from reconcilers.book import LedgerBook
from reconcilers.committer import Committer, CommitterPace, CommitterPorts, Remote
from reconcilers.inbox import Inbox
from tests.fakes.ledger_ports import FakeAccounts, FakeHeads, FakeOutboxes
from tests.ledgers import IDENTITY, REPLICA, SEED, Clock, a_body, an_entry


@dataclass
class World:
    """What outlives a committer."""

    directory: Path
    remote_url: str = ""
    outboxes: FakeOutboxes = field(default_factory=FakeOutboxes)
    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    heads: FakeHeads = field(default_factory=FakeHeads)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.outboxes.clock = self.clock

    def leader(self, directory: Path | None = None) -> Committer:
        """A new leader, which knows nothing yet."""
        return Committer(
            self.ports(self.repository(directory)),
            clock_ms=self.clock,
            monotonic=lambda: self.clock.now / 1000,
            pace=CommitterPace(),
        )

    def repository(self, directory: Path | None = None) -> LedgerRepository:
        """The repository, open to be written."""
        return LedgerRepository.open(directory or self.directory, IDENTITY)

    def ports(self, repository: LedgerRepository) -> CommitterPorts:
        """Whom a leader talks to."""
        remote: Remote | None = (
            LedgerRemote(repository, self.remote_url) if self.remote_url else None
        )
        return CommitterPorts(
            accounts=self.accounts,
            inbox=Inbox(self.outboxes),
            book=LedgerBook(repository, seed=SEED, clock_ms=self.clock),
            repository=repository,
            heads=self.heads,
            pending_now=self.accounts.pending_now,
            ref=IDENTITY.ref,
            remote=remote,
        )

    def grant(self, number: int, *, replica: str = REPLICA) -> Entry:
        """What a webhook leaves of a granted write: the body, then the entry."""
        entry = an_entry(number, outcome=None, made_at=self.clock.now, replica=replica)
        attempt = self.body(number, replica=replica)
        entry = replace_attempt(entry, attempt)
        self.accounts.put(entry)
        return entry

    def body(self, number: int, *, replica: str = REPLICA) -> Attempt:
        """A body whose entry was not reserved, or not yet."""
        key = str(an_entry(number).key)
        now = self.clock.now
        return self.outboxes.append(replica, RowKind.BODY, a_body(number), key=key, made_at=now)

    def denial(self, number: int, *, replica: str = REPLICA) -> Attempt:
        """What a webhook leaves of a denied write."""
        body = a_body(number, verdict="denied")
        now = self.clock.now
        return self.outboxes.append(replica, RowKind.DENIAL, body, key=f"f{number}", made_at=now)

    def repeats(self, of: Attempt, *, count: int, until: int, body: bytes) -> Attempt:
        """How often that denial was repeated, which counts until then."""
        now = self.clock.now
        return self.outboxes.repeat(of, body, count=count, made_at=now, until=until)

    def records(self, directory: Path | None = None) -> list[dict[str, Json]]:
        """Every record of the ledger, in order."""
        repository = self.repository(directory)
        steps = repository.steps(repository.head())
        contents = (step.content for step in steps if step.changes[0].path.startswith("records/"))
        return [cast("dict[str, Json]", parsed(content)) for content in contents if content]

    def identities(self) -> Counter[str]:
        """By what each record is known, and how many there are of each."""
        repository = self.repository()
        found = (trailers_of(step.message) for step in repository.steps(repository.head()))
        return Counter(identity for trailers in found if (identity := identity_of(trailers)))

    def findings(self) -> Sequence[Finding]:
        """What verification finds."""
        repository = self.repository()
        verifier = ChainVerifier(IDENTITY)
        steps = repository.steps(repository.head())
        return [*(f for step in steps for f in verifier.take(step)), *verifier.finish()]


def replace_attempt(entry: Entry, attempt: Attempt) -> Entry:
    """The entry as of another row."""
    return replace(entry, attempt=attempt)


def rounds(committer: Committer, count: int = 1) -> bool:
    """Run so many rounds; whether something waits after the last."""
    return [asyncio.run(committer.round()) for _ in range(count)][-1]


def numbers(attempts: Collection[Attempt]) -> list[int]:
    """Their numbers, in order."""
    return sorted(attempt.number for attempt in attempts)
