"""Where the webhook's accounts are stored, what is known of them, and news of that.

Two ports and who waits at one of them; nothing is written or decided here.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from controller.accounts.account import Account
from controller.clients.kube.accounts import Stored


class Accounts(Protocol):
    """Where the accounts are stored."""

    async def read(self, agent: str) -> Stored:
        """An account as it is stored at this moment.

        Raises:
            KubeError: it is not there, cannot be read, or nobody could be asked.
        """
        ...

    async def swap(self, stored: Stored, account: Account) -> Stored:
        """Put an account in place of exactly this version.

        Raises:
            ConflictError: that version is no longer current.
            KubeError: anything else; it may have been written all the same.
        """
        ...


class KnownAccounts(Protocol):
    """What is known of them without asking."""

    def get(self, agent: str) -> Stored | None:
        """The newest version that is known."""
        ...

    def adopt(self, stored: Stored) -> None:
        """Take over a version that we wrote or read."""
        ...

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the agent after each change; it does not block."""
        ...


class News:
    """Wakes who waits for a change of an account."""

    def __init__(self, feed: KnownAccounts) -> None:
        # In the order in which they came: they are woken in it.
        self._waiting: dict[str, dict[asyncio.Event, None]] = {}
        feed.subscribe(self._tell)

    async def wait(self, agent: str, comes: Callable[[], bool], until: float) -> bool:
        """Wait until `comes` holds after a change, or the loop's clock says `until`."""
        changed = asyncio.Event()
        self._waiting.setdefault(agent, {})[changed] = None
        try:
            async with asyncio.timeout_at(until):
                while not comes():
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return False
        finally:
            del self._waiting[agent][changed]
        return True

    def _tell(self, agent: str) -> None:
        for changed in self._waiting.get(agent, ()):
            changed.set()
