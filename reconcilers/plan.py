"""Decides what to write so that the registration selects every agent, and the status says so.

Pure: from what is stored to a list of effects, carried out in order. The order is
the point: a Mandate is `Ready` only after the registration that holds its subjects
was stored, so a plan that cannot register changes no Mandate to Ready. Whoever
carries it out leaves out, after a registration that failed, each status that
relies on it.

Nothing here writes, and nothing here says what an agent may do.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, cast

from controller.agents.registry import InvalidMandate, Registry
from controller.apis.conditions import Condition, ConditionStatus, ConditionType, set_condition
from controller.apis.governance import Governance
from controller.apis.json import Json
from controller.apis.mandates import Mandate
from controller.apis.reasons import Reason
from controller.clients.kube.client import Object
from controller.feeds.registry import InvalidGovernance, Stored, StoredGovernance, StoredMandate
from controller.registration.subject import RegistrationError, Target, render_subject_webhook


@dataclass(frozen=True, slots=True)
class View:
    """What is stored, as far as it was heard."""

    mandates: tuple[StoredMandate, ...]
    governance: Governance
    """The last valid one."""
    stored_governance: StoredGovernance | None
    configuration: Object | None
    """The ValidatingWebhookConfiguration as it is; None if there is none."""


@dataclass(frozen=True, slots=True)
class CreateConfiguration:
    """Store the registration where there is none."""

    body: Object


@dataclass(frozen=True, slots=True)
class ReplaceConfiguration:
    """Store the registration in place of the one that was seen, and of no other version.

    Replaced, not applied: applying would leave the match conditions and webhooks
    that someone else added, and one condition more is enough to select nobody.
    """

    body: Object


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write what was observed of one resource."""

    of: Stored
    conditions: tuple[Condition, ...]

    @property
    def relies_on_registration(self) -> bool:
        """Whether it claims what holds only once the registration is stored."""
        return any(
            condition.status is ConditionStatus.TRUE and condition.type in _BY_REGISTRATION
            for condition in self.conditions
        )


_BY_REGISTRATION = frozenset({ConditionType.READY.value, ConditionType.SUSPENDED.value})

Effect: TypeAlias = CreateConfiguration | ReplaceConfiguration | WriteStatus


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write, in order; no effects where all is as it should be."""

    effects: tuple[Effect, ...]
    selects_all: bool
    """Whether every agent of the view is selected once it is carried out."""


@dataclass(frozen=True, slots=True)
class _Observation:
    """One condition, before it is known since when it holds."""

    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str


_REGISTERED = _Observation(
    ConditionType.READY,
    ConditionStatus.TRUE,
    Reason.REGISTERED,
    "the API server asks Governor about every write",
)
_SHOWN = 3


def plan_registration(
    view: View, *, own_usernames: Collection[str], target: Target, now: datetime
) -> Plan:
    """Plan the registration, then the status of every Mandate and of the Governance.

    Args:
        view: what is stored.
        own_usernames: Governor's identities, which are never selected.
        target: whom the API server asks.
        now: aware; since when changed conditions hold.
    """
    registry = _registry(view)
    try:
        desired = render_subject_webhook(
            usernames=registry.claims.keys(),
            dedicated_namespaces=view.governance.dedicated_namespaces,
            own_usernames=own_usernames,
            target=target,
        )
    except RegistrationError as impossible:
        ready = _not_ready(Reason.PENDING, f"the last registration stays: {impossible}")
        writes: tuple[Effect, ...] = ()
    else:
        ready = _REGISTERED
        writes = _configuration_writes(cast("Object", desired), view.configuration)
    mandates = (
        (stored, _observe_mandate(stored, registry, own_usernames=own_usernames, ready=ready))
        for stored in view.mandates
    )
    governance = plan_governance(view.stored_governance, ready=ready, now=now)
    return Plan(
        (*writes, *_status_writes(mandates, now), *governance), selects_all=ready is _REGISTERED
    )


def plan_governance(
    stored: StoredGovernance | None, *, ready: _Observation = _REGISTERED, now: datetime
) -> tuple[Effect, ...]:
    """What to write into the status of the Governance, as far as one is stored.

    This part of `plan_registration` is all that can be planned while there is no
    valid Governance to register by.
    """
    if stored is None:
        return ()
    content = stored.content
    if isinstance(content, InvalidGovernance):
        ready = _not_ready(Reason.INVALID, f"the last valid one stays in force: {content.message}")
    return _status_writes([(stored, (ready,))], now)


def _registry(view: View) -> Registry:
    contents = [stored.content for stored in view.mandates]
    return Registry.build(
        [content for content in contents if isinstance(content, Mandate)],
        [content for content in contents if isinstance(content, InvalidMandate)],
        view.governance,
    )


def _configuration_writes(desired: Object, stored: Object | None) -> tuple[Effect, ...]:
    if stored is None:
        return (CreateConfiguration(desired),)
    ours, theirs = _part(desired, "metadata"), _part(stored, "metadata")
    labels = {**_part(theirs, "labels"), **_part(ours, "labels")}
    # No webhooks are stored as no list at all.
    is_selecting_the_same = (stored.get("webhooks") or []) == desired["webhooks"]
    if is_selecting_the_same and labels == theirs.get("labels"):
        return ()
    # The rest of the metadata belongs to others, and the version to the precondition.
    metadata = {key: value for key, value in theirs.items() if key != "managedFields"}
    return (ReplaceConfiguration({**desired, "metadata": {**metadata, "labels": labels}}),)


def _observe_mandate(
    stored: StoredMandate,
    registry: Registry,
    *,
    own_usernames: Collection[str],
    ready: _Observation,
) -> tuple[_Observation, ...]:
    content = stored.content
    conflict = _observe_conflict(stored, registry)
    if isinstance(content, InvalidMandate):
        unknown = _Observation(
            ConditionType.SUSPENDED,
            ConditionStatus.UNKNOWN,
            Reason.INVALID,
            "the mandate cannot be read; every write of its subjects is refused",
        )
        return (_not_ready(Reason.INVALID, content.message), unknown, conflict)
    if conflict.status is ConditionStatus.TRUE:
        ready = _not_ready(Reason.SUBJECT_CONFLICT, conflict.message)
    for index, subject in enumerate(content.subjects):
        if subject.username in own_usernames:
            ready = _not_ready(
                Reason.INVALID,
                f"spec.subjects[{index}]: {subject.username} is Governor itself: remove it",
            )
    return (ready, _observe_suspension(content), conflict)


def _observe_suspension(mandate: Mandate) -> _Observation:
    if mandate.suspended:
        return _Observation(
            ConditionType.SUSPENDED,
            ConditionStatus.TRUE,
            Reason.SUSPENDED,
            "spec.suspend is true: every write of the agent is refused",
        )
    return _Observation(
        ConditionType.SUSPENDED,
        ConditionStatus.FALSE,
        Reason.NOT_SUSPENDED,
        "the writes of the agent are judged",
    )


def _observe_conflict(stored: StoredMandate, registry: Registry) -> _Observation:
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
        return _Observation(
            ConditionType.CONFLICT,
            ConditionStatus.FALSE,
            Reason.NO_CONFLICT,
            "every subject stands in this mandate only",
        )
    return _Observation(
        ConditionType.CONFLICT,
        ConditionStatus.TRUE,
        Reason.SUBJECT_CONFLICT,
        f"{_listed(contested)}: their writes are refused until one mandate names them",
    )


def _status_writes(
    observed: Iterable[tuple[Stored, tuple[_Observation, ...]]], now: datetime
) -> tuple[WriteStatus, ...]:
    writes = [WriteStatus(stored, _conditions(stored, found, now)) for stored, found in observed]
    return tuple(write for write in writes if not _says_so_already(write))


def _says_so_already(write: WriteStatus) -> bool:
    status = write.of.status
    return write.of.generation == status.observed_generation and set(write.conditions) <= set(
        status.conditions
    )


def _conditions(
    stored: Stored, observations: tuple[_Observation, ...], now: datetime
) -> tuple[Condition, ...]:
    """Our conditions only: those of others stay theirs."""
    types = {observed.type.value for observed in observations}
    conditions = tuple(held for held in stored.status.conditions if held.type in types)
    for observed in observations:
        conditions = set_condition(
            conditions,
            type=observed.type.value,
            status=observed.status,
            reason=observed.reason.value,
            message=observed.message,
            observed_generation=stored.generation,
            now=now.replace(microsecond=0),
        )
    return conditions


def _not_ready(reason: Reason, message: str) -> _Observation:
    return _Observation(ConditionType.READY, ConditionStatus.FALSE, reason, message)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(sorted(names)[:_SHOWN]) + more


def _part(body: Mapping[str, Json], name: str) -> dict[str, Json]:
    part = body.get(name)
    return part if isinstance(part, dict) else {}
