"""A simulated API server at one moment: log, requests on their way, account, settlers.

The store is a log whose resource versions are ten apart, so that nothing can rely
on consecutive ones. What can happen next is in `tests.account_moves`, what must
hold in `tests.account_invariants`.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from controller.accounts.account import ASKS_VERSION, COUNTED, Account, Fence
from controller.accounts.entries import Action, EntryKey, Outcome, WatchedKind
from controller.accounts.views import KindView, Version
from controller.accounts.windows import Window, WindowKey
from controller.apis.mandates import Budget
from controller.apis.resources import CHANGES

AGENT = "migrator"
MANDATE = "uid-of-migrator"
BASE = "base"
"""The change id of what was written, recorded and settled before a scenario starts."""
KINDS = (WatchedKind("apps", "v1", "deployments"), WatchedKind("", "v1", "pods"))
HOUR = 3600
RATE = WindowKey(CHANGES, HOUR)
"""The window in which every scenario counts its changes."""


class Phase(IntEnum):
    """How far a request is."""

    IDLE = 0
    MUTATED = 1
    RESERVED = 2
    ALLOWED = 3
    COMMITTED = 4
    OVER = 5
    POSTPONED = 6
    """Answered 503; the API server will ask again."""


IN_FLIGHT = (Phase.RESERVED, Phase.ALLOWED, Phase.POSTPONED)


class Wish(NamedTuple):
    """What a request wants; a `Action.VALUE` is a scale."""

    action: Action
    key: int
    ask: int = 0


class Deed(NamedTuple):
    """What a person does once, or leaves."""

    what: str
    """`scale`, `strip`, `undo`, `delete`, `plant`, `copy`, `limit` or `suspend`; `end` begins a
    deletion that waits for a finalizer, `finish` takes the finalizer away."""
    key: int = 0
    ask: int = 0
    """Of a scale; of `limit` the new limit."""
    change: str = ""
    """Of a plant: the id copied from a write in flight."""


@dataclass(frozen=True)
class Scenario:
    """The start, and what may happen."""

    limit: int
    base: tuple[tuple[int, int, bool], ...]
    """Objects that exist: key, ask, whether they are the agent's."""
    wishes: tuple[Wish, ...]
    deeds: tuple[Deed, ...] = ()
    settlers: int = 1
    relists: int = 0
    restarts: int = 0
    faults: int = 0
    """How often an answer is 503 although the entry is there."""
    tries: int = 1
    """A conflict is tried again up to so many times in all."""
    finalizers: tuple[int, ...] = ()
    """The keys whose objects have one: a deletion begins, and somebody must finish it."""
    reshaped: tuple[int, ...] = ()
    """The keys whose objects are stored in another form than is validated. Their `Action.VALUE`
    is compared by content, as the status of a custom kind is."""
    kinds: tuple[int, ...] = (0, 0, 0)
    """Per key the index of its kind."""
    changes: int = 99
    """How many the agent may make in an hour."""
    hours: int = 0
    """How many of them end."""

    @property
    def watched(self) -> range:
        """The indices of the kinds in use."""
        return range(1 + max(self.kinds))

    @property
    def budget(self) -> Budget:
        """Of changes."""
        return Budget("rate", CHANGES, self.changes, HOUR)


class Event(NamedTuple):
    """One version in the store."""

    key: int
    is_deleted: bool
    uid: str
    ask: int
    """Of a deletion that of the last content."""
    change: str
    owner: str
    entry: EntryKey | None
    """Whose write it was; None: a person's."""
    is_ending: bool = False
    """It waits for its finalizer."""
    hour: int = -1
    """The window that the account was in when an agent wrote it, milliseconds."""

    @property
    def digest(self) -> str:
        """Of the content, stamp included."""
        return f"{self.ask}|{self.change}"


class Request(NamedTuple):
    """How far one wish is."""

    phase: Phase = Phase.IDLE
    attempt: int = 0
    calls: int = 0
    """Of validate for this attempt."""
    base: int = -1
    """The index in the log of what it was validated against; of a create -1."""
    entry: EntryKey | None = None
    """What was reserved for it."""
    made_at: int = 0
    generation: int = 0
    """Of the mandate that it was reserved under."""


class Settler(NamedTuple):
    """Per kind, how many events of the log its list and its watch cover."""

    listed: tuple[int, ...]
    seen: tuple[int, ...]


class World(NamedTuple):
    """Everything at one moment."""

    log: tuple[Event, ...]
    requests: tuple[Request, ...]
    account: Account
    ledger: frozenset[tuple[EntryKey, Outcome]]
    settlers: tuple[Settler, ...]
    mandates: tuple[tuple[int, bool], ...]
    """Per generation the limit, and whether it is suspended."""
    deeds: tuple[Deed, ...]
    """Not done yet."""
    relists: int
    restarts: int
    faults: int
    calls: int = 0
    """A clock that ticks with the validate calls of writes without a stamp."""
    hour: int = 0
    """How many hours have ended."""

    def identity(self) -> tuple[object, ...]:
        """Equal for worlds from which the same can happen."""
        account = self.account
        pending = sorted((e.key, e.version, e.made_at, str(e.outcome)) for e in account.pending)
        of_account = (
            account.fence,
            tuple(account.settled.items()),
            account.as_of[KINDS[0]],
            tuple(pending),
            account.windows[RATE],
        )
        return (self.log, self.requests, of_account, *self[3:])


def version_of(index: int) -> int:
    """The resource version of an event."""
    return 10 * (index + 2)


def version_up_to(count: int) -> int:
    """The resource version of the last of so many events."""
    return version_of(count - 1)


def latest(log: tuple[Event, ...], key: int) -> int:
    """The index of a key's newest event, or -1."""
    return next((i for i in range(len(log) - 1, -1, -1) if log[i].key == key), -1)


def _base_event(spec: tuple[int, int, bool], *, uid: str) -> Event:
    key, ask, owned = spec
    return Event(
        key=key,
        is_deleted=False,
        uid=uid,
        ask=ask,
        change=uid if owned else "",
        owner=AGENT if owned else "",
        entry=EntryKey(BASE, uid, 0) if owned else None,
    )


def start(scenario: Scenario) -> World:
    """Everything that exists was counted, and every settler has seen it."""
    log = tuple(_base_event(spec, uid=f"base-{i}") for i, spec in enumerate(scenario.base))
    seen = (len(log),) * len(scenario.watched)
    account = Account(
        agent=AGENT,
        fence=Fence(MANDATE, 0, suspended=False),
        settled={"pods": held} if (held := sum(e.ask for e in log if e.owner)) else {},
        as_of=dict.fromkeys(COUNTED, version_up_to(len(log))),
        windows={RATE: Window(0, 0, 0)},
        asks_version=ASKS_VERSION,
    )
    return World(
        log,
        (Request(),) * len(scenario.wishes),
        account,
        frozenset(),
        (Settler(seen, seen),) * scenario.settlers,
        ((scenario.limit, False),),
        scenario.deeds,
        scenario.relists,
        scenario.restarts,
        scenario.faults,
    )


def head_of(
    scenario: Scenario, log: tuple[Event, ...], kind: int, *, end: int | None = None
) -> int:
    """How many events of the log there are up to the kind's last one before `end`."""
    indices = range(len(log) if end is None else end)
    return max((i + 1 for i in indices if scenario.kinds[log[i].key] == kind), default=0)


def overdue(scenario: Scenario, world: World) -> dict[EntryKey, int]:
    """The entries whose every request is over, with the newest version of their kinds."""
    return {
        entry.key: version_up_to(head_of(scenario, world.log, KINDS.index(entry.kind)))
        for entry in world.account.pending
        if entry.is_open
        and not any(
            request.phase in IN_FLIGHT
            and request.entry == entry.key
            and request.made_at <= entry.made_at
            for request in world.requests
        )
    }


@lru_cache(maxsize=50_000)
def view_of(
    scenario: Scenario, log: tuple[Event, ...], kind: int, listed: int, seen: int
) -> KindView:
    """What a list of the first `listed` events, watched to `seen`, shows of a kind."""
    objects: dict[str, tuple[Version, ...]] = {}
    for index, event in enumerate(log[:seen]):
        if scenario.kinds[event.key] != kind:
            continue
        if index >= listed:
            objects[event.uid] = (*objects.get(event.uid, ()), _seen(index, event))
        elif event.is_deleted:
            del objects[event.uid]
        else:
            objects[event.uid] = (_seen(index, event),)
    return KindView(version_up_to(listed), version_up_to(seen), objects)


def _seen(index: int, event: Event) -> Version:
    return Version(
        uid=event.uid,
        version=version_of(index),
        namespace="team-data",
        name="XYZ"[event.key],
        change=event.change,
        digest=event.digest,
        value=f"replicas:{event.ask}",
        is_deleted=event.is_deleted,
        is_ending=event.is_ending,
        owner=event.owner,
        ask={"pods": event.ask},
    )
