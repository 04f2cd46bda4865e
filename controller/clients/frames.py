"""Length-prefixed frames over one stream, and the asker's end of a conversation in them.

Many questions are in flight on one connection, each answered by its id, in any order.
It moves frames and keeps deadlines; what is in a frame is the business of who asks, and
so is trying again.
"""

import asyncio
import itertools
import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar, cast

MAX_IN_FLIGHT: Final = 1024
HEADER: Final = struct.Struct(">IBBHQ")
"""Length of the payload, kind, flags, zero, id of the question."""

Payload: TypeAlias = "bytes | memoryview"

E = TypeVar("E", bound=Exception)


class Reply(NamedTuple):
    """What is in one frame, without the id of its question."""

    kind: int
    flags: int
    payload: Payload


class FrameError(ValueError):
    """The stream holds what is no frame: nothing after it can be believed."""


def frame(kind: int, request: int, payload: Payload) -> bytes:
    """Write one frame without flags."""
    return HEADER.pack(len(payload), kind, 0, 0, request) + payload


class Cutter:
    """Cuts a stream that comes in pieces of any size into frames."""

    def __init__(self, *, max_payload: int, kinds: Collection[int]) -> None:
        """Describe what is believed: payloads up to so many bytes, of these kinds."""
        self._max_payload = max_payload
        self._kinds = frozenset(kinds)
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, Reply]]:
        """The id and content of every frame that is complete with this piece.

        Payloads may be views of it.

        Raises:
            FrameError: a header that promises what is not believed.
        """
        if self._rest:
            data = self._rest + data
        view = memoryview(data)
        start = 0
        while len(data) - start >= HEADER.size:
            length, kind, flags, reserved, request = HEADER.unpack_from(data, start)
            if length > self._max_payload or reserved or kind not in self._kinds:
                raise FrameError(f"a frame of kind {kind:#x} with {length} bytes")
            end = start + HEADER.size + length
            if end > len(data):
                break
            yield request, Reply(kind, flags, view[start + HEADER.size : end])
            start = end
        self._rest = data[start:]


@dataclass(frozen=True, slots=True)
class Faults(Generic[E]):
    """How one family of errors says what went wrong with a conversation."""

    who: str
    """The other end, as in `the engine`."""
    what: str
    """What is asked for, in the plural."""
    unavailable: Callable[[str], E]
    late: Callable[[str], E]
    garbled: Callable[[str], E]


class Asker(asyncio.Protocol, Generic[E]):
    """The asker's end of a connection; one that breaks a promise is closed for good.

    Attributes:
        closed: set, to why, when no question can be asked any more.
    """

    def __init__(self, faults: Faults[E], *, max_payload: int, replies: Collection[int]) -> None:
        """Describe the other end.

        Args:
            faults: how to tell what it does wrong.
            max_payload: the size in bytes beyond which a reply is not believed.
            replies: the kinds of frame that it may send.
        """
        self._loop = asyncio.get_running_loop()
        self._faults = faults
        self._cutter = Cutter(max_payload=max_payload, kinds=replies)
        self._ids = itertools.count(1)
        self._pending: dict[int, tuple[asyncio.Future[Reply], asyncio.TimerHandle]] = {}
        self._overdue: set[int] = set()
        self._transport: asyncio.WriteTransport | None = None
        self._idle: asyncio.Future[None] | None = None
        self.closed: asyncio.Future[E] = self._loop.create_future()

    @property
    def is_open(self) -> bool:
        """Whether questions can be asked."""
        return self._transport is not None and not self.closed.done()

    def ask(self, kind: int, payload: Payload, *, timeout_seconds: float) -> asyncio.Future[Reply]:
        """Ask; the future brings the reply, or an error of the family.

        Raises:
            E: nothing can be asked now, and nothing was.
        """
        request = self.next_id()
        return self.send(frame(kind, request, payload), request, timeout_seconds)

    def next_id(self) -> int:
        """The id of a question, for whoever frames it."""
        return next(self._ids)

    def send(self, question: bytes, request: int, seconds: float) -> asyncio.Future[Reply]:
        """As `ask`, of a question that is framed under that id already."""
        transport = self._transport
        if transport is None or self.closed.done():
            raise self._faults.unavailable(f"{self._faults.who} is gone")
        if len(self._pending) >= MAX_IN_FLIGHT:
            problem = f"{MAX_IN_FLIGHT} {self._faults.what} are in flight already"
            raise self._faults.unavailable(problem)
        future: asyncio.Future[Reply] = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._give_up, request)
        self._pending[request] = (future, timer)
        transport.write(question)
        return future

    def on_overdue(self) -> None:
        """A deadline was missed. The connection stays open: the answer may come, unheard."""

    def close(self, reason: E) -> None:
        """Ask nothing more; everything in flight fails with the reason."""
        if not self.closed.done():
            self.closed.set_result(reason)
        if self._transport is not None:
            self._transport.abort()
        pending, self._pending = self._pending, {}
        for future, timer in pending.values():
            timer.cancel()
            if not future.done():
                future.set_exception(self._faults.unavailable(str(reason)))
        self._tell_if_idle()

    async def drained(self) -> None:
        """Wait until nothing is in flight."""
        if self._pending:
            self._idle = self._loop.create_future()
            await self._idle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called by asyncio)."""
        # Not checked at run time: uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is in flight (called by asyncio)."""
        cause = f": {exc}" if exc else ""
        self.close(self._faults.unavailable(f"{self._faults.who} went away{cause}"))

    def data_received(self, data: bytes) -> None:
        """Deliver every reply that is complete (called by asyncio)."""
        try:
            for request, reply in self._cutter.feed(data):
                self._deliver(request, reply)
        except FrameError as error:
            self.close(self._faults.garbled(f"{self._faults.who} sent {error}"))

    def _deliver(self, request: int, reply: Reply) -> None:
        waiting = self._pending.pop(request, None)
        if waiting is None and request in self._overdue:
            self._overdue.discard(request)
            return
        if waiting is None:
            raise FrameError(f"an answer to question {request}, which was not asked")
        future, timer = waiting
        timer.cancel()
        if not future.done():  # its asker may have gone
            future.set_result(reply)
        self._tell_if_idle()

    def _give_up(self, request: int) -> None:
        future, _ = self._pending.pop(request)
        self._overdue.add(request)
        if not future.done():
            problem = f"{self._faults.who} did not answer by the deadline"
            future.set_exception(self._faults.late(problem))
        self._tell_if_idle()
        self.on_overdue()

    def _tell_if_idle(self) -> None:
        if self._idle is not None and not self._pending and not self._idle.done():
            self._idle.set_result(None)
