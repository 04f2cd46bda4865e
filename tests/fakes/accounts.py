"""Stored Accounts as an API server holds them, and what a feed knows of them: behind, if told so.

The real ones are `controller.clients.kube.accounts.AccountStore` and
`controller.feeds.accounts.AccountFeed`; tests/integration/test_account_store.py holds
the store and this one to the same contract.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar, cast

import orjson

from controller.accounts.account import Account
from controller.accounts.encoding import account_to_object
from controller.clients.kube.accounts import AccountMissingError, Stored, read_stored
from controller.clients.kube.client import Object
from controller.clients.kube.errors import ConflictError

T = TypeVar("T")

Hook: TypeAlias = Callable[[T], Awaitable[None]]


class FakeAccounts:
    """Objects with resource versions, as JSON texts; a swap is a compare-and-swap.

    Attributes:
        reads: how often an account was read.
        swaps: how often a swap was asked for, carried out or not.
        writes: how often one wrote something.
        before_read: awaited before an account is looked up, with its name.
        before_swap: awaited before the versions are compared, with the account to write.
        after_swap: awaited once it was carried out; what it raises is the answer.
    """

    def __init__(self) -> None:
        self.reads = 0
        self.swaps = 0
        self.writes = 0
        self.before_read: Hook[str] = _at_once
        self.before_swap: Hook[Account] = _at_once
        self.after_swap: Hook[Account] = _at_once
        self._texts: dict[str, bytes] = {}
        self._version = 100

    async def read(self, agent: str) -> Stored:
        """As it is at this moment."""
        self.reads += 1
        await self.before_read(agent)
        return self.now(agent)

    async def create(self, account: Account) -> Stored:
        """For an agent that has none."""
        if account.agent in self._texts:
            raise ConflictError(f"accounts {account.agent} already exists", status=409)
        metadata: Object = {"uid": f"uid-{self._version}", "creationTimestamp": "now"}
        return self._put(account_to_object(account, metadata=metadata))

    async def swap(self, stored: Stored, account: Account) -> Stored:
        """In place of exactly that version."""
        self.swaps += 1
        await self.before_swap(account)
        answer = self.put(stored, account)
        await self.after_swap(account)
        return answer

    async def delete(self, stored: Stored) -> None:
        """Exactly that version."""
        self._compare(stored)
        del self._texts[stored.account.agent]

    def now(self, agent: str) -> Stored:
        """What is stored, unasked and uncounted."""
        if agent not in self._texts:
            raise AccountMissingError(f"the account of {agent} is not there yet", status=404)
        return read_stored(orjson.loads(self._texts[agent]))

    def put(self, stored: Stored, account: Account) -> Stored:
        """Swap at once and uncounted: what another process does."""
        self._compare(stored)
        current = self.now(account.agent)
        if current.account == account:
            return current
        self.writes += 1
        return self._put(account_to_object(account, metadata=stored.metadata))

    def _compare(self, stored: Stored) -> None:
        current = self.now(stored.account.agent)
        if (current.uid, current.resource_version) != (stored.uid, stored.resource_version):
            raise ConflictError("the object has been modified", status=409, reason="Conflict")

    def _put(self, body: Object) -> Stored:
        self._version += 1
        metadata = cast("Object", body["metadata"])
        body = {**body, "metadata": {**metadata, "resourceVersion": str(self._version)}}
        self._texts[str(metadata["name"])] = orjson.dumps(body)
        return read_stored(orjson.loads(orjson.dumps(body)))


class FakeAccountFeed:
    """Knows what it was shown, and what was adopted since."""

    def __init__(self, *shown: Stored) -> None:
        self._known = {stored.account.agent: stored for stored in shown}
        self._listeners: list[Callable[[str], None]] = []

    def get(self, agent: str) -> Stored | None:
        """The newest that it knows."""
        return self._known.get(agent)

    def adopt(self, stored: Stored) -> None:
        """Take over what is newer; an object that is not known is left to the watch."""
        known = self._known.get(stored.account.agent)
        if known is not None and int(stored.resource_version) > int(known.resource_version):
            self.show(stored)

    def show(self, stored: Stored) -> None:
        """What the watch brings."""
        self._known[stored.account.agent] = stored
        for listener in self._listeners:
            listener(stored.account.agent)

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the agent after each change."""
        self._listeners.append(listener)


async def _at_once(_: object) -> None:
    await asyncio.sleep(0)
