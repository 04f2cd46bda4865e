"""The kept head and the pending entries, on a real API server and on the fake: the same."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TypeVar, cast

import pytest

from controller.accounts.account import Account, Fence
from controller.accounts.encoding import account_to_object
from controller.clients.kube.accounts import AccountGarbledError
from controller.clients.kube.client import KubeClient, Page
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.errors import ConflictError
from controller.clients.kube.informer import ListsAndWatches
from controller.clients.kube.ledgerhead import HeadStore, KeptHead, KeptHeadUnreadableError
from controller.clients.kube.resources import Resource
from controller.clients.kube.transport import Query
from controller.feeds.accounts import pending_keys
from native.controlplane import ControlPlane
from reconcilers.committer import KeepsHead
from tests.fakes.ledger_ports import FakeHeads
from tests.ledgers import IDENTITY, an_entry

pytestmark = pytest.mark.integration

T = TypeVar("T")
CONFIG_MAP = "/api/v1/namespaces/governor-system/configmaps/governor-ledger"
HEAD = KeptHead(IDENTITY.ref, 7, "aa" * 32, "bb" * 20, "cc" * 32)


def ask(plane: ControlPlane, question: Callable[[KubeClient], Awaitable[T]]) -> T:
    """Ask that API server once."""

    async def asked() -> T:
        async with connect(Kubeconfig(plane.admin_kubeconfig)) as client:
            return await question(client)

    return asyncio.run(asked())


class RealHeads:
    """The store on a real API server, a connection for each call."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    async def read(self) -> KeptHead | None:
        """What is kept."""
        async with connect(Kubeconfig(self._plane.admin_kubeconfig)) as client:
            return await HeadStore(client).read()

    async def write(self, head: KeptHead, *, over: KeptHead | None) -> KeptHead:
        """Keep another."""
        async with connect(Kubeconfig(self._plane.admin_kubeconfig)) as client:
            return await HeadStore(client).write(head, over=over)


@pytest.fixture
def emptied(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    control_plane.admin.call("DELETE", CONFIG_MAP)
    yield control_plane
    control_plane.admin.call("DELETE", CONFIG_MAP)


@pytest.fixture(params=["the API server", "the fake"])
def heads(request: pytest.FixtureRequest) -> KeepsHead:
    if request.param == "the fake":
        return FakeHeads()
    return RealHeads(request.getfixturevalue("emptied"))


async def test_a_head_is_kept_over_the_one_that_was_read(heads: KeepsHead) -> None:
    assert await heads.read() is None
    first = await heads.write(HEAD, over=None)
    assert replace(first, resource_version="") == HEAD
    assert await heads.read() == first
    second = await heads.write(replace(HEAD, seq=8), over=first)
    assert (second.seq, await heads.read()) == (8, second)


async def test_a_head_is_not_kept_over_another_than_was_read(heads: KeepsHead) -> None:
    first = await heads.write(HEAD, over=None)
    second = await heads.write(replace(HEAD, seq=8), over=first)
    for over in (None, first):
        with pytest.raises(ConflictError):
            await heads.write(replace(HEAD, seq=3), over=over)
    assert await heads.read() == second


@pytest.mark.requirement("history-append-only.one-writer")
def test_a_head_that_was_deleted_since_it_was_read_is_made_anew_by_who_reads_again(
    emptied: ControlPlane,
) -> None:
    heads = RealHeads(emptied)
    first = asyncio.run(heads.write(HEAD, over=None))
    emptied.admin.call("DELETE", CONFIG_MAP)
    with pytest.raises(ConflictError, match="was deleted since it was read"):
        asyncio.run(heads.write(replace(HEAD, seq=8), over=first))
    assert asyncio.run(heads.read()) is None
    second = asyncio.run(heads.write(replace(HEAD, seq=8), over=None))
    assert asyncio.run(heads.read()) == second


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"ref": "r", "seq": "x", "hash": "", "commit": "", "publicKey": ""}, id="seq"),
        pytest.param({"ref": "r", "seq": "1", "hash": "", "commit": ""}, id="no key"),
    ],
)
def test_a_head_that_governor_never_wrote_is_told(
    emptied: ControlPlane, data: dict[str, str]
) -> None:
    ask(emptied, lambda client: HeadStore(client).write(HEAD, over=None))
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": "governor-system", "name": "governor-ledger"},
        "data": data,
    }
    emptied.admin.call("PUT", CONFIG_MAP, body)
    with pytest.raises(KeptHeadUnreadableError, match="governor-system/governor-ledger: "):
        ask(emptied, lambda client: HeadStore(client).read())


def test_a_cluster_is_named_by_the_uid_of_its_system_namespace(control_plane: ControlPlane) -> None:
    found = ask(control_plane, lambda client: HeadStore(client).cluster())
    namespace = control_plane.admin.call("GET", "/api/v1/namespaces/kube-system").json
    assert found == namespace["metadata"]["uid"]


class Pages:
    """Lists accounts in pages of one."""

    def __init__(self, *pages: Page) -> None:
        self._pages = [*pages]

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        limit: int = 500,
        continue_token: str = "",
        selectors: Query = (),
    ) -> Page:
        """The page after that one."""
        assert (resource.plural, namespace, selectors) == ("accounts", "", ())
        assert limit > 0
        return self._pages[int(continue_token or 0)]


def listing(*pages: Page) -> ListsAndWatches:
    """A client that gives these pages."""
    return cast("ListsAndWatches", Pages(*pages))


def a_page(*accounts: Account, then: str = "") -> Page:
    objects = (account_to_object(account, metadata={"name": account.agent}) for account in accounts)
    return Page(tuple(objects), "9", then)


async def test_what_is_pending_is_read_from_every_page() -> None:
    fence = Fence("uid", 1, suspended=False)
    one = Account("one", fence, pending=(an_entry(1), an_entry(2, outcome=None)))
    two = Account("two", fence, pending=(an_entry(3),))
    found = await pending_keys(listing(a_page(one, then="1"), a_page(two)))
    assert found == {str(an_entry(number).key) for number in (1, 2, 3)}


async def test_an_account_that_cannot_be_read_may_hold_anything() -> None:
    page = Page(({"metadata": {"name": "one"}, "status": {"pending": ["nonsense"]}},), "9", "")
    with pytest.raises(AccountGarbledError, match="cannot be read"):
        await pending_keys(listing(page))
