"""Keeps one engine process serving the last good policy set, and asks it.

It starts it, checks its health, replaces it when it dies, hangs or breaks a
promise, swaps policy sets, and drains it. It must not interpret an answer beyond
its form, and never tries an evaluation again: whoever asked decides that.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from controller.apis.json import Json
from controller.clients.engine.backoff import Backoff
from controller.clients.engine.child import Child, ChildLimits
from controller.clients.engine.policyset import PolicySet
from controller.clients.engine.protocol import (
    WIDE,
    UnitAnswer,
    encode_document,
    parse_answer,
    split_answer,
)
from controller.clients.engine.vetting import VettingLimits, vet
from controller.clients.frames import Reply
from controller.policy.engine import (
    EngineError,
    EngineProtocolError,
    EngineUnavailableError,
    Evaluation,
    UnitResult,
)

log = structlog.get_logger(__name__)

_ENVELOPE_BYTES = 64  # a frame holds a little more than its document


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How an engine process is run. Times are in seconds."""

    binary: Path
    child: ChildLimits = field(default_factory=ChildLimits)
    vetting: VettingLimits = field(default_factory=VettingLimits)
    backoff: Backoff = field(default_factory=Backoff)
    grace: float = 0.1
    """Past its deadline, an evaluation has this long to be answered."""
    wait_for_ready: float = 0.25
    """How long an evaluation waits, within its own timeout, for an engine that restarts."""
    load: float = 20.0
    drain: float = 2.0
    health_interval: float = 5.0
    health_timeout: float = 5.0


class ChildEngine:
    """The `Engine` that is a child process."""

    def __init__(self, settings: EngineSettings, *, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._max_document = settings.child.max_payload_bytes - _ENVELOPE_BYTES
        self._good: PolicySet | None = None
        self._child: Child | None = None
        self._serving: Child | None = None
        self._changed = asyncio.Condition()
        self._loading = asyncio.Lock()
        self._swapping = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._supervising: asyncio.Task[None] | None = None
        self.restarts = 0
        """How often the process had to be replaced."""

    # Life

    async def start(self) -> None:
        """Start the process, and return once it answers.

        Raises:
            EngineUnavailableError: when it cannot be run.
        """
        first = self._child = await self._start_child()
        self._supervising = asyncio.create_task(self._supervise(first))

    async def stop(self) -> None:
        """Let what is in flight finish within the drain time, then end the process."""
        self._stopping.set()
        self._serving = None
        child = self._child
        if child is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.drain):
                    await child.connection.drained()
            child.connection.close(EngineUnavailableError("the engine is stopping"))
        if self._supervising is not None:
            await self._supervising

    @property
    def is_ready(self) -> bool:
        """Whether a process with a policy set is running."""
        return self._open_child() is not None

    @property
    def digest(self) -> str | None:
        """The digest of the policy set that is being served, hex; None: none was loaded yet."""
        return self._good.digest.hex() if self._good else None

    @property
    def pid(self) -> int | None:
        """The process id of the running engine."""
        return self._child.pid if self._child else None

    # Asking

    async def evaluate(
        self, document: Mapping[str, Json], *, now_ns: int, timeout_seconds: float
    ) -> Evaluation:
        """Answer for every unit, or raise an `EngineError`; see the port."""
        encoded = encode_document(document, limit=self._max_document)
        digest, answers = await self.query(encoded, now_ns=now_ns, timeout_seconds=timeout_seconds)
        return Evaluation(digest.hex(), tuple(map(unit_result, answers)))

    async def query(
        self, document: bytes, *, now_ns: int, timeout_seconds: float, flags: int = 0
    ) -> tuple[bytes, tuple[UnitAnswer, ...]]:
        """Evaluate JSON text; return the set's digest and each unit's bindings.

        `flags` are those of an evaluation in `protocol`.
        """
        child, reply = await self._ask(document, now_ns, timeout_seconds, flags)
        try:
            digest, body = split_answer(reply, child.sets)
            names = child.sets[digest]
            return digest, parse_answer(body, names=names, wide=bool(reply.flags & WIDE))
        except EngineProtocolError as error:
            child.connection.close(error)
            raise

    async def query_text(
        self, document: bytes, *, now_ns: int, timeout_seconds: float, flags: int = 0
    ) -> bytes:
        """Evaluate JSON text; return the answers as the engine wrote them, digits and all."""
        child, reply = await self._ask(document, now_ns, timeout_seconds, flags)
        return bytes(split_answer(reply, child.sets)[1])

    async def _ask(
        self, document: bytes, now_ns: int, timeout_seconds: float, flags: int
    ) -> tuple[Child, Reply]:
        child = self._serving
        if child is None or not child.connection.is_open:
            started = self._monotonic()
            child = await self._wait_for_serving(timeout_seconds)
            timeout_seconds -= self._monotonic() - started
        reply = await child.connection.evaluate(
            document,
            now_ns=now_ns,
            timeout_seconds=timeout_seconds,
            grace_seconds=self._settings.grace,
            flags=flags,
        )
        return child, reply

    async def _wait_for_serving(self, timeout_seconds: float) -> Child:
        if self._stopping.is_set():
            raise EngineUnavailableError("the engine is stopping")
        if self._good is None:
            raise EngineUnavailableError("no policy set is loaded")
        bound = min(timeout_seconds, self._settings.wait_for_ready)
        return await self._wait_until(self._open_child, bound)

    def _open_child(self) -> Child | None:
        child = self._serving
        return child if child is not None and child.connection.is_open else None

    async def _wait_until(self, get: Callable[[], Child | None], seconds: float) -> Child:
        try:
            async with asyncio.timeout(seconds), self._changed:
                while True:
                    if (child := get()) is not None:
                        return child
                    await self._changed.wait()
        except TimeoutError as error:
            raise EngineUnavailableError("the engine is being restarted") from error

    # Loading

    async def load(self, policy_set: PolicySet) -> None:
        """Vet a set in a process of its own, then swap it in; requests in flight keep theirs.

        Raises:
            PolicyRejectedError: with positions; the set before it is served on.
            EngineUnavailableError: no engine could take it in time.
        """
        async with self._loading:
            await vet(policy_set, binary=self._settings.binary, limits=self._settings.vetting)
            before, self._good = self._good, policy_set
            try:
                await self._swap(policy_set)
            except EngineError:
                self._good = before
                raise

    async def _swap(self, policy_set: PolicySet) -> None:
        child = self._child
        if child is not None:
            with contextlib.suppress(EngineUnavailableError):  # its successor loads the set
                await self._load_into(child, policy_set)
                return
        await self._wait_until(lambda: self._child_with(policy_set), self._settings.load)

    def _child_with(self, policy_set: PolicySet) -> Child | None:
        child = self._open_child()
        return child if child is not None and policy_set.digest in child.sets else None

    async def _load_into(self, child: Child, policy_set: PolicySet) -> None:
        async with self._swapping:  # a process loads one set at a time
            await child.load(policy_set, timeout_seconds=self._settings.load)
            await self._set_serving(child)

    async def _set_serving(self, child: Child | None) -> None:
        async with self._changed:
            self._serving = None if self._stopping.is_set() else child
            self._changed.notify_all()

    # Supervising

    async def _supervise(self, first: Child) -> None:
        child: Child | None = first
        delay = 0.0
        while child is not None or not self._stopping.is_set():
            started = self._monotonic()
            try:
                child = child or await self._start_child()
                await self._serve_until_gone(child)
            except EngineError as error:
                self._log_unless_stopping("engine.start_failed", error=str(error))
            finally:
                await self._bury(child)
                child = None
            if not self._stopping.is_set():
                self.restarts += 1
                lived = self._monotonic() - started
                delay = self._settings.backoff.next_delay(delay, lived=lived)
                await self._rest(delay)

    async def _start_child(self) -> Child:
        child = await Child.start(self._settings.binary, self._settings.child)
        try:
            await child.ping(timeout_seconds=self._settings.load)
        except EngineError as error:
            status = await child.kill()
            raise EngineUnavailableError(
                f"the engine {self._settings.binary} does not serve (status {status}): "
                f"{child.last_words or error}"
            ) from error
        return child

    async def _serve_until_gone(self, child: Child) -> None:
        self._child = child
        if self._good is not None:
            await self._load_into(child, self._good)
        watching = asyncio.create_task(self._watch_health(child))
        try:
            reason = await asyncio.shield(child.connection.closed)
        finally:
            watching.cancel()
        self._log_unless_stopping("engine.lost", pid=child.pid, reason=str(reason))

    async def _watch_health(self, child: Child) -> None:
        with contextlib.suppress(EngineError):  # the connection is closed then, with the reason
            while True:
                await asyncio.sleep(self._settings.health_interval)
                await child.ping(timeout_seconds=self._settings.health_timeout)

    async def _bury(self, child: Child | None) -> None:
        await self._set_serving(None)
        self._child = None
        if child is None:
            return
        status = await child.kill()
        self._log_unless_stopping(
            "engine.ended", pid=child.pid, status=status, last_words=child.last_words
        )

    def _log_unless_stopping(self, event: str, **details: object) -> None:
        if not self._stopping.is_set():
            log.warning(event, **details)

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def unit_result(answer: UnitAnswer) -> UnitResult:
    """Give a unit's one answer; a query with none, or several, is that unit's error."""
    if answer.error is not None:
        return UnitResult(answer.unit, error=answer.error.text)
    if len(answer.bindings) != 1:
        count = len(answer.bindings)
        return UnitResult(
            answer.unit, error=f"the unit's query gave {count} answers instead of one"
        )
    return UnitResult(answer.unit, value=answer.bindings[0])
