"""Accounts on a real API server: the store's contract, which the fake keeps too, and the writer.

The contract is what `webhooks.reservations` and the settler rely on; a fake that kept
another one would prove nothing.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest

from controller.accounts.account import MAX_IDLE_WINDOWS, MAX_PENDING, MAX_WANTED, Account
from controller.accounts.charges import charge
from controller.accounts.encoding import MAX_ENTRY_LENGTH, account_to_object
from controller.accounts.entries import Outcome
from controller.accounts.reserve import Exhausted, Reservation, Reserved
from controller.accounts.windows import Window, WindowKey
from controller.apis.resources import SPENT, Amounts
from controller.clients.kube.accounts import (
    AccountGarbledError,
    AccountMissingError,
    AccountStore,
    Stored,
)
from controller.clients.kube.client import KubeClient
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.errors import ConflictError, InvalidError
from controller.clients.kube.resources import ACCOUNTS
from controller.feeds.accounts import AccountFeed
from native.controlplane import ControlPlane
from tests.accounts import DEPLOYMENTS, PODS, a_proposal, an_account, an_entry, counted
from tests.fakes.accounts import FakeAccounts
from tests.waiting import eventually
from webhooks.reservations import Reservations

pytestmark = pytest.mark.integration

PATH = "/apis/governor.dev/v1alpha1/accounts"
LARGEST = 2**63 - 1


class Store(Protocol):
    """Both of them."""

    async def read(self, agent: str) -> Stored:
        """Of this moment."""
        ...

    async def create(self, account: Account) -> Stored:
        """Anew."""
        ...

    async def swap(self, stored: Stored, account: Account) -> Stored:
        """In place of this version."""
        ...

    async def delete(self, stored: Stored) -> None:
        """This version."""
        ...


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane, repository: Path) -> ControlPlane:
    """The control plane with the kind Account."""
    crd = repository / "manifests" / "crds" / "governor.dev_accounts.yaml"
    control_plane.kubectl("apply", "-f", str(crd)).require_ok()
    eventually(lambda: control_plane.admin.call("GET", PATH).ok, "accounts served")
    return control_plane


@pytest.fixture
async def client(plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """The administrator's."""
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as connected:
        yield connected


@pytest.fixture(params=["the API server's", "the fake"])
def store(request: pytest.FixtureRequest, client: KubeClient) -> Store:
    """The store in front of the API server, and the one that stands in for it."""
    return FakeAccounts() if request.param == "the fake" else AccountStore(client)


@pytest.fixture
def agent(plane: ControlPlane) -> Iterator[str]:
    """A new agent's name; its account is deleted afterwards."""
    name = f"agent-{uuid4().hex[:8]}"
    yield name
    plane.admin.call("DELETE", f"{PATH}/{name}")


def a_full_account(agent: str) -> Account:
    """With everything that an account can hold, and the largest of it."""
    entries = [an_entry(number, after={"pods": number}) for number in range(MAX_PENDING - 1)]
    odd = an_entry(999, name="ü\n\u2028😀", outcome=Outcome.UNKNOWN, before={"x": LARGEST})
    return replace(
        an_account(*entries, odd, agent=agent, suspended=True, generation=LARGEST),
        settled={"pods": LARGEST, "example.com/gpu": 0},
        as_of={DEPLOYMENTS: LARGEST, PODS: 0},
        windows={
            WindowKey(resource, seconds): Window(LARGEST, LARGEST, LARGEST)
            for resource in SPENT
            for seconds in range(60, 60 + MAX_IDLE_WINDOWS)
        },
        wanted=tuple(WindowKey("changes", 31_536_000 - n) for n in range(MAX_WANTED)),
        prices="0b6b3a52-0000-4000-8000-00000000b00c:9223372036854775807",
        asks_version=LARGEST,
    )


async def test_what_is_created_is_what_is_read(store: Store, agent: str) -> None:
    created = await store.create(a_full_account(agent))

    assert created.account == a_full_account(agent)
    assert await store.read(agent) == created
    assert created.resource_version.isdecimal()
    assert created.uid


async def test_an_agent_has_one_account(store: Store, agent: str) -> None:
    await store.create(an_account(agent=agent))

    with pytest.raises(ConflictError):
        await store.create(an_account(agent=agent))


async def test_an_account_that_is_not_there_is_missed_by_name(store: Store, agent: str) -> None:
    gone = await store.create(an_account(agent=agent))
    await store.delete(gone)

    missing = f"the account of {agent} is not there"
    with pytest.raises(AccountMissingError, match=missing):
        await store.read(agent)
    with pytest.raises(AccountMissingError, match=missing):
        await store.swap(gone, an_account(an_entry(), agent=agent))
    with pytest.raises(AccountMissingError, match=missing):
        await store.delete(gone)


async def test_a_swap_replaces_exactly_the_version_that_was_read(store: Store, agent: str) -> None:
    first = await store.create(an_account(agent=agent))
    second = await store.swap(first, an_account(an_entry(1), agent=agent))

    assert int(second.resource_version) > int(first.resource_version)
    with pytest.raises(ConflictError):
        await store.swap(first, an_account(an_entry(2), agent=agent))
    assert await store.read(agent) == second
    assert second.account == an_account(an_entry(1), agent=agent)


async def test_a_swap_empties_what_the_new_account_lacks(store: Store, agent: str) -> None:
    full = await store.create(a_full_account(agent))
    empty = an_account(agent=agent, as_of={})

    await store.swap(full, empty)

    assert (await store.read(agent)).account == empty


async def test_a_swap_for_the_same_is_no_new_version_but_conflicts_when_outdated(
    store: Store, agent: str
) -> None:
    first = await store.create(an_account(agent=agent))
    assert await store.swap(first, first.account) == first
    await store.swap(first, an_account(an_entry(), agent=agent))

    with pytest.raises(ConflictError):
        await store.swap(first, first.account)


async def test_an_account_that_was_made_anew_is_not_swapped_by_its_old_version(
    store: Store, agent: str
) -> None:
    old = await store.create(an_account(agent=agent))
    await store.delete(old)
    anew = await store.create(an_account(agent=agent, suspended=True))

    with pytest.raises(ConflictError):
        await store.swap(old, an_account(an_entry(), agent=agent))
    with pytest.raises(ConflictError):
        await store.delete(old)
    assert await store.read(agent) == anew


async def test_only_the_version_that_was_read_is_deleted(store: Store, agent: str) -> None:
    first = await store.create(an_account(agent=agent))
    second = await store.swap(first, an_account(an_entry(), agent=agent))

    with pytest.raises(ConflictError):
        await store.delete(first)
    await store.delete(second)


async def test_what_others_wrote_into_the_metadata_stays(
    client: KubeClient, plane: ControlPlane, agent: str
) -> None:
    store = AccountStore(client)
    await store.create(an_account(agent=agent))
    plane.kubectl("label", "account", agent, "team=data").require_ok()
    plane.kubectl("annotate", "account", agent, "note=by a person").require_ok()

    swapped = await store.swap(await store.read(agent), an_account(an_entry(), agent=agent))

    assert swapped.metadata["labels"] == {"team": "data"}
    assert swapped.metadata["annotations"] == {"note": "by a person"}
    managers = plane.admin.call("GET", f"{PATH}/{agent}").json["metadata"]["managedFields"]
    assert {entry["manager"] for entry in managers} >= {"governor", "kubectl-label"}
    ours = next(entry for entry in managers if entry["manager"] == "governor")
    assert set(ours["fieldsV1"]["f:status"]) == {".", "f:fence", "f:asOf", "f:pending"}


async def test_an_account_that_somebody_edited_is_garbled_until_it_is_deleted(
    client: KubeClient, plane: ControlPlane, agent: str
) -> None:
    store = AccountStore(client)
    await store.create(an_account(agent=agent))
    plane.admin.call(
        "PATCH",
        f"{PATH}/{agent}",
        {"status": {"pending": ["not an entry"]}},
        content_type="application/merge-patch+json",
    )

    with pytest.raises(AccountGarbledError, match=rf"{agent} .*status\.pending\[0\]: is no JSON"):
        await store.read(agent)


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        pytest.param(None, "status", id="without a status"),
        pytest.param({}, "status.fence", id="without a fence"),
        pytest.param({"fence": {"suspended": True}}, "mandateUID", id="half a fence"),
        pytest.param({"debts": {}}, "unknown field", id="an unknown field"),
        pytest.param({"windows": {"usd/60": {}}}, "startedAt", id="a window without its start"),
        pytest.param(
            {"windows": {"usd/60": {"startedAt": 0, "accruedAt": 0, "spent": -1}}},
            "spent",
            id="less than nothing spent",
        ),
        pytest.param({"wanted": ["60"]}, "wanted", id="a window of nothing"),
        pytest.param({"wanted": ["usd/60"] * 17}, "wanted", id="more windows than may be wanted"),
        pytest.param({"asksVersion": -1}, "asksVersion", id="a version below zero"),
        pytest.param({"settled": {"pods": -1}}, "settled", id="less than nothing"),
        pytest.param({"settled": {"pods": "1"}}, "settled", id="a text for a number"),
        pytest.param({"asOf": {"pods.v1.": "x"}}, "asOf", id="no resource version"),
        pytest.param({"pending": [""]}, "pending", id="an empty entry"),
        pytest.param({"pending": [[1]]}, "pending", id="a structured entry"),
        pytest.param({"pending": ["e"] * 201}, "pending", id="more entries than may be"),
        pytest.param({"pending": ["e" * 4097]}, "pending", id="an entry that is too long"),
    ],
)
async def test_the_api_server_stores_no_account_of_another_form(
    client: KubeClient, agent: str, status: dict[str, Any] | None, fault: str
) -> None:
    good: Any = account_to_object(an_account(agent=agent), metadata={})
    complete = None if status is None else {**good["status"], **status}
    if status is not None and fault in ("status.fence", "mandateUID"):
        complete = status

    with pytest.raises(InvalidError, match=fault):
        await client.create(ACCOUNTS, {**good, "status": complete})


async def test_no_account_has_a_name_that_no_mandate_can_have(client: KubeClient) -> None:
    with pytest.raises(InvalidError, match="named like its mandate"):
        await AccountStore(client).create(an_account(agent="a.b"))


async def test_two_hundred_of_the_longest_entries_fit(client: KubeClient, agent: str) -> None:
    one: Any = account_to_object(an_account(an_entry(100, name="")), metadata={})["status"]
    name = "n" * (MAX_ENTRY_LENGTH - len(one["pending"][0]))
    entries = [an_entry(number, name=name) for number in range(100, 100 + MAX_PENDING)]
    decided = [replace(entry, outcome=Outcome.PERSISTED) for entry in entries]
    store = AccountStore(client)

    stored = await store.create(an_account(*entries, agent=agent))
    swapped = await store.swap(stored, an_account(*decided, agent=agent))

    assert swapped.account.pending == tuple(decided)


# ---- the folding writer ----

LIMITS: Amounts = {"pods": 60}


@contextlib.asynccontextmanager
async def a_process(plane: ControlPlane) -> AsyncGenerator[tuple[Reservations, AccountFeed]]:
    """What one webhook process has: its own connection, feed and writer."""
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as client:
        feed = AccountFeed(client)
        following = asyncio.create_task(feed.run())
        try:
            await asyncio.wait_for(feed.wait_synced(), 20)
            yield Reservations(AccountStore(client), feed), feed
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


async def settle(store: AccountStore, agent: str) -> None:
    """Count what is entered as persisted, again and again, in swaps of its own."""
    while True:
        stored = await store.read(agent)
        account = stored.account
        opened = sum(entry.is_open for entry in account.pending)
        held = account.settled.get("pods", 0)
        decided = tuple(entry.decided(Outcome.PERSISTED) for entry in account.pending)
        settled = replace(account, settled={"pods": held + opened}, pending=decided)
        with contextlib.suppress(ConflictError):
            await store.swap(stored, settled)


async def test_a_hundred_proposals_at_once_are_one_swap(
    plane: ControlPlane, client: KubeClient, agent: str
) -> None:
    first = await AccountStore(client).create(an_account(agent=agent))
    async with a_process(plane) as (reservations, feed):
        verdicts = await asyncio.gather(
            *(reservations.reserve(agent, a_proposal(number)) for number in range(100))
        )
        known = feed.get(agent)

    assert {type(verdict) for verdict in verdicts} == {Reserved}
    stored = await AccountStore(client).read(agent)
    assert [entry.attempt.number for entry in stored.account.pending] == list(range(100))
    assert known == stored
    answer = plane.admin.call("GET", f"{PATH}/{agent}").json
    # Without a status subresource every write of it counts: one was the creation.
    assert answer["metadata"]["generation"] == 2
    assert first.uid == stored.uid


@pytest.mark.requirement("record-before-effect.reserved-first")
@pytest.mark.requirement("never-oversold.protocol")
async def test_two_processes_and_a_settler_grant_exactly_what_is_there(
    plane: ControlPlane, client: KubeClient, agent: str
) -> None:
    store = AccountStore(client)
    await store.create(counted(an_account(agent=agent)))
    async with (
        a_process(plane) as (one, _),
        a_process(plane) as (other, _),
        connect(Kubeconfig(plane.admin_kubeconfig)) as third,
    ):
        settler = asyncio.create_task(settle(AccountStore(third), agent))
        verdicts: list[Reservation] = []

        async def call(reservations: Reservations, numbers: range) -> None:
            for number in numbers:
                proposal = a_proposal(number, limits=LIMITS)
                verdicts.append(await reservations.reserve(agent, proposal))

        callers = [
            call(one if number % 2 else other, range(number * 5, number * 5 + 5))
            for number in range(20)
        ]
        await asyncio.gather(*callers)
        settler.cancel()
        await asyncio.gather(settler, return_exceptions=True)

    granted = [verdict for verdict in verdicts if isinstance(verdict, Reserved)]
    assert len(granted) == LIMITS["pods"]
    assert len(verdicts) - len(granted) == sum(isinstance(one, Exhausted) for one in verdicts) == 40
    account = (await store.read(agent)).account
    assert charge(account)["pods"] == LIMITS["pods"]
    entered = {entry.change for entry in account.pending}
    assert entered == {verdict.entry.change for verdict in granted}
