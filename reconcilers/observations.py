"""Says what is observed of a Mandate: whether it is in force, suspended, in conflict.

Pure. Two facts are needed for a Mandate to be in force: that the registration holds
its subjects (told by the caller, who plans it), and that its Account is fenced to its
newest generation. Reservations are refused by the fence, so what the Mandate's spec
says is a wish until the fence says it too: `Suspended` speaks of the fence alone.

Nothing here copies the spec into the fence, and nothing writes.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from controller.accounts.account import Fence
from controller.agents.registry import InvalidMandate, Registry
from controller.apis.conditions import Condition, ConditionStatus, ConditionType, set_condition
from controller.apis.mandates import Mandate
from controller.apis.reasons import Reason
from controller.feeds.registry import Stored, StoredMandate

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Observation:
    """One condition, before it is known since when it holds."""

    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str
    generation: int | None = None
    """What it was observed of; None: the stored generation."""


REGISTERED = Observation(
    ConditionType.READY,
    ConditionStatus.TRUE,
    Reason.REGISTERED,
    "the API server asks Governor about every write",
)


PRICED = Observation(
    ConditionType.READY,
    ConditionStatus.TRUE,
    Reason.IN_FORCE,
    "budgets in US dollars are charged by these prices",
)


def not_ready(reason: Reason, message: str) -> Observation:
    """Why something is not in force."""
    return Observation(ConditionType.READY, ConditionStatus.FALSE, reason, message)


def observe_mandate(
    stored: StoredMandate,
    fence: Fence | None,
    registry: Registry,
    *,
    own_usernames: Collection[str],
    ready: Observation,
) -> tuple[Observation, ...]:
    """The three conditions of one Mandate.

    Args:
        stored: the Mandate.
        fence: that of the Account of its name; None if no Account can be read.
        registry: of all Mandates, for conflicts.
        own_usernames: Governor's identities, which are no agents.
        ready: whether the registration holds the subjects.
    """
    content = stored.content
    conflict = _observe_conflict(stored, registry)
    if isinstance(content, InvalidMandate):
        unknown = Observation(
            ConditionType.SUSPENDED,
            ConditionStatus.UNKNOWN,
            Reason.INVALID,
            "the mandate cannot be read; every write of its subjects is refused",
        )
        return (not_ready(Reason.INVALID, content.message), unknown, conflict)
    behind = _is_behind(stored, fence)
    if behind and ready is REGISTERED:
        ready = not_ready(Reason.PENDING, behind)
    if conflict.status is ConditionStatus.TRUE:
        ready = not_ready(Reason.SUBJECT_CONFLICT, conflict.message)
    for index, subject in enumerate(content.subjects):
        if subject.username in own_usernames:
            ready = not_ready(
                Reason.INVALID,
                f"spec.subjects[{index}]: {subject.username} is Governor itself: remove it",
            )
    return (ready, _observe_suspension(stored, content, fence), conflict)


def conditions_of(
    stored: Stored, observations: tuple[Observation, ...], now: datetime
) -> tuple[Condition, ...]:
    """What is to be written: our conditions only, those of others stay theirs."""
    types = {observed.type.value for observed in observations}
    conditions = tuple(held for held in stored.status.conditions if held.type in types)
    for observed in observations:
        seen = stored.generation if observed.generation is None else observed.generation
        conditions = set_condition(
            conditions,
            type=observed.type.value,
            status=observed.status,
            reason=observed.reason.value,
            message=observed.message,
            observed_generation=seen,
            now=now.replace(microsecond=0),
        )
    return conditions


def _is_behind(stored: StoredMandate, fence: Fence | None) -> str:
    """What the Account lacks of the newest generation; empty if nothing."""
    if fence is None:
        return f"there is no readable Account {stored.name} yet: every write is refused"
    if fence.mandate_uid != stored.uid:
        return f"the Account {stored.name} still belongs to an earlier mandate of this name"
    if fence.generation < stored.generation:
        return (
            f"the Account {stored.name} holds generation {fence.generation} "
            f"and not yet {stored.generation}"
        )
    return ""


def _observe_suspension(
    stored: StoredMandate, mandate: Mandate, fence: Fence | None
) -> Observation:
    """What the fence says, and of which generation it says so."""
    if fence is None or fence.mandate_uid != stored.uid:
        return Observation(
            ConditionType.SUSPENDED,
            ConditionStatus.UNKNOWN,
            Reason.PENDING,
            _is_behind(stored, fence),
        )
    behind = _is_behind(stored, fence)
    is_wish_unmet = bool(behind) and mandate.suspended is not fence.suspended
    if fence.suspended:
        return Observation(
            ConditionType.SUSPENDED,
            ConditionStatus.TRUE,
            Reason.SUSPENDED,
            f"every write of the agent is still refused: {behind}"
            if is_wish_unmet
            else "every write of the agent is refused",
            fence.generation,
        )
    return Observation(
        ConditionType.SUSPENDED,
        ConditionStatus.FALSE,
        Reason.PENDING if is_wish_unmet else Reason.NOT_SUSPENDED,
        f"writes of the agent may still be granted: {behind}"
        if is_wish_unmet
        else "the writes of the agent are judged",
        fence.generation,
    )


def _observe_conflict(stored: StoredMandate, registry: Registry) -> Observation:
    content = stored.content
    usernames = (
        content.usernames
        if isinstance(content, InvalidMandate)
        else tuple(subject.username for subject in content.subjects)
    )
    contested = [
        f"{username} is also a subject of {_listed(rivals)}"
        for username in usernames
        if (rivals := [c.name for c in registry.claims[username] if c.name != stored.name])
    ]
    if not contested:
        return Observation(
            ConditionType.CONFLICT,
            ConditionStatus.FALSE,
            Reason.NO_CONFLICT,
            "every subject stands in this mandate only",
        )
    return Observation(
        ConditionType.CONFLICT,
        ConditionStatus.TRUE,
        Reason.SUBJECT_CONFLICT,
        f"{_listed(contested)}: their writes are refused until one mandate names them",
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(sorted(names)[:_SHOWN]) + more
