"""Builds what tests of the ledger talk about: bodies, records, ledgers in real repositories.

Everything is valid and ordinary; a test names only what it is about. `forge` writes
with git what Governor never would.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from controller.accounts.entries import Action, Attempt, Entry, Outcome, WatchedKind
from controller.apis.json import Json
from controller.clients.git.process import GitProcess
from controller.clients.git.repository import LedgerRepository
from controller.records.body import VERSION
from controller.records.chain import LedgerIdentity, digest_of
from controller.records.record import denial_record, entry_record
from reconcilers.book import LedgerBook

CLUSTER = "6c0a2f7e-2b1d-4b8a-9c55-0d8f5b1f9a10"
IDENTITY = LedgerIdentity(CLUSTER, 1)
SEED = bytes(range(32))
OTHER_SEED = bytes(reversed(range(32)))
NOON = 1_795_608_000_000
"""2026-11-25, 12:00 UTC, in milliseconds."""
REPLICA = "replica-a"
DEPLOYMENTS = WatchedKind("apps", "v1", "deployments")


def a_change(number: int) -> str:
    """The id of a change, of the shape of those that Governor mints."""
    return f"01JD8Z6V5M3Q2W1X0Y{number:08d}"


def a_body(number: int, **fields: Json) -> bytes:
    """The body of one write, as the webhook leaves it in its outbox."""
    body: dict[str, Json] = {
        "version": VERSION,
        "change": a_change(number),
        "verdict": "granted",
        "receivedAt": "2026-11-25T12:00:00.000000Z",
        "agent": "migrator",
        "action": "create",
        "actor": {"username": "system:serviceaccount:team-data:migrator"},
        "request": {
            "operation": "CREATE",
            "resource": "deployments",
            "kind": "Deployment",
            "namespace": "team-data",
            "name": f"web-{number}",
        },
        "object": {"uid": f"uid-{number}"},
        "decision": {"denials": [], "policies": "9f86d081884c7d65"},
    }
    return orjson.dumps({**body, **fields})


def an_entry(
    number: int,
    *,
    outcome: Outcome | None = Outcome.PERSISTED,
    replica: str = REPLICA,
    made_at: int = NOON,
    body: bytes | None = None,
) -> Entry:
    """The entry of the write whose body is `a_body(number)`."""
    return Entry(
        change=a_change(number),
        attempt=Attempt(replica, number),
        action=Action.CREATE,
        kind=DEPLOYMENTS,
        namespace="team-data",
        name=f"web-{number}",
        uid=f"uid-{number}",
        version=100 + number,
        made_at=made_at,
        record=digest_of(a_body(number) if body is None else body),
        outcome=outcome,
    )


def a_record(number: int) -> dict[str, Json]:
    """The record of a write that was persisted."""
    return entry_record(a_body(number), an_entry(number), reason="the release of Monday")


def a_denial(number: int) -> dict[str, Json]:
    """The record of a write that was refused."""
    return denial_record(a_body(number, verdict="denied"), Attempt(REPLICA, number))


@dataclass
class Clock:
    """Milliseconds since the epoch, moved by the test."""

    now: int = NOON

    def __call__(self) -> int:
        """What time it is."""
        return self.now


@dataclass
class Ledger:
    """One ledger on disk, open to be written."""

    directory: Path
    identity: LedgerIdentity = IDENTITY
    seed: bytes = SEED
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.repository = LedgerRepository.open(self.directory, self.identity)
        self.book = LedgerBook(self.repository, seed=self.seed, clock_ms=self.clock)
        self.book.read()

    @property
    def git(self) -> GitProcess:
        """Git in it."""
        return self.repository.git

    def flush(self, *records: Mapping[str, Json], replicas: Mapping[str, int] | None = None) -> str:
        """Add records as one flush; the new head."""
        self.book.append(records, replicas=replicas or {})
        return self.book.head

    def fill(self, flushes: Iterable[int], *, start: int = 1) -> "Ledger":
        """Add flushes of so many records each."""
        number = start
        for count in flushes:
            self.flush(*(a_record(number + more) for more in range(count)))
            number += count
        return self

    def forge(self, *steps: "Forgery", onto: str | None = None) -> str:
        """Commit by hand, and move the ledger's ref there; the new head."""
        parent = self.repository.head() if onto is None else onto
        stream = b"".join(
            step.lines(mark, parent if mark == 1 else f":{mark - 1}")
            for mark, step in enumerate(steps, start=1)
        )
        last = f"get-mark :{len(steps)}\ndone\n".encode()
        arguments = ("--quiet", "--done", "--force")
        new = self.git.run("fast-import", *arguments, stdin=stream + last).decode().strip()
        self.git.run("update-ref", self.repository.ref, new)
        return new


@dataclass(frozen=True)
class Forgery:
    """One commit by hand."""

    changes: Sequence[tuple[str, bytes | None]]
    """Path and content; None deletes."""
    message: str = "forged\n"
    at: int = NOON
    merges: str = ""

    def lines(self, mark: int, parent: str) -> bytes:
        """For `git fast-import`."""
        message = self.message.encode()
        head = f"commit refs/forged\nmark :{mark}\ncommitter X <x@x> {self.at // 1000} +0000\n"
        lines = [head.encode(), b"data %d\n%s\n" % (len(message), message)]
        lines += [f"from {parent}\n".encode()] if parent else []
        lines += [f"merge {self.merges}\n".encode()] if self.merges else []
        for path, content in self.changes:
            if content is None:
                lines.append(f"D {path}\n".encode())
            else:
                lines.append(f"M 100644 inline {path}\n".encode())
                lines.append(b"data %d\n%s\n" % (len(content), content))
        return b"".join(lines)
