"""Decides what to write so that the registration selects every agent, and the status says so.

Pure: from what is stored to a list of effects, carried out in order. The order is
the point. The validating configuration is stored before the mutating one: in between,
the write of a new agent is judged and refused for its missing stamp, whereas the other
way round it would pass with a stamp that vouches for it, unjudged and unrecorded. And a
Mandate is `Ready` only after both are stored, so a plan that cannot register changes no
Mandate to Ready. Whoever carries it out leaves out, after a registration that failed,
each status that relies on it.

Nothing here writes, and nothing here says what an agent may do.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, cast

from controller.accounts.account import Fence
from controller.agents.registry import InvalidMandate, Registry
from controller.apis.conditions import Condition, ConditionStatus, ConditionType
from controller.apis.governance import Governance
from controller.apis.json import Json
from controller.apis.mandates import Mandate
from controller.apis.reasons import Reason
from controller.clients.kube.client import Object
from controller.clients.kube.resources import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS, Resource
from controller.feeds.registry import (
    InvalidGovernance,
    InvalidPriceBook,
    Stored,
    StoredGovernance,
    StoredMandate,
    StoredPriceBook,
)
from controller.registration.subject import (
    RegistrationError,
    Target,
    render_subject_registration,
)
from reconcilers.observations import (
    PRICED,
    REGISTERED,
    Observation,
    conditions_of,
    not_ready,
    observe_mandate,
)


@dataclass(frozen=True, slots=True)
class View:
    """What is stored, as far as it was heard."""

    mandates: tuple[StoredMandate, ...]
    governance: Governance
    """The last valid one."""
    stored_governance: StoredGovernance | None
    validating: Object | None
    """The ValidatingWebhookConfiguration as it is; None if there is none."""
    mutating: Object | None
    """The MutatingWebhookConfiguration likewise."""
    fences: Mapping[str, Fence] | None
    """Of each Account that can be read, by its name; None while they are not known yet."""


@dataclass(frozen=True, slots=True)
class CreateConfiguration:
    """Store one half of the registration where there is none."""

    resource: Resource
    body: Object


@dataclass(frozen=True, slots=True)
class ReplaceConfiguration:
    """Store one half in place of the one that was seen, and of no other version.

    Replaced, not applied: applying would leave the match conditions and webhooks
    that someone else added, and one condition more is enough to select nobody.
    """

    resource: Resource
    body: Object


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write what was observed of one resource."""

    of: Stored
    conditions: tuple[Condition, ...]

    @property
    def relies_on_registration(self) -> bool:
        """Whether it claims what holds only once the registration is stored."""
        if isinstance(self.of, StoredPriceBook):
            return False
        return any(
            condition.status is ConditionStatus.TRUE and condition.type in _BY_REGISTRATION
            for condition in self.conditions
        )


_BY_REGISTRATION = frozenset({ConditionType.READY.value, ConditionType.SUSPENDED.value})

# The same from every process, whichever has seen a valid one: they would correct each other
# for ever.
_INVALID_GOVERNANCE = (
    "the last valid one stays in force; where none was seen since the start, every write of an "
    "agent is refused"
)
_INVALID_PRICES = (
    "the last valid ones stay in force; where none were seen since the start, raises under a "
    "budget in US dollars are refused"
)

Effect: TypeAlias = CreateConfiguration | ReplaceConfiguration | WriteStatus


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write, in order; no effects where all is as it should be."""

    effects: tuple[Effect, ...]
    selects_all: bool
    """Whether every agent of the view is selected once it is carried out."""


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
        desired = render_subject_registration(
            usernames=registry.claims.keys(),
            dedicated_namespaces=view.governance.dedicated_namespaces,
            own_usernames=own_usernames,
            target=target,
        )
    except RegistrationError as impossible:
        ready = not_ready(Reason.PENDING, f"the last registration stays: {impossible}")
        writes: tuple[Effect, ...] = ()
    else:
        ready = REGISTERED
        writes = (
            *_configuration_writes(
                VALIDATING_WEBHOOKS, cast("Object", desired.validating), view.validating
            ),
            *_configuration_writes(
                MUTATING_WEBHOOKS, cast("Object", desired.mutating), view.mutating
            ),
        )
    mandates = _observe_mandates(view, registry, own_usernames=own_usernames, ready=ready)
    governance = plan_governance(view.stored_governance, ready=ready, now=now)
    return Plan(
        (*writes, *_status_writes(mandates, now), *governance), selects_all=ready is REGISTERED
    )


def plan_governance(
    stored: StoredGovernance | None, *, ready: Observation = REGISTERED, now: datetime
) -> tuple[Effect, ...]:
    """What to write into the status of the Governance, as far as one is stored.

    This part of `plan_registration` is all that can be planned while there is no
    valid Governance to register by.
    """
    if stored is None:
        return ()
    content = stored.content
    if isinstance(content, InvalidGovernance):
        ready = not_ready(Reason.INVALID, f"{_INVALID_GOVERNANCE}: {content.message}")
    return _status_writes([(stored, (ready,))], now)


def plan_prices(stored: StoredPriceBook | None, *, now: datetime) -> tuple[Effect, ...]:
    """What to write into the status of the PriceBook, as far as one is stored."""
    if stored is None:
        return ()
    content = stored.content
    ready = PRICED
    if isinstance(content, InvalidPriceBook):
        ready = not_ready(Reason.INVALID, f"{_INVALID_PRICES}: {content.message}")
    return _status_writes([(stored, (ready,))], now)


def _registry(view: View) -> Registry:
    contents = [stored.content for stored in view.mandates]
    return Registry.build(
        [content for content in contents if isinstance(content, Mandate)],
        [content for content in contents if isinstance(content, InvalidMandate)],
        view.governance,
    )


def _observe_mandates(
    view: View, registry: Registry, *, own_usernames: Collection[str], ready: Observation
) -> list[tuple[Stored, tuple[Observation, ...]]]:
    fences = view.fences
    if fences is None:
        # A restart must not declare every mandate pending. Agents are selected meanwhile.
        return []
    return [
        (
            stored,
            observe_mandate(
                stored,
                fences.get(stored.name),
                registry,
                own_usernames=own_usernames,
                ready=ready,
            ),
        )
        for stored in view.mandates
    ]


def _configuration_writes(
    resource: Resource, desired: Object, stored: Object | None
) -> tuple[Effect, ...]:
    if stored is None:
        return (CreateConfiguration(resource, desired),)
    ours, theirs = _part(desired, "metadata"), _part(stored, "metadata")
    labels = {**_part(theirs, "labels"), **_part(ours, "labels")}
    # No webhooks are stored as no list at all.
    is_selecting_the_same = (stored.get("webhooks") or []) == desired["webhooks"]
    if is_selecting_the_same and labels == theirs.get("labels"):
        return ()
    # The rest of the metadata belongs to others, and the version to the precondition.
    metadata = {key: value for key, value in theirs.items() if key != "managedFields"}
    body: Object = {**desired, "metadata": {**metadata, "labels": labels}}
    return (ReplaceConfiguration(resource, body),)


def _status_writes(
    observed: Iterable[tuple[Stored, tuple[Observation, ...]]], now: datetime
) -> tuple[WriteStatus, ...]:
    writes = [WriteStatus(stored, conditions_of(stored, found, now)) for stored, found in observed]
    return tuple(write for write in writes if not _says_so_already(write))


def _says_so_already(write: WriteStatus) -> bool:
    status = write.of.status
    return write.of.generation == status.observed_generation and set(write.conditions) <= set(
        status.conditions
    )


def _part(body: Mapping[str, Json], name: str) -> dict[str, Json]:
    part = body.get(name)
    return part if isinstance(part, dict) else {}
