"""Builds the input document: the one thing that every policy sees.

Its shape is published as `policies/schemas/input.json`, version
`governor.dev/input/v1`; a key is never removed within a version. Nothing is
judged here, and the same request, mandate and time give the same document.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import cast

from controller.agents.identify import Agent
from controller.apis.fieldpaths import format_field_path, parse_field_path
from controller.apis.json import Json
from controller.apis.mandates import Budget, Mandate, Rule
from controller.apis.quantities import amount_text
from controller.apis.requests import AdmissionRequest
from controller.apis.resources import CPU, NOTHING, USD, Amounts
from controller.changes.fields import Changes

VERSION = "governor.dev/input/v1"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a write beside the request: what it asks, costs and adds to."""

    before: Amounts = field(default_factory=lambda: NOTHING)
    after: Amounts = field(default_factory=lambda: NOTHING)
    usd_per_hour: int | None = 0
    """Of `after`, in nano-USD; None where something of it has no price."""
    usage: Amounts = field(default_factory=lambda: NOTHING)
    """What the agent is known to hold: advice, for the account may know more."""


NO_FACTS = Facts()


def build_document(
    request: AdmissionRequest,
    *,
    agent: Agent,
    changes: Changes,
    now: datetime,
    facts: Facts = NO_FACTS,
) -> dict[str, Json]:
    """The document for one write; it shares the request's objects and must not be changed."""
    return {
        "version": VERSION,
        "now": now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "request": _request_part(request),
        "agent": _agent_part(agent),
        "mandate": _mandate_part(agent.mandate),
        "object": cast("Json", request.obj),
        "oldObject": cast("Json", request.old),
        "options": cast("Json", request.options),
        "changed": _changed_part(changes),
        "asks": {"before": _amounts_part(facts.before), "after": _amounts_part(facts.after)},
        "cost": {"usdPerHour": _usd_part(facts.usd_per_hour)},
        "usage": _amounts_part(facts.usage),
    }


def _request_part(request: AdmissionRequest) -> Json:
    target = request.target
    return {
        "operation": request.operation.value,
        "verbs": [*request.verbs],
        "dryRun": request.dry_run,
        "group": target.group,
        "version": target.version,
        "kind": target.kind,
        "resource": target.resource,
        "subresource": target.subresource,
        "namespace": request.namespace,
        "name": request.name,
    }


def _agent_part(agent: Agent) -> Json:
    pod = agent.pod
    return {
        "name": agent.mandate.name,
        "username": agent.user.username,
        "uid": agent.user.uid,
        "groups": [*agent.user.groups],
        "credential": agent.credential,
        "pod": None if pod is None else {"name": pod.name, "uid": pod.uid},
    }


def _mandate_part(mandate: Mandate) -> Json:
    return {
        "name": mandate.name,
        "generation": mandate.generation,
        "enforcement": mandate.enforcement.value,
        "rules": _rules_part(mandate.rules),
        "quota": _amounts_part(mandate.quota),
        "budgets": [_budget_part(budget) for budget in mandate.budgets],
    }


@lru_cache(maxsize=4096)
def _rules_part(rules: tuple[Rule, ...]) -> Json:
    """Field paths are parsed once per mandate, not once per write."""
    return [_rule_part(rule) for rule in rules]


def _rule_part(rule: Rule) -> Json:
    return {
        "verbs": [*rule.verbs],
        "apiGroups": [*rule.api_groups],
        "resources": [*rule.resources],
        "namespaces": [*rule.namespaces],
        "resourceNames": [*rule.resource_names],
        "fields": [*rule.fields],
        "fieldPaths": [[*parse_field_path(field)] for field in rule.fields],
    }


def _changed_part(changes: Changes) -> Json:
    fields: list[Json] = [
        {"path": [*path], "text": format_field_path(path)} for path in changes.fields
    ]
    return {"fields": fields, "truncated": changes.truncated}


def _budget_part(budget: Budget) -> Json:
    return {
        "name": budget.name,
        "resource": budget.resource,
        "limit": _number(budget.resource, budget.limit),
        "windowSeconds": budget.window_seconds,
    }


def _amounts_part(amounts: Mapping[str, int]) -> Json:
    return {resource: _number(resource, amounts[resource]) for resource in sorted(amounts)}


def _usd_part(nanos: int | None) -> Json:
    return None if nanos is None else _number(USD, nanos)


def _number(resource: str, amount: int) -> str:
    """Plain decimals, which `to_number` reads exactly: CPUs, bytes, US dollars."""
    if resource == CPU:
        whole, thousandths = divmod(amount, 1000)
        return f"{whole}.{thousandths:03}".rstrip("0").rstrip(".")
    return amount_text(USD, amount) if resource == USD else str(amount)
