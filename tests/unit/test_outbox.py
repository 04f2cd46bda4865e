"""Appending: numbers, kinds, counted repeats, whose file it is, and what is refused."""

import asyncio
import fcntl
import sqlite3
import stat
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import pytest

from controller.accounts.entries import Attempt
from controller.clients.outbox.database import Code
from controller.clients.outbox.errors import (
    OutboxClosedError,
    OutboxDamagedError,
    OutboxError,
    OutboxFullError,
    RowTooLargeError,
)
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.rows import MAX_BODY_BYTES, MAX_KEY_BYTES, Row, RowKind
from tests.outboxes import (
    DAMAGE,
    MINUTE,
    NOON,
    Clock,
    FailingOnce,
    database_of,
    names,
    open_outbox,
    read_outboxes,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where no outbox has been yet."""
    return tmp_path / "state" / "outbox"


@pytest.fixture
def clock() -> Clock:
    """Noon."""
    return Clock()


@pytest.fixture
def outbox(directory: Path, clock: Clock) -> Generator[Outbox, None, None]:
    """The only one there."""
    with open_outbox(directory, clock=clock) as opened:
        yield opened


async def append(outbox: Outbox, body: bytes = b"{}", *, made_at: int = NOON) -> Attempt:
    return await outbox.append(body, kind=RowKind.BODY, key="change/uid/7", made_at=made_at)


def rows(directory: Path, replica: str, *, now: int = NOON) -> tuple[Row, ...]:
    return read_outboxes(directory, clock=Clock(now)).pull(replica, after=0, limit=1000)


async def test_a_body_is_stored_as_it_was_given(outbox: Outbox, directory: Path) -> None:
    attempt = await outbox.append(b"\x00{}", kind=RowKind.BODY, key="change/uid/7", made_at=5)

    assert rows(directory, outbox.replica) == (
        Row(attempt, RowKind.BODY, "change/uid/7", 5, 5, b"\x00{}", last=5),
    )


async def test_numbers_follow_each_other_from_one(outbox: Outbox) -> None:
    attempts = [await append(outbox) for _ in range(3)]

    assert attempts == [Attempt(outbox.replica, number) for number in (1, 2, 3)]


async def test_callers_at_the_same_time_get_a_number_each(outbox: Outbox, directory: Path) -> None:
    bodies = [str(index).encode() for index in range(700)]

    attempts = await asyncio.gather(*(append(outbox, body) for body in bodies))

    assert sorted(attempt.number for attempt in attempts) == list(range(1, 701))
    stored = {row.attempt: row.body for row in rows(directory, outbox.replica)}
    assert stored == dict(zip(attempts, bodies, strict=True))


async def test_numbers_go_on_in_the_next_process(directory: Path) -> None:
    with open_outbox(directory) as first:
        await append(first)
    with open_outbox(directory, mint=names(50)) as second:
        assert await append(second) == Attempt(first.replica, 2)


async def test_a_number_is_not_given_again_after_its_row_was_acknowledged(directory: Path) -> None:
    with open_outbox(directory) as first:
        read_outboxes(directory).acknowledge([await append(first)])
    with open_outbox(directory) as second:
        assert (await append(second)).number == 2


async def test_what_waits_is_counted(outbox: Outbox, directory: Path) -> None:
    attempts = [await append(outbox) for _ in range(4)]
    assert await outbox.waiting() == 4

    read_outboxes(directory).acknowledge([attempts[0], attempts[2]])

    assert await outbox.waiting() == 2


# What is refused


@pytest.mark.parametrize(
    ("body", "key"),
    [
        pytest.param(bytes(MAX_BODY_BYTES + 1), "k", id="a body above four MiB"),
        pytest.param(b"", "ü" * (MAX_KEY_BYTES // 2 + 1), id="a key above four KiB"),
    ],
)
async def test_a_row_too_large_is_refused_and_stored_by_nobody(
    outbox: Outbox, directory: Path, body: bytes, key: str
) -> None:
    with pytest.raises(RowTooLargeError, match="bytes are more than"):
        await outbox.append(body, kind=RowKind.BODY, key=key, made_at=NOON)
    with pytest.raises(RowTooLargeError):
        await outbox.append_denial(body, fold=key, made_at=NOON)

    assert rows(directory, outbox.replica) == ()


async def test_the_largest_row_is_taken(outbox: Outbox, directory: Path) -> None:
    body, key = b"x" * MAX_BODY_BYTES, "k" * MAX_KEY_BYTES

    await outbox.append(body, kind=RowKind.BODY, key=key, made_at=NOON)

    assert [(row.body, row.key) for row in rows(directory, outbox.replica)] == [(body, key)]


@pytest.mark.parametrize(
    ("key", "made_at", "field"),
    [
        pytest.param("\ud800", NOON, "key", id="a key that is no text"),
        pytest.param("k", -1, "made_at", id="a time before time"),
        pytest.param("k", 2**63, "made_at", id="a time that no file holds"),
    ],
)
async def test_an_odd_argument_is_refused_alone(
    outbox: Outbox, key: str, made_at: int, field: str
) -> None:
    good, bad = await asyncio.gather(
        append(outbox),
        outbox.append(b"", kind=RowKind.BODY, key=key, made_at=made_at),
        return_exceptions=True,
    )

    assert good == Attempt(outbox.replica, 1)
    assert isinstance(bad, ValueError)
    assert str(bad).startswith(f"{field}: ")


async def test_a_closed_outbox_stores_nothing_more(directory: Path) -> None:
    outbox = open_outbox(directory)
    outbox.close()
    outbox.close()

    with pytest.raises(OutboxClosedError):
        await append(outbox)
    assert rows(directory, outbox.replica) == ()


async def test_what_was_asked_for_before_the_close_is_stored(directory: Path) -> None:
    outbox = open_outbox(directory)
    asked = [asyncio.ensure_future(append(outbox)) for _ in range(300)]
    await asyncio.sleep(0)

    await asyncio.to_thread(outbox.close)

    assert len(await asyncio.gather(*asked)) == 300
    assert len(rows(directory, outbox.replica)) == 300


# The event loop


async def test_the_event_loop_goes_on_while_the_file_is_locked(
    outbox: Outbox, directory: Path
) -> None:
    with closing(
        sqlite3.connect(database_of(directory, outbox.replica), isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        appending = asyncio.ensure_future(append(outbox))
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not appending.done()
        other.execute("ROLLBACK")

        assert await appending == Attempt(outbox.replica, 1)


# Faults of the disk


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "COMMIT"])
@pytest.mark.parametrize(
    ("code", "fault", "advice"),
    [
        pytest.param(Code.FULL, OutboxFullError, "free space", id="disk full"),
        pytest.param(Code.IOERR | 3 << 8, OutboxFullError, "free space", id="a write failed"),
        pytest.param(Code.READONLY, OutboxFullError, "free space", id="mounted read-only"),
        pytest.param(Code.CORRUPT, OutboxDamagedError, "move it", id="damaged"),
        pytest.param(Code.BUSY, OutboxError, "locked by another process", id="locked"),
        pytest.param(1, OutboxError, "result code 1", id="anything else"),
    ],
)
async def test_a_transaction_that_fails_is_no_answer_and_the_next_one_is_taken(
    directory: Path, statement: str, code: int, fault: type[OutboxError], advice: str
) -> None:
    plan = FailingOnce(statement, code)
    with open_outbox(directory, connect=plan) as outbox:
        await append(outbox, b"before")
        plan.is_armed = True

        with pytest.raises(fault, match=advice) as raised:
            await append(outbox, b"refused")

        assert str(directory) in str(raised.value)
        assert await append(outbox, b"after") == Attempt(outbox.replica, 2)
        assert [row.body for row in rows(directory, outbox.replica)] == [b"before", b"after"]


async def test_all_callers_of_a_transaction_that_fails_are_told(directory: Path) -> None:
    plan = FailingOnce("COMMIT", Code.FULL)
    with open_outbox(directory, connect=plan) as outbox:
        plan.is_armed = True
        told = await asyncio.gather(*(append(outbox) for _ in range(100)), return_exceptions=True)

        stored = {row.attempt for row in rows(directory, outbox.replica)}
    refused = [answer for answer in told if isinstance(answer, OutboxFullError)]
    assert refused
    assert stored == {answer for answer in told if isinstance(answer, Attempt)}
    assert len(refused) + len(stored) == 100


async def test_a_defect_is_told_to_its_caller_and_ends_nothing(directory: Path) -> None:
    def broken_clock() -> int:
        raise RuntimeError("the clock is broken")

    with open_outbox(directory, clock=broken_clock) as outbox:
        with pytest.raises(RuntimeError, match="the clock is broken"):
            await outbox.append_denial(b"", fold="f", made_at=NOON)
        assert (await append(outbox)).number == 1


# Callers that go away


async def test_a_caller_that_is_cancelled_costs_nobody_else_the_answer(outbox: Outbox) -> None:
    first = asyncio.ensure_future(append(outbox))
    second = asyncio.ensure_future(append(outbox))
    await asyncio.sleep(0)
    first.cancel()

    assert await second == Attempt(outbox.replica, 2)
    with pytest.raises(asyncio.CancelledError):
        await first


def test_callers_on_another_event_loop_are_answered_there(outbox: Outbox) -> None:
    assert asyncio.run(append(outbox)).number == 1
    assert asyncio.run(append(outbox)).number == 2


# Repeats of a denial


async def deny(outbox: Outbox, made_at: int, *, fold: str = "agent/rule") -> int:
    attempt = await outbox.append_denial(
        f"denied at {made_at}".encode(), fold=fold, made_at=made_at
    )
    return attempt.number


async def test_the_first_denial_is_ready_at_once(outbox: Outbox, directory: Path) -> None:
    await deny(outbox, NOON)

    (row,) = rows(directory, outbox.replica)
    assert (row.kind, row.key, row.ready_at) == (RowKind.DENIAL, "agent/rule", NOON)
    assert row.final


async def test_repeats_within_a_minute_are_counted_in_one_row(
    outbox: Outbox, directory: Path
) -> None:
    numbers = [await deny(outbox, NOON + offset) for offset in (0, 10, 20_000, MINUTE - 1)]

    assert numbers == [1, 2, 2, 2]
    _, repeats = rows(directory, outbox.replica, now=NOON + MINUTE)
    assert repeats == Row(
        Attempt(outbox.replica, 2),
        RowKind.REPEATS,
        "agent/rule",
        made_at=NOON + 10,
        ready_at=NOON + MINUTE,
        body=f"denied at {NOON + 10}".encode(),
        of=1,
        count=3,
        last=NOON + MINUTE - 1,
    )


async def test_repeats_at_the_same_time_are_all_counted(outbox: Outbox, directory: Path) -> None:
    await asyncio.gather(*(deny(outbox, NOON + offset) for offset in range(500)))

    first, repeats = rows(directory, outbox.replica)
    assert (first.count, repeats.count, repeats.last) == (1, 499, NOON + 499)


async def test_denials_that_have_nothing_in_common_are_not_counted_together(
    outbox: Outbox, directory: Path
) -> None:
    await deny(outbox, NOON, fold="one")
    await deny(outbox, NOON, fold="two")

    assert [row.kind for row in rows(directory, outbox.replica)] == [RowKind.DENIAL] * 2


async def test_a_denial_after_the_minute_starts_anew(
    outbox: Outbox, directory: Path, clock: Clock
) -> None:
    await deny(outbox, NOON)
    await deny(outbox, NOON + 1)
    clock.now = NOON + MINUTE
    await deny(outbox, NOON + MINUTE)
    await deny(outbox, NOON + MINUTE + 1)

    found = rows(directory, outbox.replica)
    assert [(row.kind, row.of) for row in found] == [
        (RowKind.DENIAL, None),
        (RowKind.REPEATS, 1),
        (RowKind.DENIAL, None),
        (RowKind.REPEATS, 3),
    ]


async def test_a_call_that_was_overtaken_by_the_first_is_a_repeat(outbox: Outbox) -> None:
    assert [await deny(outbox, NOON), await deny(outbox, NOON - 5)] == [1, 2]
    assert await deny(outbox, NOON - 6) == 2


async def test_the_minute_goes_on_in_the_next_process(directory: Path) -> None:
    with open_outbox(directory) as outbox:
        await deny(outbox, NOON)
        await deny(outbox, NOON + 1)
    with open_outbox(directory) as outbox:
        assert await deny(outbox, NOON + 2) == 2

    assert [row.count for row in rows(directory, outbox.replica)] == [1, 2]


@pytest.mark.requirement("record-before-effect.outbox-complete")
async def test_nothing_is_counted_in_a_row_that_was_told(outbox: Outbox, directory: Path) -> None:
    """A call that took long: its window is over for the ledger, not yet for the outbox."""
    await deny(outbox, NOON)
    await deny(outbox, NOON + 1)
    told = rows(directory, outbox.replica, now=NOON + MINUTE)

    assert await deny(outbox, NOON + 2) == 3

    assert rows(directory, outbox.replica)[:2] == told
    assert rows(directory, outbox.replica)[2].kind is RowKind.DENIAL


# Whose file it is


@pytest.mark.requirement("record-before-effect.outbox-complete")
async def test_a_file_whose_process_lives_is_not_taken_over(
    outbox: Outbox, directory: Path
) -> None:
    with open_outbox(directory, mint=names(2)) as second:
        assert second.replica != outbox.replica
        assert (await append(second)).number == 1
    assert sorted(read_outboxes(directory).replicas()) == [outbox.replica, second.replica]


def test_a_name_that_is_taken_is_not_used_again(outbox: Outbox, directory: Path) -> None:
    with open_outbox(directory, mint=names(1)) as second:
        assert second.replica != outbox.replica


def test_a_file_that_was_never_made_whole_is_left_alone(directory: Path) -> None:
    """A process died between making the owner's file and the database."""
    directory.mkdir(parents=True)
    mint = names()
    (directory / f"outbox-{mint()}.owner").touch()

    with open_outbox(directory, mint=mint) as outbox:
        assert read_outboxes(directory).replicas() == (outbox.replica,)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_a_damaged_file_is_left_as_it_is_and_a_new_one_begun(
    directory: Path, damage: Callable[[Path], None]
) -> None:
    with open_outbox(directory) as first:
        await append(first)
    damage(database_of(directory, first.replica))

    with open_outbox(directory, mint=names(2)) as second:
        assert second.replica != first.replica
        assert (await append(second)).number == 1


def test_a_file_of_another_program_is_not_written_to(directory: Path) -> None:
    with open_outbox(directory) as first:
        pass
    path = database_of(directory, first.replica)
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()

    with open_outbox(directory, mint=names(2)) as second:
        assert second.replica != first.replica
    assert path.read_bytes() == before


def test_only_the_owner_can_read_an_outbox(outbox: Outbox, directory: Path) -> None:
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert set(modes.values()) == {0o600}, modes


def test_a_directory_that_is_open_to_others_is_closed(directory: Path) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o777)

    with open_outbox(directory):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OutboxFullError, match=r"file/outbox: cannot be made"):
        open_outbox(tmp_path / "file" / "outbox")


def test_a_replica_is_a_ulid(directory: Path) -> None:
    with pytest.raises(ValueError, match="is no ULID"):
        open_outbox(directory, mint=lambda: "../etc")


def test_the_lock_goes_with_the_outbox(directory: Path) -> None:
    outbox = open_outbox(directory)
    owner = directory / f"outbox-{outbox.replica}.owner"
    with owner.open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    outbox.close()

    with owner.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


async def test_a_body_of_which_nothing_came_is_withdrawn_and_its_number_never_given_again(
    outbox: Outbox, directory: Path
) -> None:
    refused, kept = await append(outbox, b"refused"), await append(outbox, b"kept")
    await outbox.withdraw(refused)
    assert [row.body for row in rows(directory, outbox.replica)] == [b"kept"]
    assert (await append(outbox)).number == kept.number + 1


async def test_a_body_of_another_replica_is_left_to_it(outbox: Outbox, directory: Path) -> None:
    kept = await append(outbox, b"kept")
    await outbox.withdraw(Attempt("another", kept.number))
    assert [row.body for row in rows(directory, outbox.replica)] == [b"kept"]
