"""One engine process: started, asked, killed. It never restarts one.

The process holds the other end of a socket pair, and ends when ours is closed,
so it cannot outlive us, however we die. (A process forked from us while keeping
our descriptors would hold it open: fork nothing from a webhook process.)
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.clients.engine.connection import EngineConnection
from controller.clients.engine.policyset import PolicySet
from controller.clients.engine.protocol import (
    LOAD,
    PING,
    PONG,
    check_loaded,
    unexpected,
)
from controller.clients.frames import Reply
from controller.policy.engine import EngineProtocolError, EngineUnavailableError

# Nothing of our environment is a policy's business. Single tracebacks keep the
# last words of a dying process short.
_ENVIRONMENT: Final = {"TZ": "UTC", "GOTRACEBACK": "single"}
_LAST_WORDS: Final = 20
_LINE_LIMIT: Final = 500


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What one engine process may take."""

    memory_bytes: int = 1 << 30
    max_payload_bytes: int = 16 << 20


class Child:
    """A running engine process and the connection to it."""

    def __init__(self, process: asyncio.subprocess.Process, connection: EngineConnection) -> None:
        self._process = process
        self._words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._listening = asyncio.create_task(self._listen())
        self.connection = connection
        self.sets: dict[bytes, tuple[str, ...]] = {}
        """The units' names of every policy set that may answer, by digest."""

    @classmethod
    async def start(cls, binary: Path, limits: ChildLimits) -> "Child":
        """Start one.

        Raises:
            EngineUnavailableError: naming the binary and the cause, when it cannot be run.
        """
        ours, theirs = socket.socketpair()
        try:
            process = await _spawn(binary, limits, theirs)
        except OSError as error:
            ours.close()
            raise EngineUnavailableError(f"cannot run the engine {binary}: {error}") from error
        finally:
            theirs.close()
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_unix_connection(
            lambda: EngineConnection(max_payload=limits.max_payload_bytes), sock=ours
        )
        return cls(process, connection)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def last_words(self) -> str:
        """The first line of what it wrote before it died: why, when Go ended it."""
        return self._words[0] if self._words else ""

    async def load(self, policy_set: PolicySet, *, timeout_seconds: float) -> None:
        """Load a set; it answers from when this returns, or a moment before.

        Raises:
            PolicyRejectedError: with positions; the set before it still answers.
            EngineError: when there is no answer; `EngineTimeoutError` closes the connection.
        """
        digest = policy_set.digest
        before = dict(self.sets)
        self.sets[digest] = policy_set.names
        reply = await self._ask(LOAD, digest + policy_set.canonical, timeout_seconds)
        try:
            check_loaded(reply, digest)
        except EngineProtocolError as error:
            self.connection.close(error)
            raise
        except Exception:
            self.sets = before
            raise
        # Evaluations that began before the swap may still answer for the last set.
        self.sets = {**dict(list(before.items())[-1:]), digest: policy_set.names}

    async def ping(self, *, timeout_seconds: float) -> None:
        """Check that it answers at all.

        Raises:
            EngineError: when it does not; the connection is then closed.
        """
        reply = await self._ask(PING, b"governor", timeout_seconds)
        if reply.kind == PONG and reply.payload == b"governor":
            return
        error = unexpected(reply)
        self.connection.close(error)
        raise error

    async def _ask(self, kind: int, payload: bytes, timeout_seconds: float) -> Reply:
        return await self.connection.ask(kind, payload, timeout_seconds=timeout_seconds)

    async def kill(self) -> int:
        """End it at once, and return its exit status when it is gone."""
        self.connection.close(EngineUnavailableError("the engine was stopped"))
        if self._process.returncode is None:
            # Not Process.kill(): it reaps a process that has just ended by itself, and
            # its exit status is then lost to whoever waits for it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        status = await self._process.wait()
        await self._listening
        return status

    async def _listen(self) -> None:
        """Keep the first lines of what it writes, and drain the rest."""
        stderr = self._process.stderr
        if stderr is None:
            return
        while chunk := await stderr.read(4096):
            for line in chunk.decode(errors="replace").splitlines():
                if line.strip() and len(self._words) < _LAST_WORDS:
                    self._words.append(line[:_LINE_LIMIT])


async def _spawn(
    binary: Path, limits: ChildLimits, theirs: socket.socket
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        str(binary),
        "serve",
        f"--fd={theirs.fileno()}",
        f"--memory-limit={limits.memory_bytes}",
        f"--max-payload={limits.max_payload_bytes}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=(theirs.fileno(),),
        env=_ENVIRONMENT,
        start_new_session=True,  # a Ctrl-C in a terminal is ours to handle: we drain first
    )
