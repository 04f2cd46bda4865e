"""Fences against stored accounts and mandates, with a watch that lags or was overtaken."""

from dataclasses import dataclass, field, replace

import pytest

from controller.accounts.account import Account, Fence
from controller.clients.kube.accounts import Stored
from controller.clients.kube.client import Object
from controller.clients.kube.errors import ConflictError, NotFoundError, UnreachableError
from controller.clients.kube.resources import Key, Resource
from controller.feeds.registry import StoredMandate, read_mandate
from reconcilers.fences import Fences
from tests import resources
from tests.accounts import an_account, an_entry
from tests.fakes.accounts import FakeAccounts

AGENT = "migrator"


def a_mandate(*, uid: str = "m-1", generation: int = 1, suspend: bool = False) -> Object:
    spec = {"rules": [resources.rule(namespaces=["team-data"])]}
    body = resources.mandate(**spec, **({"suspend": True} if suspend else {}))
    body["metadata"] = {"name": AGENT, "uid": uid, "generation": generation}
    return body


def seen(body: Object) -> StoredMandate:
    """What the watch shows of it."""
    return read_mandate(body)


@dataclass
class Bench:
    """An API server's mandates and accounts, and what was adopted."""

    mandate: Object | None
    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    adopted: list[Stored] = field(default_factory=list[Stored])
    reads: int = 0
    is_down: bool = False

    @property
    def fences(self) -> Fences:
        """What is tested."""
        return Fences(self, self.accounts, adopt=self.adopted.append)

    async def get(self, resource: Resource, key: Key) -> Object:
        """A quorum read of the mandate."""
        self.reads += 1
        if self.is_down:
            raise UnreachableError("refused")
        if self.mandate is None:
            raise NotFoundError(f"{resource.plural} {key}", status=404)
        return self.mandate

    async def holding(self, fence: Fence, **changes: object) -> Stored:
        """An account with this fence."""
        account = replace(an_account(agent=AGENT), fence=fence)
        return await self.accounts.create(replace(account, **changes))  # type: ignore[arg-type] # fields

    @property
    def fence(self) -> Fence:
        """As it is stored now."""
        return self.accounts.now(AGENT).account.fence


OPEN = Fence("m-1", 1, suspended=False)
CLOSED = Fence("m-1", 1, suspended=True)


async def test_a_new_account_says_what_the_mandate_says() -> None:
    bench = Bench(a_mandate(generation=4, suspend=True))
    stored = await bench.fences.create(AGENT)
    assert stored is not None
    assert stored.account == Account(AGENT, Fence("m-1", 4, suspended=True))
    with pytest.raises(ConflictError):
        await bench.fences.create(AGENT)


async def test_no_account_is_made_for_a_mandate_that_only_a_lagging_watch_still_shows() -> None:
    assert await Bench(None).fences.create(AGENT) is None


async def test_a_fence_that_is_right_costs_no_request() -> None:
    bench = Bench(a_mandate())
    stored = await bench.holding(OPEN)
    assert await bench.fences.copy(stored, seen(a_mandate())) == stored
    assert (bench.reads, bench.accounts.swaps) == (0, 0)


@pytest.mark.requirement("never-oversold.fence-copied")
@pytest.mark.parametrize(
    ("now", "fence"),
    [
        pytest.param(
            a_mandate(generation=2, suspend=True), Fence("m-1", 2, suspended=True), id="suspended"
        ),
        pytest.param(a_mandate(generation=2), Fence("m-1", 2, suspended=False), id="changed"),
        pytest.param(
            a_mandate(uid="m-2"), Fence("m-2", 1, suspended=False), id="deleted and made anew"
        ),
        pytest.param(
            {**a_mandate(generation=2), "spec": {}}, Fence("m-1", 2, suspended=True), id="invalid"
        ),
        pytest.param(None, CLOSED, id="deleted"),
    ],
)
async def test_a_change_of_the_mandate_is_copied_and_nothing_else_is_touched(
    now: Object | None, fence: Fence
) -> None:
    bench = Bench(now)
    stored = await bench.holding(OPEN, pending=(an_entry(),))
    swapped = await bench.fences.copy(stored, None if now is None else seen(now))
    assert swapped.account == replace(stored.account, fence=fence)
    assert bench.accounts.now(AGENT) == swapped
    assert bench.adopted == [swapped]


@pytest.mark.requirement("never-oversold.fence-copied")
@pytest.mark.parametrize(
    ("shown", "now", "fence"),
    [
        pytest.param(a_mandate(), None, CLOSED, id="the mandate is gone, the watch still shows it"),
        pytest.param(
            a_mandate(),
            a_mandate(generation=2, suspend=True),
            Fence("m-1", 2, suspended=True),
            id="it is suspended, the watch still shows it in force",
        ),
        pytest.param(
            a_mandate(uid="m-0", generation=9),
            a_mandate(),
            OPEN,
            id="it was made anew, the watch still shows the old one",
        ),
        pytest.param(None, a_mandate(), OPEN, id="it was made anew, the watch shows none yet"),
    ],
)
async def test_a_watch_that_lags_never_turns_a_fence_back(
    shown: Object | None, now: Object | None, fence: Fence
) -> None:
    bench = Bench(now)
    stored = await bench.holding(fence)
    await bench.fences.copy(stored, None if shown is None else seen(shown))
    assert bench.fence == fence
    assert bench.accounts.swaps == 0


@pytest.mark.requirement("never-oversold.fence-copied")
async def test_a_fence_that_was_swapped_meanwhile_is_not_overwritten() -> None:
    bench = Bench(a_mandate(generation=2))
    stored = await bench.holding(OPEN)
    closed = replace(stored.account, fence=Fence("m-1", 3, suspended=True))
    bench.accounts.put(stored, closed)
    with pytest.raises(ConflictError):
        await bench.fences.copy(stored, seen(a_mandate(generation=2)))
    assert bench.fence == closed.fence


async def test_an_api_server_that_does_not_answer_leaves_the_fence_as_it_is() -> None:
    bench = Bench(a_mandate(), is_down=True)
    stored = await bench.holding(CLOSED)
    with pytest.raises(UnreachableError):
        await bench.fences.copy(stored, seen(a_mandate()))
    assert bench.fence == CLOSED


@pytest.mark.requirement("never-oversold.fence-copied")
async def test_an_account_is_deleted_only_if_the_mandate_is_gone_by_a_quorum_read() -> None:
    bench = Bench(a_mandate())
    stored = await bench.holding(CLOSED)
    await bench.fences.delete(stored)
    assert bench.fence == CLOSED
    bench.mandate = None
    await bench.fences.delete(stored)
    with pytest.raises(NotFoundError):
        bench.accounts.now(AGENT)


@pytest.mark.requirement("never-oversold.fence-copied")
async def test_an_account_that_changed_since_it_was_read_is_not_deleted() -> None:
    bench = Bench(None)
    stored = await bench.holding(CLOSED)
    opened = replace(stored.account, fence=Fence("m-2", 1, suspended=False))
    bench.accounts.put(stored, opened)
    with pytest.raises(ConflictError):
        await bench.fences.delete(stored)
    assert bench.fence == opened.fence
