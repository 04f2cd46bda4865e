"""Settlement against a real API server: a settler as a leader runs it, and an agent's writes.

The writes are entered as the webhook would enter them, and carried out by an
administrator; which of them the settler sees, and what it makes of them, is the test's.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from controller.accounts.account import Account
from controller.accounts.entries import Action, Attempt, Entry, EntryKey, Outcome, WatchedKind
from controller.accounts.reserve import Proposal, Reserved, reserve
from controller.accounts.views import Version
from controller.apis.json import Json
from controller.clients.kube.accounts import AccountStore
from controller.clients.kube.backoff import Backoff
from controller.clients.kube.client import KubeClient, Object
from controller.clients.kube.discovery import Discovery
from controller.clients.kube.errors import ConflictError, NotFoundError
from controller.clients.kube.informer import Pace
from controller.clients.kube.resources import MANDATES, Key, Resource
from controller.feeds.accounts import AccountFeed
from controller.feeds.registry import RegistryFeed
from controller.records.content import content_digest
from controller.records.stamps import CHANGE, write_stamp
from controller.records.versions import version_of
from native.components import Binaries, Options
from native.controlplane import ControlPlane
from reconcilers.histories import Histories
from reconcilers.needs import Times
from reconcilers.ports import Ledger, Pacing, Ports
from reconcilers.settlement import Settlement
from tour.prepared import install_kinds

STAMP_KEY = b"stamps-of-tests-stamps-of-tests!"
CONTENT_KEY = b"content-of-tests-content-of-test"
CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", namespaced=True)
QUICK = Pace(lasting=3, silence=10.0, backoff=Backoff(first=0.05, longest=0.2))
"""The API server says how far it is one second before a watch of three ends."""
PATIENT = Times(request_timeout=600.0)
"""The clock decides nothing."""
HASTY = Times(request_timeout=0.5, margin=0.0)

_numbers = itertools.count(1)


@contextlib.contextmanager
def lone_api_server(directory: Path, binary: Path) -> Generator[ControlPlane]:
    """An API server with our kinds and nothing else, for the block.

    A settler takes away the accounts of whom it knows no mandate: no two share one.
    """
    options = Options(components=frozenset(), unsafe_no_fsync=True)
    with ControlPlane.start(directory, binaries=Binaries.single(binary), options=options) as plane:
        install_kinds(plane)
        yield plane


def kind_of(resource: Resource) -> WatchedKind:
    """What is watched of a resource."""
    return WatchedKind(resource.group, resource.version, resource.plural)


def project(kind: WatchedKind, body: Object) -> Version:
    """Reduce an object with the keys of these tests."""
    return version_of(body, kind=kind, stamp_key=STAMP_KEY, content_key=CONTENT_KEY)


def a_change() -> str:
    """A fresh change id."""
    return f"01JD8Z6V5M3Q2W1X{next(_numbers):010d}"


def stamped(body: Object, change: str) -> Object:
    """The object with the stamp of a change."""
    metadata = metadata_of(body)
    annotations = cast("dict[str, Json]", metadata.get("annotations") or {})
    stamp = write_stamp(change, key=STAMP_KEY)
    return {**body, "metadata": {**metadata, "annotations": {**annotations, CHANGE: stamp}}}


def metadata_of(body: Object) -> dict[str, Json]:
    """An object's metadata."""
    return cast("dict[str, Json]", body["metadata"])


def a_configmap(namespace: str, name: str, value: str = "1") -> Object:
    """With one value."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"v": value},
    }


def with_value(body: Object, value: str) -> Object:
    """The ConfigMap with another value."""
    return {**body, "data": {"v": value}}


@dataclass
class Settler:
    """A running settler, and what its committer would see."""

    settlement: Settlement
    feed: AccountFeed
    committed: set[EntryKey] = field(default_factory=set[EntryKey])
    told: int = 0
    """How often the committer was told of outcomes."""

    def tell(self) -> None:
        """Be told."""
        self.told += 1


@contextlib.asynccontextmanager
async def settling(
    client: KubeClient,
    *,
    times: Times = PATIENT,
    pace: Pace = QUICK,
    now: Callable[[], float] = time.time,
) -> AsyncGenerator[Settler]:
    """Run one settler with feeds of its own for as long as the block lasts."""
    registry = RegistryFeed(client, pace=pace)
    feed = AccountFeed(client, pace=pace)
    discovery = Discovery(client, ask_again_seconds=0.2)
    histories = Histories(client, discovery, project, pace=pace)
    committed: set[EntryKey] = set()
    settlers: list[Settler] = []
    ledger = Ledger(lambda: committed, lambda: settlers[0].tell())
    ports = Ports(
        client, AccountStore(client), feed, registry.mandates, registry, discovery, ledger
    )
    settlement = Settlement(ports, histories, Pacing(times, now=now))
    settlers.append(Settler(settlement, feed, committed))
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(part.run(), name=type(part).__name__)
            for part in (registry, feed, settlement)
        ]
        yield settlers[0]
        for task in running:
            task.cancel()


class Agent:
    """An agent with a mandate, and the writes that it is allowed."""

    def __init__(self, client: KubeClient, name: str, namespace: str) -> None:
        self.name = name
        self.namespace = namespace
        self._client = client
        self._store = AccountStore(client)

    async def account(self) -> Account | None:
        """As the API server holds it."""
        try:
            return (await self._store.read(self.name)).account
        except NotFoundError:
            return None

    async def outcome(self, entry: Entry) -> Outcome | None:
        """What became of a write; None while it is open."""
        account = await self.account()
        assert account is not None
        return next(e.outcome for e in account.pending if e.key == entry.key)

    async def enter(self, entry: Entry) -> Entry:
        """Reserve a write; gives the entry as it stands in the account."""
        while True:
            stored = await self._store.read(self.name)
            fence = stored.account.fence
            proposal = Proposal(entry, fence.mandate_uid, fence.generation)
            verdict = reserve(stored.account, proposal)
            assert isinstance(verdict, Reserved), verdict
            try:
                await self._store.swap(stored, verdict.account)
            except ConflictError:
                continue
            return verdict.entry

    async def enter_update(self, body: Object, change: str, *, action: Action) -> Entry:
        """Enter the replacement of an object by this one, bound to the version it names."""
        entry = an_entry_for(body, change, action=action)
        return await self.enter(replace(entry, digest=content_digest(body, key=CONTENT_KEY)))

    async def create(self, name: str, resource: Resource = CONFIGMAPS) -> tuple[Object, Entry]:
        """Create a ConfigMap. Entered only then: before, nobody but the webhook knows its uid."""
        change = a_change()
        body = stamped(a_configmap(self.namespace, name), change)
        stored = await self._client.create(resource, body)
        entry = an_entry_for(stored, change, action=Action.CREATE)
        digest = content_digest(stored, key=CONTENT_KEY)
        return stored, await self.enter(replace(entry, digest=digest))

    async def update(self, body: Object, value: str) -> tuple[Object, Entry]:
        """Replace a ConfigMap, and see it through."""
        change = a_change()
        proposed = stamped(with_value(body, value), change)
        entry = await self.enter_update(proposed, change, action=Action.UPDATE)
        return await self._client.replace(CONFIGMAPS, proposed), entry

    async def mandate(self, **spec: Json) -> Object:
        """Store the agent's mandate, which names ConfigMaps and Deployments."""
        subject: Json = {"kind": "ServiceAccount", "namespace": "team-data", "name": self.name}
        rule: Json = {
            "apiGroups": ["", "apps"],
            "resources": ["configmaps", "deployments"],
            "verbs": ["create", "update", "patch", "delete"],
            "namespaces": ["*"],
        }
        body: Object = {
            "apiVersion": MANDATES.api_version,
            "kind": MANDATES.kind,
            "metadata": {"name": self.name},
            "spec": {"subjects": [subject], "rules": [rule], **spec},
        }
        return await self._client.apply(MANDATES, body, field_manager="tests")

    async def delete_mandate(self) -> None:
        """Take the mandate away."""
        await self._client.delete(MANDATES, Key("", self.name))


def an_entry_for(
    body: Object, change: str, *, action: Action, resource: Resource = CONFIGMAPS
) -> Entry:
    """The entry of a write to an object, made now, without a digest."""
    metadata = metadata_of(body)
    return Entry(
        change=change,
        attempt=Attempt("replica-1", next(_numbers)),
        action=action,
        kind=kind_of(resource),
        namespace=str(metadata.get("namespace") or ""),
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        version=0 if action is Action.CREATE else int(str(metadata["resourceVersion"])),
        made_at=int(time.time() * 1000),
        record="ab" * 32,
    )
