"""The answering end: takes questions of peers, and of nobody else.

Each question is worked on by a task of its own, for as long as its asker waits at most.
What a question says is the business of who answers; that what cannot be answered is
refused, not left unanswered, is decided here.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, cast

import structlog

from controller.clients.frames import (
    MAX_IN_FLIGHT,
    Cutter,
    FrameError,
    Payload,
    Reply,
    frame,
)
from controller.clients.peers.connection import (
    ALLOWED,
    ANSWER,
    ASK,
    FAILURE,
    MAX_QUESTION,
    REFUSAL,
)
from controller.clients.peers.errors import PeerError
from controller.clients.peers.tls import is_peer

Answers: TypeAlias = Callable[[Payload], Awaitable[bytes]]
"""Gives the answer to one question.

Raises:
    PeerRefusedError: nothing was done, with the reason.
    PeerError: any other failure.
"""

MAX_ALLOWED_SECONDS: Final = 30.0
_HANDSHAKE_SECONDS: Final = 5.0

_log = structlog.stdlib.get_logger("governor.peers")


class PeerServer:
    """The connections that peers opened to this process."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._server: asyncio.Server | None = None
        self._connections: set[_Answering] = set()

    async def start(self, listening: socket.socket, tls: ssl.SSLContext) -> None:
        """Take questions on a listening socket, which is closed by `stop`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._accept, sock=listening, ssl=tls, ssl_handshake_timeout=_HANDSHAKE_SECONDS
        )

    async def stop(self) -> None:
        """Take no more questions, answer those that are taken, and hang up."""
        if self._server is not None:
            self._server.close()
        connections = [*self._connections]
        for connection in connections:
            connection.is_leaving = True
        await asyncio.gather(*(connection.answered() for connection in connections))
        for connection in connections:
            connection.hang_up()

    def _accept(self) -> "_Answering":
        return _Answering(self._answers, self._connections)


class _Answering(asyncio.Protocol):
    """The answering end of one connection."""

    def __init__(self, answers: Answers, connections: "set[_Answering]") -> None:
        self.is_leaving = False
        self._answers = answers
        self._connections = connections
        self._cutter = Cutter(max_payload=MAX_QUESTION, kinds=(ASK,))
        self._transport: asyncio.WriteTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let peers in (called by asyncio, once the certificate is verified)."""
        # Not checked at run time: uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)
        if not is_peer(transport.get_extra_info("ssl_object")):
            _log.warning("not a peer", address=transport.get_extra_info("peername"))
            self._transport.abort()
            return
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Go on: whoever asked may have been let through already (called by asyncio)."""
        self._connections.discard(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Take every question that is complete (called by asyncio)."""
        try:
            for request, question in self._cutter.feed(data):
                self._take(request, question)
        except FrameError as error:
            _log.warning("a peer is cut off", problem=str(error))
            self.hang_up()

    def _take(self, request: int, question: Reply) -> None:
        if len(question.payload) < ALLOWED.size:
            raise FrameError("a question without its deadline")
        if self.is_leaving or len(self._tasks) >= MAX_IN_FLIGHT:
            reason = b"it is stopping" if self.is_leaving else b"it has too much to do"
            self._send(REFUSAL, request, reason)
            return
        (allowed,) = ALLOWED.unpack_from(question.payload)
        seconds = min(allowed / 1000, MAX_ALLOWED_SECONDS)
        task = asyncio.create_task(self._answer(request, question.payload[ALLOWED.size :], seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: int, content: Payload, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                answer = await self._answers(content)
        except TimeoutError:
            return  # nobody waits any more, and what was begun may be done
        except PeerError as error:
            kind = REFUSAL if error.is_certain else FAILURE
            self._send(kind, request, str(error).encode(errors="replace"))
        except Exception as error:  # noqa: BLE001 -- whatever it is, the asker must not wait for it
            _log.error("question not answered", error=type(error).__qualname__)
            self.hang_up()
        else:
            self._send(ANSWER, request, answer)

    def _send(self, kind: int, request: int, payload: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame(kind, request, payload))

    async def answered(self) -> None:
        """Wait until no question is worked on."""
        if self._tasks:
            await asyncio.wait([*self._tasks])

    def hang_up(self) -> None:
        """Close, once what was written is sent."""
        if self._transport is not None:
            self._transport.close()
