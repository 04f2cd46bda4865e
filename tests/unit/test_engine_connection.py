"""The asker's end of the socket: who gets which answer, and what ends a connection."""

import asyncio
import struct
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.clients.engine import protocol
from controller.clients.engine.connection import EngineConnection
from controller.clients.frames import MAX_IN_FLIGHT, Reply, frame
from controller.policy.engine import (
    EngineError,
    EngineProtocolError,
    EngineTimeoutError,
    EngineUnavailableError,
)

MAX_PAYLOAD = 64


class FakeTransport:
    """Keeps what was written; aborting it is all that it can do."""

    def __init__(self) -> None:
        self.written = b""
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        """Keep what is sent."""
        self.written += data

    def abort(self) -> None:
        """Remember it."""
        self.is_aborted = True


def connected() -> tuple[EngineConnection, FakeTransport]:
    connection, transport = EngineConnection(max_payload=MAX_PAYLOAD), FakeTransport()
    connection.connection_made(cast("asyncio.Transport", transport))
    return connection, transport


def ping(connection: EngineConnection, *, seconds: float = 60) -> asyncio.Future[Reply]:
    return connection.ask(protocol.PING, b"", timeout_seconds=seconds)


def pong(request: int, payload: bytes = b"", **header: int) -> bytes:
    fields = {"length": len(payload), "kind": protocol.PONG, "flags": 0, "reserved": 0} | header
    return struct.pack(">IBBHQ", *fields.values(), request) + payload


def chunks(stream: bytes, cuts: list[int]) -> Iterator[bytes]:
    ends = sorted({cut % (len(stream) + 1) for cut in cuts} | {len(stream)})
    for start, end in zip([0, *ends], ends, strict=False):
        yield stream[start:end]


@given(
    order=st.permutations([1, 2, 3, 4, 5]),
    cuts=st.lists(st.integers(min_value=0, max_value=1000), max_size=20),
)
def test_answers_find_their_askers_in_any_order_and_in_any_pieces(
    order: list[int], cuts: list[int]
) -> None:
    async def exchange() -> list[bytes]:
        connection, _ = connected()
        asked = [ping(connection) for _ in order]
        stream = b"".join(pong(request, b"x" * request) for request in order)
        for chunk in chunks(stream, cuts):
            connection.data_received(chunk)
        return [bytes((await future).payload) for future in asked]

    assert asyncio.run(exchange()) == [b"x" * request for request in (1, 2, 3, 4, 5)]


async def test_questions_are_written_as_they_are_asked() -> None:
    connection, transport = connected()
    _ = connection.ask(protocol.PING, b"hello", timeout_seconds=1)
    assert transport.written == frame(protocol.PING, 1, b"hello")


BROKEN: dict[str, Callable[[], bytes]] = {
    "an answer that was not asked for": lambda: pong(2),
    "a second answer": lambda: pong(1) + pong(1),
    "an unknown kind": lambda: pong(1, kind=0x42),
    "a question": lambda: pong(1, kind=protocol.PING),
    "reserved bytes": lambda: pong(1, reserved=1),
    "a frame that is too large": lambda: pong(1, length=MAX_PAYLOAD + 1),
}


@pytest.mark.parametrize("stream", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_promise_ends_the_connection(stream: Callable[[], bytes]) -> None:
    connection, transport = connected()
    asked = ping(connection)
    connection.data_received(stream())
    assert isinstance(await connection.closed, EngineProtocolError)
    assert transport.is_aborted
    assert asked.done()
    assert not connection.is_open


async def test_a_broken_promise_fails_everything_in_flight() -> None:
    connection, _ = connected()
    asked = [ping(connection) for _ in range(3)]
    connection.data_received(pong(9))
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {EngineUnavailableError}


async def test_what_came_before_a_broken_promise_still_counts() -> None:
    connection, _ = connected()
    first, second = ping(connection), ping(connection)
    connection.data_received(pong(1, b"fine") + pong(9))
    assert bytes((await first).payload) == b"fine"
    with pytest.raises(EngineUnavailableError):
        await second


async def test_a_missed_deadline_is_a_timeout_and_ends_the_connection() -> None:
    connection, transport = connected()
    late, patient = ping(connection, seconds=0.01), ping(connection)
    with pytest.raises(EngineTimeoutError):
        await late
    with pytest.raises(EngineUnavailableError, match="ignored a deadline"):
        await patient
    assert transport.is_aborted


async def test_an_answer_in_time_leaves_no_deadline_behind() -> None:
    connection, _ = connected()
    asked = ping(connection, seconds=0.02)
    connection.data_received(pong(1))
    await asked
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(connection.closed), 0.05)


async def test_an_asker_that_left_is_not_a_broken_promise() -> None:
    connection, _ = connected()
    left, stayed = ping(connection), ping(connection)
    left.cancel()
    connection.data_received(pong(1) + pong(2))
    await stayed
    assert connection.is_open


async def test_an_asker_that_left_still_has_a_deadline() -> None:
    connection, _ = connected()
    ping(connection, seconds=0.01).cancel()
    assert isinstance(await connection.closed, EngineUnavailableError)


@pytest.mark.parametrize("cause", [None, ConnectionResetError("reset")])
async def test_a_lost_connection_fails_everything_in_flight(cause: Exception | None) -> None:
    connection, _ = connected()
    asked = ping(connection)
    connection.connection_lost(cause)
    with pytest.raises(EngineUnavailableError, match="the engine went away"):
        await asked


async def test_nothing_is_asked_after_the_end() -> None:
    connection, _ = connected()
    connection.close(EngineUnavailableError("stopped"))
    with pytest.raises(EngineUnavailableError, match="gone"):
        await ping(connection)


async def test_the_first_reason_to_end_is_kept() -> None:
    connection, _ = connected()
    reasons: list[EngineError] = [EngineProtocolError("first"), EngineUnavailableError("second")]
    for reason in reasons:
        connection.close(reason)
    assert await connection.closed is reasons[0]


async def test_what_is_in_flight_is_bounded() -> None:
    connection, _ = connected()
    asked = [ping(connection) for _ in range(MAX_IN_FLIGHT)]
    with pytest.raises(EngineUnavailableError, match="in flight already"):
        await ping(connection)
    connection.data_received(pong(1))
    asked.append(ping(connection))
    connection.close(EngineUnavailableError("the test is over"))
    assert len(await asyncio.gather(*asked, return_exceptions=True)) == MAX_IN_FLIGHT + 1


async def test_drained_waits_for_the_last_answer() -> None:
    connection, _ = connected()
    await connection.drained()
    asked = [ping(connection), ping(connection)]
    draining = asyncio.create_task(connection.drained())
    connection.data_received(pong(1))
    await asyncio.sleep(0)
    assert not draining.done()
    connection.data_received(pong(2))
    await draining
    assert all(future.done() for future in asked)
