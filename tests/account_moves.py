"""All that can happen next in a simulated cluster, around the real account code.

Requests go through mutate, validate (`reserve`), the answer and an optimistic
commit, each of which can be lost; a conflict is tried again under a new stamp.
People write what they like. Settlers watch, list anew with a gap, restart from a
stale list, and swap what `settle` says. Nothing here judges what happens.
"""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from controller.accounts.account import COUNTED, Account, Fence
from controller.accounts.entries import Action, Attempt, Entry, EntryKey
from controller.accounts.limits import Limits
from controller.accounts.reserve import Proposal, Reserved, reserve
from controller.accounts.settle import Spending, enforce_fence, settle
from controller.accounts.views import KindView
from controller.apis.pricebooks import PriceBook
from tests.account_world import (
    AGENT,
    HOUR,
    KINDS,
    MANDATE,
    RATE,
    Deed,
    Event,
    Phase,
    Request,
    Scenario,
    Settler,
    Wish,
    World,
    head_of,
    latest,
    overdue,
    version_of,
    view_of,
)

_EMPTY = KindView(listed_at=1, seen_to=10**9, objects={})
"""Of the kinds that a scenario is not about: nothing, and that is known of any moment."""

Move: TypeAlias = tuple[str, World]
"""What happens, and the world after it."""


def moves(scenario: Scenario, world: World) -> Iterator[Move]:
    """All that can happen next."""
    for index in range(len(world.requests)):
        yield from _request_moves(scenario, world, index)
    for deed in world.deeds:
        yield from _deed_moves(world, deed)
    generation = len(world.mandates) - 1
    if generation > world.account.fence.generation:
        fence = Fence(MANDATE, generation, suspended=world.mandates[generation][1])
        yield (
            f"the fence is at generation {generation}",
            world._replace(account=enforce_fence(world.account, fence)),
        )
    if world.hour < scenario.hours:
        yield "an hour ends", world._replace(hour=world.hour + 1)
    for index in range(len(world.settlers)):
        yield from _watch_moves(scenario, world, index)
        yield from _settle_moves(scenario, world, index)
    fresh = {(e.key, e.outcome) for e in world.account.pending if e.outcome is not None}
    if fresh - world.ledger:
        yield "the ledger records the outcomes", world._replace(ledger=world.ledger | fresh)


def _request_moves(scenario: Scenario, world: World, index: int) -> Iterator[Move]:
    request, wish = world.requests[index], scenario.wishes[index]
    name = f"{wish.action} {'XYZ'[wish.key]}={wish.ask} #{index}.{request.attempt}"
    over = _with(world, index, Request(Phase.OVER))
    match request.phase:
        case Phase.IDLE:
            yield f"{name} is mutated", _mutated(world, index, wish, attempt=0)
        case Phase.MUTATED | Phase.POSTPONED:
            yield from _validate_moves(scenario, world, index, name)
        case Phase.RESERVED:
            allowed = request._replace(phase=Phase.ALLOWED)
            yield f"{name} is answered: allowed", _with(world, index, allowed)
            yield f"{name}: the answer is lost", over
            if world.faults:
                postponed = request._replace(phase=Phase.POSTPONED)
                yield (
                    f"{name} is answered: 503",
                    _with(world, index, postponed)._replace(faults=world.faults - 1),
                )
        case Phase.ALLOWED:
            yield f"{name} dies after it was allowed", over
            yield from _commit_moves(scenario, world, index, name)
        case Phase.COMMITTED | Phase.OVER:
            return


def _with(world: World, index: int, request: Request) -> World:
    requests = (*world.requests[:index], request, *world.requests[index + 1 :])
    return world._replace(requests=requests)


def _mutated(world: World, index: int, wish: Wish, *, attempt: int) -> World:
    if wish.action is Action.CREATE:
        return _with(world, index, Request(Phase.MUTATED, attempt))
    base = latest(world.log, wish.key)
    if base < 0 or world.log[base].is_deleted:
        return _with(world, index, Request(Phase.OVER))
    return _with(world, index, Request(Phase.MUTATED, attempt, base=base))


def _validate_moves(scenario: Scenario, world: World, index: int, name: str) -> Iterator[Move]:
    """By replicas that know any generation of the mandate."""
    wish, request = scenario.wishes[index], world.requests[index]
    entry = _entry(scenario, world, index)
    calls = max(world.calls, entry.made_at)
    for generation, (limit, _) in enumerate(world.mandates):
        owner = "" if request.base < 0 else world.log[request.base].owner
        limits = Limits({"pods": limit}, (scenario.budget,))
        proposal = Proposal(entry, MANDATE, generation, limits, owner)
        result = reserve(world.account, proposal)
        if not isinstance(result, Reserved):
            refused = _with(world, index, Request(Phase.OVER))._replace(calls=calls)
            yield f"{name} is refused: {type(result).__name__}", refused
            continue
        reserved = request._replace(
            phase=Phase.RESERVED,
            calls=request.calls + 1,
            entry=result.entry.key,
            made_at=entry.made_at,
            generation=generation,
        )
        after = _with(world, index, reserved)._replace(account=result.account, calls=calls)
        yield f"{name} of {wish.action} is reserved under generation {generation}", after


def _entry(scenario: Scenario, world: World, index: int) -> Entry:
    request, wish = world.requests[index], scenario.wishes[index]
    change = f"{index}.{request.attempt}"
    has_stamp = wish.action in {Action.CREATE, Action.UPDATE}
    old = world.log[request.base] if request.base >= 0 else None
    return Entry(
        change=change if has_stamp else f"{change}.{request.calls}",
        attempt=Attempt("replica", request.calls),
        action=wish.action,
        kind=KINDS[scenario.kinds[wish.key]],
        namespace="team-data",
        name="XYZ"[wish.key],
        uid=old.uid if old else f"uid-{change}",
        version=version_of(request.base) if old else 0,
        made_at=0 if has_stamp else world.calls + 1,
        digest=_validated(scenario, wish, change if has_stamp else old.change if old else ""),
        old_change=old.change if old else "",
        old_digest=old.digest if old else "",
        before={"pods": old.ask} if old else {},
        after={"pods": wish.ask} if wish.ask else {},
    )


def _validated(scenario: Scenario, wish: Wish, stamp: str) -> str:
    """The digest of what is validated; where it is stored as it is, that of the event."""
    is_reshaped = wish.key in scenario.reshaped
    if wish.action is Action.DELETE:
        return ""
    if wish.action is Action.VALUE and not is_reshaped:
        return f"replicas:{wish.ask}"
    return f"{wish.ask}|{stamp}{'|as sent' if is_reshaped else ''}"


def _commit_moves(scenario: Scenario, world: World, index: int, name: str) -> Iterator[Move]:
    request, wish = world.requests[index], scenario.wishes[index]
    newest = latest(world.log, wish.key)
    exists = newest >= 0 and not world.log[newest].is_deleted
    is_create = wish.action is Action.CREATE
    # Taking the last finalizer away is carried out as a deletion, not bound to the version.
    ends = exists and _takes_finalizer(world, request, wish)
    if ends or (exists != is_create and (is_create or newest == request.base)):
        hour = world.account.windows[RATE].started_at
        event = _event(scenario, world, index, newest=newest)._replace(hour=hour)
        committed = _with(world, index, Request(Phase.COMMITTED, entry=request.entry))
        yield f"{name} COMMITS", committed._replace(log=(*world.log, event))
    elif exists and not is_create and request.attempt + 1 < scenario.tries:
        yield (
            f"{name} conflicts and is mutated again",
            _mutated(world, index, wish, attempt=request.attempt + 1),
        )


def _takes_finalizer(world: World, request: Request, wish: Wish) -> bool:
    base = world.log[request.base]
    return wish.action is Action.UPDATE and base.is_ending and not wish.ask


def _event(scenario: Scenario, world: World, index: int, *, newest: int) -> Event:
    request, wish = world.requests[index], scenario.wishes[index]
    change = f"{index}.{request.attempt}"
    if wish.action is Action.CREATE:
        return Event(
            key=wish.key,
            is_deleted=False,
            uid=f"uid-{change}",
            ask=wish.ask,
            change=change,
            owner=AGENT,
            entry=request.entry,
        )
    old = world.log[newest]._replace(entry=request.entry)
    if wish.action is Action.DELETE and wish.key in scenario.finalizers:
        return old._replace(is_ending=True)
    if wish.action is Action.DELETE or _takes_finalizer(world, request, wish):
        return old._replace(is_deleted=True)
    return old._replace(
        ask=wish.ask,
        change=change if wish.action is Action.UPDATE else old.change,
        owner=AGENT if wish.ask > old.ask else old.owner,
    )


def _deed_moves(world: World, deed: Deed) -> Iterator[Move]:
    left = tuple(other for other in world.deeds if other is not deed)
    after = world._replace(deeds=left)
    limit, is_suspended = world.mandates[-1]
    if deed.what in {"limit", "suspend"}:
        mandate = (deed.ask, is_suspended) if deed.what == "limit" else (limit, True)
        yield f"the mandate: {deed.what}", after._replace(mandates=(*world.mandates, mandate))
        return
    event = _deed_event(world.log, deed)
    if event is not None:
        done = after._replace(log=(*world.log, event))
        yield f"a person: {deed.what} {'XYZ'[deed.key]}", done


def _deed_event(log: tuple[Event, ...], deed: Deed) -> Event | None:
    newest = latest(log, deed.key)
    if newest < 0:
        return None
    old = log[newest]._replace(entry=None, hour=-1)
    if deed.what == "copy":
        is_gone = old.is_deleted
        return old._replace(is_deleted=False, uid=f"{old.uid}-copied") if is_gone else None
    if old.is_deleted:
        return None
    match deed.what:
        case "scale":
            return old._replace(ask=deed.ask) if old.ask != deed.ask else None
        case "strip":
            return old._replace(change="") if old.change else None
        case "plant":
            return old._replace(change=deed.change)
        case "end":
            return old._replace(is_ending=True) if not old.is_ending else None
        case "finish":
            return old._replace(is_deleted=True) if old.is_ending else None
        case "delete":
            return old._replace(is_deleted=True)
        case _:
            return _undone(log, newest)


def _undone(log: tuple[Event, ...], newest: int) -> Event | None:
    now = log[newest]
    for earlier in reversed(log[:newest]):
        if earlier.uid == now.uid and earlier.change != now.change:
            return now._replace(ask=earlier.ask, change=earlier.change, entry=None, hour=-1)
    return None


def _watch_moves(scenario: Scenario, world: World, index: int) -> Iterator[Move]:
    settler = world.settlers[index]
    for kind in scenario.watched:
        seen, head = settler.seen[kind], head_of(scenario, world.log, kind)
        if seen >= head:
            if seen < len(world.log):
                marked = settler._replace(seen=_put(settler.seen, kind, len(world.log)))
                told = f"settler {index} hears of no more of kind {kind}"
                yield told, _with_settler(world, index, marked)
            continue
        kinds = enumerate(world.log)
        following = next(i + 1 for i, e in kinds if i >= seen and scenario.kinds[e.key] == kind)
        watched = settler._replace(seen=_put(settler.seen, kind, following))
        yield f"settler {index} watches event {following}", _with_settler(world, index, watched)
        if world.relists and following < head:
            relisted = Settler(_put(settler.listed, kind, head), _put(settler.seen, kind, head))
            after = _with_settler(world, index, relisted)
            yield f"settler {index} lists anew", after._replace(relists=world.relists - 1)
    if world.restarts:
        yield from _restart_moves(scenario, world, index)


def _restart_moves(scenario: Scenario, world: World, index: int) -> Iterator[Move]:
    """A new leader, whose first list may be of any moment."""
    for end in range(len(world.log) + 1):
        seen = tuple(head_of(scenario, world.log, kind, end=end) for kind in scenario.watched)
        restarted = _with_settler(world, index, Settler(seen, seen))
        yield (
            f"settler {index} restarts and lists {seen}",
            restarted._replace(restarts=world.restarts - 1),
        )


def _put(values: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    return (*values[:index], value, *values[index + 1 :])


def _with_settler(world: World, index: int, settler: Settler) -> World:
    settlers = (*world.settlers[:index], settler, *world.settlers[index + 1 :])
    return world._replace(settlers=settlers)


def _settle_moves(scenario: Scenario, world: World, index: int) -> Iterator[Move]:
    """By evidence; and for each write that is over also by the clock."""
    settler, account = world.settlers[index], world.account
    views = dict.fromkeys(COUNTED, _EMPTY) | {
        KINDS[kind]: view_of(scenario, world.log, kind, settler.listed[kind], settler.seen[kind])
        for kind in scenario.watched
    }
    spending = Spending(world.hour * HOUR * 1000, (RATE,), PriceBook())
    ledgered = {key for key, _ in world.ledger}
    # A settler may believe in the oldest mandate; what it passes must never undo the fence.
    fence = Fence(MANDATE, 0, suspended=False)
    clocks: list[Mapping[EntryKey, int]] = [{}]
    clocks += [{key: version} for key, version in overdue(scenario, world).items()]
    for clock in clocks:
        after = settle(
            account, views, fence=fence, ledgered=ledgered, overdue=clock, spending=spending
        )
        if isinstance(after, Account) and after != account:
            label = f"settler {index} swaps: {_told(after)}{' by the clock' if clock else ''}"
            yield label, world._replace(account=after)


def _told(account: Account) -> str:
    outcomes = {str(e.key): str(e.outcome) for e in account.pending if e.outcome}
    return f"settled {dict(account.settled)}, {outcomes}"
