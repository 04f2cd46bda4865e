"""One connection to an engine: many questions in flight, each answered by its id.

It moves frames and keeps deadlines; a connection that breaks a promise is closed
for good, with every question on it. It does not read what is in a frame, start
processes, or try again.
"""

import asyncio
import itertools
from typing import Final, cast

from controller.clients.engine.protocol import (
    ANSWER,
    FAULT,
    HEADER,
    LOADED,
    PONG,
    REJECTED,
    Payload,
    Reply,
    evaluate_frame,
    frame,
)
from controller.policy.engine import (
    EngineError,
    EngineProtocolError,
    EngineTimeoutError,
    EngineUnavailableError,
)

MAX_IN_FLIGHT: Final = 1024
_REPLIES: Final = frozenset({LOADED, ANSWER, PONG, REJECTED, FAULT})


class EngineConnection(asyncio.Protocol):
    """The asker's end of the socket.

    `max_payload` is the size in bytes beyond which a reply is not believed.
    """

    def __init__(self, *, max_payload: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_payload = max_payload
        self._ids = itertools.count(1)
        self._pending: dict[int, tuple[asyncio.Future[Reply], asyncio.TimerHandle]] = {}
        self._transport: asyncio.WriteTransport | None = None
        self._rest = b""
        self.closed: asyncio.Future[EngineError] = self._loop.create_future()
        """Set, to why, when no question can be asked any more."""
        self._idle: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether questions can be asked."""
        return not self.closed.done()

    def evaluate(
        self,
        document: bytes,
        *,
        now_ns: int,
        timeout_seconds: float,
        grace_seconds: float,
        flags: int,
    ) -> asyncio.Future[Reply]:
        """Ask for an evaluation; see `ask` for what the future brings."""
        request = next(self._ids)
        question = evaluate_frame(
            document, request=request, now_ns=now_ns, timeout_seconds=timeout_seconds, flags=flags
        )
        return self._send(question, request, timeout_seconds + grace_seconds)

    def ask(self, kind: int, payload: bytes, *, timeout_seconds: float) -> asyncio.Future[Reply]:
        """Ask; the future brings the reply, or an `EngineError`.

        A question that is not answered in time raises `EngineTimeoutError`, and closes
        the connection: an engine that misses its deadline cannot be told to stop.
        """
        request = next(self._ids)
        return self._send(frame(kind, request, payload), request, timeout_seconds)

    def _send(self, question: bytes, request: int, seconds: float) -> asyncio.Future[Reply]:
        transport = self._transport
        if transport is None or self.closed.done():
            raise EngineUnavailableError("the engine is gone")
        if len(self._pending) >= MAX_IN_FLIGHT:
            raise EngineUnavailableError(f"{MAX_IN_FLIGHT} evaluations are in flight already")
        future: asyncio.Future[Reply] = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._overdue, request)
        self._pending[request] = (future, timer)
        transport.write(question)
        return future

    def _overdue(self, request: int) -> None:
        future, _ = self._pending.pop(request)
        if not future.done():
            future.set_exception(EngineTimeoutError("the engine did not answer by the deadline"))
        self.close(EngineUnavailableError("the engine ignored a deadline and was stopped"))

    def close(self, reason: EngineError) -> None:
        """Ask nothing more; everything in flight fails with the reason."""
        if not self.closed.done():
            self.closed.set_result(reason)
        if self._transport is not None:
            self._transport.abort()
        pending, self._pending = self._pending, {}
        for future, timer in pending.values():
            timer.cancel()
            if not future.done():
                future.set_exception(EngineUnavailableError(str(reason)))
        self._tell_if_idle()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called by asyncio)."""
        # Not checked at run time: uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is in flight (called by asyncio)."""
        cause = f": {exc}" if exc else ""
        self.close(EngineUnavailableError(f"the engine went away{cause}"))

    def data_received(self, data: bytes) -> None:
        """Deliver every reply that is complete (called by asyncio)."""
        if self._rest:
            data = self._rest + data
        view = memoryview(data)
        start = 0
        while len(data) - start >= HEADER.size:
            length, kind, flags, reserved, request = HEADER.unpack_from(data, start)
            if length > self._max_payload or reserved or kind not in _REPLIES:
                return self._broken(f"a frame of kind {kind:#x} with {length} bytes")
            end = start + HEADER.size + length
            if end > len(data):
                break
            if not self._deliver(request, kind, flags, view[start + HEADER.size : end]):
                return None
            start = end
        self._rest = data[start:]
        return None

    def _deliver(self, request: int, kind: int, flags: int, payload: Payload) -> bool:
        waiting = self._pending.pop(request, None)
        if waiting is None:
            self._broken(f"an answer to question {request}, which was not asked")
            return False
        future, timer = waiting
        timer.cancel()
        if not future.done():  # its asker may have gone
            future.set_result(Reply(kind, flags, payload))
        self._tell_if_idle()
        return True

    async def drained(self) -> None:
        """Wait until nothing is in flight."""
        if self._pending:
            self._idle = self._loop.create_future()
            await self._idle

    def _tell_if_idle(self) -> None:
        if self._idle is not None and not self._pending and not self._idle.done():
            self._idle.set_result(None)

    def _broken(self, what: str) -> None:
        self.close(EngineProtocolError(f"the engine sent {what}"))
