"""After a power cut every answered append is there, and the file is whole."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from controller.accounts.entries import Attempt
from controller.clients.outbox.database import Connect, Database, Value
from controller.clients.outbox.errors import OutboxError
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.rows import RowKind
from tests.fakes.apsw_database import connecting_through
from tests.fakes.power_cut import PowerCut
from tests.outboxes import NOON, names, open_outbox, read_outboxes

CALLERS = 4
LIVES = 3


@dataclass
class Answered:
    """What appending callers were told."""

    bodies: dict[Attempt, bytes] = field(default_factory=dict[Attempt, bytes])
    acknowledged: set[Attempt] = field(default_factory=set[Attempt])


async def append_until_dark(outbox: Outbox, chance: random.Random, answered: Answered) -> None:
    """Four callers, until the first fault of each."""

    async def caller() -> None:
        while True:
            body = chance.randbytes(chance.choice((10, 900, 9000)))
            try:
                attempt = await outbox.append(body, kind=RowKind.BODY, key="k", made_at=NOON)
            except OutboxError:
                return
            answered.bodies[attempt] = body

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


def live_until_the_cut(
    directory: Path, disk: PowerCut, connect: Connect, chance: random.Random, answered: Answered
) -> None:
    """One life of a process, from its start until the power goes."""
    try:
        outbox = open_outbox(directory, mint=names(), connect=connect)
    except OutboxError:
        disk.cut()
        disk.restart()
        return
    try:
        asyncio.run(append_until_dark(outbox, chance, answered))
        assert disk.is_off
    finally:
        outbox.close()
        disk.restart()


def acknowledge_some(directory: Path, chance: random.Random, answered: Answered) -> None:
    """Let the ledger's side take a part, in the light."""
    reader = read_outboxes(directory)
    waiting = sorted(set(answered.bodies) - answered.acknowledged)
    some = chance.sample(waiting, len(waiting) // 3)
    reader.acknowledge(some)
    answered.acknowledged.update(some)


def lost(directory: Path, answered: Answered) -> list[Attempt]:
    """What callers were told is stored, and is not."""
    reader = read_outboxes(directory)
    rows = {
        row.attempt: row.body
        for replica in reader.replicas()
        for row in reader.pull(replica, after=0, limit=100_000)
    }
    return [
        attempt
        for attempt, body in answered.bodies.items()
        if attempt not in answered.acknowledged and rows.get(attempt) != body
    ]


def live_and_die(directory: Path, seed: int, connect_of: type["Synced"]) -> Answered:
    """Several lives on one directory, each ended by a cut at any write."""
    chance = random.Random(seed)  # noqa: S311 -- a repeatable test
    answered = Answered()
    for life in range(LIVES):
        disk = PowerCut(
            f"cut-{seed}-{life}",
            chance=chance,
            writes=chance.randrange(chance.choice((60, 600, 4000))),
        )
        connect = connect_of(connecting_through(disk.name))
        live_until_the_cut(directory, disk, connect, chance, answered)
        if connect_of is Synced:
            assert lost(directory, answered) == []
            acknowledge_some(directory, chance, answered)
    return answered


class Synced:
    """Runs the outbox's statements as they are."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def __call__(self, path: Path, *, create: bool) -> Database:
        """Open a file."""
        return self._connect(path, create=create)


class Unsynced(Synced):
    """Runs them without the one that makes commits wait for the disk."""

    def __call__(self, path: Path, *, create: bool) -> Database:
        """Open a file."""
        return _WithoutSync(super().__call__(path, create=create))


class _WithoutSync:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.close = database.close
        self.abandon = database.abandon

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        if sql == "PRAGMA synchronous = FULL":
            sql = "PRAGMA synchronous = OFF"
        return self._database.execute(sql, parameters)


@pytest.mark.requirement("record-before-effect.outbox-durable")
@pytest.mark.parametrize("seed", range(30))
def test_every_answered_append_is_there_after_a_power_cut(tmp_path: Path, seed: int) -> None:
    directory = tmp_path / "outbox"

    live_and_die(directory, seed, Synced)

    with open_outbox(directory, mint=names(100)) as outbox:  # reads the whole file
        reader = read_outboxes(directory)
        assert outbox.replica == reader.replicas()[0], "the file is not whole"
        assert len(reader.replicas()) == 1
        assert reader.missing(outbox.replica) == ()


@pytest.mark.requirement("record-before-effect.outbox-durable")
def test_an_outbox_that_does_not_sync_loses_what_it_answered(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    losses = 0
    for seed in range(5):
        directory = tmp_path / str(seed)
        try:
            losses += bool(lost(directory, live_and_die(directory, seed, Unsynced)))
        except OutboxError:
            losses += 1  # not even whole
    assert losses >= 3
