"""Calls an ASGI application as a server would, and keeps what it sent."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Scope

JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:  # noqa: ANN401 -- the test knows what it expects
        """The body as JSON."""
        return orjson.loads(self.body)


async def call(
    app: ASGIApp,
    *,
    method: str = "POST",
    path: str = "/validate",
    headers: Mapping[str, str] = JSON,
    body: bytes | Iterable[bytes] = b"",
    disconnects: bool = False,
) -> Answered:
    """Send one request; every chunk of a body is a message, taken when asked for.

    With `disconnects` the client goes away after the chunks, before the end.
    """
    inbox = _messages([body] if isinstance(body, bytes) else body, disconnects=disconnects)
    sent: list[Message] = []

    async def receive() -> Message:
        return next(inbox, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    await app(_scope(method, path, headers), receive, send)
    return _answered(sent)


def _messages(chunks: Iterable[bytes], *, disconnects: bool) -> Iterator[Message]:
    for chunk in chunks:
        yield {"type": "http.request", "body": chunk, "more_body": True}
    if not disconnects:
        yield {"type": "http.request"}


def _scope(method: str, path: str, headers: Mapping[str, str]) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"timeout=5s",
        "root_path": "",
        "headers": [(key.lower().encode(), value.encode()) for key, value in headers.items()],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 9443),
    }


def _answered(sent: list[Message]) -> Answered:
    start, *rest = sent
    assert start["type"] == "http.response.start"
    assert all(message["type"] == "http.response.body" for message in rest)
    headers = {key.decode(): value.decode() for key, value in start["headers"]}
    body = b"".join(message.get("body", b"") for message in rest)
    return Answered(int(start["status"]), headers, body)
