"""Child processes that die with us, and that tell why they died.

Each runs under a guard (`native.guard`). This module knows nothing of what it
runs, and it must never look a process up by name: others run the same programs.
"""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

_GUARD = Path(__file__).with_name("guard.py")


class ProcessError(Exception):
    """A process did not start, or ended; the message carries the end of its log."""


class GuardedProcess:
    """One running command, its log and its end."""

    def __init__(self, name: str, guard: "subprocess.Popen[bytes]", *, pid: int, log: Path) -> None:
        self.name = name
        self.pid = pid
        """The command's own process id, not its guard's."""
        self.log = log
        self._guard = guard

    @classmethod
    def start(
        cls, name: str, command: Sequence[str | Path], *, log: Path, environment: Mapping[str, str]
    ) -> Self:
        """Start a command; both its outputs are appended to the log.

        Raises:
            ProcessError: the command cannot be run at all.
        """
        with log.open("ab") as output:
            guard = subprocess.Popen(
                [sys.executable, "-I", "-S", _GUARD, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=dict(environment),
                # Else ^C in a terminal would reach the servers before their launcher.
                start_new_session=True,
            )
        if guard.stdout is None:  # pragma: no cover - PIPE was asked for
            raise AssertionError
        with guard.stdout as answer:
            line = answer.readline()
        if not line:
            guard.communicate()
            raise ProcessError(f"{name}: could not be started:{_tail(log)}")
        return cls(name, guard, pid=int(line), log=log)

    def exit_status(self) -> int | None:
        """128 + N for a process that signal N ended; None while it runs."""
        return self._guard.poll()

    def require_running(self) -> None:
        """Raise a `ProcessError`, with the end of the log, if the process has ended."""
        status = self.exit_status()
        if status is not None:
            raise ProcessError(f"{self.name}: ended with status {status}:{self.tail()}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal; to a process that has ended, nothing happens."""
        if self._guard.stdin is None or self._guard.stdin.closed:
            return
        try:
            self._guard.stdin.write(bytes([number]))
            self._guard.stdin.flush()
        except BrokenPipeError:
            return

    def stop(self, *, grace_seconds: float) -> None:
        """Ask it to end, then kill it; with a grace of 0, kill it. Returns when it is gone."""
        if grace_seconds > 0:
            self.send(signal.SIGTERM)
            # The end of its standard input, below, kills what has not ended by then.
            with suppress(subprocess.TimeoutExpired):
                self._guard.wait(grace_seconds)
        self._close_stdin()
        self._guard.wait()

    def wait(self, seconds: float) -> int:
        """Wait for it to end by itself and give its status.

        Raises:
            ProcessError: it still runs after that time.
        """
        try:
            status = self._guard.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise ProcessError(f"{self.name}: still runs after {seconds} s") from error
        self._close_stdin()
        return status

    def tail(self, lines: int = 12) -> str:
        """Give the end of its log, indented, on lines of its own."""
        return _tail(self.log, lines)

    def _close_stdin(self) -> None:
        if self._guard.stdin is None:
            return
        try:
            self._guard.stdin.close()
        except BrokenPipeError:
            return


def _tail(log: Path, lines: int = 12) -> str:
    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    return "".join(f"\n  {line}" for line in last) or " (it logged nothing)"
