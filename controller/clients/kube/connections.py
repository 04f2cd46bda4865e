"""The TCP connections of one client, so that closing it leaves none half closed.

A request that is cancelled leaves its connection to a polite end of TLS, which
nobody awaits; an event loop that stops before it leaks the socket. Knows no HTTP.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from weakref import WeakSet

import aiohttp

_POLITENESS_SECONDS = 1.0


class Connections:
    """A connector for aiohttp whose `close` waits for the last socket.

    Attributes:
        connector: to be used by one session; closed here, not by the session.
    """

    def __init__(
        self, context: ssl.SSLContext, *, limit: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self.connector = aiohttp.TCPConnector(limit=limit, ssl=context, socket_factory=self._open)

    async def close(self) -> None:
        """Close what is open, and wait a moment for what is closing already."""
        await self.connector.close()
        deadline = self._clock() + _POLITENESS_SECONDS
        while self._is_any_open() and self._clock() < deadline:  # noqa: ASYNC110 - no socket tells
            await asyncio.sleep(0.002)

    def _is_any_open(self) -> bool:
        return any(one.fileno() != -1 for one in self._sockets)

    def _open(self, address: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        family, kind, protocol, _, _ = address
        opened = socket.socket(family, kind, protocol)
        self._sockets.add(opened)
        return opened
