"""Files removed or replaced under a running outbox: nobody is promised what nobody would find."""

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.accounts.entries import Attempt
from controller.clients.outbox.errors import OutboxDamagedError, OutboxError, OutboxLostError
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.rows import RowKind
from tests.outboxes import NOON, Clock, database_of, names, open_outbox, read_outboxes

Loss = Callable[[Path, str], None]


def without(suffix: str) -> Loss:
    """One of the files is removed."""

    def lose(directory: Path, replica: str) -> None:
        (directory / f"outbox-{replica}.{suffix}").unlink()

    return lose


def without_any(directory: Path, _: str) -> None:
    for path in directory.iterdir():
        path.unlink()


def without_directory(directory: Path, _: str) -> None:
    shutil.rmtree(directory)


def moved_away(directory: Path, _: str) -> None:
    directory.rename(directory.with_name("moved"))


def replaced_by_an_empty_one(directory: Path, replica: str) -> None:
    moved_away(directory, replica)
    directory.mkdir()


def replaced_by_a_copy(directory: Path, replica: str) -> None:
    moved_away(directory, replica)
    shutil.copytree(directory.with_name("moved"), directory)


def replaced_by_a_file(directory: Path, replica: str) -> None:
    database = database_of(directory, replica)
    copy = database.with_name("copy")
    shutil.copy(database, copy)
    copy.rename(database)


def replaced_by_no_directory(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.touch()


def without_that_file(directory: Path) -> None:
    directory.unlink()


def put_others_there(directory: Path, replica: str) -> list[Path]:
    replaced_by_an_empty_one(directory, replica)
    database = database_of(directory, replica)
    theirs = [database, database.with_name(f"{database.name}-wal")]
    for path in theirs:
        path.write_bytes(b"theirs")
    return theirs


BESIDE = {
    "the log is removed": without("sqlite-wal"),
    "the index is removed": without("sqlite-shm"),
    "the owner's file is removed": without("owner"),
}
ALL = {
    "the database is removed": without("sqlite"),
    "all files are removed": without_any,
    "the directory is removed": without_directory,
    "the directory is moved": moved_away,
    "an empty directory takes its place": replaced_by_an_empty_one,
    "a copy of the directory takes its place": replaced_by_a_copy,
    "a copy of the database takes its place": replaced_by_a_file,
}
AT_ONCE = ["the database is removed", "the directory is moved"]
each_loss = pytest.mark.parametrize("lose", [*BESIDE.values(), *ALL.values()], ids=[*BESIDE, *ALL])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where no outbox has been yet."""
    return tmp_path / "outbox"


async def append(outbox: Outbox, body: bytes) -> Attempt:
    return await outbox.append(body, kind=RowKind.BODY, key="change/uid/7", made_at=NOON)


def stored(directory: Path) -> dict[Attempt, bytes]:
    """What a leader that begins now would pull; what cannot be read is passed over."""
    reader = read_outboxes(directory)
    found: dict[Attempt, bytes] = {}
    for replica in reader.replicas():
        try:
            rows = reader.pull(replica, after=0, limit=1_000_000)
        except OutboxDamagedError:
            continue
        found |= {row.attempt: row.body for row in rows}
    return found


@pytest.mark.requirement("record-before-effect.outbox-durable")
@each_loss
async def test_what_is_appended_after_the_loss_is_where_a_reader_finds_it(
    directory: Path, lose: Loss
) -> None:
    with open_outbox(directory) as outbox:
        before = [await append(outbox, b"before") for _ in range(3)]
        lose(directory, outbox.replica)

        after = await asyncio.gather(*(append(outbox, b"after") for _ in range(20)))

        found = stored(directory)
        assert {attempt: found.get(attempt) for attempt in after} == dict.fromkeys(after, b"after")
        assert not {*before} & {*after}, "a number was given twice"


@pytest.mark.requirement("record-before-effect.outbox-durable")
@each_loss
async def test_a_transaction_during_which_the_files_are_lost_is_refused_by_name(
    directory: Path, lose: Loss
) -> None:
    todo = [lose]

    def clock() -> int:  # called on the writer's thread, inside the transaction
        if todo:
            todo.pop()(directory, outbox.replica)
        return NOON

    with open_outbox(directory, clock=clock) as outbox:
        before = await append(outbox, b"before")

        with pytest.raises(OutboxLostError, match="was removed or replaced under us") as refused:
            await outbox.append_denial(b"denied", fold="f", made_at=NOON)

        assert str(refused.value).startswith(f"outbox {directory}")
        after = await outbox.append_denial(b"denied", fold="g", made_at=NOON)
        assert stored(directory)[after] == b"denied"
        assert after != before


@pytest.mark.requirement("record-before-effect.outbox-durable")
@pytest.mark.parametrize("lose", BESIDE.values(), ids=BESIDE.keys())
async def test_what_lies_beside_the_database_is_made_again_and_no_row_is_lost(
    directory: Path, lose: Loss
) -> None:
    with open_outbox(directory) as outbox:
        replica = outbox.replica
        before = [await append(outbox, b"before") for _ in range(3)]
        lose(directory, replica)
        after = await append(outbox, b"after")

        assert after == Attempt(replica, 4)
        assert set(stored(directory)) == {*before, after}
        assert read_outboxes(directory).missing(replica) == ()
        with open_outbox(directory, mint=names(50)) as second:
            assert second.replica != replica, "the lock is held anew"


@pytest.mark.requirement("record-before-effect.outbox-durable")
@pytest.mark.parametrize(
    "lose",
    [without("sqlite"), without_any, without_directory, moved_away],
    ids=["the database", "all files", "the directory", "the directory, which is kept"],
)
async def test_rows_that_went_with_their_file_are_named_by_another_replica_than_later_ones(
    directory: Path, lose: Loss
) -> None:
    with open_outbox(directory) as outbox:
        before = await append(outbox, b"before")
        lose(directory, outbox.replica)
        after = await append(outbox, b"after")

        assert after == Attempt(outbox.replica, 1)
        assert after.replica != before.replica


async def test_a_database_that_is_missing_is_reported_and_does_not_pass_for_a_drained_one(
    directory: Path,
) -> None:
    with open_outbox(directory) as outbox:
        lost = outbox.replica
        await append(outbox, b"before")
        without("sqlite")(directory, lost)
        await append(outbox, b"after")
        reader = read_outboxes(directory)

        assert set(reader.replicas()) == {lost, outbox.replica}
        with pytest.raises(OutboxDamagedError, match="is in no ledger, and nothing tells how much"):
            reader.pull(lost, after=0, limit=10)
        assert lost not in reader.drained()


@pytest.mark.requirement("record-before-effect.outbox-complete")
async def test_an_older_copy_of_the_file_does_not_give_a_number_again(directory: Path) -> None:
    backup = directory.with_name("backup")
    with open_outbox(directory) as outbox:
        replica = outbox.replica
        await append(outbox, b"1")
        shutil.copytree(directory, backup)
        await append(outbox, b"2")
        shutil.rmtree(directory)
        backup.rename(directory)

        assert await append(outbox, b"3") == Attempt(replica, 3)
        assert {attempt.number for attempt in stored(directory)} == {1, 3}
        assert read_outboxes(directory).missing(replica) == (2,)


async def test_what_somebody_put_in_the_place_of_our_files_is_not_removed(directory: Path) -> None:
    """SQLite removes the log by name when the last connection closes."""
    with open_outbox(directory) as outbox:
        await append(outbox, b"before")
        replica = outbox.replica
        theirs = put_others_there(directory, replica)

        await append(outbox, b"after")

    assert {path.name: path.read_bytes() for path in theirs} == dict.fromkeys(
        (path.name for path in theirs), b"theirs"
    )


async def test_while_no_other_file_can_be_made_writes_are_refused_and_then_taken_again(
    directory: Path,
) -> None:
    with open_outbox(directory) as outbox:
        await append(outbox, b"before")
        replaced_by_no_directory(directory)

        for _ in range(2):
            with pytest.raises(OutboxError, match=str(directory)):
                await append(outbox, b"refused")
        without_that_file(directory)

        after = await append(outbox, b"after")
        assert stored(directory) == {after: b"after"}


@pytest.mark.requirement("record-before-effect.outbox-durable")
@pytest.mark.parametrize(
    "lose", [*BESIDE.values(), without("sqlite"), moved_away], ids=[*BESIDE, *AT_ONCE]
)
async def test_while_callers_append_at_any_time_every_answer_is_kept_from_the_loss_on(
    directory: Path, lose: Loss
) -> None:
    """The files are lost by another thread, wherever the writer happens to be."""
    answered: dict[Attempt, bytes] = {}
    refused: list[OutboxLostError] = []
    lost = threading.Event()

    async def caller(name: int) -> None:
        left = 40
        while left:
            is_after = lost.is_set()
            body = f"{name}-{left}".encode()
            try:
                attempt = await append(outbox, body)
            except OutboxLostError as error:
                refused.append(error)
                continue
            assert attempt not in answered
            if is_after:
                answered[attempt] = body
                left -= 1

    def lose_it() -> None:
        lose(directory, outbox.replica)
        lost.set()

    with open_outbox(directory) as outbox:
        await append(outbox, b"before")
        await asyncio.gather(asyncio.to_thread(lose_it), *(caller(name) for name in range(8)))

    found = stored(directory)
    assert {attempt: found.get(attempt) for attempt in answered} == answered
    assert len(answered) == 8 * 40
    assert len(refused) <= 8, "one transaction is refused, and the next is taken"


async def test_a_quiet_outbox_finds_the_loss_with_its_next_write(directory: Path) -> None:
    clock = Clock()
    with open_outbox(directory, clock=clock) as outbox:
        without_directory(directory, outbox.replica)

        attempt = await outbox.append_denial(b"denied", fold="f", made_at=NOON)

        assert stored(directory) == {attempt: b"denied"}
