"""Whom the committer talks to, held in memory: outboxes, accounts, the kept head.

They are as durable as the real ones (nothing that was acknowledged or written is
forgotten when a committer dies), and decide as little.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.accounts.account import Account, Fence
from controller.accounts.entries import Attempt, Entry, EntryKey
from controller.clients.kube.accounts import Stored
from controller.clients.kube.errors import ConflictError
from controller.clients.kube.ledgerhead import KeptHead
from controller.clients.outbox.errors import OutboxDamagedError, UnknownReplicaError
from controller.clients.outbox.rows import Position, Row, RowKind


@dataclass
class FakeOutboxes:
    """The outboxes of one host."""

    rows: dict[Attempt, Row] = field(default_factory=dict[Attempt, Row])
    highest: dict[str, int] = field(default_factory=dict[str, int])
    acknowledged: set[Attempt] = field(default_factory=set[Attempt])
    damaged: set[str] = field(default_factory=set[str])
    dead: set[str] = field(default_factory=set[str])
    """Replicas whose process died."""
    clock: Callable[[], int] = lambda: 0

    def append(
        self, replica: str, kind: RowKind, body: bytes, *, key: str = "", made_at: int
    ) -> Attempt:
        """Store a row, as a webhook does."""
        number = self.highest.get(replica, 0) + 1
        self.highest[replica] = number
        attempt = Attempt(replica, number)
        self.rows[attempt] = Row(attempt, kind, key, made_at, made_at, body)
        return attempt

    def repeat(self, of: Attempt, body: bytes, *, count: int, made_at: int, until: int) -> Attempt:
        """Count repeats of a denial, until then."""
        attempt = self.append(of.replica, RowKind.REPEATS, body, made_at=made_at)
        self.rows[attempt] = replace(
            self.rows[attempt],
            ready_at=until,
            of=of.number,
            count=count,
            last=made_at,
            final=False,
        )
        return attempt

    def replicas(self) -> tuple[str, ...]:
        """Those that are here."""
        return tuple(self.highest)

    def pull(self, replica: str, *, after: int, limit: int) -> tuple[Row, ...]:
        """The next rows."""
        self._require(replica)
        numbered = sorted(a for a in self.rows if a.replica == replica and a.number > after)
        return tuple(self._read(attempt) for attempt in numbered[:limit])

    def find(self, attempt: Attempt) -> Row | None:
        """One row."""
        if attempt.replica not in self.highest:
            return None
        self._require(attempt.replica)
        return self._read(attempt) if attempt in self.rows else None

    def acknowledge(self, attempts: Iterable[Attempt]) -> None:
        """Forget rows."""
        for attempt in attempts:
            row = self.rows.get(attempt)
            if row is not None and not row.final:
                raise ValueError(f"{attempt} is not final")
            self.rows.pop(attempt, None)
            self.acknowledged.add(attempt)

    def position(self, replica: str) -> Position:
        """How far it has come."""
        self._require(replica)
        number = 0
        while Attempt(replica, number + 1) in self.acknowledged:
            number += 1
        return Position(self.highest[replica], number)

    def drained(self) -> Mapping[str, Position]:
        """Dead ones with nothing left."""
        found = {name: self.position(name) for name in self.dead & self.highest.keys()}
        return {name: position for name, position in found.items() if position.is_drained}

    def sweep(self, recorded: Mapping[str, Position]) -> tuple[str, ...]:
        """Remove drained ones."""
        swept = [name for name, at in self.drained().items() if recorded.get(name) == at]
        for name in swept:
            del self.highest[name]
        return tuple(swept)

    def _read(self, attempt: Attempt) -> Row:
        """A row that can count no more is final, for whoever reads it."""
        row = self.rows[attempt]
        if not row.final and row.ready_at <= self.clock():
            self.rows[attempt] = replace(row, final=True)
        return self.rows[attempt]

    def _require(self, replica: str) -> None:
        if replica not in self.highest:
            raise UnknownReplicaError(f"{replica}: there is no such outbox here")
        if replica in self.damaged:
            raise OutboxDamagedError(f"{replica}: cannot be read")


@dataclass
class FakeAccounts:
    """One account, as the API server has it, and as a watch that may lag knows it."""

    agent: str = "migrator"
    truth: dict[EntryKey, Entry] = field(default_factory=dict[EntryKey, Entry])
    seen: dict[EntryKey, Entry] = field(default_factory=dict[EntryKey, Entry])
    listeners: list[Callable[[str], None]] = field(default_factory=list[Callable[[str], None]])

    def put(self, *entries: Entry) -> None:
        """Store entries, unseen yet."""
        self.truth |= {entry.key: entry for entry in entries}

    def watch(self) -> None:
        """Let the watch catch up."""
        self.seen = dict(self.truth)
        for listener in self.listeners:
            listener(self.agent)

    def remove(self, keys: Iterable[EntryKey]) -> None:
        """Take entries out, as the settler does with those that are recorded."""
        for key in keys:
            self.truth.pop(key, None)

    def all(self) -> Mapping[str, Stored]:
        """What the watch knows."""
        account = Account(
            self.agent, Fence("uid", 1, suspended=False), pending=tuple(self.seen.values())
        )
        return {self.agent: Stored(account, {})}

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Call it after each change."""
        self.listeners.append(listener)

    async def pending_now(self) -> frozenset[str]:
        """What the API server has."""
        return frozenset(str(key) for key in self.truth)


@dataclass
class FakeHeads:
    """The kept head; a write must be over the version that is stored."""

    kept: KeptHead | None = None
    writes: int = 0

    async def read(self) -> KeptHead | None:
        """What is kept."""
        return self.kept

    async def write(self, head: KeptHead, *, over: KeptHead | None) -> KeptHead:
        """Keep another."""
        if (over.resource_version if over else "") != (
            self.kept.resource_version if self.kept else ""
        ):
            raise ConflictError("it changed since it was read", status=409)
        self.writes += 1
        self.kept = replace(head, resource_version=str(self.writes))
        return self.kept
