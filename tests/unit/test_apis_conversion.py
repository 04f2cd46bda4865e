"""Mandates and governances: what core value they become, and what their author is told."""

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest

from controller.apis.governance import Governance, RedactedFields
from controller.apis.invalid import InvalidResourceError
from controller.apis.mandates import Enforcement, Mandate, Rule, Subject
from controller.apis.v1alpha1.conversion import governance_from_object, mandate_from_object
from tests.resources import Object, governance, mandate, rule


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


def test_a_governance_keeps_which_fields_are_confidential() -> None:
    listed = {"apiGroups": ["apps"], "resources": ["*"], "fields": ["spec.template", 'a["b.c"]']}

    read = governance_from_object(governance(redactedFields=[listed]))

    assert read.redacted_fields == (
        RedactedFields(("apps",), ("*",), ("spec.template", 'a["b.c"]')),
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
        with_("spec.contract", {}),
        "spec.contract",
        "unknown field: remove it; known here are budgets, enforcement, quota, rules, subjects, "
        "suspend",
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
