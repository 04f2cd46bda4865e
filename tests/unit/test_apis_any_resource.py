"""Whatever JSON comes: it is refused by name, or becomes a value that comes back from its JSON."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.apis.fieldpaths import ANY_ITEM, format_field_path
from controller.apis.invalid import InvalidResourceError
from controller.apis.v1alpha1 import mandate as wire
from controller.apis.v1alpha1.conversion import (
    governance_from_object,
    mandate_from_object,
    pricebook_from_object,
)
from controller.apis.v1alpha1.governance import Governance as WireGovernance
from controller.apis.v1alpha1.pricebook import PriceBook as WirePriceBook
from tests.resources import Object, governance, mandate, pricebook, rule

# Any JSON, with the words of the schema mixed in, so that it goes deep.
WORDS = st.sampled_from(
    [
        *("apiVersion", "kind", "metadata", "spec", "name", "subjects", "rules", "verbs", "fields"),
        *("governor.dev/v1alpha1", "Mandate", "Governance", "User", "ServiceAccount", "get", "*"),
        *("quota", "budgets", "cpu", "limit", "usd", "8", "prices", "resource", "usdPerHour"),
    ]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | WORDS, inner, max_size=6)
    ),
    max_leaves=20,
)


def envelope(kind: str, spec: object) -> Object:
    return {**mandate(), "kind": kind, "metadata": {"name": "cluster"}, "spec": spec}


def refusal_or_none(
    convert: Callable[[object], object], resource: object
) -> InvalidResourceError | None:
    try:
        convert(resource)
    except InvalidResourceError as refusal:
        return refusal
    return None


@given(
    ANY_JSON
    | st.builds(envelope, st.sampled_from(["Mandate", "Governance", "PriceBook"]), ANY_JSON)
    | st.builds(
        mandate,
        subjects=ANY_JSON,
        rules=st.lists(st.builds(rule, verbs=ANY_JSON, fields=ANY_JSON, namespaces=ANY_JSON)),
    )
    | st.builds(
        mandate,
        quota=st.dictionaries(st.sampled_from(["cpu", "memory", "pods", "gpu"]), ANY_JSON),
        budgets=st.lists(
            st.fixed_dictionaries({"name": ANY_JSON, "resource": ANY_JSON, "limit": ANY_JSON})
        ),
    )
    | st.builds(pricebook, cpu=ANY_JSON, memory=ANY_JSON)
)
def test_any_json_is_converted_or_refused_with_named_problems(resource: object) -> None:
    for convert in (mandate_from_object, governance_from_object, pricebook_from_object):
        refusal = refusal_or_none(convert, resource)
        assert refusal is None or all(problem.message for problem in refusal.problems)
        assert refusal is None or refusal.problems


LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,5}[a-z0-9])?", fullmatch=True)
GLOBS = st.from_regex(r"[a-z0-9*]([-a-z0-9*]{0,5}[a-z0-9*])?", fullmatch=True)
GROUPS = st.sampled_from(["", "*", "apps", "batch", "governor.dev"])
RESOURCES = st.sampled_from(["*", "*/scale", "pods", "deployments/scale", "networkpolicies"])
NAMES = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"], exclude_characters="/%"),
    min_size=1,
    max_size=9,
)


def path_text(root: str, rest: list[str | int]) -> str:
    return format_field_path((root, *rest))


PATHS = st.builds(
    path_text,
    st.text(max_size=9),
    st.lists(st.text(max_size=9) | st.integers(ANY_ITEM, 99), max_size=3),
)


def some(items: st.SearchStrategy[str], *, least: int = 1) -> st.SearchStrategy[list[str]]:
    return st.lists(items, min_size=least, max_size=4, unique=True)


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Object]:
    return st.fixed_dictionaries({}, optional=fields)


def joined(*parts: st.SearchStrategy[Object]) -> st.SearchStrategy[Object]:
    return st.tuples(*parts).map(lambda objects: {k: v for one in objects for k, v in one.items()})


TARGETS = st.fixed_dictionaries({"apiGroups": some(GROUPS), "resources": some(RESOURCES)})
SCOPES = maybe(namespaces=some(GLOBS, least=0), resourceNames=some(NAMES))
WHOLE = st.fixed_dictionaries({"verbs": some(st.sampled_from(["*", "get", "create", "delete"]))})
PARTIAL = st.fixed_dictionaries(
    {"verbs": some(st.sampled_from(["get", "update", "patch"])), "fields": some(PATHS)}
)
SUBJECTS = joined(
    st.fixed_dictionaries({"kind": st.just("ServiceAccount"), "namespace": LABELS, "name": LABELS})
    | st.fixed_dictionaries({"kind": st.just("User"), "name": NAMES}),
    maybe(uid=NAMES),
)


def identity(subject: Object) -> tuple[str, ...]:
    return (subject["kind"], subject.get("namespace", ""), subject["name"])


QUOTAS = maybe(
    cpu=st.integers(0, 999) | st.sampled_from(["500m", "0.5", "8"]),
    memory=st.integers(0, 999) | st.sampled_from(["32Gi", "1.5Gi", "4G"]),
    pods=st.integers(0, 999) | st.sampled_from(["0", "20"]),
)
BUDGETS = st.lists(
    st.fixed_dictionaries(
        {
            "name": LABELS,
            "resource": st.sampled_from(["usd", "changes"]),
            "limit": st.integers(0, 999) | st.sampled_from(["0", "40"]),
            "windowSeconds": st.integers(60, 31_536_000),
        }
    ),
    max_size=4,
    unique_by=(lambda budget: budget["name"], lambda budget: budget["windowSeconds"]),
)
VALID_MANDATES = joined(
    st.fixed_dictionaries(
        {"subjects": st.lists(SUBJECTS, min_size=1, max_size=4, unique_by=identity)}
    ),
    maybe(
        enforcement=st.sampled_from(["Enforce", "Warn", "Shadow"]),
        suspend=st.booleans(),
        quota=QUOTAS,
        budgets=BUDGETS,
        rules=st.lists(joined(TARGETS, SCOPES, WHOLE | PARTIAL), max_size=4),
    ),
).map(lambda spec: {**mandate(), "spec": spec, "status": None})


@given(VALID_MANDATES)
def test_every_valid_mandate_comes_back_from_its_own_json(resource: Object) -> None:
    model = wire.Mandate.model_validate(resource)
    written = model.model_dump(mode="json", by_alias=True, exclude_none=True)

    assert wire.Mandate.model_validate(written) == model
    assert written["spec"] == {"enforcement": "Enforce", **resource["spec"]}
    assert mandate_from_object(written) == mandate_from_object(resource)


@given(some(LABELS, least=0), some(LABELS, least=0))
def test_every_valid_governance_comes_back_from_its_own_json(
    dedicated: list[str], protected: list[str]
) -> None:
    resource = governance(dedicatedNamespaces=dedicated, protectedNamespaces=protected)
    model = WireGovernance.model_validate(resource)
    written = model.model_dump(mode="json", by_alias=True, exclude_none=True)

    assert written == resource
    assert WireGovernance.model_validate(written) == model


PRICES = st.integers(0, 999_999) | st.sampled_from(["0.0316", "0", "12.000000001"])


@given(maybe(cpu=PRICES, memory=PRICES, pods=PRICES).filter(bool))
def test_every_valid_price_book_comes_back_from_its_own_json(prices: Object) -> None:
    resource = pricebook(**prices)
    model = WirePriceBook.model_validate(resource)
    written = model.model_dump(mode="json", by_alias=True, exclude_none=True)

    assert written == resource
    assert WirePriceBook.model_validate(written) == model
    assert pricebook_from_object(written).rates.keys() == prices.keys()
