"""A settler and a webhook that reserves as fast as it can, at one Account of a real API server.

Both swap the same object. The webhook starts from what it has just written itself, and
would win every time; then the list fills up, and the agent is refused although everything
that it did is long decided.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import pytest

from controller.accounts.account import MAX_PENDING
from controller.accounts.entries import Action, Entry, EntryKey, Outcome
from controller.accounts.reserve import Proposal, Reserved
from controller.clients.kube.accounts import AccountStore
from controller.clients.kube.client import KubeClient, Object
from controller.clients.kube.config import Kubeconfig, connect
from controller.feeds.accounts import AccountFeed
from controller.records.content import content_digest
from native.controlplane import ControlPlane
from reconcilers.committer import CommitterPace
from tests.settling import (
    CONFIGMAPS,
    CONTENT_KEY,
    QUICK,
    Agent,
    Settler,
    a_change,
    a_configmap,
    an_entry_for,
    lone_api_server,
    settling,
    stamped,
    with_value,
)
from webhooks.reservations import Reservations

pytestmark = pytest.mark.integration

AGENT = "busy"
CALLERS = 8
SECONDS = 4.0


@pytest.fixture(scope="module")
def plane(
    kubernetes_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """These tests' own."""
    with lone_api_server(tmp_path_factory.mktemp("load-plane"), kubernetes_binary) as running:
        yield running


@pytest.fixture
async def client(plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """An administrator."""
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as connected:
        yield connected


@dataclass
class Seen:
    """What became of the load."""

    reserved: set[EntryKey] = field(default_factory=set[EntryKey])
    refused: list[object] = field(default_factory=list[object])
    outcomes: dict[EntryKey, Outcome] = field(default_factory=dict[EntryKey, Outcome])
    most: int = 0
    """Pending entries at once."""


@dataclass
class Webhook:
    """One process's reservations, of an agent with a mandate."""

    reservations: Reservations
    feed: AccountFeed
    seen: Seen

    async def reserve(self, entry: Entry) -> bool:
        """Enter a write as it is judged by the mandate of the moment."""
        known = self.feed.get(AGENT)
        assert known is not None
        fence = known.account.fence
        verdict = await self.reservations.reserve(
            AGENT, Proposal(entry, fence.mandate_uid, fence.generation)
        )
        if not isinstance(verdict, Reserved):
            self.seen.refused.append(verdict)
            return False
        self.seen.reserved.add(verdict.entry.key)
        self.seen.most = max(self.seen.most, len(verdict.account.pending))
        return True


@contextlib.asynccontextmanager
async def a_webhook(plane: ControlPlane, seen: Seen) -> AsyncGenerator[Webhook]:
    """With a connection and a feed of its own."""
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as client, asyncio.TaskGroup() as tasks:
        feed = AccountFeed(client, pace=QUICK)
        running = tasks.create_task(feed.run())
        await feed.wait_synced()
        yield Webhook(Reservations(AccountStore(client), feed), feed, seen)
        running.cancel()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for it, but not for good."""
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def is_counted(feed: AccountFeed) -> bool:
    """Whether the settler has begun with the agent's Account."""
    known = feed.get(AGENT)
    return known is not None and bool(known.account.as_of)


async def commit(settler: Settler, seen: Seen) -> None:
    """What the committer does with outcomes, at its pace; for good."""
    while True:
        await asyncio.sleep(CommitterPace().busy)
        for stored in settler.feed.all().values():
            for entry in stored.account.pending:
                if entry.outcome is not None:
                    seen.outcomes[entry.key] = entry.outcome
        settler.committed.update(seen.outcomes)
        settler.settlement.release()


async def update_again_and_again(client: KubeClient, webhook: Webhook) -> None:
    body = await client.create(CONFIGMAPS, a_configmap("default", f"busy-{uuid4().hex[:8]}"))
    end, value = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        value += 1
        change = a_change()
        proposed: Object = stamped(with_value(body, str(value)), change)
        entry = an_entry_for(proposed, change, action=Action.UPDATE)
        entry = replace(entry, digest=content_digest(proposed, key=CONTENT_KEY))
        if await webhook.reserve(entry):
            body = await client.replace(CONFIGMAPS, proposed)
        else:
            await asyncio.sleep(0.05)


async def change_nothing_again_and_again(client: KubeClient, webhook: Webhook) -> None:
    body = await client.create(CONFIGMAPS, a_configmap("default", f"busy-{uuid4().hex[:8]}"))
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        entry = an_entry_for(body, a_change(), action=Action.NOTHING)
        if not await webhook.reserve(entry):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("webhooks", [1, 2], ids=["one webhook", "two webhooks"])
@pytest.mark.parametrize(
    ("load", "outcome"),
    [
        pytest.param(update_again_and_again, Outcome.PERSISTED, id="writes that are carried out"),
        pytest.param(change_nothing_again_and_again, Outcome.NO_OP, id="writes without effect"),
    ],
)
@pytest.mark.requirement("fail-closed.settler-has-its-turn")
async def test_the_settler_gets_its_turn_beside_a_webhook_that_never_rests(
    plane: ControlPlane,
    client: KubeClient,
    load: Callable[[KubeClient, Webhook], Awaitable[None]],
    outcome: Outcome,
    webhooks: int,
) -> None:
    seen = Seen()
    agent = Agent(client, AGENT, "default")
    await agent.mandate()
    async with contextlib.AsyncExitStack() as stack:
        settler = await stack.enter_async_context(settling(client))
        processes = [
            await stack.enter_async_context(a_webhook(plane, seen)) for _ in range(webhooks)
        ]
        await until(lambda: all(is_counted(process.feed) for process in processes))
        committing = asyncio.create_task(commit(settler, seen))
        await asyncio.gather(
            *(load(client, processes[number % webhooks]) for number in range(CALLERS))
        )
        await until(lambda: seen.outcomes.keys() >= seen.reserved)
        committing.cancel()

    assert not seen.refused
    assert len(seen.reserved) > MAX_PENDING, "it was no load"
    assert {seen.outcomes[key] for key in seen.reserved} == {outcome}
    assert seen.most < MAX_PENDING
