"""What the committer relies on in outboxes: the real ones and the fake give the same."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.accounts.entries import Attempt
from controller.clients.outbox.errors import OutboxDamagedError, UnknownReplicaError
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.reader import Outboxes
from controller.clients.outbox.rows import FOLD_WINDOW_MS, Position, RowKind
from reconcilers.inbox import Inbox, ReadsOutboxes
from tests.fakes.ledger_ports import FakeOutboxes
from tests.ledgers import NOON, Clock
from tests.outboxes import database_of, names, overwrite


@dataclass
class Case:
    """One replica with two bodies, a denial and its repeats, numbered from 1."""

    outboxes: ReadsOutboxes
    replica: str
    clock: Clock
    damage: Callable[[], None]
    die: Callable[[], None]

    def attempt(self, number: int) -> Attempt:
        """One of its rows."""
        return Attempt(self.replica, number)


def real_case(directory: Path) -> Case:
    clock = Clock()
    outbox = Outbox.open(directory, clock_ms=clock, mint=names())

    async def fill() -> None:
        await outbox.append(b"one", kind=RowKind.BODY, key="k1", made_at=NOON)
        await outbox.append(b"two", kind=RowKind.REASON, key="k2", made_at=NOON)
        await outbox.append_denial(b"three", fold="f", made_at=NOON)
        for _ in range(3):
            await outbox.append_denial(b"four", fold="f", made_at=NOON + 1)

    asyncio.run(fill())
    return Case(
        Outboxes(directory, clock_ms=clock),
        outbox.replica,
        clock,
        lambda: overwrite(database_of(directory, outbox.replica)),
        outbox.close,
    )


def fake_case(_directory: Path) -> Case:
    clock = Clock()
    fake = FakeOutboxes(clock=clock)
    fake.append("r", RowKind.BODY, b"one", key="k1", made_at=NOON)
    fake.append("r", RowKind.REASON, b"two", key="k2", made_at=NOON)
    denial = fake.append("r", RowKind.DENIAL, b"three", key="f", made_at=NOON)
    fake.repeat(denial, b"four", count=3, made_at=NOON + 1, until=NOON + FOLD_WINDOW_MS)
    return Case(fake, "r", clock, lambda: fake.damaged.add("r"), lambda: fake.dead.add("r"))


@pytest.fixture(params=[real_case, fake_case], ids=["the real ones", "the fake"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    made: Case = request.param(tmp_path / "outboxes")
    yield made
    made.die()


def test_rows_come_by_number_and_are_found(case: Case) -> None:
    assert case.outboxes.replicas() == (case.replica,)
    rows = case.outboxes.pull(case.replica, after=0, limit=10)
    told = [(row.attempt.number, row.kind, row.body, row.final) for row in rows]
    assert told == [
        (1, RowKind.BODY, b"one", True),
        (2, RowKind.REASON, b"two", True),
        (3, RowKind.DENIAL, b"three", True),
        (4, RowKind.REPEATS, b"four", False),
    ]
    assert case.outboxes.pull(case.replica, after=1, limit=2) == rows[1:3]
    assert case.outboxes.find(case.attempt(3)) == rows[2]
    assert case.outboxes.find(case.attempt(9)) is None
    assert case.outboxes.find(Attempt("another", 1)) is None


def test_repeats_are_final_once_they_can_count_no_more(case: Case) -> None:
    with pytest.raises(ValueError, match="final"):
        case.outboxes.acknowledge([case.attempt(4)])
    case.clock.now += 2 * FOLD_WINDOW_MS
    row = case.outboxes.find(case.attempt(4))
    assert row is not None
    assert (row.final, row.of, row.count, row.made_at, row.last) == (
        True,
        3,
        3,
        NOON + 1,
        NOON + 1,
    )


def test_what_is_acknowledged_is_gone_and_again_is_no_harm(case: Case) -> None:
    for _ in range(2):
        case.outboxes.acknowledge([case.attempt(1), case.attempt(3), Attempt("another", 1)])
    left = case.outboxes.pull(case.replica, after=0, limit=10)
    assert [row.attempt.number for row in left] == [2, 4]
    assert case.outboxes.find(case.attempt(1)) is None
    assert case.outboxes.position(case.replica) == Position(4, 1)


def test_a_drained_outbox_of_a_dead_process_can_be_swept(case: Case) -> None:
    case.clock.now += 2 * FOLD_WINDOW_MS
    case.outboxes.pull(case.replica, after=0, limit=10)
    case.outboxes.acknowledge([case.attempt(number) for number in range(1, 5)])
    assert case.outboxes.drained() == {}
    case.die()
    assert case.outboxes.drained() == {case.replica: Position(4, 4)}
    assert case.outboxes.sweep({case.replica: Position(9, 9)}) == ()
    assert case.outboxes.sweep({case.replica: Position(4, 4)}) == (case.replica,)
    assert case.outboxes.replicas() == ()
    with pytest.raises(UnknownReplicaError):
        case.outboxes.pull(case.replica, after=0, limit=1)


def test_a_damaged_outbox_is_told_by_all_that_reads_it(case: Case) -> None:
    case.die()
    case.damage()
    with pytest.raises(OutboxDamagedError):
        case.outboxes.pull(case.replica, after=0, limit=1)
    with pytest.raises(OutboxDamagedError):
        case.outboxes.find(case.attempt(1))
    with pytest.raises(OutboxDamagedError):
        case.outboxes.position(case.replica)
    inbox = Inbox(case.outboxes)
    inbox.pull()
    assert list(inbox.damaged) == [case.replica]
    assert inbox.find(case.attempt(1)) is None


def test_the_inbox_remembers_rows_without_their_bodies_and_pulls_only_what_is_new(
    case: Case,
) -> None:
    inbox = Inbox(case.outboxes)
    inbox.pull()
    inbox.pull()
    assert [row.body for row in inbox.rows.values()] == [b""] * 4
    assert inbox.pulled_to == {case.replica: 4}
    found = inbox.find(case.attempt(1))
    assert found is not None
    assert found.body == b"one"
    inbox.acknowledge([case.attempt(1)])
    assert list(inbox.rows) == [case.attempt(number) for number in (2, 3, 4)]
    again = Inbox(case.outboxes)
    again.pull()
    assert list(again.rows) == list(inbox.rows)
