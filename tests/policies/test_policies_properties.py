"""The permission policy agrees with its definition on writes and rules that nobody thought of."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from controller.agents.identify import Agent
from controller.apis.fieldpaths import ANY_ITEM, FieldPath, format_field_path, parse_field_path
from controller.apis.json import Json
from controller.apis.mandates import Mandate, Rule
from controller.apis.requests import AdmissionRequest, Operation, Target, UserInfo
from controller.changes.fields import Changes
from controller.policy.document import build_document
from tests.policies.opa import Opa
from tests.policies.restatement import Write, grants, leads_to, matches, nearest_miss
from tests.policies.schema import Validator, published_schema

BATCH = 40
"""Writes that one start of OPA judges."""
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""No shrinking: it would start OPA hundreds of times, for a case that is small as it is."""
NOW = datetime(2026, 11, 24, 23, 3, 28, 123456, tzinfo=UTC)
USER = UserInfo("system:serviceaccount:team-data:migrator", uid="7f0c4e2a")

VERBS = ("get", "create", "update", "patch", "delete", "deletecollection", "*")
FORMS = ("*", "jobs", "deployments", "deployments/scale", "*/scale", "jobs/status", "*/status")
KEYS = ("data", "dataFoo", "spec", "a.b", "0")


@dataclass(frozen=True, slots=True)
class Case:
    """One write, and the rules of the one who makes it."""

    rules: tuple[Rule, ...]
    write: Write

    def document(self) -> dict[str, Json]:
        """What the policy reads."""
        mandate = Mandate("migrator", uid="m", generation=1, subjects=(), rules=self.rules)
        return build_document(
            self.write.request,
            agent=Agent(mandate, USER),
            changes=self.write.changes,
            now=NOW,
        )


# Few letters, so that globs and names meet; and those that other globs give a meaning to.
names = st.text("ab", max_size=4) | st.text("ab.[?{\\", max_size=5)
globs = (
    st.text("ab*", max_size=5)
    | st.text("ab.[?{\\*", max_size=4)
    | st.sampled_from(["*", "**", "a*", "a*a", "ab*ba", "*a*b*"])
)


def _segments(*indexes: int) -> st.SearchStrategy[str | int]:
    return st.sampled_from([*KEYS, *indexes])


def _paths(*indexes: int) -> st.SearchStrategy[FieldPath]:
    rest = st.lists(_segments(*indexes), max_size=3)
    return st.builds(_path, st.sampled_from(KEYS), rest)


def _path(first: str, rest: list[str | int]) -> FieldPath:
    return (first, *rest)


def _some(*values: str, least: int = 1) -> st.SearchStrategy[tuple[str, ...]]:
    listed = st.lists(st.sampled_from(values), min_size=least, max_size=3, unique=True)
    return listed.map(tuple)


def _globs() -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(globs, max_size=2).map(tuple) | st.just(("*",))


rules = st.builds(
    Rule,
    verbs=_some(*VERBS),
    api_groups=_some("", "apps", "*"),
    resources=_some(*FORMS),
    namespaces=_globs(),
    resource_names=st.just(()) | _globs(),
    fields=st.just(())
    | st.lists(_paths(0, 1, ANY_ITEM).map(format_field_path), max_size=3).map(tuple),
)
targets = st.builds(
    Target,
    group=st.sampled_from(["", "apps"]),
    version=st.just("v1"),
    kind=st.just("Kind"),
    resource=st.sampled_from(["deployments", "jobs"]),
    subresource=st.sampled_from(["", "scale"]),
)
requests = st.builds(
    AdmissionRequest,
    uid=st.just("u"),
    operation=st.sampled_from(Operation),
    target=targets,
    namespace=names,
    name=names,
    user=st.just(USER),
    obj=st.none() | st.just({"kind": "Kind"}),
    old=st.none() | st.just({"kind": "Kind"}),
    is_collection=st.booleans(),
)
changes = st.builds(
    Changes,
    fields=st.lists(_paths(0, 1), max_size=3).map(tuple),
    truncated=st.sampled_from([False, False, False, True]),
)
cases = st.builds(
    Case,
    rules=st.lists(rules, max_size=4).map(tuple),
    write=st.builds(Write, requests, changes),
)


@pytest.fixture(scope="module")
def opa(opa_binary: Path, repository: Path) -> Opa:
    return Opa(opa_binary, repository)


@pytest.fixture(scope="module")
def batch_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batch") / "batch.json"


@pytest.fixture(scope="module")
def schema(repository: Path) -> Validator:
    return published_schema(repository)


def judge(opa: Opa, batch_file: Path, documents: Sequence[Json]) -> list[list[dict[str, Json]]]:
    """The denials of each document, from one start of OPA."""
    batch_file.write_text(json.dumps({"batch": documents}), encoding="utf-8")
    answers = opa.evaluate(
        "document := data.batch[index]; denials := data.governor.permissions.deny"
        ' with input as document; answer := {"index": index, "denials": denials}',
        batch_file,
    )
    told = [cast("dict[str, Json]", answer["answer"]) for answer in answers]
    by_index = {cast("int", answer["index"]): answer["denials"] for answer in told}
    return [cast("list[dict[str, Json]]", by_index[index]) for index in range(len(documents))]


@pytest.mark.requirement("fail-closed.permissions")
@settings(max_examples=15, phases=PHASES)
@given(batch=st.lists(cases, min_size=BATCH, max_size=BATCH))
def test_a_write_is_granted_exactly_when_one_rule_covers_it_whole(
    opa: Opa, batch_file: Path, batch: list[Case]
) -> None:
    answers = judge(opa, batch_file, [case.document() for case in batch])

    for case, denials in zip(batch, answers, strict=True):
        if grants(case.rules, case.write):
            assert denials == [], case
        else:
            codes = [denial["code"] for denial in denials]
            assert codes == [nearest_miss(case.rules, case.write)], case


@settings(max_examples=10, phases=PHASES)
@given(batch=st.lists(cases, min_size=BATCH, max_size=BATCH))
def test_what_a_denial_says_would_pass_passes(
    opa: Opa, batch_file: Path, batch: list[Case]
) -> None:
    answers = judge(opa, batch_file, [case.document() for case in batch])

    for case, denials in zip(batch, answers, strict=True):
        for denial in denials:
            if denial["passes"] is not None:
                other = _instead(case.write, str(denial["code"]), str(denial["passes"]))
                assert grants(case.rules, other), (denial, case)


@settings(max_examples=4, phases=PHASES)
@given(batch=st.lists(cases, min_size=BATCH, max_size=BATCH))
def test_a_denial_is_short_and_on_one_line(opa: Opa, batch_file: Path, batch: list[Case]) -> None:
    for denials in judge(opa, batch_file, [case.document() for case in batch]):
        for denial in denials:
            assert str(denial["message"]).isprintable()
            assert len(cast("list[Json]", denial["limit"])) <= 20
            assert len(json.dumps(denial)) < 4096


@given(case=cases)
def test_every_document_satisfies_the_published_schema(schema: Validator, case: Case) -> None:
    assert [*schema.iter_errors(case.document())] == []


@settings(max_examples=10, phases=PHASES)
@given(pairs=st.lists(st.tuples(globs, names), min_size=200, max_size=200))
def test_globs_match_what_their_definition_says(
    opa: Opa, batch_file: Path, pairs: list[tuple[str, str]]
) -> None:
    batch_file.write_text(json.dumps({"pairs": pairs}), encoding="utf-8")
    answers = opa.evaluate(
        "matching := {index | some index, pair in data.pairs;"
        " data.governor.lib.globs.matches(pair[0], pair[1])}",
        batch_file,
    )

    expected = [index for index, pair in enumerate(pairs) if matches(*pair)]
    assert sorted(cast("list[int]", answers[0]["matching"])) == expected


@settings(max_examples=5, phases=PHASES)
@given(
    pairs=st.lists(
        st.tuples(
            st.lists(st.sampled_from(["a", "0", 0, 1, ANY_ITEM]), min_size=1, max_size=3),
            st.lists(st.sampled_from(["a", "0", 0, 1]), min_size=1, max_size=4),
        ),
        min_size=200,
        max_size=200,
    )
)
def test_field_paths_cover_what_their_definition_says(
    opa: Opa, batch_file: Path, pairs: list[tuple[list[str | int], list[str | int]]]
) -> None:
    batch_file.write_text(json.dumps({"pairs": pairs}), encoding="utf-8")
    answers = opa.evaluate(
        "covered := {index | some index, pair in data.pairs;"
        ' data.governor.permissions._covers_path({"fieldPaths": [pair[0]]}, pair[1])}',
        batch_file,
    )

    expected = [
        index
        for index, (granted, changed) in enumerate(pairs)
        if leads_to(tuple(granted), tuple(changed))
    ]
    assert sorted(cast("list[int]", answers[0]["covered"])) == expected


def _instead(write: Write, code: str, passes: str) -> Write:
    """The same write, but for the one thing that was refused."""
    request = write.request
    match code:
        case "kind-not-granted":
            return replace(write, request=replace(request, target=_target(passes)))
        case "namespace-not-granted":
            return replace(write, request=replace(request, namespace=passes))
        case "name-not-granted":
            return replace(write, request=replace(request, name=passes))
        case "verb-not-granted":
            return Write(_with_verb(request, passes), Changes())
        case _:
            return replace(write, changes=Changes((parse_field_path(passes),)))


def _target(text: str) -> Target:
    named, _, subresource = text.partition("/")
    resource, _, group = named.partition(".")
    return Target(group, "v1", "Kind", resource, subresource)


def _with_verb(request: AdmissionRequest, verb: str) -> AdmissionRequest:
    operations = {"create": Operation.CREATE, "update": Operation.UPDATE, "patch": Operation.UPDATE}
    operation = operations.get(verb, Operation.DELETE)
    return replace(request, operation=operation, is_collection=verb == "deletecollection")
