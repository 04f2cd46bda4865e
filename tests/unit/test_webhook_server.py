"""The webhook on a real TLS socket: protocol, keep-alive, and an end that drops no request."""

import asyncio
import signal
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop
from typer.testing import CliRunner

from controller.admission.reviewer import Reviewer
from controller.cli.app import app
from controller.clients.certificates import Authority, Validity
from controller.settings import WebhookSettings
from tests.builders import CHANGE, UID, a_mandate, a_registry, a_review, an_evaluation
from tests.fakes.admission import an_app_that_judges
from tests.fakes.engine import ScriptedEngine
from tests.fakes.registries import ScriptedRegistries
from webhooks.server import WebhookServer, build_server, listen

WITHIN_SECONDS = 20
HANDLED = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Trust:
    """Both ends of TLS on loopback."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    """A fresh CA, a server's context signed by it, and a client's that trusts it alone."""
    validity = Validity.lasting(timedelta(hours=1), now=datetime.now(UTC))
    authority = Authority.create("governor test", validity=validity)
    pair = authority.issue_server("webhook", sans=["127.0.0.1"], validity=validity)
    files = pair.write(tmp_path, "server")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    return Trust(server, ssl.create_default_context(cadata=authority.certificate.decode()))


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs in this test's loop."""

    server: WebhookServer
    task: "asyncio.Task[None]"
    port: int

    async def stopped(self) -> None:
        """End it, and wait until it has ended."""
        self.server.should_exit = True
        await asyncio.wait_for(asyncio.shield(self.task), WITHIN_SECONDS)


@asynccontextmanager
async def running(engine: ScriptedEngine, trust: Trust) -> AsyncGenerator[Running]:
    """Serve the application on a free port for as long as the block lasts."""
    reviewer = Reviewer(engine, lambda: 1_795_512_615_000_000_000, lambda: CHANGE, 1.0)
    registry = a_registry(a_mandate())
    app = an_app_that_judges(reviewer, ScriptedRegistries(registry))
    server = build_server(app, trust.server)
    with listen("127.0.0.1", 0) as sock:
        port: int = sock.getsockname()[1]
        task = asyncio.create_task(server.serve([sock]))
        found = Running(server, task, port)
        try:
            yield found
        finally:
            await found.stopped()


class Connection:
    """One HTTP/1.1 connection, kept open as the API server keeps its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int, tls: ssl.SSLContext) -> "Connection":
        """Connect; the socket listens before the server runs, so none is refused."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))

    async def send(self, body: bytes, *, is_chunked: bool = False) -> None:
        """Send a review without waiting for its answer."""
        framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % len(body)
        lines = [b"POST /validate?timeout=5s HTTP/1.1", b"Host: localhost", framing]
        head = b"\r\n".join([*lines, b"Content-Type: application/json", b"", b""])
        half = len(body) // 2
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (body[:half], body[half:], b""))
        self.writer.write(head + (chunks if is_chunked else body))
        await self.writer.drain()

    async def answer(self) -> tuple[int, Any]:
        """Read one answer: its status and its JSON."""
        async with asyncio.timeout(WITHIN_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            status, *headers = head.split("\r\n")
            lengths = [
                line.partition(":")[2] for line in headers if line.startswith("content-length")
            ]
            if not lengths:
                body = await self._chunks()
            else:
                body = await self.reader.readexactly(int(lengths[0]))
        return int(status.split()[1]), orjson.loads(body)

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")
        return body

    async def close(self) -> None:
        """Close it, whatever the other end did before."""
        self.writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


@asynccontextmanager
async def connected(to: Running, trust: Trust) -> AsyncGenerator[Connection]:
    connection = await Connection.to(to.port, trust.client)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def granting() -> ScriptedEngine:
    """An engine that refuses nothing."""
    return ScriptedEngine.answering(an_evaluation())


async def test_many_reviews_share_one_tls_1_3_connection(
    trust: Trust, granting: ScriptedEngine
) -> None:
    async with running(granting, trust) as server, connected(server, trust) as connection:
        assert connection.writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        for is_chunked in (False, True, False):
            await connection.send(a_review(), is_chunked=is_chunked)
            status, review = await connection.answer()
            assert (status, review["response"]["uid"]) == (200, UID)
            assert review["response"]["allowed"] is True
    assert len(granting.asked) == 3


async def test_an_older_tls_is_refused(trust: Trust, granting: ScriptedEngine) -> None:
    trust.client.maximum_version = ssl.TLSVersion.TLSv1_2
    async with running(granting, trust) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await Connection.to(server.port, trust.client)


@pytest.mark.requirement("fail-closed.internal-fault")
async def test_a_fault_in_one_review_costs_the_next_one_nothing(trust: Trust) -> None:
    engine = ScriptedEngine.answering(RuntimeError("boom"), an_evaluation())
    async with running(engine, trust) as server, connected(server, trust) as connection:
        await connection.send(a_review())
        assert (await connection.answer())[0] == 500
        await connection.send(a_review())
        assert (await connection.answer())[0] == 200


async def test_a_server_that_is_ended_answers_what_it_has_begun(trust: Trust) -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([an_evaluation()], open=gate)
    async with running(engine, trust) as server, connected(server, trust) as connection:
        await connection.send(a_review())
        await asyncio.wait_for(engine.arrived.wait(), WITHIN_SECONDS)
        server.server.should_exit = True
        await asyncio.wait_for(until_new_connections_are_refused(server.port), WITHIN_SECONDS)
        assert not server.task.done()
        gate.set()
        status, review = await connection.answer()
        assert (status, review["response"]["allowed"]) == (200, True)
        await server.stopped()


async def until_new_connections_are_refused(port: int) -> None:
    """Try again as long as one is taken."""
    with suppress(ConnectionError):
        while True:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()


async def test_the_process_keeps_its_signal_handlers(
    trust: Trust, granting: ScriptedEngine
) -> None:
    before = [signal.getsignal(number) for number in HANDLED]
    async with running(granting, trust) as server, connected(server, trust) as connection:
        await connection.send(a_review())
        await connection.answer()
        assert [signal.getsignal(number) for number in HANDLED] == before


def test_no_packet_of_an_answer_waits_for_an_acknowledgement() -> None:
    with listen("127.0.0.1", 0) as sock, socket.create_connection(sock.getsockname()) as asker:
        accepted, _ = sock.accept()
        with accepted:
            asker.close()
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_command_serves_on_uvloop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def run_webhook(_: WebhookSettings) -> None:
        loops.append(asyncio.get_running_loop())

    monkeypatch.setattr("controller.manager.run_webhook", run_webhook)
    # It would log to the runner's standard error for the rest of this process.
    monkeypatch.setattr("controller.cli.app.log_as_json", lambda: None)
    options = ["--kubeconfig", str(tmp_path / "none"), "--certificates", str(tmp_path)]
    options += ["--outbox", str(tmp_path)]
    result = CliRunner().invoke(app, ["webhook", *options])
    assert result.exit_code == 0, result.output
    assert [type(loop) for loop in loops] == [uvloop.Loop]
