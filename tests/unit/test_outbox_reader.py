"""The ledger's side: pull, find, acknowledge, what is missing, damage, and sweeping."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from controller.accounts.entries import Attempt
from controller.clients.outbox.errors import OutboxDamagedError, UnknownReplicaError
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.reader import MAX_PULL_BYTES
from controller.clients.outbox.rows import MAX_BODY_BYTES, Position, RowKind
from tests.outboxes import (
    DAMAGE,
    MINUTE,
    NOON,
    Clock,
    database_of,
    names,
    open_outbox,
    read_outboxes,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where no outbox has been yet."""
    return tmp_path / "outbox"


async def append(outbox: Outbox, count: int = 1, *, body: bytes = b"{}") -> list[Attempt]:
    return [
        await outbox.append(body, kind=RowKind.BODY, key="k", made_at=NOON) for _ in range(count)
    ]


async def give_reason(outbox: Outbox, change: str, text: str) -> Attempt:
    return await outbox.append(text.encode(), kind=RowKind.REASON, key=change, made_at=NOON)


def stop_after(directory: Path, count: int, *, first_name: int = 1) -> str:
    """A process that appended so many rows and ended; its replica."""
    with open_outbox(directory, mint=names(first_name)) as outbox:
        asyncio.run(append(outbox, count))
    return outbox.replica


def forget_row(directory: Path, replica: str, number: int) -> None:
    """Lose one row, as no process of ours does."""
    with closing(sqlite3.connect(database_of(directory, replica))) as connection, connection:
        connection.execute("DELETE FROM rows WHERE number = ?", (number,))


def test_a_directory_that_is_not_there_holds_nothing(directory: Path) -> None:
    reader = read_outboxes(directory)

    assert reader.replicas() == ()
    assert reader.find_reason("change") is None
    assert reader.drained() == {}
    assert reader.sweep({}) == ()
    assert not directory.exists()


# Pull and find


async def test_a_pull_goes_on_where_the_last_one_ended(directory: Path) -> None:
    with open_outbox(directory) as outbox:
        await append(outbox, 5)
        reader = read_outboxes(directory)

        pulled = [reader.pull(outbox.replica, after=after, limit=2) for after in (0, 2, 4, 5)]

    assert [[row.attempt.number for row in rows] for rows in pulled] == [[1, 2], [3, 4], [5], []]


async def test_a_pull_is_bounded_in_bytes_but_brings_something(directory: Path) -> None:
    with open_outbox(directory) as outbox:
        await append(outbox, 10, body=bytes(MAX_BODY_BYTES))
        reader = read_outboxes(directory)
        pulled = reader.pull(outbox.replica, after=0, limit=100)
        rest = reader.pull(outbox.replica, after=len(pulled), limit=100)

    assert len(pulled) == MAX_PULL_BYTES // MAX_BODY_BYTES
    assert len(rest) == 10 - len(pulled)


async def test_a_row_is_found_by_its_attempt_until_it_is_acknowledged(directory: Path) -> None:
    with open_outbox(directory) as outbox:
        (attempt,) = await append(outbox)
        reader = read_outboxes(directory)

        found = reader.find(attempt)
        assert found is not None
        assert found.attempt == attempt
        reader.acknowledge([attempt])
        assert reader.find(attempt) is None


def test_nothing_is_found_of_a_replica_that_is_not_here(directory: Path) -> None:
    reader = read_outboxes(directory)

    assert reader.find(Attempt(names()(), 1)) is None
    with pytest.raises(UnknownReplicaError, match="no such outbox"):
        reader.pull(names()(), after=0, limit=1)


async def test_a_reason_is_found_in_whichever_replica_has_it(directory: Path) -> None:
    mint = names()
    with open_outbox(directory, mint=mint) as one, open_outbox(directory, mint=mint) as two:
        await give_reason(one, "change-1", "because")
        attempt = await give_reason(two, "change-2", "weil es nötig war")
        await two.append(b"{}", kind=RowKind.BODY, key="change-3", made_at=NOON)
        reader = read_outboxes(directory)

        assert reader.find_reason("change-1") == "because"
        assert reader.find_reason("change-2") == "weil es nötig war"
        assert reader.find_reason("change-3") is None
        reader.acknowledge([attempt])
        assert reader.find_reason("change-2") is None


async def test_of_two_reasons_for_a_change_the_last_counts(directory: Path) -> None:
    """The API server asks again, and each time the reason is stored."""
    with open_outbox(directory) as outbox:
        await give_reason(outbox, "change", "first")
        await give_reason(outbox, "change", "last")

        assert read_outboxes(directory).find_reason("change") == "last"


# Counts that are not final


async def test_a_count_is_final_once_its_minute_is_over(directory: Path) -> None:
    clock = Clock()
    reader = read_outboxes(directory, clock=clock)
    with open_outbox(directory) as outbox:
        await outbox.append_denial(b"", fold="f", made_at=NOON)
        repeats = await outbox.append_denial(b"", fold="f", made_at=NOON + 1)

        early = reader.pull(outbox.replica, after=0, limit=10)[1]
        assert (early.final, early.ready_at) == (False, NOON + MINUTE)
        with pytest.raises(ValueError, match="may still count"):
            reader.acknowledge([repeats])
        await outbox.append_denial(b"", fold="f", made_at=NOON + 2)
        clock.now = NOON + MINUTE
        found = reader.find(repeats)

    assert found is not None
    assert (found.final, found.count) == (True, 2)
    reader.acknowledge([repeats])
    assert reader.find(repeats) is None


async def test_a_count_that_was_final_stays_so(directory: Path) -> None:
    """Whatever becomes of the clock: what was told is not counted on."""
    clock = Clock(NOON + MINUTE)
    reader = read_outboxes(directory, clock=clock)
    with open_outbox(directory) as outbox:
        await outbox.append_denial(b"", fold="f", made_at=NOON)
        repeats = await outbox.append_denial(b"", fold="f", made_at=NOON + 1)
        told = reader.find(repeats)
        clock.now = NOON
        await outbox.append_denial(b"", fold="f", made_at=NOON + 2)

        assert reader.find(repeats) == told


async def test_acknowledging_a_count_too_early_acknowledges_nothing(directory: Path) -> None:
    with open_outbox(directory) as outbox:
        first = await outbox.append_denial(b"", fold="f", made_at=NOON)
        repeats = await outbox.append_denial(b"", fold="f", made_at=NOON + 1)
        reader = read_outboxes(directory)
        with pytest.raises(ValueError, match="may still count"):
            reader.acknowledge([first, repeats])

        assert reader.find(first) is not None
        assert reader.position(outbox.replica) == Position(2, 0)


# Acknowledgements


@pytest.mark.parametrize(
    ("acknowledged", "up_to"),
    [
        pytest.param([], 0, id="nothing"),
        pytest.param([1, 2], 2, id="in order"),
        pytest.param([2, 3], 0, id="not the first"),
        pytest.param([3, 1], 1, id="with a gap"),
        pytest.param([5, 4, 3, 2, 1], 5, id="all, backwards"),
        pytest.param([1, 1], 1, id="one twice"),
    ],
)
async def test_the_mark_is_the_last_number_before_the_first_gap(
    directory: Path, acknowledged: list[int], up_to: int
) -> None:
    with open_outbox(directory) as outbox:
        await append(outbox, 5)
        reader = read_outboxes(directory)
        for number in acknowledged:
            reader.acknowledge([Attempt(outbox.replica, number)])

        assert reader.position(outbox.replica) == Position(5, up_to)
        assert reader.missing(outbox.replica) == ()
        rest = {row.attempt.number for row in reader.pull(outbox.replica, after=0, limit=10)}
        assert rest == {1, 2, 3, 4, 5} - set(acknowledged)


async def test_a_row_that_is_lost_is_missing_until_it_is_acknowledged(directory: Path) -> None:
    with open_outbox(directory) as outbox:
        attempts = await append(outbox, 4)
        reader = read_outboxes(directory)
        reader.acknowledge([attempts[3]])
        forget_row(directory, outbox.replica, 2)

        assert reader.missing(outbox.replica) == (2,)
        reader.acknowledge(attempts)
        assert reader.missing(outbox.replica) == ()
        assert reader.position(outbox.replica) == Position(4, 4)


async def test_a_number_that_was_never_given_is_not_acknowledged(directory: Path) -> None:
    """Else the row that gets it later would be lost."""
    with open_outbox(directory) as outbox:
        reader = read_outboxes(directory)
        reader.acknowledge([Attempt(outbox.replica, 1), Attempt(outbox.replica, 0)])
        (attempt,) = await append(outbox)

        assert reader.find(attempt) is not None
        assert reader.position(outbox.replica) == Position(1, 0)


async def test_attempts_of_a_swept_replica_are_passed_over(directory: Path) -> None:
    with open_outbox(directory) as outbox:
        (attempt,) = await append(outbox)
        reader = read_outboxes(directory)

        reader.acknowledge([Attempt(names(99)(), 7), attempt])

        assert reader.position(outbox.replica) == Position(1, 1)


async def test_acknowledging_and_appending_at_the_same_time_lose_nothing(directory: Path) -> None:
    reader = read_outboxes(directory)
    seen: set[Attempt] = set()
    done = threading.Event()

    def take(replica: str) -> None:
        while not done.is_set() or reader.position(replica).highest > len(seen):
            rows = reader.pull(replica, after=len(seen), limit=50)
            reader.acknowledge(row.attempt for row in rows)
            seen.update(row.attempt for row in rows)

    with open_outbox(directory) as outbox:
        taking = asyncio.create_task(asyncio.to_thread(take, outbox.replica))
        appended = await asyncio.gather(*(append(outbox, 100) for _ in range(8)))
        done.set()
        await taking

        assert seen == {attempt for attempts in appended for attempt in attempts}
        assert reader.position(outbox.replica) == Position(800, 800)
        assert await outbox.waiting() == 0


# Damage


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_named_and_the_others_go_on(
    directory: Path, damage: Callable[[Path], None]
) -> None:
    broken = stop_after(directory, 50)
    path = database_of(directory, broken)
    damage(path)
    with open_outbox(directory, mint=names(2)) as whole:
        attempt = asyncio.run(give_reason(whole, "change", "because"))
    reader = read_outboxes(directory)

    for ask in (
        lambda: reader.pull(broken, after=0, limit=100),
        lambda: reader.position(broken),
        lambda: reader.missing(broken),
        lambda: reader.find(Attempt(broken, 50)),
        lambda: reader.acknowledge([Attempt(broken, 50)]),
    ):
        with pytest.raises(OutboxDamagedError, match=path.name):
            ask()
    assert reader.replicas() == (broken, whole.replica)
    assert reader.find(attempt) is not None
    assert reader.find_reason("change") == "because"


def test_a_damaged_file_is_not_swept(directory: Path) -> None:
    broken = stop_after(directory, 3)
    database_of(directory, broken).write_bytes(b"")
    reader = read_outboxes(directory)

    assert reader.drained() == {}
    assert reader.sweep({broken: Position(3, 3)}) == ()
    assert reader.replicas() == (broken,)


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE rows SET kind = 'odd'", id="a kind that no version knows"),
        pytest.param("UPDATE rows SET key = CAST(x'ff' AS TEXT)", id="a key that is not UTF-8"),
    ],
)
def test_a_row_that_nobody_wrote_is_damage(directory: Path, statement: str) -> None:
    replica = stop_after(directory, 1)
    with closing(sqlite3.connect(database_of(directory, replica))) as connection, connection:
        connection.execute(statement)

    with pytest.raises(OutboxDamagedError, match=replica):
        read_outboxes(directory).pull(replica, after=0, limit=1)


def test_a_file_of_another_version_is_not_read(directory: Path) -> None:
    replica = stop_after(directory, 1)
    with closing(sqlite3.connect(database_of(directory, replica))) as connection:
        connection.execute("PRAGMA user_version = 9")

    with pytest.raises(OutboxDamagedError, match="another version of Governor"):
        read_outboxes(directory).pull(replica, after=0, limit=1)


# Sweeping


def test_a_drained_file_is_swept_once_its_position_is_recorded(directory: Path) -> None:
    replica = stop_after(directory, 3)
    reader = read_outboxes(directory)
    reader.acknowledge(Attempt(replica, number) for number in (1, 2, 3))

    recorded = reader.drained()
    assert recorded == {replica: Position(3, 3)}
    assert reader.sweep({}) == ()
    assert reader.sweep(recorded) == (replica,)

    assert reader.replicas() == ()
    assert list(directory.iterdir()) == []


def test_a_file_with_waiting_rows_is_not_swept(directory: Path) -> None:
    replica = stop_after(directory, 2)
    reader = read_outboxes(directory)
    reader.acknowledge([Attempt(replica, 1)])

    assert reader.drained() == {}
    assert reader.sweep({replica: Position(2, 1)}) == ()
    assert reader.find(Attempt(replica, 2)) is not None


async def test_a_file_whose_process_lives_is_not_swept(directory: Path) -> None:
    reader = read_outboxes(directory)
    with open_outbox(directory) as outbox:
        reader.acknowledge(await append(outbox))

        assert reader.drained() == {}
        assert reader.sweep({outbox.replica: Position(1, 1)}) == ()
        assert (await append(outbox))[0].number == 2


def test_a_file_that_went_on_since_it_was_recorded_is_not_swept(directory: Path) -> None:
    replica = stop_after(directory, 1)
    reader = read_outboxes(directory)
    reader.acknowledge([Attempt(replica, 1)])
    recorded = reader.drained()
    assert stop_after(directory, 1) == replica
    reader.acknowledge([Attempt(replica, 2)])

    assert reader.sweep(recorded) == ()
    assert reader.drained() == {replica: Position(2, 2)}


def test_what_a_sweep_that_died_left_is_removed_by_the_next(directory: Path) -> None:
    replica = stop_after(directory, 1)
    (directory / f"outbox-{replica}.owner").write_bytes(b"gone")
    reader = read_outboxes(directory)
    assert reader.replicas() == ()

    assert reader.sweep({}) == ()

    assert list(directory.iterdir()) == []


def test_what_a_start_that_died_left_is_removed(directory: Path) -> None:
    directory.mkdir()
    (directory / f"outbox-{names()()}.owner").touch()

    assert read_outboxes(directory).sweep({}) == ()

    assert list(directory.iterdir()) == []


def test_a_swept_file_is_not_taken_over(directory: Path) -> None:
    replica = stop_after(directory, 0)
    reader = read_outboxes(directory)

    assert reader.sweep(reader.drained()) == (replica,)
    assert stop_after(directory, 0, first_name=2) != replica
