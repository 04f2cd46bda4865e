"""The CRDs on a real API server: established, judged alike on both sides, and readable.

`GOVERNOR_UPDATE_GOLDEN=1` writes tests/golden/crds/ anew instead of comparing.
"""

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.accounts.encoding import account_to_object
from controller.apis.conditions import Condition, ConditionStatus, ConditionType, set_condition
from controller.apis.crds import KINDS, Kind
from controller.apis.invalid import InvalidResourceError
from controller.apis.mandates import Enforcement, Mandate
from controller.apis.reasons import Reason
from controller.apis.v1alpha1.conversion import conditions_of, mandate_from_object
from native.api import Answer
from native.controlplane import ControlPlane
from tests.accounts import DEPLOYMENTS, PODS, an_account, an_entry
from tests.samples import BAD_SAMPLES, GOOD_SAMPLES, expectation, resource_in
from tests.waiting import eventually

pytestmark = pytest.mark.integration

MANDATES = "/apis/governor.dev/v1alpha1/mandates"
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

Object = dict[str, Any]  # JSON as the API server reads it


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane, repository: Path) -> ControlPlane:
    """The control plane with Governor's kinds, served and documented."""
    control_plane.kubectl("apply", "-f", str(repository / "manifests/crds")).require_ok()
    for kind in KINDS:
        eventually(partial(is_served, control_plane, kind), f"{kind.crd_name} served")
    return control_plane


def is_served(plane: ControlPlane, kind: Kind) -> bool:
    """Whether the kind can be created and explained: discovery and OpenAPI come after it."""
    path = f"/apis/governor.dev/v1alpha1/{kind.plural}"
    return plane.admin.call("GET", path).ok and plane.kubectl("explain", kind.plural).ok


def crd_conditions(plane: ControlPlane, kind: Kind) -> dict[str, str]:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind.crd_name}"
    conditions = plane.admin.call("GET", path).json["status"]["conditions"]
    return {condition["type"]: condition["status"] for condition in conditions}


def mandate(name: str, **spec: object) -> Object:
    subjects = [{"kind": "ServiceAccount", "namespace": "team-data", "name": "migrator"}]
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {"name": name},
        "spec": {"subjects": subjects, **spec},
    }


def dry_run(plane: ControlPlane, resource: Object) -> Answer:
    return plane.admin.call("POST", f"{MANDATES}?dryRun=All&fieldValidation=Strict", resource)


@pytest.fixture
def stored(plane: ControlPlane) -> Iterator[Object]:
    """A mandate as the API server stored it; deleted afterwards."""
    answer = plane.admin.call("POST", MANDATES, mandate(f"agent-{uuid4().hex[:8]}"))
    assert answer.status == 201, answer.text
    yield answer.json
    plane.admin.call("DELETE", f"{MANDATES}/{answer.json['metadata']['name']}")


def patch_status(plane: ControlPlane, name: str, body: Object) -> Answer:
    return plane.admin.call(
        "PATCH",
        f"{MANDATES}/{name}/status",
        body,
        content_type="application/merge-patch+json",
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_crd_is_established_and_structural(plane: ControlPlane, kind: Kind) -> None:
    conditions = crd_conditions(plane, kind)

    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize("sample", GOOD_SAMPLES, ids=lambda path: path.stem)
def test_a_good_sample_is_accepted_with_strict_validation(
    plane: ControlPlane, sample: Path
) -> None:
    created = plane.kubectl(
        "create", "--dry-run=server", "--validate=strict", "-o", "name", "-f", str(sample)
    )

    assert created.require_ok().stdout.endswith(f"/{resource_in(sample)['metadata']['name']}\n")


@pytest.mark.parametrize("sample", BAD_SAMPLES, ids=lambda path: path.stem)
def test_a_bad_sample_is_refused_with_the_words_that_it_states(
    plane: ControlPlane, sample: Path
) -> None:
    created = plane.kubectl("create", "--dry-run=server", "--validate=strict", "-f", str(sample))

    assert created.status == 1
    assert expectation(sample).kubernetes in created.stderr


TEXTS = st.sampled_from(
    ["", "*", "a", "a-b", "-a", "a.b", "A", "a/b", "*/a", "a/*", "kube-a", "system:a", "a\n", "é"]
)
PATHS = st.sampled_from(["data", "a.b[*]", 'a["b/c"]', "a..b", "[0]", 'a["\\x"]', "a\n", "é", ""])
VERBS = st.sampled_from(["get", "patch", "create", "*", "Get"])
ODD: list[st.SearchStrategy[Any]] = [st.none(), st.just(1), st.just("a"), st.just([])]


def some(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(items, max_size=3) | st.one_of(ODD)


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Object]:
    return st.fixed_dictionaries({}, optional=fields)


SPECS = maybe(
    subjects=st.lists(
        maybe(
            kind=st.sampled_from(["ServiceAccount", "User", "Group"]),
            namespace=TEXTS | st.none(),
            name=TEXTS,
            uid=TEXTS,
        ),
        max_size=3,
    ),
    enforcement=st.sampled_from(["Enforce", "Shadow", "enforce", None]),
    suspend=st.sampled_from([True, False, None, "true"]),
    rules=some(
        maybe(
            verbs=some(VERBS),
            apiGroups=some(TEXTS),
            resources=some(TEXTS),
            namespaces=some(TEXTS),
            resourceNames=some(TEXTS),
            fields=some(PATHS),
        )
    ),
)
SUBJECT = [{"kind": "User", "name": "a"}]
RULE = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}


@settings(max_examples=300)
@given(spec=SPECS | SPECS.map(lambda spec: {**spec, "subjects": SUBJECT}))
@example(spec={"subjects": SUBJECT, "rules": [{**RULE, "fields": ["data\n"]}]})
@example(spec={"subjects": SUBJECT, "rules": [{**RULE, "namespaces": ["a\n"]}]})
@example(spec={"subjects": [{"kind": "User", "name": "é"}]})
@example(spec={"subjects": [{"kind": "User", "name": "a\u0085"}]})
@example(spec={"subjects": SUBJECT, "rules": [{**RULE, "fields": ["a" * 513]}]})
@example(spec={"subjects": [{"kind": "User", "name": "é" * 256}]})
@example(spec={"subjects": [{"kind": "User", "name": "é" * 257}]})
def test_governor_and_the_api_server_accept_the_same_mandates(
    plane: ControlPlane, spec: Object
) -> None:
    resource = mandate("anyone")
    resource["spec"] = spec

    answer = dry_run(plane, resource)

    assert answer.status in (201, 400, 422), answer.text
    assert (read_or_none(resource) is not None) == answer.ok, answer.text


def read_or_none(resource: Object) -> Mandate | None:
    try:
        return mandate_from_object(resource)
    except InvalidResourceError:
        return None


def test_the_server_fills_in_the_default_and_nothing_else(stored: Object) -> None:
    assert stored["spec"] == {**mandate("any")["spec"], "enforcement": "Enforce"}


def test_a_stored_mandate_becomes_a_core_value_with_its_identity(stored: Object) -> None:
    read = mandate_from_object(stored)

    assert (read.name, read.uid) == (stored["metadata"]["name"], stored["metadata"]["uid"])
    assert (read.generation, read.enforcement) == (1, Enforcement.ENFORCE)


def test_the_status_is_written_apart_from_the_spec(plane: ControlPlane, stored: Object) -> None:
    name = stored["metadata"]["name"]
    both = {"spec": {"suspend": True}, "status": {"observedGeneration": 7}}

    through_status = patch_status(plane, name, both).json
    through_spec = plane.admin.call(
        "PATCH",
        f"{MANDATES}/{name}",
        {"spec": {"suspend": True}, "status": {"observedGeneration": 8}},
        content_type="application/merge-patch+json",
    ).json

    assert "suspend" not in through_status["spec"]
    assert through_status["metadata"]["generation"] == 1
    assert through_spec["spec"]["suspend"] is True
    assert through_spec["metadata"]["generation"] == 2
    assert through_spec["status"] == {"observedGeneration": 7}


def in_force(generation: int = 1) -> tuple[Condition, ...]:
    ready = set_condition(
        (),
        type=ConditionType.READY,
        status=ConditionStatus.TRUE,
        reason=Reason.REGISTERED,
        message="The mandate is in force.",
        observed_generation=generation,
        now=NOON,
    )
    return set_condition(
        ready,
        type=ConditionType.SUSPENDED,
        status=ConditionStatus.FALSE,
        reason=Reason.NOT_SUSPENDED,
        message="The agent's writes are judged.",
        observed_generation=generation,
        now=NOON,
    )


def status_of(conditions: tuple[Condition, ...], generation: int = 1) -> Object:
    written = [condition.to_json() for condition in conditions]
    return {"status": {"observedGeneration": generation, "conditions": written}}


def test_conditions_are_stored_and_read_back(plane: ControlPlane, stored: Object) -> None:
    patched = patch_status(plane, stored["metadata"]["name"], status_of(in_force()))

    assert patched.status == 200, patched.text
    assert conditions_of(patched.json) == in_force()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param({"type": "Ready"}, "Duplicate value", id="one type twice"),
        pytest.param({"status": "Maybe"}, "Unsupported value", id="an unknown status"),
        pytest.param({"reason": "not one word"}, "should match", id="a reason of many words"),
        pytest.param({"lastTransitionTime": "noon"}, "date-time", id="a time of another form"),
    ],
)
def test_a_malformed_condition_is_refused(
    plane: ControlPlane, stored: Object, change: Object, fault: str
) -> None:
    status = status_of(in_force())
    status["status"]["conditions"][1] |= change

    refused = patch_status(plane, stored["metadata"]["name"], status)

    assert refused.status == 422
    assert fault in refused.text


@pytest.mark.parametrize(
    "name",
    ["mandates", "mandate", "mdt", "governances", "gov", "accounts", "account", "acct", "governor"],
)
def test_every_name_of_a_kind_is_understood(plane: ControlPlane, name: str) -> None:
    plane.kubectl("get", name).require_ok()


# What people read. The three are the samples that a newcomer reads, too.
SHOWN = ("mandate-migrator", "mandate-suspended", "mandate-warn")


@pytest.fixture(scope="module")
def shown(plane: ControlPlane) -> Iterator[tuple[str, ...]]:
    """One mandate in force, one suspended, one not yet observed: their names."""
    resources = {path.stem: resource_in(path) for path in GOOD_SAMPLES if path.stem in SHOWN}
    names = tuple(resource["metadata"]["name"] for resource in resources.values())
    for resource in resources.values():
        plane.kubectl("create", "-f", "-", stdin=json.dumps(resource)).require_ok()
    assert patch_status(plane, names[0], status_of(in_force())).ok
    suspended = set_condition(
        in_force(),
        type=ConditionType.SUSPENDED,
        status=ConditionStatus.TRUE,
        reason=Reason.SUSPENDED,
        message="The agent's writes are refused.",
        observed_generation=1,
        now=NOON,
    )
    assert patch_status(plane, names[1], status_of(suspended)).ok
    yield names
    plane.kubectl("delete", "mandate", *names).require_ok()


@pytest.fixture(scope="module")
def shown_accounts(plane: ControlPlane) -> Iterator[tuple[str, ...]]:
    """Of an agent with a write under way, and of one that is suspended: their names."""
    busy = an_account(
        an_entry(after={"pods": 2}),
        agent="migrator",
        settled={"pods": 4},
        as_of={DEPLOYMENTS: 4711, PODS: 4712},
    )
    suspended = an_account(agent="runaway", generation=7, suspended=True, as_of={})
    for account in (busy, suspended):
        written = json.dumps(account_to_object(account, metadata={}))
        plane.kubectl("create", "-f", "-", stdin=written).require_ok()
    yield (busy.agent, suspended.agent)
    plane.kubectl("delete", "account", busy.agent, suspended.agent).require_ok()


@pytest.mark.parametrize(
    ("golden", "arguments"),
    [
        pytest.param("get-accounts.txt", ["get", "accounts"], id="get"),
        pytest.param("get-accounts-wide.txt", ["get", "accounts", "-o", "wide"], id="get, wide"),
        pytest.param("describe-account.txt", ["describe", "account"], id="describe"),
    ],
)
def test_the_accounts_read_well(
    plane: ControlPlane,
    shown_accounts: tuple[str, ...],
    golden: str,
    arguments: list[str],
    repository: Path,
) -> None:
    names = shown_accounts[:1] if arguments[0] == "describe" else shown_accounts

    printed = plane.kubectl(*arguments, *names).require_ok().stdout

    assert_golden(repository / "tests/golden/crds" / golden, without_accidents(printed))


@pytest.mark.parametrize(
    ("golden", "arguments"),
    [
        pytest.param("get-mandates.txt", ["get", "mandates"], id="get"),
        pytest.param("get-mandates-wide.txt", ["get", "mandates", "-o", "wide"], id="get, wide"),
        pytest.param("describe-mandate.txt", ["describe", "mandate"], id="describe"),
    ],
)
def test_the_objects_read_well(
    plane: ControlPlane,
    shown: tuple[str, ...],
    golden: str,
    arguments: list[str],
    repository: Path,
) -> None:
    names = shown[:1] if arguments[0] == "describe" else shown

    printed = plane.kubectl(*arguments, *names).require_ok().stdout

    assert_golden(repository / "tests/golden/crds" / golden, without_accidents(printed))


@pytest.mark.parametrize(
    ("golden", "arguments"),
    [
        pytest.param("explain-mandate.txt", ["mandate"], id="mandate"),
        pytest.param("explain-mandate-spec.txt", ["mandate.spec"], id="mandate.spec"),
        pytest.param(
            "explain-mandate-spec-recursive.txt",
            ["mandate.spec", "--recursive"],
            id="mandate.spec --recursive",
        ),
        pytest.param("explain-mandate-spec-rules.txt", ["mandate.spec.rules"], id="rules"),
        pytest.param("explain-mandate-spec-subjects.txt", ["mandate.spec.subjects"], id="subjects"),
        pytest.param("explain-governance-spec.txt", ["governance.spec"], id="governance.spec"),
        pytest.param("explain-account.txt", ["account"], id="account"),
        pytest.param("explain-account-status.txt", ["account.status"], id="account.status"),
        pytest.param(
            "explain-account-status-fence.txt", ["account.status.fence"], id="account.status.fence"
        ),
    ],
)
def test_the_documentation_reads_well(
    plane: ControlPlane, golden: str, arguments: list[str], repository: Path
) -> None:
    printed = plane.kubectl("explain", *arguments).require_ok().stdout

    assert_golden(repository / "tests/golden/crds" / golden, without_accidents(printed))


def without_accidents(printed: str) -> str:
    """Replace what differs from run to run: ages, times, identities, trailing blanks."""
    replacements = {
        r"AGE *": "AGE     ",
        r"(?<= )\d+[sm](\d+s)?(?: +|$)": "<age>   ",
        r"(?<=Creation Timestamp:  ).*": "<time>",
        r"(?<=Resource Version:    ).*": "<version>",
        r"(?<=UID:                 ).*": "<uid>",
    }
    for pattern, replacement in replacements.items():
        printed = re.sub(pattern, replacement, printed, flags=re.MULTILINE)
    return "\n".join(line.rstrip() for line in printed.strip().splitlines()) + "\n"


def assert_golden(path: Path, printed: str) -> None:
    if os.environ.get("GOVERNOR_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(printed, encoding="utf-8")
    assert printed == path.read_text(encoding="utf-8"), (
        f"{path.name} differs; if it should, run again with GOVERNOR_UPDATE_GOLDEN=1"
    )
