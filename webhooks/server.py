"""Runs the webhook application on TLS, and stops it without losing a request.

Decides transport only: HTTP/1.1 (all that kube-apiserver speaks to webhooks),
TLS 1.3, connections kept longer than the API server keeps them. Signals are the
manager's business, not the server's, and so is the event loop that it runs on.

How it stops. The API server repeats no POST whose connection broke, so none may break
with a request on it. First every answer says `connection: close`, so that whoever asks
goes elsewhere, while new connections are still taken (whoever sends them here may take a
moment to hear that this process is not ready). Then what the kernel has accepted in our
name is taken out of its queue, for it would be reset with the socket, also where other
processes listen on the same port; the socket is closed; who was let in is answered; and
connections are closed that nobody has used all the while.
"""

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

KEEP_ALIVE_SECONDS = 120
"""Longer than the API server's 90 s, so that it never meets a closing connection."""
DRAIN_SECONDS = 10
LINGER_SECONDS = 1.0
FIRST_REQUEST_SECONDS = 1.0
"""For so long after the socket is closed a connection may take to shake hands and ask."""
_LOOK_SECONDS = 0.02


class _Farewell:
    """The application; once it is to end, every answer is the last on its connection."""

    def __init__(self, app: ASGIApp) -> None:
        self.is_last = False
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def last(message: Message) -> None:
            if self.is_last and message["type"] == "http.response.start":
                others = [each for each in message["headers"] if each[0] != b"connection"]
                message = {**message, "headers": [*others, (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, last)


class WebhookServer(uvicorn.Server):
    """A uvicorn server that leaves the process's signals alone, and no request unanswered.

    Attributes:
        serving: set once connections are taken.
    """

    def __init__(
        self, config: uvicorn.Config, app: _Farewell, *, linger: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(config)
        self._app = app
        self._linger = linger
        self.serving = asyncio.Event()

    @property
    def is_draining(self) -> bool:
        """Whether it is to end: nobody new should be sent here."""
        return self._app.is_last

    def drain(self) -> None:
        """End, once all are answered who were let in."""
        self._app.is_last = True
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave them to the manager."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections (called by uvicorn)."""
        await super().startup(sockets)
        self.serving.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop as the module says (called by uvicorn)."""
        self.drain()
        await self._linger()
        handshakes = [
            asyncio.create_task(self._let_in(accepted))
            for listening in sockets or ()
            for accepted in _queued(listening)
        ]
        # Nothing may be awaited in between, or more would have queued.
        for server in self.servers:
            server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await asyncio.gather(*handshakes)
                await self._answer_the_last()
        await super().shutdown(sockets)

    async def _let_in(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            await loop.connect_accepted_socket(
                self._new_connection,
                accepted,
                ssl=self.config.ssl,
                ssl_handshake_timeout=FIRST_REQUEST_SECONDS,
            )

    def _new_connection(self) -> HttpToolsProtocol:
        return HttpToolsProtocol(self.config, self.server_state, self.lifespan.state)

    async def _answer_the_last(self) -> None:
        """Wait until nobody asks any more; hang up on who has not asked for long."""
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + FIRST_REQUEST_SECONDS
        while self.server_state.connections or loop.time() < patient_until:
            for connection in cast("set[HttpToolsProtocol]", {*self.server_state.connections}):
                if _is_idle(connection, is_late=loop.time() >= patient_until):
                    connection.shutdown()
            await asyncio.sleep(_LOOK_SECONDS)


def _is_idle(connection: HttpToolsProtocol, *, is_late: bool) -> bool:
    """Whether nothing was asked that is not answered."""
    cycle = cast("object | None", connection.cycle)  # None before the first request
    if not is_late and cycle is None:
        return False
    return (cycle is None or connection.cycle.response_complete) and not _has_unread(connection)


def _has_unread(connection: HttpToolsProtocol) -> bool:
    """Whether a request may have come that the event loop did not get to read yet."""
    # A transport that is closing may have none; uvloop gives None, asyncio a closed socket.
    held = cast("socket.socket | None", connection.transport.get_extra_info("socket"))
    descriptor = -1 if held is None else held.fileno()
    if descriptor < 0:
        return False
    (unread,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))
    return bool(unread)


def _queued(listening: socket.socket) -> Generator[socket.socket]:
    """Every connection that the kernel has accepted and nobody has taken yet."""
    listening.settimeout(0)
    while True:
        try:
            accepted, _ = listening.accept()
        except OSError:  # none left, as a rule
            return
        accepted.settimeout(0)
        yield accepted


def build_server(
    app: ASGIApp,
    tls: ssl.SSLContext,
    *,
    linger_seconds: float = LINGER_SECONDS,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> WebhookServer:
    """A server for `app`; serve it on a socket from `listen` or `share`, end it with `drain`.

    Raises the context's lowest TLS version to 1.3.

    Args:
        app: what answers.
        tls: what is shown.
        linger_seconds: for how long new connections are taken once it is to end.
        sleep: waits for that.
    """
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    farewell = _Farewell(app)
    config = uvicorn.Config(
        farewell,
        http=HttpToolsProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        backlog=2048,
        ssl_context_factory=lambda _config, _default: tls,
    )
    return WebhookServer(config, farewell, linger=partial(sleep, linger_seconds))


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one."""
    return _without_delay(socket.create_server((host, port), backlog=2048))


def share(host: str, port: int) -> socket.socket:
    """A TCP socket on a port that other processes of the same user may have, too.

    The kernel spreads connections over all that listen. This one listens once it is served:
    until then nobody is sent here.
    """
    sharing = socket.socket()
    try:
        sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sharing.bind((host, port))
    except BaseException:
        sharing.close()
        raise
    return _without_delay(sharing)


def _without_delay(listening: socket.socket) -> socket.socket:
    # Connections inherit it. Without it the second packet of an answer waits for the asker's
    # delayed acknowledgement (40 ms); asyncio sets it only on sockets of an explicit protocol.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
