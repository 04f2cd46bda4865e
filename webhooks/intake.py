"""Reads the bodies of reviews, within a size, a time and a sum that all of them share.

Whoever reaches the port may send: nobody may make the process hold more than it
has, or wait for a body that never ends. What is in a body is none of its business.
"""

import asyncio
from http import HTTPStatus

from starlette.types import Receive

from controller.admission.review import MAX_REVIEW_BYTES

MAX_HELD_BYTES = 8 * MAX_REVIEW_BYTES
"""Of all bodies that are being read; beyond it the API server is asked to come again."""
BODY_SECONDS = 5.0
"""The API server sends a body at once, and does not wait longer for its answer."""


class RefusedTransportError(Exception):
    """The request is not even the body of a review, or cannot be taken now."""

    def __init__(self, status: HTTPStatus, problem: str) -> None:
        super().__init__(problem)
        self.status = status


class Intake:
    """The bodies that are being read by one process."""

    def __init__(
        self, *, max_held_bytes: int = MAX_HELD_BYTES, body_seconds: float = BODY_SECONDS
    ) -> None:
        self._max_held = max_held_bytes
        self._seconds = body_seconds
        self._held = 0

    async def read(self, receive: Receive) -> bytes:
        """Read one body whole, or raise `RefusedTransportError`."""
        chunks: list[bytes] = []
        size, has_more = 0, True
        try:
            async with asyncio.timeout(self._seconds):
                while has_more:
                    chunk, has_more = await _next_chunk(receive)
                    chunks.append(chunk)
                    size += len(chunk)
                    self._held += len(chunk)
                    refuse_size(size)
                    self._refuse_overload()
        except TimeoutError as error:
            problem = f"the body did not end within {self._seconds:g} s"
            raise RefusedTransportError(HTTPStatus.REQUEST_TIMEOUT, problem) from error
        finally:
            self._held -= size
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _refuse_overload(self) -> None:
        if self._held > self._max_held:
            problem = "too many bodies are being read; send it again in a moment"
            raise RefusedTransportError(HTTPStatus.SERVICE_UNAVAILABLE, problem)


async def _next_chunk(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise RefusedTransportError(HTTPStatus.BAD_REQUEST, "the body ended early")
    return message.get("body", b""), bool(message.get("more_body", False))


def refuse_size(size: int) -> None:
    """Refuse a body, or the announcement of one, that is too large to be a review."""
    if size > MAX_REVIEW_BYTES:
        problem = f"the body is larger than {MAX_REVIEW_BYTES} bytes"
        raise RefusedTransportError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, problem)
