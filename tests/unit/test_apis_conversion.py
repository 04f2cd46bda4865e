"""Mandates and governances: what core value they become, and what their author is told."""

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.apis.fieldpaths import ANY_ITEM, format_field_path
from controller.apis.governance import Governance
from controller.apis.invalid import InvalidResourceError
from controller.apis.mandates import Enforcement, Mandate, Rule, Subject
from controller.apis.v1alpha1 import mandate as wire
from controller.apis.v1alpha1.conversion import governance_from_object, mandate_from_object
from controller.apis.v1alpha1.governance import Governance as WireGovernance

Object = dict[str, Any]  # JSON as a client sends it


def mandate(**spec: object) -> Object:
    subjects = [{"kind": "ServiceAccount", "namespace": "team-data", "name": "migrator"}]
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {"name": "migrator", "uid": "7f3a", "generation": 3, "labels": {"a": "b"}},
        "spec": {"subjects": subjects, **spec},
        "status": {"observedGeneration": 2, "ofAnotherVersion": True},
    }


def rule(**changes: object) -> Object:
    return {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"], **changes}


def governance(**spec: object) -> Object:
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Governance",
        "metadata": {"name": "cluster", "generation": 4},
        "spec": spec,
    }


def refusal_of(convert: Callable[[object], object], resource: object) -> InvalidResourceError:
    with pytest.raises(InvalidResourceError) as refusal:
        convert(resource)
    return refusal.value


def test_a_mandate_becomes_its_core_value() -> None:
    written = mandate(
        enforcement="Warn",
        suspend=True,
        rules=[
            rule(namespaces=["team-*"], resourceNames=["web"], fields=["spec.replicas"]),
            rule(verbs=["*"]),
        ],
    )

    assert mandate_from_object(written) == Mandate(
        name="migrator",
        uid="7f3a",
        generation=3,
        subjects=(Subject("system:serviceaccount:team-data:migrator"),),
        rules=(
            Rule(
                verbs=("patch",),
                api_groups=("apps",),
                resources=("deployments",),
                namespaces=("team-*",),
                resource_names=("web",),
                fields=("spec.replicas",),
            ),
            Rule(verbs=("*",), api_groups=("apps",), resources=("deployments",)),
        ),
        enforcement=Enforcement.WARN,
        suspended=True,
    )


@pytest.mark.parametrize(
    ("subject", "core"),
    [
        pytest.param(
            {"kind": "ServiceAccount", "namespace": "a", "name": "b.c", "uid": "1"},
            Subject("system:serviceaccount:a:b.c", uid="1"),
            id="a ServiceAccount has the username that the API server gives it",
        ),
        pytest.param(
            {"kind": "User", "name": "oidc:Ann Lee"},
            Subject("oidc:Ann Lee"),
            id="a User keeps its name as it is",
        ),
        pytest.param(
            {"kind": "User", "name": "ann", "uid": "42"},
            Subject("ann", uid="42"),
            id="a User may be pinned to a UID",
        ),
    ],
)
def test_a_subject_becomes_the_identity_that_admission_sees(subject: Object, core: Subject) -> None:
    assert mandate_from_object(mandate(subjects=[subject])).subjects == (core,)


@pytest.mark.parametrize(
    ("spec", "is_suspended"),
    [
        pytest.param({}, False, id="absent"),
        pytest.param({"suspend": None}, False, id="null"),
        pytest.param({"suspend": False}, False, id="false"),
        pytest.param({"suspend": True}, True, id="true"),
    ],
)
def test_only_a_true_suspend_suspends(spec: Object, is_suspended: bool) -> None:  # noqa: FBT001 - a table's column
    assert mandate_from_object(mandate(**spec)).suspended is is_suspended


def test_what_was_never_stored_has_no_uid_and_generation_0_and_its_defaults() -> None:
    written = mandate()
    written["metadata"] = {"name": "migrator"}
    del written["status"]

    read = mandate_from_object(written)

    assert (read.uid, read.generation) == ("", 0)
    assert (read.rules, read.enforcement, read.suspended) == ((), Enforcement.ENFORCE, False)


def test_a_governance_becomes_its_core_value() -> None:
    written = governance(dedicatedNamespaces=["agents", "team-data"], protectedNamespaces=["pay"])

    assert governance_from_object(written) == Governance(
        generation=4,
        dedicated_namespaces=frozenset({"agents", "team-data"}),
        protected_namespaces=frozenset({"pay"}),
    )


def test_an_empty_governance_is_all_defaults() -> None:
    assert governance_from_object(governance()) == Governance(generation=4)


def with_(path: str, value: object) -> Object:
    """Set one value of a valid mandate, by a dotted path with numbers for indexes."""
    resource = copy.deepcopy(mandate(rules=[rule()]))
    *outer, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = resource
    for part in outer:
        place = place[part]
    place[last] = value
    return resource


REFUSED: Final[dict[str, tuple[object, str, str]]] = {
    "a list": ([], "", "a resource must be an object"),
    "a text": ("Mandate", "", "a resource must be an object"),
    "another kind": (with_("kind", "Role"), "kind", "\"Role\" is not allowed: use 'Mandate'"),
    "no metadata": ({**mandate(), "metadata": None}, "metadata", "is required: add it"),
    "a name of another type": (with_("metadata.name", 7), "metadata.name", "7 is not allowed"),
    "an empty name": (with_("metadata.name", ""), "metadata.name", '"" is not allowed'),
    "a number as a text": (with_("metadata.generation", "3"), "metadata.generation", '"3" is'),
    "a boolean as a number": (with_("spec.suspend", 1), "spec.suspend", "1 is not allowed"),
    "an unknown field at the root": (
        with_("spek", {}),
        "spek",
        "unknown field: did you mean spec?",
    ),
    "an unknown field far from any": (
        with_("spec.quota", {}),
        "spec.quota",
        "unknown field: remove it; known here are enforcement, rules, subjects, suspend",
    ),
    "a misspelt field of a rule": (
        with_("spec.rules.0.verb", ["get"]),
        "spec.rules[0].verb",
        "unknown field: did you mean verbs?",
    ),
    "a misspelt field of a subject": (
        with_("spec.subjects.0.nameSpace", "a"),
        "spec.subjects[0].nameSpace",
        "unknown field: did you mean namespace?",
    ),
    "a text that is too long": (
        with_("spec.rules.0.resourceNames", ["a" * 254]),
        "spec.rules[0].resourceNames[0]",
        "string should have at most 253 characters",
    ),
    "a key that is no text": (with_("spec.1", 2), 'spec["1"]', "a key must be a string: quote it"),
    "an object as an item": (with_("spec.rules.0", "get"), "spec.rules[0]", 'an object, not "get"'),
    "a null item": (with_("spec.rules.0.verbs", [None]), "spec.rules[0].verbs[0]", "null is not"),
    "a path with a fault": (
        with_("spec.rules.0.fields", ["spec..replicas"]),
        "spec.rules[0].fields[0]",
        '"spec..replicas" is not a field path: position 4: a name must follow the dot',
    ),
}


@pytest.mark.parametrize(("resource", "path", "fix"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_names_the_field_and_the_fix(resource: object, path: str, fix: str) -> None:
    refusal = refusal_of(mandate_from_object, resource)

    (problem,) = refusal.problems
    assert problem.path == path
    assert fix in problem.message
    assert str(problem) in str(refusal)
    assert not {"pydantic", "Traceback", "input_value"} & set(str(refusal).split())


def test_every_problem_is_named_at_once() -> None:
    resource = with_("spec.enforcement", "Strict")
    resource["spec"]["rules"][0] |= {"verbs": ["post"], "resources": ["Pod"]}

    refusal = refusal_of(mandate_from_object, resource)

    assert [problem.path for problem in refusal.problems] == [
        "spec.enforcement",
        "spec.rules[0].verbs[0]",
        "spec.rules[0].resources[0]",
    ]
    assert str(refusal).startswith('Mandate "migrator" is invalid: spec.enforcement: ')


def test_a_message_stops_after_ten_problems_and_says_how_many_more_there_are() -> None:
    refusal = refusal_of(mandate_from_object, mandate(rules=[rule(verbs=[])] * 13))

    assert len(refusal.problems) == 13
    assert str(refusal).endswith("; and 3 more")


def test_a_message_shows_only_the_beginning_of_a_long_value() -> None:
    refusal = refusal_of(mandate_from_object, mandate(enforcement="x" * 5000))

    assert "x…" in str(refusal)
    assert len(str(refusal)) < 250


def test_a_message_carries_no_control_character_of_a_hostile_value() -> None:
    hostile = "\x1b[2J\x9b31m\u202e"

    refusal = refusal_of(mandate_from_object, mandate(enforcement=hostile, **{hostile: 1}))

    assert len(refusal.problems) == 2
    assert str(refusal).isprintable()


@pytest.mark.parametrize(
    ("spec", "path", "fix"),
    [
        pytest.param(
            {"dedicatedNamespaces": ["kube-node-lease"]},
            "spec.dedicatedNamespaces",
            "cannot be dedicated to agents",
            id="a namespace of Kubernetes",
        ),
        pytest.param(
            {"protectedNamespaces": ["Pay"]},
            "spec.protectedNamespaces[0]",
            '"Pay" is not a namespace\'s name',
            id="no namespace's name",
        ),
        pytest.param(
            {"protectedNamespaces": ["a", "b", "a"]},
            "spec.protectedNamespaces",
            "lists 'a' twice: remove one",
            id="one listed twice",
        ),
    ],
)
def test_a_refused_governance_names_the_field_and_the_fix(
    spec: Object, path: str, fix: str
) -> None:
    (problem,) = refusal_of(governance_from_object, governance(**spec)).problems

    assert problem.path == path
    assert fix in problem.message


# Any JSON, with the words of the schema mixed in, so that it goes deep.
WORDS = st.sampled_from(
    [
        *("apiVersion", "kind", "metadata", "spec", "name", "subjects", "rules", "verbs", "fields"),
        *("governor.dev/v1alpha1", "Mandate", "Governance", "User", "ServiceAccount", "get", "*"),
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
    | st.builds(envelope, st.sampled_from(["Mandate", "Governance"]), ANY_JSON)
    | st.builds(
        mandate,
        subjects=ANY_JSON,
        rules=st.lists(st.builds(rule, verbs=ANY_JSON, fields=ANY_JSON, namespaces=ANY_JSON)),
    )
)
def test_any_json_is_converted_or_refused_with_named_problems(resource: object) -> None:
    for convert in (mandate_from_object, governance_from_object):
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


VALID_MANDATES = joined(
    st.fixed_dictionaries(
        {"subjects": st.lists(SUBJECTS, min_size=1, max_size=4, unique_by=identity)}
    ),
    maybe(
        enforcement=st.sampled_from(["Enforce", "Warn", "Shadow"]),
        suspend=st.booleans(),
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
