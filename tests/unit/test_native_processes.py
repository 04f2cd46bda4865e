"""Guarded processes: they end with us, tell why they ended, and take signals in between."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from native.processes import GuardedProcess, ProcessError
from tests.waiting import eventually

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
FOREVER = ["sh", "-c", "echo up; while :; do sleep 60 & wait $!; done"]
STUBBORN = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 60 & wait $!; done"]

Start = Callable[[list[str]], GuardedProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a command under guard; whatever still runs afterwards is killed."""
    started: list[GuardedProcess] = []

    def run(command: list[str]) -> GuardedProcess:
        log = tmp_path / "log"
        process = GuardedProcess.start("thing", command, log=log, environment=ENVIRONMENT)
        started.append(process)
        return process

    yield run
    for process in started:
        process.stop(grace_seconds=0)


def is_up(process: GuardedProcess) -> bool:
    return "up" in process.log.read_text(encoding="utf-8")


def is_gone(pid: int) -> bool:
    """Whether no process has this id, or one that only waits to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_the_process_id_is_the_commands_own(start: Start) -> None:
    process = start(["sh", "-c", "echo $$; exec sleep 60"])

    logged = eventually(lambda: process.log.read_text(encoding="utf-8"), "its first line")

    assert process.pid == int(logged)
    process.require_running()


def test_both_outputs_go_to_the_log(start: Start) -> None:
    process = start(["sh", "-c", "echo out; echo err >&2; exit 7"])

    assert process.wait(30) == 7
    assert process.log.read_text(encoding="utf-8") == "out\nerr\n"


@pytest.mark.parametrize(
    ("script", "status"),
    [
        pytest.param("exit 0", 0, id="by itself"),
        pytest.param("exit 3", 3, id="with a status"),
        pytest.param("kill -9 $$", 128 + 9, id="by a signal"),
    ],
)
def test_how_it_ended_is_told_as_a_shell_tells_it(start: Start, script: str, status: int) -> None:
    assert start(["sh", "-c", script]).wait(30) == status


def test_one_that_ended_is_an_error_with_status_and_the_logs_end(start: Start) -> None:
    process = start(["sh", "-c", "seq 1 50; echo the reason; exit 3"])
    process.wait(30)

    with pytest.raises(ProcessError) as ended:
        process.require_running()

    assert str(ended.value).startswith("thing: ended with status 3:\n  40\n")
    assert str(ended.value).endswith("\n  the reason")


def test_one_that_cannot_be_run_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"thing: could not be started:\s+/absent/command: No"):
        GuardedProcess.start(
            "thing", ["/absent/command"], log=tmp_path / "log", environment=ENVIRONMENT
        )


def test_a_signal_reaches_the_command(start: Start) -> None:
    process = start(["sh", "-c", "trap 'echo caught; exit 5' USR1; echo up; while :; do :; done"])
    eventually(lambda: is_up(process), "its trap")

    process.send(signal.SIGUSR1)

    assert process.wait(30) == 5
    assert "caught" in process.tail()


def test_a_signal_to_one_that_has_ended_does_nothing(start: Start) -> None:
    process = start(["true"])
    eventually(lambda: process.exit_status() is not None, "its end")

    process.send(signal.SIGTERM)
    process.stop(grace_seconds=0)
    process.send(signal.SIGTERM)

    assert process.exit_status() == 0


def test_it_is_asked_to_end_first(start: Start) -> None:
    process = start(
        ["sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 60 & wait $!; done"]
    )
    eventually(lambda: is_up(process), "its trap")

    process.stop(grace_seconds=30)

    assert process.exit_status() == 0


def test_it_is_killed_when_it_does_not_end_in_time(start: Start) -> None:
    process = start(STUBBORN)
    eventually(lambda: is_up(process), "its trap")

    process.stop(grace_seconds=0.1)

    assert process.exit_status() == 128 + signal.SIGKILL
    assert is_gone(process.pid)


def test_waiting_for_one_that_goes_on_is_an_error(start: Start) -> None:
    process = start(FOREVER)

    with pytest.raises(ProcessError, match=r"thing: still runs after 0\.1 s"):
        process.wait(0.1)


ASKER = """
import sys, threading
from pathlib import Path
from native.processes import GuardedProcess
def start():
    process = GuardedProcess.start(
        "thing", ["sleep", "600"], log=Path(sys.argv[1]), environment={"PATH": "/usr/bin:/bin"}
    )
    kept.append(process)
    print(process.pid, process._guard.pid, flush=True)
kept = []
thread = threading.Thread(target=start)
thread.start()
thread.join()
print("the thread that started it is gone", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def asker(repository: Path, tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """A process whose worker thread starts one under guard, and ends."""
    with subprocess.Popen(
        [sys.executable, "-c", ASKER, tmp_path / "log"],
        cwd=repository,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_it_outlives_the_thread_but_not_the_process_that_asked_for_it(
    asker: "subprocess.Popen[str]",
) -> None:
    assert asker.stdout is not None
    child, guard = (int(pid) for pid in asker.stdout.readline().split())
    assert asker.stdout.readline().startswith("the thread")
    assert not is_gone(child)

    asker.kill()

    eventually(lambda: is_gone(child) and is_gone(guard), "the end of child and guard")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's death signal")
def test_it_dies_with_its_guard_too(asker: "subprocess.Popen[str]") -> None:
    assert asker.stdout is not None
    child, guard = (int(pid) for pid in asker.stdout.readline().split())

    os.kill(guard, signal.SIGKILL)

    eventually(lambda: is_gone(child), "the child's end")
