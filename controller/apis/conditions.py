"""Conditions: what Governor observed of a resource, in the standard Kubernetes form.

Values and one pure function. Nothing here reads a clock, and nothing decides
whether a condition holds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum


class ConditionType(StrEnum):
    """What is observed."""

    READY = "Ready"
    """The newest generation is in force."""
    SUSPENDED = "Suspended"
    """The agent's writes are refused; true only once that is so everywhere."""
    CONFLICT = "Conflict"
    """A subject stands in another mandate, too."""


class ConditionStatus(StrEnum):
    """Whether it holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One observation, and since when its status holds."""

    type: str
    """A `ConditionType`, or what another writer added."""
    status: ConditionStatus
    reason: str
    """A `controller.apis.reasons.Reason`, or what another version wrote."""
    message: str
    """A sentence for people."""
    last_transition_time: datetime
    """When the status last changed; aware."""
    observed_generation: int | None = None
    """The `metadata.generation` that was observed."""

    def to_json(self) -> dict[str, str | int]:
        """Give the condition as it stands in a resource's status, in whole seconds of UTC."""
        moment = self.last_transition_time.astimezone(UTC)
        wire: dict[str, str | int] = {
            "type": str(self.type),
            "status": self.status.value,
            "reason": str(self.reason),
            "message": self.message,
            "lastTransitionTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if self.observed_generation is not None:
            wire["observedGeneration"] = self.observed_generation
        return wire


def set_condition(
    conditions: Iterable[Condition],
    *,
    type: str,  # noqa: A002 - the field's name on the wire
    status: ConditionStatus,
    reason: str,
    message: str,
    observed_generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """Return the conditions with one observation put in, in its old place or last.

    `last_transition_time` becomes `now` (aware) only where the status changed
    or the condition is new; another reason or message alone keeps it.
    """
    observed = Condition(
        type=type,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=now,
        observed_generation=observed_generation,
    )
    held = tuple(conditions)
    if not any(condition.type == type for condition in held):
        return (*held, observed)
    return tuple(
        _succeeded_by(observed, condition) if condition.type == type else condition
        for condition in held
    )


def _succeeded_by(observed: Condition, held: Condition) -> Condition:
    if held.status is not observed.status:
        return observed
    return replace(observed, last_transition_time=held.last_transition_time)
