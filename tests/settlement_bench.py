"""A settlement loop with scripted ports: a cluster, accounts, prices, and a clock moved by hand."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from controller.accounts.account import ASKS_VERSION, COUNTED, Account, Fence
from controller.accounts.entries import Action, Entry, EntryKey, Outcome, WatchedKind
from controller.apis.pricebooks import PriceBook
from controller.clients.kube.accounts import AccountMissingError, Stored
from controller.clients.kube.client import Object, Page
from controller.clients.kube.discovery import Discovery
from controller.clients.kube.errors import NotFoundError
from controller.clients.kube.resources import PRICEBOOKS, Key, Resource
from controller.clients.kube.store import Change, Known
from controller.clients.kube.transport import Query
from controller.feeds.registry import StoredMandate, read_mandate
from reconcilers.histories import Histories
from reconcilers.needs import Times
from reconcilers.ports import Ledger, Pacing, Ports
from reconcilers.runtime import CallLater
from reconcilers.settlement import Settlement
from tests import resources
from tests.accounts import NOON, an_account, an_entry
from tests.fakes.accounts import FakeAccountFeed, FakeAccounts
from tests.fakes.kube import FakeCollection
from tests.settling import QUICK, project

WIDGETS = WatchedKind("example.com", "v1", "widgets")
TIMES = Times(request_timeout=60.0, margin=10.0, refresh=40.0, idle_refresh=240.0)


class Cluster(FakeCollection):
    """A collection of widgets and one of each counted kind, a mandate, a PriceBook, discovery."""

    def __init__(self) -> None:
        super().__init__(at=100)
        self.mandate: Object | None = None
        self.pricebook: Object | None = None
        self.is_served = True
        self.counted = {kind: FakeCollection(at=100) for kind in COUNTED}

    def of(self, resource: Resource) -> FakeCollection | None:
        """The collection of a counted kind."""
        return self.counted.get(WatchedKind(resource.group, resource.version, resource.plural))

    def tell(self, *kinds: WatchedKind, at: int) -> None:
        """Let these counted kinds say that they are as far as that."""
        for kind in kinds or COUNTED:
            self.counted[kind].bookmark(further=at - self.counted[kind].at)

    async def get(self, resource: Resource, key: Key) -> Object:
        """The mandate, or the PriceBook, as it is."""
        found = self.pricebook if resource == PRICEBOOKS else self.mandate
        if found is None:
            raise NotFoundError(str(key), status=404)
        return found

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        limit: int = 500,
        continue_token: str = "",
        selectors: Query = (),
        exactly: str = "",
    ) -> Page:
        """Of the resource's own collection."""
        collection = self.of(resource)
        if collection is None:
            return await super().list_page(resource, limit=limit, exactly=exactly)
        return await collection.list_page(resource, limit=limit, exactly=exactly)

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
        """Of the resource's own collection."""
        collection = self.of(resource)
        watch = super().watch if collection is None else collection.watch
        async with watch(
            resource, resource_version=resource_version, lasting=lasting, silence=silence
        ) as pieces:
            yield pieces

    async def discover(self, path: str) -> Object:
        """Widgets, while they are served, and what is counted."""
        group, _, version = path.removeprefix("/apis/").removeprefix("/api/").rpartition("/")
        plurals = [k.resource for k in COUNTED if (k.group, k.version) == (group, version)]
        if path == "/apis/example.com/v1" and self.is_served:
            plurals = ["widgets"]
        if not plurals:
            raise NotFoundError(path, status=404)
        return {"resources": [a_served(plural) for plural in plurals]}


def a_served(plural: str) -> Object:
    return {"name": plural, "kind": plural.title(), "verbs": ["list", "watch"]}


class Prices:
    """What the watch shows of the PriceBook."""

    def __init__(self) -> None:
        self.prices: PriceBook | None = PriceBook()
        self._listeners: list[Callable[[], None]] = []

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Remember it."""
        self._listeners.append(listener)

    def bring(self, prices: PriceBook | None) -> None:
        """Let the watch bring it."""
        self.prices = prices
        for listener in self._listeners:
            listener()


class Feed(FakeAccountFeed):
    """The copy of the accounts, which shows what it is told to."""

    async def wait_synced(self) -> None:
        """At once."""

    def all(self) -> Mapping[str, Stored]:
        """Every one of them."""
        return MappingProxyType(dict(self._known))

    def adopt(self, stored: Stored) -> None:
        """Take it over in silence: that the loop hears its own swaps, too, is another matter."""
        self._known[stored.account.agent] = stored

    def bring(self, stored: Stored) -> None:
        """Let the watch bring it."""
        self.show(stored)


class Mandates:
    """What the watch shows of the mandates."""

    def __init__(self, cluster: Cluster) -> None:
        self.synced = asyncio.Event()
        self.synced.set()
        self._cluster = cluster
        self._shown: StoredMandate | None = None
        self._listeners: list[Callable[[Change[StoredMandate]], None]] = []

    def snapshot(self) -> Mapping[Key, StoredMandate]:
        """By name."""
        return {} if self._shown is None else {Key("", self._shown.name): self._shown}

    def subscribe(self, listener: Callable[[Change[StoredMandate]], None]) -> None:
        """Remember it."""
        self._listeners.append(listener)

    def store(self, body: Object | None) -> None:
        """Store a mandate, and let the watch bring it."""
        self._cluster.mandate = body
        self._shown = None if body is None else read_mandate(body)
        key = Key("", "migrator")
        known = None if self._shown is None else Known("m", "1", self._shown)
        for listener in self._listeners:
            listener(Change(key, None, known))


class Bench:
    """A settlement loop with everything that it talks to, and a clock moved by hand."""

    def __init__(self, *, debounce: float = 0.0, store: FakeAccounts | None = None) -> None:
        self.cluster = Cluster()
        self.store = store or FakeAccounts()
        self.feed = Feed()
        self.mandates = Mandates(self.cluster)
        self.prices = Prices()
        self.committed: set[EntryKey] = set()
        self.told = 0
        self.now = NOON / 1000
        discovery = Discovery(self.cluster, ask_again_seconds=0.0)
        self.histories = Histories(self.cluster, discovery, project, pace=QUICK)
        self._ports = Ports(
            self.cluster,
            self.store,
            self.feed,
            self.mandates,
            self.prices,
            discovery,
            Ledger(lambda: self.committed, self._tell),
        )
        self._pacing = Pacing(TIMES, debounce_seconds=debounce, now=lambda: self.now)
        self.settlement = Settlement(self._ports, self.histories, self._pacing)
        self.mandates.store(a_mandate())

    def use(self, *, call_later: CallLater) -> None:
        """Let the loop be timed by this."""
        pacing = replace(self._pacing, call_later=call_later)
        self.settlement = Settlement(self._ports, self.histories, pacing)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the loop for as long as the block lasts."""
        task = asyncio.create_task(self.settlement.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def hold(self, *pending: Entry, as_of: int | None = None) -> Stored:
        """Store an account, and let the watch bring it."""
        counted = {} if as_of is None else {WIDGETS: as_of, **dict.fromkeys(COUNTED, 100)}
        account = replace(
            an_account(*pending, as_of=counted),
            fence=OPEN,
            asks_version=0 if as_of is None else ASKS_VERSION,
        )
        stored = await self.store.create(account)
        self.feed.bring(stored)
        return stored

    @property
    def exists(self) -> bool:
        """Whether there is an account."""
        try:
            self.store.now("migrator")
        except AccountMissingError:
            return False
        return True

    @property
    def account(self) -> Account:
        """As it is stored now."""
        return self.store.now("migrator").account

    def outcomes(self) -> list[Outcome | None]:
        """Of all that is pending."""
        return [entry.outcome for entry in self.account.pending]

    async def idle(self, turns: int = 300) -> None:
        """Let the loop do whatever it would do by itself."""
        for _ in range(turns):
            await asyncio.sleep(0)

    def look(self) -> None:
        """Let it look again."""
        self.settlement.wake("migrator")

    def _tell(self) -> None:
        self.told += 1


OPEN = Fence("7f3a", 3, suspended=False)


def a_mandate(**spec: object) -> Object:
    return resources.mandate(rules=[resources.rule(namespaces=["team-data"])], **spec)


def a_widget(number: int = 1, **changes: object) -> Entry:
    entry = an_entry(number, kind=WIDGETS, uid=f"w-{number}")
    return replace(entry, **changes)  # type: ignore[arg-type] # an entry's fields


def a_create(number: int = 1, *, version: int = 100) -> Entry:
    return a_widget(number, action=Action.CREATE, version=version)


async def until(holds: Callable[[], object]) -> None:
    """Let other tasks run until it holds."""
    async with asyncio.timeout(10):
        while True:
            if holds():
                return
            await asyncio.sleep(0.001)
