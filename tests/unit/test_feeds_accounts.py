"""The account feed: what it knows, what it takes over, and that it names what it cannot read."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import cast

import orjson

from controller.accounts.account import Account
from controller.accounts.encoding import account_to_object
from controller.clients.kube.accounts import Stored, read_stored
from controller.clients.kube.client import Object, Page
from controller.clients.kube.errors import UnreachableError
from controller.clients.kube.resources import ACCOUNTS, Resource
from controller.clients.kube.transport import Query
from controller.feeds.accounts import AccountFeed
from tests.accounts import an_account, an_entry


def an_object(version: int, account: Account | None = None, *, uid: str = "u1") -> Object:
    """An account as stored, with managedFields."""
    managed: Object = {"manager": "governor", "operation": "Update"}
    metadata: Object = {"uid": uid, "resourceVersion": str(version), "managedFields": [managed]}
    return account_to_object(account or an_account(), metadata=metadata)


def garbled(version: int) -> Object:
    """An account of which somebody edited an entry."""
    body = an_object(version)
    status = cast("Object", body["status"])
    return {**body, "status": {**status, "pending": ["{}"]}}


@dataclass
class ScriptedCluster:
    """Lists what it is given, and tells events in the order in which they are put."""

    listed: tuple[Object, ...] = ()
    events: "asyncio.Queue[bytes]" = field(default_factory=lambda: asyncio.Queue[bytes]())

    def tell(self, kind: str, body: Object) -> None:
        """The next event."""
        self.events.put_nowait(orjson.dumps({"type": kind, "object": body}) + b"\n")

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        limit: int = 500,
        continue_token: str = "",
        selectors: Query = (),
    ) -> Page:
        """All at once."""
        assert resource == ACCOUNTS
        return Page(self.listed, "100", "")

    @contextlib.asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        lasting: int,
        silence: float,
        namespace: str = "",
        selectors: Query = (),
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """For good."""
        yield self._follow()

    async def _follow(self) -> AsyncIterator[bytes]:
        while True:
            yield await self.events.get()


@contextlib.asynccontextmanager
async def following(cluster: ScriptedCluster) -> AsyncGenerator[AccountFeed]:
    """A feed that is synced."""
    feed = AccountFeed(cluster)
    assert feed.missing() == ("accounts: not listed yet",)
    task = asyncio.create_task(feed.run())
    try:
        await asyncio.wait_for(feed.wait_synced(), 10)
        yield feed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def heard() -> None:
    """Let the informer take what was told."""
    for _ in range(20):
        await asyncio.sleep(0)


def version_of(stored: Stored | None) -> str:
    return "" if stored is None else stored.resource_version


async def test_it_follows_every_change_and_names_the_agent() -> None:
    cluster = ScriptedCluster((an_object(90),))
    changed: list[str] = []
    async with following(cluster) as feed:
        feed.subscribe(changed.append)
        assert feed.missing() == ()
        assert list(feed.all()) == ["migrator"]
        before = feed.all()
        cluster.tell("MODIFIED", an_object(101, an_account(an_entry())))
        cluster.tell("ADDED", an_object(102, an_account(agent="tester"), uid="u2"))
        await heard()
        assert feed.all()["migrator"].account == an_account(an_entry())
        assert version_of(feed.get("tester")) == "102"
        cluster.tell("DELETED", an_object(103, an_account(agent="tester"), uid="u2"))
        await heard()
        assert feed.get("tester") is None
        assert changed == ["migrator", "tester", "tester"]
        assert version_of(before["migrator"]) == "90"


async def test_what_is_unreadable_is_named_and_no_account() -> None:
    cluster = ScriptedCluster((garbled(90), an_object(91, an_account(agent="tester"), uid="u2")))
    async with following(cluster) as feed:
        assert feed.get("migrator") is None
        assert list(feed.all()) == ["tester"]
        assert dict(feed.unreadable) == {"migrator": "status.pending[0]: is no JSON array"}
        cluster.tell("MODIFIED", an_object(101))
        await heard()
        assert dict(feed.unreadable) == {}
        assert version_of(feed.get("migrator")) == "101"


async def test_what_we_wrote_is_known_before_the_watch_brings_it() -> None:
    cluster = ScriptedCluster((an_object(90),))
    changed: list[str] = []
    async with following(cluster) as feed:
        feed.subscribe(changed.append)
        ours = read_stored(an_object(105, an_account(an_entry())))
        feed.adopt(ours)
        assert feed.get("migrator") == ours
        cluster.tell("MODIFIED", an_object(104))  # of before
        await heard()
        assert feed.get("migrator") == ours
        assert changed == ["migrator"]


async def test_what_is_older_or_of_another_object_is_not_taken_over() -> None:
    async with following(ScriptedCluster((an_object(90),))) as feed:
        feed.adopt(read_stored(an_object(89, an_account(an_entry()))))
        feed.adopt(read_stored(an_object(105, an_account(an_entry()), uid="u2")))
        feed.adopt(read_stored(an_object(105, an_account(agent="gone"))))
        assert version_of(feed.get("migrator")) == "90"
        assert feed.get("gone") is None


async def test_it_says_what_it_waits_for() -> None:
    class Deaf(ScriptedCluster):
        async def list_page(self, *_args: object, **_options: object) -> Page:
            """Nobody there."""
            raise UnreachableError("refused")

    feed = AccountFeed(Deaf())
    task = asyncio.create_task(feed.run())
    await heard()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert feed.missing() == ("accounts: refused",)
