"""What must hold in a simulated cluster, and the search for a way to break it.

The invariants compare the account with the log, which the account code never sees
whole. `explore` walks every reachable world, breadth first, so that the trace of a
violation is a shortest one.
"""

from collections import deque
from dataclasses import dataclass

from controller.accounts.charges import charge, increase, is_spent, open_changes, total
from controller.accounts.entries import EntryKey, Outcome
from tests.account_moves import Move, moves
from tests.account_world import (
    BASE,
    RATE,
    Event,
    Phase,
    Scenario,
    World,
    latest,
    start,
    version_of,
)


class ViolationError(AssertionError):
    """Something that must hold does not."""


@dataclass(frozen=True, slots=True)
class Explored:
    """How far a search got."""

    worlds: int
    ends: int
    """Worlds in which nothing more can happen."""


def explore(scenario: Scenario, *, most: int = 60_000) -> Explored:
    """Walk all worlds of a scenario.

    Raises:
        ViolationError: with a shortest trace.
        RuntimeError: there are more than `most` worlds, so nothing is said of the rest.
    """
    first = start(scenario)
    came_from: list[tuple[int, str]] = [(-1, "start")]
    known = {first.identity(): 0}
    waiting = deque([(0, first)])
    ends = 0
    while waiting:
        number, world = waiting.popleft()
        try:
            found = _step(scenario, world)
        except ViolationError as violation:
            steps = "\n".join(_trace(came_from, number))
            raise ViolationError(f"{violation}\nafter\n{steps}") from None
        ends += not found
        for identity, (label, after) in found.items():
            if identity not in known:
                known[identity] = len(came_from)
                waiting.append((len(came_from), after))
                came_from.append((number, label))
        if len(known) > most:
            raise RuntimeError(f"more than {most} worlds")
    return Explored(len(known), ends)


def _step(scenario: Scenario, world: World) -> dict[tuple[object, ...], Move]:
    """All other worlds that can come next, each checked."""
    check_world(world, scenario)
    found: dict[tuple[object, ...], Move] = {}
    for label, after in moves(scenario, world):
        try:
            check_move(world, after)
        except ViolationError as violation:
            raise ViolationError(f"{violation}\nby: {label}") from None
        found[after.identity()] = (label, after)
    found.pop(world.identity(), None)
    if not found:
        check_end(world, scenario)
    return found


def _trace(came_from: list[tuple[int, str]], number: int) -> list[str]:
    labels: list[str] = []
    while number >= 0:
        number, label = came_from[number]
        labels.append(label)
    return labels[::-1]


def check_world(world: World, scenario: Scenario) -> None:
    """COVER, DOUBLE and RATE: what agents answer for is counted, and counted once."""
    _check_rate(world, scenario)
    counted = charge(world.account).get("pods", 0)
    held = _answered_for(world)
    if held > counted:
        raise ViolationError(f"COVER: agents hold {held}, the account counts {counted}")
    still_open = [entry for entry in world.account.pending if entry.is_open]
    raised = [increase(entry.before, entry.after) for entry in still_open]
    most = total([world.account.settled, *raised]).get("pods", 0)
    if counted > most:
        raise ViolationError(f"DOUBLE: the account counts {counted}, open and settled are {most}")
    for entry in still_open:
        if increase(entry.before, entry.after):
            as_of = world.account.as_of[entry.kind]
            if _is_settled(world, entry.key, as_of=as_of):
                raise ViolationError(f"DOUBLE: {entry.key} counts as settled and as pending")


def _check_rate(world: World, scenario: Scenario) -> None:
    """In no hour more changes take effect than are allowed, nor more than the account says."""
    window = world.account.windows[RATE]
    changes = [event.hour for event in world.log if event.hour >= 0]
    for hour in set(changes):
        if changes.count(hour) > scenario.changes:
            raise ViolationError(f"RATE: {changes.count(hour)} changes of {scenario.changes}")
    counted = window.spent + open_changes(world.account)
    if changes.count(window.started_at) > counted:
        raise ViolationError(f"RATE: {changes} took effect, the account counts {counted}")
    if counted > scenario.changes:
        raise ViolationError(f"RATE: the account counts {counted} of {scenario.changes}")


def check_move(before: World, after: World) -> None:
    """OVERSOLD, FENCE, P2 and FALSE RECORD, each where it would first show.

    P2: what takes effect is pending and open at that moment.
    """
    if len(after.log) > len(before.log) and after.log[-1].entry is not None:
        _check_commit(before, after.log[-1], after.log[-1].entry)
        held, limit = _answered_for(after), max(limit for limit, _ in after.mandates)
        if held > limit:
            raise ViolationError(f"OVERSOLD: agents hold {held} of {limit}")
    if after.account is before.account and after.requests is before.requests:
        return
    _check_reservations(before, after)
    _check_outcomes(before, after)


def _check_commit(before: World, event: Event, key: EntryKey) -> None:
    entry = next((e for e in before.account.pending if e.key == key), None)
    outcome = entry.outcome if entry else dict(before.ledger).get(key)
    if event.is_deleted and event.is_ending and outcome is Outcome.UNKNOWN:
        return  # the API server does not bind such a deletion to a version; nothing was claimed
    if entry is None or not entry.is_open:
        state = "gone" if entry is None else entry.outcome
        raise ViolationError(f"P2: {key} commits while its entry is {state}, recorded: {outcome}")


def _check_reservations(before: World, after: World) -> None:
    fence = before.account.fence
    if after.account.fence.generation < fence.generation:
        raise ViolationError(f"FENCE: {fence} went back to {after.account.fence}")
    for was, now in zip(before.requests, after.requests, strict=True):
        if was.phase == now.phase or now.phase is not Phase.RESERVED:
            continue
        if fence.suspended or now.generation < fence.generation:
            raise ViolationError(f"FENCE: {now.entry} was let through by {fence}")
        pending = {entry.key: entry for entry in after.account.pending}
        if now.entry not in pending:
            raise ViolationError(f"P2: {now.entry} was let through without an entry")


def _check_outcomes(before: World, after: World) -> None:
    known = {entry.key: entry.outcome for entry in before.account.pending}
    for entry in after.account.pending:
        if entry.outcome is None or known.get(entry.key) is entry.outcome:
            continue
        if known.get(entry.key) is not None:
            raise ViolationError(f"FALSE RECORD: {entry.key} changed its outcome")
        took_effect = any(event.entry == entry.key for event in after.log)
        if entry.outcome is (Outcome.LOST if took_effect else Outcome.PERSISTED):
            raise ViolationError(f"FALSE RECORD: {entry.key} is recorded {entry.outcome}")


def check_end(world: World, scenario: Scenario) -> None:
    """STUCK, LEDGER, SPENT and RECOUNT: once all is quiet, nothing is left over or missing."""
    if world.account.pending:
        raise ViolationError(f"STUCK: {[str(e.key) for e in world.account.pending]}")
    recorded = dict(world.ledger)
    for event in world.log:
        if event.entry is None or event.entry.change == BASE:
            continue
        if recorded.get(event.entry, Outcome.LOST) is Outcome.LOST:
            raise ViolationError(f"LEDGER: {event.entry} took effect: {recorded.get(event.entry)}")
    changes, spent = sum(is_spent(o) for o in recorded.values()), world.account.windows[RATE].spent
    if not scenario.hours and changes != spent:
        raise ViolationError(f"SPENT: {changes} changes are recorded, {spent} are spent")
    newest = {event.uid: event for event in world.log}.values()
    live = sum(event.ask for event in newest if event.owner and not event.is_deleted)
    settled = world.account.settled.get("pods", 0)
    if settled != live:
        raise ViolationError(f"RECOUNT: settled {settled}, live {live}")


def _is_settled(world: World, key: EntryKey, *, as_of: int) -> bool:
    """Whether the write is part of a living object in what `settled` was counted from."""
    effect = next((i for i, event in enumerate(world.log) if event.entry == key), None)
    if effect is None or version_of(effect) > as_of:
        return False
    event = world.log[effect]
    shown = sum(version_of(index) <= as_of for index in range(len(world.log)))
    newest = world.log[latest(world.log[:shown], event.key)]
    return not newest.is_deleted and newest.uid == event.uid


def _answered_for(world: World) -> int:
    """What agents hold by their own raises: never more by a person's, less by anyone's lowering.

    For an object that they adopt, they answer whole.
    """
    live: dict[int, tuple[Event, int]] = {}
    for event in world.log:
        old, portion = live.pop(event.key, (None, 0))
        if event.is_deleted:
            continue
        rise = event.ask - (old.ask if old else 0)
        if event.entry is not None and rise > 0:
            is_theirs = old is not None and bool(old.owner)
            portion = portion + rise if is_theirs else event.ask
        live[event.key] = (event, min(event.ask, portion))
    return sum(portion for _, portion in live.values())
