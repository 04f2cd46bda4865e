"""Says what becomes of a granted write once its reservation was tried.

Pure. A grant of the policies is no grant yet: only what the account has taken in
may take effect. The account itself is `controller.accounts`.
"""

from dataclasses import replace
from typing import TypeAlias, assert_never

from controller.accounts.reserve import (
    AlreadySettled,
    Backlog,
    Exhausted,
    Reserved,
    StaleMandate,
    Suspended,
)
from controller.admission.judge import Denied, Granted, Outcome, Postponed
from controller.mutation.room import MAX_ANNOTATION_BYTES, STAMP_BYTES
from controller.policy.denials import Code, Denial
from controller.policy.guards import refuse_suspended

Tried: TypeAlias = Reserved | Exhausted | Suspended | StaleMandate | AlreadySettled | Backlog


def conclude_reservation(granted: Granted, tried: Tried, *, account: str = "") -> Outcome:
    """The outcome of a write that the policies granted.

    Args:
        granted: their verdict.
        tried: the account's.
        account: the version of the Account that a dry run asked.
    """
    match tried:
        case Reserved() if account:
            return replace(granted, account=account)
        case Reserved(entry=entry):
            # Without a stamp it may be that of an earlier call: the record will be under its id.
            return replace(granted, change=entry.change)
        case Backlog(pending):
            problem = f"LedgerBacklog: {pending} writes of this agent wait to be settled"
            return Postponed(granted.change, problem)
        case StaleMandate():
            return Postponed(granted.change, "the mandate changed and is not here yet")
        case Suspended() | Exhausted() | AlreadySettled():
            return refuse(granted, _denial(granted, tried))
        case _:
            assert_never(tried)


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


def _denial(granted: Granted, tried: Suspended | Exhausted | AlreadySettled) -> Denial:
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
        case Exhausted(resource, asked, limit, held):
            return Denial(
                Code.QUOTA_EXCEEDED,
                f"asks {asked} {resource} for {granted.mandate}",
                rule="What an agent's objects hold stays within its quota",
                asked=asked,
                limit=limit,
                remaining=max(0, limit - held),
            )
        case _:
            assert_never(tried)
