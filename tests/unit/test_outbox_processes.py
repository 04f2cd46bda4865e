"""Outboxes of real processes: killed, on a full disk, started at once, drained meanwhile."""

import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from controller.accounts.entries import Attempt
from tests.outboxes import open_outbox, read_outboxes


@contextmanager
def process(what: str, directory: Path, root: Path) -> Generator[subprocess.Popen[str], None, None]:
    """A process that is killed at the end."""
    command = [sys.executable, "-m", "tests.fakes.outbox_process", what, str(directory)]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def lines_of(started: subprocess.Popen[str]) -> Iterable[str]:
    assert started.stdout is not None
    return (line.rstrip("\n") for line in started.stdout if line.endswith("\n"))


def stored(directory: Path) -> dict[Attempt, bytes]:
    reader = read_outboxes(directory)
    return {
        row.attempt: row.body
        for replica in reader.replicas()
        for row in reader.pull(replica, after=0, limit=1_000_000)
    }


@pytest.mark.requirement("record-before-effect.outbox-durable")
def test_ten_times_killed_no_answered_append_is_lost(tmp_path: Path, repository: Path) -> None:
    directory = tmp_path / "outbox"
    answered: dict[Attempt, bytes] = {}
    for life in range(10):
        with process("append", directory, repository) as started:
            count = 0
            for line in lines_of(started):
                number, _, body = line.partition(" ")
                answered[Attempt(body.partition("-")[0], int(number))] = body.encode()
                count += 1
                if count == 50 + 37 * life:
                    started.kill()  # what it told before is read on to the end
            assert count >= 50 + 37 * life

    found = stored(directory)
    assert {attempt: found.get(attempt) for attempt in answered} == answered
    assert {attempt.replica for attempt in found} == {attempt.replica for attempt in answered}
    with open_outbox(directory) as outbox:  # reads the whole file
        assert read_outboxes(directory).replicas() == (outbox.replica,)
        assert read_outboxes(directory).missing(outbox.replica) == ()


@pytest.mark.requirement("record-before-effect.outbox-durable")
def test_a_full_disk_is_told_and_the_outbox_recovers_by_itself(
    tmp_path: Path, repository: Path
) -> None:
    directory = tmp_path / "outbox"
    with process("fill", directory, repository) as started:
        told = [line.partition(" ") for line in lines_of(started)]
        assert started.wait(timeout=60) == 0

    numbers = [int(rest) for word, _, rest in told if word in ("stored", "recovered")]
    faults = [rest for word, _, rest in told if word == "full"]
    assert told[-1][0] == "recovered"
    assert len(faults) == 3
    assert all(str(directory) in fault and "free space" in fault for fault in faults)
    assert len(numbers) > 5
    assert {attempt.number for attempt in stored(directory)} >= set(numbers)


def test_processes_that_start_at_once_have_a_file_each(tmp_path: Path, repository: Path) -> None:
    directory = tmp_path / "outbox"
    with ExitStack() as stack:
        started = [stack.enter_context(process("hold", directory, repository)) for _ in range(4)]
        replicas = [next(iter(lines_of(one))) for one in started]

        assert sorted(replicas) == sorted(read_outboxes(directory).replicas())
        assert len(set(replicas)) == 4


@pytest.mark.requirement("record-before-effect.outbox-complete")
@pytest.mark.timeout(120)
def test_a_leader_drains_what_another_process_appends_meanwhile(
    tmp_path: Path, repository: Path
) -> None:
    directory = tmp_path / "outbox"
    reader = read_outboxes(directory)
    with process("append", directory, repository) as started:
        told = lines_of(started)
        next(iter(told))
        (replica,) = reader.replicas()
        seen: list[int] = []

        def drain() -> int:
            rows = reader.pull(replica, after=len(seen), limit=100)
            reader.acknowledge(row.attempt for row in rows)
            seen.extend(row.attempt.number for row in rows)
            return len(rows)

        while len(seen) < 3000:
            drain()
            next(iter(told))  # it goes on, and its pipe does not fill
        started.kill()
        answered = [int(line.partition(" ")[0]) for line in told]
    while drain():
        pass

    assert seen == list(range(1, len(seen) + 1))
    assert max(answered) <= len(seen)
    assert reader.drained() == {replica: (len(seen), len(seen))}
    with open_outbox(directory) as outbox:  # reads the whole file
        assert outbox.replica == replica
