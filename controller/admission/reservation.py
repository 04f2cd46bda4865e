"""Says what becomes of a granted write once its reservation was tried.

Pure. A grant of the policies is no grant yet: only what the account has taken in
may take effect. The account itself is `controller.accounts`; what a limit that is
used up is told as, `controller.admission.excess`.
"""

from dataclasses import replace
from typing import assert_never

from controller.accounts.limits import Limits
from controller.accounts.reserve import (
    AlreadySettled,
    Backlog,
    Exhausted,
    Reservation,
    Reserved,
    StaleMandate,
    Suspended,
    Uncounted,
    Unopened,
)
from controller.admission.case import Case, raises_by_scale
from controller.admission.excess import tell_excess
from controller.admission.judge import Denied, Granted, Outcome, Postponed
from controller.asks.asked import NOTHING_ASKED, Asked
from controller.asks.ownership import AGENT
from controller.mutation.room import MAX_ANNOTATION_BYTES, STAMP_BYTES
from controller.policy.denials import Code, Denial
from controller.policy.guards import refuse_suspended
from controller.prices.rates import Unpriced

_LABEL = f'metadata.labels["{AGENT}"]'


def conclude_reservation(
    granted: Granted, tried: Reservation, *, asked: Asked = NOTHING_ASKED, account: str = ""
) -> Outcome:
    """The outcome of a write that the policies granted.

    Args:
        granted: their verdict.
        tried: the account's.
        asked: what the write asks for, before and after.
        account: the version of the Account that a dry run asked.
    """
    match tried:
        case Reserved():
            return _reserved(granted, tried, asked=asked, account=account)
        case Backlog() | StaleMandate():
            return Postponed(granted.change, _why_later(tried))
        case Uncounted() | Unopened():
            # The settler was waited for already: asked again, the API server would tell nobody why.
            return refuse(granted, _not_counted_yet(tried))
        case Suspended() | Exhausted() | AlreadySettled() | Unpriced():
            return refuse(granted, _denial(granted, tried, asked))
        case _:
            assert_never(tried)


def _reserved(granted: Granted, reserved: Reserved, *, asked: Asked, account: str) -> Granted:
    # Without a stamp it may be that of an earlier call: the record will be under its id.
    change = granted.change if account else reserved.entry.change
    relaxed = granted.relaxed
    if reserved.excess is not None:
        relaxed = (*relaxed, tell_excess(granted, reserved.excess, asked))
    return replace(granted, change=change, relaxed=relaxed, account=account)


def _why_later(tried: Backlog | StaleMandate) -> str:
    match tried:
        case Backlog(pending):
            return f"LedgerBacklog: {pending} writes of this agent wait to be settled"
        case StaleMandate():
            return "the mandate changed and is not here yet"
        case _:
            assert_never(tried)


def _not_counted_yet(tried: Uncounted | Unopened) -> Denial:
    """The refusal of a write whose limits cannot be held by what the account says so far."""
    if isinstance(tried, Uncounted):
        problem = tried.reason
    else:
        problem = f"windows of budgets are being opened: {', '.join(map(str, tried.missing))}"
    return Denial(
        Code.NOT_COUNTED_YET,
        f"{problem}; `governor reconcile` does that, and is late",
        rule="What is not counted is not held to a limit",
        retry=True,
    )


def refuse(granted: Granted, denial: Denial) -> Denied:
    """Refuse, after all, what the policies granted."""
    return Denied(granted.change, granted.mandate or "", (denial,), granted.digest)


def stamp_is_missing() -> Denial:
    """The refusal of a change whose author could not be proven afterwards."""
    return Denial(
        Code.STAMP_MISSING,
        "the object reached the last check without Governor's stamp of this request; another "
        "mutating webhook removed it, or Governor's own is not registered yet",
        rule="Every stored change carries its stamp",
        field='metadata.annotations["governor.dev/change"]',
        retry=True,
    )


def no_room_for_stamp(size: int) -> Denial:
    """The refusal of an object whose annotations, of so many bytes, leave no room for the stamp."""
    return Denial(
        Code.STAMP_MISSING,
        f"the object's annotations leave no room for Governor's stamp of {STAMP_BYTES} bytes; "
        f"shorten them to {MAX_ANNOTATION_BYTES} bytes, keys and values together",
        rule="Every stored change carries its stamp",
        field="metadata.annotations",
        asked=size,
        limit=MAX_ANNOTATION_BYTES,
    )


def record_failed(problem: str) -> Denial:
    """The refusal of a write that cannot be recorded first."""
    return Denial(
        Code.RECORD_FAILED,
        f"the write cannot be recorded, so it is not let through: {problem}",
        rule="No record, no write",
        retry=True,
    )


def owner_is_missing(agent: str) -> Denial:
    """The refusal of an object of which nobody could tell afterwards whose it is."""
    return Denial(
        Code.OWNER_MISSING,
        f"the object reached the last check without the label that makes it {agent}'s, or keeps "
        "it whose it was; another mutating webhook removed it, or Governor's own is not "
        "registered yet",
        rule="Every object of an agent's says whose it is",
        field=_LABEL,
        retry=True,
    )


def find_unowned_raise(case: Case, agent: str, limits: Limits) -> Denial | None:
    """The refusal of a raise that nobody would answer for, while anything limits what is held."""
    is_unowned = limits.hold_anything and raises_by_scale(case, agent)
    return scale_is_not_owned(agent) if is_unowned else None


def scale_is_not_owned(agent: str) -> Denial:
    """The refusal of a subresource's write that raises what is not the agent's."""
    return Denial(
        Code.SCALE_NOT_OWNED,
        f"this would raise an object that is not {agent}'s, and a subresource cannot make it so; "
        f"update the object itself, which makes it {agent}'s and counts all of it",
        rule="What an agent raises is its own",
        field=_LABEL,
    )


def _denial(
    granted: Granted, tried: Suspended | Exhausted | AlreadySettled | Unpriced, asked: Asked
) -> Denial:
    match tried:
        case Suspended():
            return refuse_suspended(granted.mandate or "")
        case AlreadySettled(entry):
            was = f"settled as {entry.outcome}" if entry.outcome else "taken by another write"
            return Denial(
                Code.ATTEMPT_OVER,
                f"this attempt was {was} before its answer arrived; send the write again",
                rule="A settled attempt takes no effect",
                retry=True,
            )
        case Exhausted() | Unpriced():
            return tell_excess(granted, tried, asked)
        case _:
            assert_never(tried)
