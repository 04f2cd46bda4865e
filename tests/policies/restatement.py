"""Says again, from the definition alone, when rules grant a write and what they miss first.

Shares no code and no idea with the Rego: globs are walked character by character,
a field path is compared segment by segment. It explains nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controller.apis.fieldpaths import ANY_ITEM, FieldPath, parse_field_path
from controller.apis.mandates import Rule
from controller.apis.requests import AdmissionRequest, Operation
from controller.changes.fields import Changes


@dataclass(frozen=True, slots=True)
class Write:
    """What rules are asked about."""

    request: AdmissionRequest
    changes: Changes


def matches(pattern: str, text: str) -> bool:
    """Whether the glob covers the text: `*` is any run of characters, all else is literal."""
    ends: set[int] = {0}
    for character in pattern:
        if character == "*":
            ends = set(range(min(ends), len(text) + 1)) if ends else set()
        else:
            ends = {end + 1 for end in ends if text[end : end + 1] == character}
    return len(text) in ends


def grants(rules: Sequence[Rule], write: Write) -> bool:
    """Whether one rule covers the write whole."""
    return any(all(covers(rule, write) for _, covers in NARROWING) for rule in rules)


def nearest_miss(rules: Sequence[Rule], write: Write) -> str:
    """The code of the first question on which the last remaining rules fail."""
    remaining = list(rules)
    for code, covers in NARROWING:
        remaining = [rule for rule in remaining if covers(rule, write)]
        if not remaining:
            return code
    raise AssertionError("one rule covers the write whole")


def _covers_kind(rule: Rule, write: Write) -> bool:
    target = write.request.target
    is_group = "*" in rule.api_groups or target.group in rule.api_groups
    return is_group and any(_names(form, write) for form in rule.resources)


def _names(form: str, write: Write) -> bool:
    if form == "*":
        return True
    target = write.request.target
    resource, _, subresource = form.partition("/")
    is_any_subresource_of_this_name = resource == "*" and bool(subresource)
    is_resource = is_any_subresource_of_this_name or resource == target.resource
    return is_resource and subresource == target.subresource


def _covers_namespace(rule: Rule, write: Write) -> bool:
    namespace = write.request.namespace
    if not namespace:
        return not rule.namespaces
    return any(matches(pattern, namespace) for pattern in rule.namespaces)


def _covers_name(rule: Rule, write: Write) -> bool:
    patterns = rule.resource_names
    return not patterns or any(matches(pattern, write.request.name) for pattern in patterns)


def _covers_verb(rule: Rule, write: Write) -> bool:
    return not {"*", *write.request.verbs}.isdisjoint(rule.verbs)


def _covers_fields(rule: Rule, write: Write) -> bool:
    if not rule.fields:
        return True
    if write.request.operation is not Operation.UPDATE or write.changes.truncated:
        return False
    granted = [parse_field_path(field) for field in rule.fields]
    return all(any(leads_to(path, changed) for path in granted) for changed in write.changes.fields)


def leads_to(granted: FieldPath, changed: FieldPath) -> bool:
    """Whether the changed path lies at or below the granted one."""
    if len(granted) > len(changed):
        return False
    return all(_is_segment(*pair) for pair in zip(granted, changed, strict=False))


def _is_segment(granted: str | int, changed: str | int) -> bool:
    if granted == ANY_ITEM:
        return isinstance(changed, int)
    return type(granted) is type(changed) and granted == changed


NARROWING: tuple[tuple[str, Callable[[Rule, Write], bool]], ...] = (
    ("kind-not-granted", _covers_kind),
    ("namespace-not-granted", _covers_namespace),
    ("name-not-granted", _covers_name),
    ("verb-not-granted", _covers_verb),
    ("field-not-granted", _covers_fields),
)
"""The questions to each rule, in the order in which a miss is named."""
