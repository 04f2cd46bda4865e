"""Bytes to and from the API server, over the official client's asyncio transport.

The official client brings configuration, TLS, authentication and token rotation;
its typed models are not used (they cost fifteen times the memory and stall the
loop). This module knows HTTP and turns faults into `KubeError`; it knows no
resource, and never tries a request again.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import aiohttp
import orjson

from controller.apis.json import Json
from controller.clients.kube.connections import Connections
from controller.clients.kube.errors import (
    InvalidError,
    KubeError,
    UnreachableError,
    error_from_answer,
)

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON = "application/json"

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds of one exchange, in seconds."""

    connect: float = 5.0
    """Until the connection is made; TLS included."""
    silence: float = 30.0
    """Longest wait for the next byte."""
    total: float | None = 60.0
    """Until the answer is complete; None for a stream."""


class _Connection(Protocol):
    @property
    def transport(self) -> asyncio.Transport | None: ...


class _Answer(Protocol):
    """What is used of aiohttp's response."""

    status: int
    headers: Mapping[str, str]
    content: aiohttp.StreamReader

    @property
    def connection(self) -> "_Connection | None": ...
    async def read(self) -> bytes: ...
    def close(self) -> None: ...


class _Raw(Protocol):
    response: _Answer


class _Api(Protocol):
    """The part of the official `ApiClient` that is used: it has no annotations of its own."""

    async def param_serialize(
        self,
        method: str,
        resource_path: str,
        *,
        query_params: list[tuple[str, str]],
        header_params: dict[str, str],
        body: object,
        auth_settings: list[str],
    ) -> tuple[str, str, dict[str, str], object, object]: ...

    async def call_api(
        self,
        method: str,
        url: str,
        header_params: dict[str, str],
        body: object,
        *,
        _request_timeout: aiohttp.ClientTimeout,
    ) -> _Raw: ...

    async def close(self) -> None: ...


# What breaks under us without an answer.
_BROKEN = (aiohttp.ClientError, OSError, TimeoutError)


class Transport:
    """One API server and one identity; safe for concurrent use within one event loop."""

    def __init__(self, api: "ApiClient", connections: Connections, *, timeouts: Timeouts) -> None:
        self._api = cast("_Api", api)
        self._connections = connections
        self._timeouts = timeouts

    async def close(self) -> None:
        """Close every connection; requests in flight fail."""
        await self._api.close()
        await self._connections.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Json = None,
        content_type: str = JSON,
    ) -> bytes:
        """One exchange; returns the body of a 2xx answer.

        Raises:
            KubeError: any other answer, or none.
        """
        doing = f"{method} {path}"
        try:
            answer = await self._send(
                method, path, query, body, content_type, self._timeouts, doing=doing
            )
            content = await answer.read()
        except _BROKEN as broken:
            raise UnreachableError(f"{doing}: {_words(broken)}") from broken
        if not _is_success(answer):
            raise _refused(answer, content, doing=doing)
        return content

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Query, silence: float
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """GET whose answer is read as it comes, in pieces of any size.

        Args:
            path: the path of the request.
            query: its parameters.
            silence: seconds without a byte after which the connection counts as dead.

        Raises:
            KubeError: an answer outside 2xx, or a connection that broke or fell silent,
                also from within the iteration.
        """
        doing = f"GET {path} (stream)"
        timeouts = Timeouts(connect=self._timeouts.connect, silence=silence, total=None)
        try:
            answer = await self._send("GET", path, query, None, JSON, timeouts, doing=doing)
            refusal = b"" if _is_success(answer) else await answer.read()
        except _BROKEN as broken:
            raise UnreachableError(f"{doing}: {_words(broken)}") from broken
        try:
            if not _is_success(answer):
                raise _refused(answer, refusal, doing=doing)
            yield _pieces(answer, doing=doing)
        finally:
            await _abandon(answer)

    async def _send(
        self,
        method: str,
        path: str,
        query: Query,
        body: Json,
        content_type: str,
        timeouts: Timeouts,
        *,
        doing: str,
    ) -> _Answer:
        wire, wire_type = _encoded(body, content_type, doing=doing)
        _, url, headers, payload, _ = await self._api.param_serialize(
            method,
            path,
            query_params=list(query),
            header_params={"Accept": JSON, "Content-Type": wire_type},
            body=wire,
            auth_settings=["BearerToken"],
        )
        raw = await self._api.call_api(
            method,
            url,
            headers,
            payload,
            _request_timeout=aiohttp.ClientTimeout(
                total=timeouts.total,
                sock_connect=timeouts.connect,
                sock_read=timeouts.silence,
            ),
        )
        return raw.response


def _is_success(answer: _Answer) -> bool:
    return 200 <= answer.status < 300


def _refused(answer: _Answer, content: bytes, *, doing: str) -> KubeError:
    retry_after = answer.headers.get("Retry-After")
    return error_from_answer(answer.status, content, doing=doing, retry_after=retry_after)


async def _abandon(answer: _Answer) -> None:
    """Close the connection of a stream at once, whatever is still on its way."""
    connection = answer.connection
    if connection is not None and connection.transport is not None:
        # A polite end of TLS would outlive us, and the event loop perhaps.
        connection.transport.abort()
        # The loop closes the socket at its next turn.
        await asyncio.sleep(0)
    answer.close()


async def _pieces(answer: _Answer, *, doing: str) -> AsyncGenerator[bytes, None]:
    """The stream, with only the reading of it guarded: a fault of the reader's stays its own."""
    while True:
        try:
            piece = await answer.content.readany()
        except _BROKEN as broken:
            raise UnreachableError(f"{doing}: {_words(broken)}") from broken
        if not piece:
            return
        yield piece


def _encoded(body: Json, content_type: str, *, doing: str) -> tuple[object, str]:
    if body is None or content_type != APPLY:
        # The official transport encodes JSON types itself, and takes no bytes for them.
        return body, content_type
    try:
        text = orjson.dumps(body).decode()
    except orjson.JSONEncodeError as unencodable:
        raise InvalidError(f"{doing}: the object is not JSON: {unencodable}") from unencodable
    # With the parameter the official transport passes our bytes on. It would write surrogate
    # pairs (\ud83d\ude00), which the API server's YAML parser refuses.
    return text.translate(_UNREADABLE_IN_YAML).encode(), f"{APPLY}; charset=utf-8"


# Legal in JSON strings, refused raw by YAML readers; both read the escape.
_UNREADABLE_IN_YAML = {
    point: f"\\u{point:04x}"
    for point in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)
}


def _words(broken: BaseException) -> str:
    return str(broken) or type(broken).__name__
