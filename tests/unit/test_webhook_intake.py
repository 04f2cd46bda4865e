"""Reading bodies: whole, within a time, and within a sum that all of them share."""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus

import pytest
from starlette.types import Message, Receive

from webhooks.intake import Intake, RefusedTransportError

pytestmark = pytest.mark.requirement("fail-closed.malformed-review")


def sending(*chunks: bytes, then: Iterable[Message] = ()) -> Receive:
    """A client that sends these chunks, of which the last ends the body."""
    last = len(chunks) - 1
    messages = iter(
        [
            *(
                {"type": "http.request", "body": chunk, "more_body": bool(then) or place < last}
                for place, chunk in enumerate(chunks)
            ),
            *then,
        ]
    )

    async def receive() -> Message:
        return next(messages)

    return receive


def stalling(*chunks: bytes) -> tuple[Receive, asyncio.Event]:
    """A client that sends these and then nothing; the event tells that it is waited for."""
    waiting = asyncio.Event()
    rest = list(chunks)

    async def receive() -> Message:
        if rest:
            return {"type": "http.request", "body": rest.pop(0), "more_body": True}
        waiting.set()
        await asyncio.Event().wait()
        raise AssertionError

    return receive, waiting


@pytest.mark.parametrize("chunks", [(b"",), (b"whole",), (b"in ", b"", b"pieces")])
async def test_a_body_is_read_whole(chunks: tuple[bytes, ...]) -> None:
    assert await Intake().read(sending(*chunks)) == b"".join(chunks)


async def test_a_body_that_never_ends_is_given_up() -> None:
    receive, _ = stalling(b"begun")
    with pytest.raises(RefusedTransportError, match=r"did not end within 0\.01 s") as refused:
        await Intake(body_seconds=0.01).read(receive)
    assert refused.value.status is HTTPStatus.REQUEST_TIMEOUT


async def test_a_client_that_leaves_is_refused() -> None:
    with pytest.raises(RefusedTransportError, match="ended early"):
        await Intake().read(sending(b"begun", then=[{"type": "http.disconnect"}]))


async def test_bodies_that_are_too_large_together_are_sent_away_until_there_is_room() -> None:
    intake = Intake(max_held_bytes=10)
    receive, waiting = stalling(b"eight...")
    first = asyncio.create_task(intake.read(receive))
    await waiting.wait()
    with pytest.raises(RefusedTransportError, match="too many bodies") as refused:
        await intake.read(sending(b"four"))
    assert refused.value.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert await intake.read(sending(b"2.")) == b"2."
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert await intake.read(sending(b"ten bytes.")) == b"ten bytes."
