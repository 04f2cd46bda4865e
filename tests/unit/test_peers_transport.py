"""The conversation between processes: who gets in, who gets which answer, and what ends it."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.clients.certificates import Authority, Pair, Validity, write_private
from controller.clients.frames import Payload, frame
from controller.clients.peers.connection import (
    ALLOWED,
    ANSWER,
    ASK,
    MAX_QUESTION,
    Address,
    PeerConnection,
    connect,
)
from controller.clients.peers.errors import (
    PeerError,
    PeerProtocolError,
    PeerRefusedError,
    PeerTimeoutError,
    PeerUnavailableError,
)
from controller.clients.peers.server import PeerServer
from controller.clients.peers.tls import PEER_NAME, context_to_connect
from tests.peers import Folder, answering
from webhooks.server import listen

SECONDS = 10.0


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder.at(tmp_path / "ours")


async def echo(content: Payload) -> bytes:
    return b"you said " + bytes(content)


def failing(error: Exception) -> Callable[[Payload], Awaitable[bytes]]:
    async def fail(_: Payload) -> bytes:
        raise error

    return fail


async def hang_up(connection: PeerConnection) -> None:
    connection.close(PeerUnavailableError("the test is over"))
    await asyncio.sleep(0)


async def test_many_questions_share_one_connection_and_find_their_answers(folder: Folder) -> None:
    async def slowest_first(content: Payload) -> bytes:
        for _ in range(100 - int(bytes(content))):
            await asyncio.sleep(0)
        return await echo(content)

    async with answering(slowest_first, folder) as address:
        connection = await connect(address, folder.to_connect())
        asked = [connection.question(b"%d" % n, timeout_seconds=SECONDS) for n in range(50)]
        answers = await asyncio.gather(*asked)
        await hang_up(connection)

    assert [bytes(answer) for answer in answers] == [b"you said %d" % n for n in range(50)]


@pytest.mark.parametrize(
    ("raised", "heard", "is_certain"),
    [
        pytest.param(PeerRefusedError("no"), PeerRefusedError, True, id="nothing was done"),
        pytest.param(PeerUnavailableError("?"), PeerUnavailableError, False, id="nobody knows"),
        pytest.param(RuntimeError("bug"), PeerUnavailableError, False, id="a fault of the peer's"),
    ],
)
async def test_what_cannot_be_answered_is_told_and_whether_anything_was_done(
    folder: Folder, raised: Exception, heard: type[PeerError], *, is_certain: bool
) -> None:
    async with answering(failing(raised), folder) as address:
        connection = await connect(address, folder.to_connect())
        with pytest.raises(heard) as told:
            await connection.question(b"x", timeout_seconds=SECONDS)
        await hang_up(connection)

    assert told.value.is_certain is is_certain


async def test_who_is_not_answered_in_time_is_told_and_the_others_are_answered(
    folder: Folder,
) -> None:
    gate = asyncio.Event()
    cancelled = asyncio.Event()

    async def slow(content: Payload) -> bytes:
        if bytes(content) == b"slow":
            try:
                await gate.wait()
            finally:
                cancelled.set()
        return await echo(content)

    async with answering(slow, folder) as address:
        connection = await connect(address, folder.to_connect())
        with pytest.raises(PeerTimeoutError):
            await connection.question(b"slow", timeout_seconds=0.02)
        await asyncio.wait_for(cancelled.wait(), SECONDS)
        answer = await connection.question(b"next", timeout_seconds=SECONDS)
        await hang_up(connection)

    assert bytes(answer) == b"you said next"


@pytest.mark.requirement("never-oversold.forwarded")
@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param("nothing", id="who shows no certificate"),
        pytest.param("other", id="who shows one of another authority"),
        pytest.param("server", id="who shows what the API server is shown"),
        pytest.param("client", id="who shows one of ours that is not for peers"),
    ],
)
async def test_nobody_else_is_answered(folder: Folder, tmp_path: Path, stranger: str) -> None:
    asked: list[bytes] = []

    async def answer(content: Payload) -> bytes:
        asked.append(bytes(content))
        return b"welcome"

    async with answering(answer, folder) as address:
        with pytest.raises((PeerError, ssl.SSLError)):
            await ask(address, tls_of(stranger, folder, tmp_path))
    assert asked == []


async def ask(address: Address, tls: ssl.SSLContext) -> None:
    """In TLS 1.3 the asker's handshake is over before the other end has seen who it is."""
    connection = await connect(address, tls)
    await connection.question(b"let me in", timeout_seconds=SECONDS)


def tls_of(stranger: str, folder: Folder, tmp_path: Path) -> ssl.SSLContext:
    ours = folder.certificates
    if stranger == "nothing":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=ours.bundle.decode())
        return context
    if stranger == "server":
        return context_to_connect(ours.file, ours.bundle)
    file = tmp_path / "stranger.pem"
    if stranger == "other":
        file = Folder.at(tmp_path / "theirs").certificates.peer_file
    else:
        write(file, signing(folder).issue_client("somebody", validity=an_hour()))
    return context_to_connect(file, ours.bundle)


async def test_who_does_not_show_a_peers_certificate_is_asked_nothing(
    folder: Folder, tmp_path: Path
) -> None:
    other = Folder.at(tmp_path / "theirs")
    async with answering(echo, other) as address:
        with pytest.raises(PeerUnavailableError):
            await connect(address, folder.to_connect())


async def test_nobody_there_is_an_error_like_any_other(folder: Folder) -> None:
    with listen("127.0.0.1", 0) as closed:
        address = Address("127.0.0.1", closed.getsockname()[1])
    with pytest.raises(PeerUnavailableError, match=str(address.port)):
        await connect(address, folder.to_connect())


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another protocol"),
        pytest.param(frame(ANSWER, 1, b""), id="an answer where questions belong"),
        pytest.param(frame(ASK, 1, b"x"), id="a question without its deadline"),
        pytest.param(frame(ASK, 1, ALLOWED.pack(9) + bytes(MAX_QUESTION)), id="far too much"),
    ],
)
async def test_a_peer_that_sends_garbage_is_cut_off_alone(folder: Folder, garbage: bytes) -> None:
    async with answering(echo, folder) as address:
        other = await connect(address, folder.to_connect())
        reader, writer = await asyncio.open_connection(
            *address, ssl=folder.to_connect(), server_hostname=PEER_NAME
        )
        writer.write(garbage)
        assert await asyncio.wait_for(reader.read(), SECONDS) == b""
        writer.close()
        assert bytes(await other.question(b"x", timeout_seconds=SECONDS)) == b"you said x"
        await hang_up(other)


async def test_an_answer_that_is_no_frame_ends_the_connection(folder: Folder) -> None:
    async def garble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"garbage, at length")
        writer.close()

    server = await asyncio.start_server(garble, "127.0.0.1", 0, ssl=folder.to_accept())
    address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    connection = await connect(address, folder.to_connect())
    with pytest.raises(PeerUnavailableError):
        await connection.question(b"x", timeout_seconds=SECONDS)
    server.close()
    assert isinstance(connection.closed.result(), PeerProtocolError)


async def test_a_peer_that_stops_answers_what_it_has_taken_and_refuses_the_rest(
    folder: Folder,
) -> None:
    gate, taken = asyncio.Event(), asyncio.Event()

    async def answer(content: Payload) -> bytes:
        taken.set()
        await gate.wait()
        return await echo(content)

    server, listening = PeerServer(answer), listen("127.0.0.1", 0)
    await server.start(listening, folder.to_accept())
    address = Address("127.0.0.1", listening.getsockname()[1])
    connection = await connect(address, folder.to_connect())
    first = asyncio.ensure_future(connection.question(b"first", timeout_seconds=SECONDS))
    await asyncio.wait_for(taken.wait(), SECONDS)
    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    with pytest.raises(PeerRefusedError, match="stopping"):
        await connection.question(b"second", timeout_seconds=SECONDS)
    gate.set()

    assert bytes(await first) == b"you said first"
    await asyncio.wait_for(stopping, SECONDS)
    await asyncio.wait_for(connection.closed, SECONDS)


def an_hour() -> Validity:
    return Validity.lasting(timedelta(hours=1), now=datetime.now(UTC))


def signing(folder: Folder) -> Authority:
    content = folder.certificates.file.with_name("ca.pem").read_bytes()
    certificate, marker, key = content.partition(b"-----BEGIN PRIVATE KEY-----")
    return Authority.load(Pair(certificate, marker + key))


def write(file: Path, pair: Pair) -> None:
    write_private(file, pair.certificate + pair.key)
