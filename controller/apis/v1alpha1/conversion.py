"""From resources on the wire to core values: the one edge between them.

Every reader of mandates, governances and price books comes through here, the feeds as well as
the command line, so that both refuse the same. Reads no cluster and no file.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar, cast

from pydantic import ValidationError

from controller.apis import governance as core_governance
from controller.apis import mandates as core
from controller.apis import pricebooks as core_prices
from controller.apis.conditions import Condition, ConditionStatus
from controller.apis.invalid import InvalidResourceError, Problem, problems_of
from controller.apis.quantities import amount_of
from controller.apis.resources import CPU, MEMORY, PODS, USD, Amounts
from controller.apis.v1alpha1 import wire
from controller.apis.v1alpha1.governance import Governance
from controller.apis.v1alpha1.mandate import Budget, Mandate, Quota, Rule, Subject
from controller.apis.v1alpha1.pricebook import PriceBook

_Model = TypeVar("_Model", bound=wire.WireModel)


def mandate_from_object(resource: object) -> core.Mandate:
    """Convert a Mandate as JSON (from the API server or a file) to the core type.

    `status` is not read. `uid` is empty and `generation` 0 where the resource
    was never stored. Raises `InvalidResourceError`, and nothing else, for any
    JSON value that is not a valid Mandate.
    """
    mandate = _validated(resource, Mandate)
    return core.Mandate(
        name=mandate.metadata.name,
        uid=mandate.metadata.uid or "",
        generation=mandate.metadata.generation or 0,
        subjects=tuple(_subject(subject) for subject in mandate.spec.subjects),
        rules=tuple(_rule(rule) for rule in mandate.spec.rules or ()),
        enforcement=core.Enforcement(mandate.spec.enforcement),
        suspended=mandate.spec.suspend is True,
        quota=_quota(mandate.spec.quota or Quota()),
        budgets=tuple(_budget(budget) for budget in mandate.spec.budgets or ()),
    )


def governance_from_object(resource: object) -> core_governance.Governance:
    """Convert a Governance as JSON to the core type; as `mandate_from_object` otherwise."""
    governance = _validated(resource, Governance)
    return core_governance.Governance(
        generation=governance.metadata.generation or 0,
        dedicated_namespaces=frozenset(governance.spec.dedicated_namespaces or ()),
        protected_namespaces=frozenset(governance.spec.protected_namespaces or ()),
        redacted_fields=tuple(
            core_governance.RedactedFields(one.api_groups, one.resources, one.fields)
            for one in governance.spec.redacted_fields or ()
        ),
    )


def pricebook_from_object(resource: object) -> core_prices.PriceBook:
    """Convert a PriceBook as JSON to the core type; as `mandate_from_object` otherwise.

    Its identity is that of the stored resource, `<uid>:<generation>`.
    """
    book = _validated(resource, PriceBook)
    rates: dict[str, int] = {
        one.resource: amount_of(USD, one.usd_per_hour) for one in book.spec.prices
    }
    return core_prices.PriceBook(
        identity=f"{book.metadata.uid or ''}:{book.metadata.generation or 0}",
        rates=MappingProxyType(rates),
    )


def conditions_of(resource: Mapping[str, object]) -> tuple[Condition, ...]:
    """Read the conditions in a stored resource's status; none where it has no status yet.

    Raises `InvalidResourceError` if they are not conditions, which the API
    server does not let anyone store.
    """
    status = _as_object(resource.get("status")) or {}
    found = status.get("conditions")
    if not isinstance(found, list):
        return ()
    return tuple(_condition(item) for item in cast("list[object]", found))


def _validated(resource: object, model: type[_Model]) -> _Model:
    kind = model.__name__
    given = _as_object(resource)
    if given is None:
        raise InvalidResourceError(kind, None, [Problem("", "a resource must be an object")])
    # Governor writes the status, so it is never a reason to refuse a resource.
    authored = {key: value for key, value in given.items() if key != "status"}
    try:
        return model.model_validate(authored)
    except ValidationError as error:
        raise InvalidResourceError(kind, _name_of(authored), problems_of(error, model)) from error


def _name_of(resource: Mapping[object, object]) -> str | None:
    metadata = _as_object(resource.get("metadata")) or {}
    name = metadata.get("name")
    return name if isinstance(name, str) else None


def _as_object(value: object) -> Mapping[object, object] | None:
    return cast("Mapping[object, object]", value) if isinstance(value, Mapping) else None


def _subject(subject: Subject) -> core.Subject:
    if subject.kind == "User":
        return core.Subject(username=subject.name, uid=subject.uid)
    username = f"system:serviceaccount:{subject.namespace}:{subject.name}"
    return core.Subject(username=username, uid=subject.uid)


def _rule(rule: Rule) -> core.Rule:
    return core.Rule(
        verbs=rule.verbs,
        api_groups=rule.api_groups,
        resources=rule.resources,
        namespaces=rule.namespaces or (),
        resource_names=rule.resource_names or (),
        fields=rule.fields or (),
    )


def _quota(quota: Quota) -> Amounts:
    stated = {CPU: quota.cpu, MEMORY: quota.memory, PODS: quota.pods}
    return MappingProxyType(
        {
            resource: amount_of(resource, limit)
            for resource, limit in stated.items()
            if limit is not None
        }
    )


def _budget(budget: Budget) -> core.Budget:
    return core.Budget(
        name=budget.name,
        resource=budget.resource,
        limit=amount_of(budget.resource, budget.limit),
        window_seconds=budget.window_seconds,
    )


def _condition(item: object) -> Condition:
    try:
        found = wire.Condition.model_validate(item)
    except ValidationError as error:
        raise InvalidResourceError("Condition", None, problems_of(error, wire.Condition)) from error
    return Condition(
        type=found.type,
        status=ConditionStatus(found.status),
        reason=found.reason,
        message=found.message,
        last_transition_time=_time(found.last_transition_time),
        observed_generation=found.observed_generation,
    )


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        problem = Problem(
            "lastTransitionTime", "is not an RFC 3339 time: write 2026-01-02T03:04:05Z"
        )
        raise InvalidResourceError("Condition", None, [problem])
    return moment
