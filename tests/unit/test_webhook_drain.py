"""A webhook that stops: whoever has asked is answered, and whoever was let in may still ask."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from controller.clients.certificates import Authority, Validity
from webhooks.server import WebhookServer, build_server, share

SECONDS = 20.0
REQUEST = b"POST /validate HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}"


@dataclass(frozen=True, slots=True)
class Trust:
    """Both ends of TLS on loopback."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return trust_in(tmp_path_factory.mktemp("certificates"))


def trust_in(folder: Path) -> Trust:
    validity = Validity.lasting(timedelta(hours=1), now=datetime.now(UTC))
    authority = Authority.create("governor test", validity=validity)
    pair = authority.issue_server("webhook", sans=["127.0.0.1"], validity=validity)
    files = pair.write(folder, "server")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    return Trust(server, ssl.create_default_context(cadata=authority.certificate.decode()))


@dataclass
class App:
    """Answers everything alike, once the gate is open."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        assert scope["type"] == "http"
        await receive()
        self.asked += 1
        self.arrived.set()
        await self.gate.wait()
        headers = [(b"content-length", b"2"), (b"connection", b"keep-alive")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


@dataclass
class Running:
    """A server that runs in this test's loop."""

    app: App
    server: WebhookServer
    task: "asyncio.Task[None]"
    port: int

    async def stopped(self) -> None:
        """Wait until it has ended."""
        self.server.drain()
        await asyncio.wait_for(asyncio.shield(self.task), SECONDS)


@asynccontextmanager
async def running(
    trust: Trust,
    *,
    port: int = 0,
    is_open: bool = True,
    linger: Callable[[float], Awaitable[None]] = asyncio.sleep,
    linger_seconds: float = 0.0,
) -> AsyncGenerator[Running]:
    app = App()
    if is_open:
        app.gate.set()
    server = build_server(app, trust.server, linger_seconds=linger_seconds, sleep=linger)
    sock = share("127.0.0.1", port)
    bound: int = sock.getsockname()[1]
    found = Running(app, server, asyncio.create_task(server.serve([sock])), bound)
    await asyncio.wait_for(server.serving.wait(), SECONDS)
    try:
        yield found
    finally:
        app.gate.set()
        await found.stopped()


class Connection:
    """One HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int, trust: Trust) -> "Connection":
        """Connect."""
        return await cls.over(socket.create_connection(("127.0.0.1", port)), trust)

    @classmethod
    async def over(cls, connected: socket.socket, trust: Trust) -> "Connection":
        """Shake hands."""
        connected.settimeout(0)
        async with asyncio.timeout(SECONDS):
            opened = await asyncio.open_connection(
                sock=connected, ssl=trust.client, server_hostname="127.0.0.1"
            )
        return cls(*opened)

    async def ask(self) -> str:
        """One request and its answer's head; an error where there is none."""
        self.send()
        return await self.answer()

    def send(self) -> None:
        """Ask."""
        self.writer.write(REQUEST)

    async def answer(self) -> str:
        """The head of the answer."""
        async with asyncio.timeout(SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            assert await self.reader.readexactly(2) == b"ok"
        return head.decode()

    async def ask_for_the_last_time(self) -> str:
        """Likewise; it is closed after it."""
        try:
            return await self.ask()
        finally:
            self.writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await self.writer.wait_closed()

    async def is_closed(self) -> bool:
        """Wait for the other end to close."""
        async with asyncio.timeout(SECONDS):
            rest = await self.reader.read()
        self.writer.close()
        return rest == b""


async def test_while_it_runs_connections_are_kept(trust: Trust) -> None:
    async with running(trust) as webhook:
        connection = await Connection.to(webhook.port, trust)
        heads = [await connection.ask() for _ in range(3)]
        assert not webhook.server.is_draining
        connection.writer.close()
    assert all("connection: keep-alive" in head for head in heads)


@pytest.mark.requirement("fail-closed.drained")
async def test_every_answer_while_it_drains_is_the_last_on_its_connection(trust: Trust) -> None:
    async with running(trust, is_open=False, linger_seconds=0.2) as webhook:
        early = await Connection.to(webhook.port, trust)
        early.send()
        await asyncio.wait_for(webhook.app.arrived.wait(), SECONDS)
        webhook.server.drain()
        assert webhook.server.is_draining
        webhook.app.gate.set()
        late = await Connection.to(webhook.port, trust)
        heads = [await early.answer(), await late.ask()]
        assert [await early.is_closed(), await late.is_closed()] == [True, True]
    for head in heads:
        assert head.lower().count("connection:") == 1
        assert "connection: close" in head


@pytest.mark.requirement("fail-closed.drained")
async def test_who_is_connected_and_has_not_asked_yet_may_still_ask(trust: Trust) -> None:
    lingered = asyncio.Event()

    async def linger(_: float) -> None:
        lingered.set()

    async with running(trust, linger=linger) as webhook:
        fresh = await Connection.to(webhook.port, trust)
        webhook.server.drain()
        await asyncio.wait_for(lingered.wait(), SECONDS)
        await asyncio.sleep(0)
        assert "200 OK" in await fresh.ask()
        assert await fresh.is_closed()


async def test_who_never_asks_holds_nobody_up_for_long(trust: Trust) -> None:
    async with running(trust) as webhook:
        idle = await Connection.to(webhook.port, trust)
        await webhook.stopped()
        assert await idle.is_closed()


@pytest.mark.requirement("fail-closed.drained")
@pytest.mark.parametrize(
    "loop",
    [
        pytest.param(asyncio.new_event_loop, id="asyncio"),
        pytest.param(uvloop.new_event_loop, id="uvloop"),
    ],
)
def test_who_queued_when_the_socket_was_closed_is_let_in(
    trust: Trust, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """The kernel has accepted them: closing the socket alone would reset them."""

    async def drain_with_a_queue() -> list[str]:
        queued: list[socket.socket] = []
        are_queued = asyncio.Event()

        async def linger(_: float) -> None:
            # Without giving the loop its turn, so that nobody accepts them.
            address = ("127.0.0.1", webhook.port)
            queued.extend(socket.create_connection(address) for _ in range(20))
            are_queued.set()

        async with running(trust, linger=linger) as webhook:
            await (await Connection.to(webhook.port, trust)).ask_for_the_last_time()
            webhook.server.drain()
            await asyncio.wait_for(are_queued.wait(), SECONDS)
            opened = [Connection.over(sock, trust) for sock in queued]
            connections = await asyncio.gather(*opened)
            return [await each.ask_for_the_last_time() for each in connections]

    with asyncio.Runner(loop_factory=loop) as runner:
        heads = runner.run(drain_with_a_queue())
    assert len(heads) == 20
    assert all("200 OK" in head and "connection: close" in head for head in heads)


@pytest.mark.requirement("fail-closed.drained")
async def test_two_that_share_a_port_stop_one_after_the_other_and_no_request_is_lost(
    trust: Trust,
) -> None:
    """Whoever asks keeps connections like the API server does, and dials anew when told to."""
    stop = asyncio.Event()

    async def keep_asking(port: int) -> int:
        asked = 0
        while not stop.is_set():
            connection = await Connection.to(port, trust)
            is_kept = True
            while is_kept and not stop.is_set():
                is_kept = "connection: close" not in await connection.ask()
                asked += 1
            await connection.ask_for_the_last_time() if is_kept else await connection.is_closed()
        return asked

    async with running(trust) as first:
        askers = [asyncio.create_task(keep_asking(first.port)) for _ in range(8)]
        for _ in range(3):
            async with running(trust, port=first.port, linger_seconds=0.05) as other:
                async with asyncio.timeout(SECONDS):
                    while not other.app.asked:
                        # The kernel spreads connections by their ports: some time one goes there.
                        await (await Connection.to(first.port, trust)).ask_for_the_last_time()
        stop.set()
        asked = await asyncio.wait_for(asyncio.gather(*askers), SECONDS)
    assert all(asked)
