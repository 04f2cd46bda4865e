"""What the committer records, when it lets go, and what it does about faults and crashes."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path

import pytest

from controller.accounts.entries import EntryKey, Outcome
from controller.clients.git.errors import (
    LedgerCorruptError,
    LedgerError,
    LedgerMovedError,
    LedgerStorageError,
)
from controller.clients.git.repository import LedgerRepository
from controller.clients.kube.errors import ConflictError, KubeError, UnreachableError
from controller.clients.kube.ledgerhead import KeptHead
from controller.clients.outbox.errors import OutboxFullError
from controller.clients.outbox.rows import RowKind
from controller.records.seals import read_seal
from reconcilers import drafting
from reconcilers.committer import Committer, CommitterPace
from reconcilers.gathering import LATE_MS, REASON_MS
from tests.committing import World, numbers, rounds
from tests.ledgers import IDENTITY, REPLICA, a_body, a_change, an_entry


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "ledger.git")


def persisted(world: World, *given: int) -> list[EntryKey]:
    """Writes that were granted, took effect, and are seen to have."""
    keys: list[EntryKey] = []
    for number in given:
        entry = world.grant(number)
        world.accounts.put(entry.decided(Outcome.PERSISTED))
        keys.append(entry.key)
        world.clock.now += 1
    world.accounts.watch()
    return keys


def outcomes(world: World) -> list[tuple[object, object, object]]:
    """Type, change and outcome of every record."""
    return [(r["type"], r["change"], r["outcome"]) for r in world.records()]


def test_a_write_with_an_outcome_is_committed_kept_acknowledged_and_told(world: World) -> None:
    keys = persisted(world, 1, 2)
    leader = world.leader()
    assert not rounds(leader)
    assert outcomes(world) == [
        ("write", a_change(1), "persisted"),
        ("write", a_change(2), "persisted"),
    ]
    assert world.outboxes.rows == {}
    assert set(leader.ledgered()) == set(keys)
    assert world.heads.kept is not None
    assert (world.heads.kept.seq, world.heads.kept.ref) == (2, IDENTITY.ref)
    assert world.heads.kept.commit == world.repository().head()
    assert leader.missing() == ()
    assert world.findings() == []


def test_a_write_without_an_outcome_waits(world: World) -> None:
    world.grant(1)
    world.accounts.watch()
    world.clock.now += 10 * LATE_MS
    leader = world.leader()
    assert not rounds(leader)
    assert world.records() == []
    assert numbers(world.outboxes.rows) == [1]
    assert list(leader.ledgered()) == []


def test_what_left_the_account_is_told_no_more(world: World) -> None:
    keys = persisted(world, 1, 2)
    leader = world.leader()
    rounds(leader)
    world.accounts.remove(keys[:1])
    world.accounts.watch()
    rounds(leader)
    assert set(leader.ledgered()) == {keys[1]}


def test_records_come_in_the_order_in_which_they_were_made(world: World) -> None:
    world.denial(1)
    world.clock.now += 5
    entry = world.grant(2, replica="replica-b")
    world.clock.now += 5
    world.denial(3)
    world.accounts.put(entry.decided(Outcome.LOST))
    world.accounts.watch()
    rounds(world.leader())
    assert [record["change"] for record in world.records()] == [a_change(n) for n in (1, 2, 3)]


def test_a_denial_is_recorded_and_acknowledged(world: World) -> None:
    world.denial(1)
    rounds(world.leader())
    assert outcomes(world) == [("denial", a_change(1), "denied")]
    assert world.outboxes.rows == {}


@pytest.mark.parametrize(
    "first",
    [
        pytest.param("waits", id="that waits"),
        pytest.param("recorded", id="that is recorded"),
        pytest.param("lost", id="that is lost"),
    ],
)
def test_repeats_are_recorded_once_they_are_counted_as_of_the_first(
    world: World, first: str
) -> None:
    denial = world.denial(1)
    repeats = world.repeats(denial, count=7, until=world.clock.now + 60_000, body=a_body(2))
    leader = world.leader()
    if first == "recorded":
        assert not rounds(leader)
        assert list(world.outboxes.rows) == [repeats], "it may still count"
    elif first == "lost":
        world.outboxes.rows.pop(denial)
    world.clock.now += 60_000
    rounds(leader)
    record = world.records()[-1]
    assert (record["type"], record["count"]) == ("repeats", 7)
    assert record["change"] == a_change(2 if first == "lost" else 1)
    assert world.outboxes.rows == {}


def test_a_body_that_nobody_reserved_states_the_attempt_only(world: World) -> None:
    world.body(1)
    leader = world.leader()
    rounds(leader)
    world.clock.now += LATE_MS - 1
    rounds(leader)
    assert world.records() == [], "its reservation may be under way"
    world.clock.now += 1
    rounds(leader)
    assert outcomes(world) == [("attempt", a_change(1), "attempted")]
    assert world.outboxes.rows == {}


@pytest.mark.requirement("record-before-effect.committed-once")
def test_a_body_whose_entry_the_watch_has_not_seen_is_no_lone_attempt(world: World) -> None:
    entry = world.grant(1)
    world.clock.now += 2 * LATE_MS
    leader = world.leader()
    rounds(leader, 2)
    assert world.records() == []
    assert numbers(world.outboxes.rows) == [1]
    world.accounts.put(entry.decided(Outcome.PERSISTED))
    world.accounts.watch()
    rounds(leader)
    assert outcomes(world) == [("write", a_change(1), "persisted")]


def test_a_body_of_a_resend_goes_with_the_record_of_its_entry(world: World) -> None:
    persisted(world, 1)
    world.body(1)
    world.clock.now += LATE_MS
    rounds(world.leader())
    assert outcomes(world) == [("write", a_change(1), "persisted")]
    assert world.outboxes.rows == {}


def test_a_write_whose_body_is_lost_is_recorded_by_its_digest(world: World) -> None:
    persisted(world, 1)
    world.outboxes.rows.clear()
    leader = world.leader()
    rounds(leader)
    assert world.records() == [], "an outbox may only be late"
    world.clock.now += LATE_MS
    rounds(leader)
    record = world.records()[0]
    assert str(record["bodyMissing"]).startswith("lost")
    assert record["agent"] == "migrator"
    assert isinstance(record["entry"], dict)
    assert record["entry"]["body"] == an_entry(1).record


def test_a_body_that_was_altered_is_not_taken_for_the_writes(world: World) -> None:
    persisted(world, 1)
    attempt, row = next(iter(world.outboxes.rows.items()))
    world.outboxes.rows[attempt] = replace(row, body=a_body(9))
    rounds(world.leader())
    assert str(world.records()[0]["bodyMissing"]).startswith("altered")


def test_a_reason_is_joined_by_its_change_and_kept_until_no_write_can_come(world: World) -> None:
    entry = world.grant(1)
    now = world.clock.now
    key = a_change(1)
    world.outboxes.append(REPLICA, RowKind.REASON, b"the release", key=key, made_at=now)
    world.outboxes.append(REPLICA, RowKind.REASON, b"nothing", key=a_change(2), made_at=now)
    world.accounts.watch()
    leader = world.leader()
    world.clock.now += REASON_MS
    rounds(leader)
    assert numbers(world.outboxes.rows) == [1, 2], "the other has no write, and never will"
    world.accounts.put(entry.decided(Outcome.PERSISTED))
    world.accounts.watch()
    rounds(leader)
    assert [record["reason"] for record in world.records()] == ["the release"]
    world.accounts.remove([entry.key])
    world.accounts.watch()
    rounds(leader)
    assert world.outboxes.rows == {}


@pytest.mark.requirement("record-before-effect.committed-once")
def test_a_second_leader_knows_what_the_first_committed(world: World) -> None:
    keys = persisted(world, 1, 2)
    world.denial(3)
    rounds(world.leader())
    world.denial(4)
    second = world.leader()
    rounds(second)
    assert sorted(world.identities().values()) == [1, 1, 1, 1]
    assert set(second.ledgered()) == set(keys)


def fail(fault: Exception) -> Callable[..., None]:
    """Something that only fails."""

    def failing(*_arguments: object, **_options: object) -> None:
        raise fault

    return failing


class DeathError(Exception):
    """The process ends here."""


def breaks(
    monkeypatch: pytest.MonkeyPatch, world: World, step: str, fault: Exception, *, after: bool
) -> None:
    """Let one step fail: before it did anything, or after it did everything."""
    owner, name = {
        "git appends": (LedgerRepository, "append"),
        "git moves the ref": (LedgerRepository, "move"),
        "the head is kept": (world.heads, "write"),
        "the outboxes forget": (world.outboxes, "acknowledge"),
        "the outboxes are read": (world.outboxes, "pull"),
    }[step]
    real = getattr(owner, name)

    def broken(*arguments: object, **options: object) -> object:
        done = real(*arguments, **options) if after else None
        if asyncio.iscoroutine(done):
            return _then(done, fault)
        raise fault

    monkeypatch.setattr(owner, name, broken)


async def _then(done: Coroutine[object, object, object], fault: Exception) -> None:
    await done
    raise fault


STEPS = [
    "git appends",
    "git moves the ref",
    "the head is kept",
    "the outboxes forget",
    "the outboxes are read",
]


@pytest.mark.requirement("record-before-effect.committed-once")
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_loses_nothing_and_records_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    keys = persisted(world, 1, 2)
    world.denial(3)
    with monkeypatch.context() as broken:
        breaks(broken, world, step, DeathError(), after=moment == "after")
        leader = world.leader()
        with pytest.raises(DeathError):
            rounds(leader)
        assert list(leader.ledgered()) == []
    if not world.identities():
        assert world.outboxes.acknowledged == set()
    second = world.leader()
    rounds(second)
    assert sorted(world.identities().values()) == [1, 1, 1]
    assert set(second.ledgered()) == set(keys)
    assert world.outboxes.rows == {}
    assert world.findings() == []


FAULTS = [
    pytest.param("git appends", LedgerStorageError("disk full"), id="a full disk"),
    pytest.param("git moves the ref", LedgerError("a hook said no"), id="a hook"),
    pytest.param("the head is kept", UnreachableError("gone"), id="no API server"),
    pytest.param("the outboxes are read", OutboxFullError("busy"), id="an outbox that is busy"),
]


@pytest.mark.requirement("record-before-effect.committed-once")
@pytest.mark.parametrize(("step", "fault"), FAULTS)
def test_a_fault_acknowledges_nothing_and_the_next_round_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, fault: Exception
) -> None:
    persisted(world, 1)
    leader = world.leader()
    with monkeypatch.context() as broken:
        breaks(broken, world, step, fault, after=False)
        for _ in range(2):
            with pytest.raises(type(fault)):
                rounds(leader)
            leader.note(fault)
        assert str(fault) in leader.missing()[0]
        assert world.outboxes.acknowledged == set()
        assert list(leader.ledgered()) == []
    rounds(leader)
    assert leader.missing() == ()
    assert sorted(world.identities().values()) == [1]
    assert numbers(world.outboxes.acknowledged) == [1]


def test_while_it_cannot_commit_it_says_since_when(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    persisted(world, 1)
    leader = world.leader()
    assert leader.missing() == ("ledger: the ledger is not read yet",)
    with monkeypatch.context() as broken:
        breaks(broken, world, "git appends", LedgerStorageError("disk full"), after=False)
        world.clock.now += 4_999
        with pytest.raises(LedgerStorageError):
            rounds(leader)
        assert leader.lag == 5.0
    rounds(leader)
    assert leader.lag == 0.0


@pytest.mark.requirement("history-append-only.one-writer")
def test_of_two_leaders_none_records_twice(world: World) -> None:
    first, second = world.leader(), world.leader()
    rounds(first)
    rounds(second)
    persisted(world, 1)
    world.denial(2)
    rounds(first)
    world.denial(3)
    with pytest.raises((LedgerMovedError, ConflictError)) as moved:
        rounds(second)
    second.note(moved.value)
    rounds(second)
    assert sorted(world.identities().values()) == [1, 1, 1]
    world.denial(4)
    with pytest.raises((LedgerMovedError, ConflictError)) as moved:
        rounds(first)
    first.note(moved.value)
    rounds(first)
    assert sorted(world.identities().values()) == [1, 1, 1, 1]
    assert world.findings() == []


def test_what_another_leader_let_go_of_is_not_waited_for(world: World) -> None:
    first, second = world.leader(), world.leader()
    rounds(first)
    attempt = world.denial(1)
    repeats = world.repeats(attempt, count=2, until=world.clock.now + 60_000, body=a_body(2))
    rounds(first)
    rounds(second)
    world.clock.now += 60_000
    rounds(second)
    assert repeats in world.outboxes.acknowledged
    assert rounds(first), "it still takes them for waiting"
    assert not rounds(first)
    assert (first.lag, first.missing()) == (0.0, ())


async def test_each_term_begins_with_what_the_ledger_says(world: World) -> None:
    first = world.leader()
    await first.round()
    keys = persisted(world, 1)
    await world.leader().round()
    told = asyncio.Event()
    first.subscribe(told.set)
    task = asyncio.create_task(first.run())
    async with asyncio.timeout(20):
        await told.wait()
    assert set(first.ledgered()) == set(keys)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.requirement("history-append-only.one-writer")
def test_a_repository_that_lost_its_end_is_not_continued(world: World) -> None:
    persisted(world, 1)
    rounds(world.leader())
    head = world.repository().head()
    persisted(world, 2)
    rounds(world.leader())
    command = ["git", f"--git-dir={world.directory}", "update-ref", IDENTITY.ref, head]
    subprocess.run(command, check=True)
    persisted(world, 3)
    leader = world.leader()
    for _ in range(2):
        with pytest.raises(LedgerCorruptError, match="lost its end"):
            rounds(leader)
    assert world.repository().head() == head
    assert numbers(world.outboxes.rows) == [3]


def cut_to(world: World, commit: str) -> None:
    """Set the ledger back to that commit, as who can write the repository does."""
    command = ["git", f"--git-dir={world.directory}", "update-ref", IDENTITY.ref, commit]
    subprocess.run(command, check=True)


def test_a_kept_head_that_was_deleted_is_kept_again(world: World) -> None:
    persisted(world, 1)
    leader = world.leader()
    rounds(leader)
    world.heads.kept = None
    keys = persisted(world, 2)
    with pytest.raises(ConflictError) as deleted:
        rounds(leader)
    leader.note(deleted.value)
    assert keys[0] not in set(leader.ledgered())
    assert not rounds(leader)
    assert world.heads.kept is not None
    assert (world.heads.kept.seq, world.heads.kept.commit) == (2, world.repository().head())
    assert keys[0] in set(leader.ledgered())
    assert sorted(world.identities().values()) == [1, 1]


@pytest.mark.parametrize("head", ["deleted", "set back"])
def test_a_kept_head_that_was_touched_while_nothing_is_due_is_kept_again(
    world: World, head: str
) -> None:
    leader = world.leader()
    for number in (1, 2):
        persisted(world, number)
        rounds(leader)
    kept = world.heads.kept
    assert kept is not None
    world.heads.kept = None if head == "deleted" else replace(kept, seq=1, resource_version="99")
    world.clock.now += 60_000
    rounds(leader, 2)
    again = world.heads.kept
    assert again is not None
    assert replace(again, resource_version="") == replace(kept, resource_version="")
    assert leader.missing() == ()


@pytest.mark.requirement("history-append-only.one-writer")
@pytest.mark.parametrize("head", ["deleted", "set back"])
def test_a_ledger_that_was_cut_together_with_its_kept_head_is_not_continued(
    world: World, head: str
) -> None:
    persisted(world, 1)
    leader = world.leader()
    rounds(leader)
    early, kept = world.repository().head(), world.heads.kept
    persisted(world, 2)
    rounds(leader)
    late = world.repository().head()
    cut_to(world, early)
    assert kept is not None
    world.heads.kept = None if head == "deleted" else replace(kept, resource_version="99")
    persisted(world, 3)
    with pytest.raises((ConflictError, LedgerMovedError)) as noticed:
        rounds(leader)
    leader.note(noticed.value)
    for _ in range(2):
        with pytest.raises(LedgerCorruptError, match=r"record 2 was kept .* lost its end"):
            rounds(leader)
    assert world.repository().head() == early
    assert numbers(world.outboxes.rows) == [3]
    cut_to(world, late)
    rounds(leader)
    assert [record["change"] for record in world.records()] == [a_change(n) for n in (1, 2, 3)]


def test_another_epoch_begins_anew_and_takes_over_the_kept_head(world: World) -> None:
    world.heads.kept = KeptHead("refs/heads/ledger/x/7", 9, "aa", "bb", "cc", "4")
    world.heads.writes = 4
    persisted(world, 1)
    rounds(world.leader())
    assert (world.heads.kept.ref, world.heads.kept.seq) == (IDENTITY.ref, 1)


def test_a_damaged_outbox_holds_up_no_other(world: World) -> None:
    persisted(world, 1)
    world.denial(2, replica="replica-b")
    leader = world.leader()
    rounds(leader)
    persisted(world, 3)
    world.denial(4, replica="replica-b")
    world.outboxes.damaged.add(REPLICA)
    rounds(leader)
    assert [record["change"] for record in world.records()][1:] == [a_change(2), a_change(4)][:2]
    assert leader.missing() == (f"ledger: outbox {REPLICA}: {REPLICA}: cannot be read",)
    world.clock.now += LATE_MS
    rounds(leader)
    assert str(world.records()[-1]["bodyMissing"]).startswith("lost"), "the fact is not lost"
    world.outboxes.damaged.clear()
    rounds(leader)
    assert leader.missing() == ()
    assert world.outboxes.rows == {}


def test_a_denial_that_cannot_be_read_stays_is_told_and_holds_up_nothing(world: World) -> None:
    attempt = world.denial(1)
    world.outboxes.rows[attempt] = replace(world.outboxes.rows[attempt], body=b"garbage")
    world.denial(2)
    leader = world.leader()
    assert rounds(leader), "something waits"
    assert outcomes(world) == [("denial", a_change(2), "denied")]
    assert list(world.outboxes.rows) == [attempt]
    assert "not JSON" in leader.missing()[0]
    world.clock.now += 60_000
    rounds(leader)
    assert leader.lag == 60.0


def test_a_large_backlog_is_committed_in_several_flushes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafting, "MAX_RECORDS", 3)
    for number in range(1, 8):
        world.denial(number)
    leader = world.leader()
    assert rounds(leader)
    assert len(world.records()) == 3
    assert rounds(leader)
    assert not rounds(leader)
    assert [record["change"] for record in world.records()] == [a_change(n) for n in range(1, 8)]


def last_seal(world: World) -> dict[str, int]:
    """What the last seal says of the outboxes."""
    repository = world.repository()
    content = repository.last_seal(repository.head())
    assert content is not None
    return dict(read_seal(content).replicas)


def test_a_seal_says_how_far_each_outbox_is_recorded(world: World) -> None:
    world.denial(1)
    world.grant(2)
    world.denial(3)
    world.denial(4, replica="replica-b")
    world.accounts.watch()
    leader = world.leader()
    rounds(leader)
    assert last_seal(world) == {REPLICA: 1, "replica-b": 1}
    entry = next(iter(world.accounts.truth.values()))
    world.accounts.put(entry.decided(Outcome.LOST))
    world.accounts.watch()
    rounds(leader)
    assert last_seal(world) == {REPLICA: 3, "replica-b": 1}


def test_the_outbox_of_a_dead_process_goes_once_a_seal_covers_it(world: World) -> None:
    world.denial(1, replica="replica-b")
    world.outboxes.dead.add("replica-b")
    leader = world.leader()
    rounds(leader)
    world.clock.now += 60_000
    rounds(leader)
    assert world.outboxes.highest == {}
    world.denial(2)
    rounds(leader)
    assert last_seal(world) == {REPLICA: 1}
    assert world.findings() == []


def test_a_clock_that_was_set_back_moves_no_record(world: World) -> None:
    world.denial(1)
    rounds(world.leader())
    world.clock.now -= 7_200_000
    world.denial(2)
    rounds(world.leader())
    assert world.findings() == []


@pytest.fixture
def remote(world: World, tmp_path: Path) -> Path:
    there = tmp_path / "there.git"
    command = ["git", "init", "--bare", "-q", str(there)]  # the git on the PATH
    subprocess.run(command, check=True)
    world.remote_url = str(there)
    return there


@pytest.mark.requirement("record-before-effect.committed-once")
def test_with_a_remote_nothing_is_let_go_before_it_has_it(world: World, remote: Path) -> None:
    leader = world.leader()
    persisted(world, 1)
    rounds(leader)
    assert numbers(world.outboxes.acknowledged) == [1]
    keys = persisted(world, 2)
    assert rounds(leader), "the next push is in a while"
    assert len(world.records()) == 2
    assert numbers(world.outboxes.acknowledged) == [1]
    assert keys[0] not in set(leader.ledgered())
    assert world.heads.kept is not None
    assert world.heads.kept.seq == 1
    remote.rename(remote.with_suffix(".away"))
    world.clock.now += 10_000
    assert rounds(leader)
    assert numbers(world.outboxes.acknowledged) == [1]
    assert "records wait here" in leader.missing()[0]
    remote.with_suffix(".away").rename(remote)
    world.clock.now += 10_000
    assert not rounds(leader)
    assert numbers(world.outboxes.acknowledged) == [1, 2]
    assert leader.missing() == ()
    assert world.heads.kept.seq == 2


@pytest.mark.requirement("history-append-only.one-writer")
@pytest.mark.usefixtures("remote")
def test_two_leaders_on_two_hosts_record_once(world: World, tmp_path: Path) -> None:
    first, second = world.leader(), world.leader(tmp_path / "second.git")
    rounds(first)
    rounds(second)
    keys = persisted(world, 1)
    assert not rounds(first)
    # The other has not heard of that: its own flush must not stand beside it.
    world.denial(2)
    world.clock.now += 10_000
    with pytest.raises(LedgerMovedError) as moved:
        rounds(second)
    second.note(moved.value)
    world.clock.now += 10_000
    rounds(second)
    found = world.records(tmp_path / "second.git")
    assert [record["change"] for record in found] == [a_change(1), a_change(2)]
    assert set(second.ledgered()) == set(keys)


@pytest.mark.requirement("history-append-only.one-writer")
@pytest.mark.usefixtures("remote")
def test_a_repository_that_was_deleted_comes_back_from_its_remote(world: World) -> None:
    leader = world.leader()
    persisted(world, 1)
    rounds(leader)
    (world.directory / "objects").rename(world.directory / "damaged")
    keys = persisted(world, 2)
    world.clock.now += 10_000
    for _ in range(2):
        with pytest.raises(LedgerCorruptError) as damaged:
            rounds(leader)
        leader.note(damaged.value)
    shutil.rmtree(world.directory)
    assert not rounds(leader)
    assert [record["change"] for record in world.records()] == [a_change(1), a_change(2)]
    assert set(leader.ledgered()) >= set(keys)
    assert world.findings() == []


@pytest.mark.requirement("history-append-only.one-writer")
@pytest.mark.parametrize("lost", ["it has none", "it lost its end"])
def test_a_repository_that_was_deleted_is_not_begun_anew(
    world: World, remote: Path, lost: str
) -> None:
    leader = world.leader()
    for number in (1, 2):
        persisted(world, number)
        world.clock.now += 10_000
        rounds(leader)
    if lost == "it has none":
        shutil.rmtree(remote)
        command = ["git", "init", "--bare", "-q", str(remote)]
    else:
        command = ["git", f"--git-dir={remote}", "update-ref", IDENTITY.ref, f"{IDENTITY.ref}~2"]
    subprocess.run(command, check=True)
    shutil.rmtree(world.directory)
    world.heads.kept = None
    persisted(world, 3)
    world.clock.now += 10_000
    with pytest.raises(LedgerCorruptError, match="not a git repository") as gone:
        rounds(leader)
    leader.note(gone.value)
    for _ in range(2):
        with pytest.raises(LedgerCorruptError, match="lost its end"):
            rounds(leader)
    assert numbers(world.outboxes.rows) == [3]


async def test_it_runs_on_through_faults_and_tells_who_listens(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = world.ports(world.repository())
    pace = CommitterPace(busy=0.001, idle=0.01, after_fault=0.001)
    leader = Committer(ports, clock_ms=world.clock, pace=pace)
    told = asyncio.Event()
    leader.subscribe(told.set)
    faults: list[Exception] = [LedgerStorageError("full"), KubeError("no"), OutboxFullError("no")]
    real = world.accounts.all

    def failing() -> object:
        if faults:
            raise faults.pop(0)
        return real()

    monkeypatch.setattr(world.accounts, "all", failing)
    task = asyncio.create_task(leader.run())
    world.denial(1)
    keys = persisted(world, 2)
    async with asyncio.timeout(20):
        await told.wait()
    assert set(leader.ledgered()) == set(keys)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_bug_ends_the_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.accounts, "all", fail(DeathError()))
    with pytest.raises(DeathError):
        await world.leader().run()
