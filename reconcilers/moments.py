"""Waits until all counted kinds have been seen up to a version, and sees to it that they are.

Holdings are counted at one moment, the latest that every counted kind has reached, so an
event counts only when the others have caught up with it. A kind in which nothing happens
says how far it is in a bookmark, and the API server learns that from etcd when it is asked
for a consistent read: that is asked for while somebody waits. It decides nothing about
what is counted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NoReturn, Protocol

from controller.accounts.account import COUNTED
from controller.accounts.entries import WatchedKind

_AGAIN_SECONDS = 1.0
"""How often each kind is asked for while somebody waits for it."""


class Seen(Protocol):
    """The part of `Histories` that is used."""

    def seen_to(self, kind: WatchedKind) -> int:
        """Up to which resource version a kind is known; 0: not at all."""
        ...


class Moments:
    """Who waits for which version."""

    def __init__(
        self,
        histories: Seen,
        ask: Callable[[WatchedKind], Awaitable[object]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Nobody waits yet.

        Args:
            histories: how far each kind has been seen.
            ask: reads a kind consistently; what it answers does not matter. Never fails.
            sleep: waits that many seconds.
        """
        self._histories = histories
        self._ask = ask
        self._sleep = sleep
        self._waiting: dict[str, int] = {}
        self._is_waited_for = asyncio.Event()

    @property
    def reached(self) -> int:
        """Up to which resource version all counted kinds have been seen; 0: not all are."""
        return min(self._histories.seen_to(kind) for kind in COUNTED)

    def wait(self, agents: Iterable[str], version: int) -> None:
        """Note that these wait for a resource version."""
        for agent in agents:
            self._waiting[agent] = max(version, self._waiting.get(agent, 0))
            self._is_waited_for.set()

    def take_over(self) -> tuple[str, ...]:
        """Those whose waiting is over; each is named once."""
        if not self._waiting:
            return ()
        reached = self.reached
        over = tuple(agent for agent, version in self._waiting.items() if version <= reached)
        for agent in over:
            del self._waiting[agent]
        if not self._waiting:
            self._is_waited_for.clear()
        return over

    async def run(self) -> NoReturn:
        """Ask for the kinds that lag, while somebody waits; until cancelled."""
        while True:
            await self._is_waited_for.wait()
            awaited = max(self._waiting.values(), default=0)
            for kind in sorted(COUNTED):
                if self._histories.seen_to(kind) < awaited:
                    await self._ask(kind)
            await self._sleep(_AGAIN_SECONDS)
