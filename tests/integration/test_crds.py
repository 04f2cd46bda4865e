"""The CRDs on a real API server: established, judged alike on both sides, and readable.

`GOVERNOR_UPDATE_GOLDEN=1` writes tests/golden/crds/ anew instead of comparing.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.accounts.account import Account
from controller.accounts.encoding import account_from_object, account_to_object
from controller.accounts.windows import Window, WindowKey
from controller.apis.conditions import Condition, ConditionStatus, ConditionType, set_condition
from controller.apis.crds import KINDS, Kind
from controller.apis.invalid import InvalidResourceError
from controller.apis.mandates import Enforcement, Mandate
from controller.apis.reasons import Reason
from controller.apis.v1alpha1.conversion import (
    conditions_of,
    mandate_from_object,
    pricebook_from_object,
)
from native.api import Answer
from native.controlplane import ControlPlane
from reconcilers.observations import PRICED
from tests.accounts import DEPLOYMENTS, PODS, an_account, an_entry
from tests.samples import BAD_SAMPLES, GOOD_SAMPLES, expectation, resource_in
from tests.waiting import eventually

pytestmark = pytest.mark.integration

MANDATES = "/apis/governor.dev/v1alpha1/mandates"
PRICEBOOKS = "/apis/governor.dev/v1alpha1/pricebooks"
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


# Amounts on both sides of every bound, and what looks like one.
AMOUNTS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([0, 1, -1, 10**6, 10**9, 10**15, 10**16, 2**63 - 1, None, True, 0.5, []]),
    st.sampled_from(["8", "500m", "0.5", "1.5Gi", "4G", "1.333Gi", "0.001", "0.0001", "1e3", "+1"]),
    st.sampled_from(
        ["", "-1", "1.", ".5", " 1", "1\n", "٣", "1_0", "8 ", "1M", "5u", "0x10", "9" * 20]
    ),
    st.sampled_from(
        ["999999999.999999999", "1000000000", "999999999999m", "0.0000000001", "9" * 21]
    ),
    st.from_regex(r"[0-9]{1,12}(\.[0-9]{1,10})?(m|k|Ki|Gi|Ti)?", fullmatch=True),
)
BUDGETS = some(
    maybe(
        name=TEXTS,
        resource=st.sampled_from(["usd", "changes", "cpu", None]),
        limit=AMOUNTS,
        windowSeconds=st.sampled_from([60, 59, 3600, 31_536_000, 31_536_001, "60", None, 60.5]),
    )
    | st.fixed_dictionaries(
        {
            "name": st.sampled_from(["a", "b"]),
            "resource": st.sampled_from(["usd", "changes"]),
            "limit": AMOUNTS,
            "windowSeconds": st.sampled_from([60, 3600]),
        }
    )
)
SPECS = maybe(
    quota=maybe(cpu=AMOUNTS, memory=AMOUNTS, pods=AMOUNTS, gpu=AMOUNTS) | st.one_of(ODD),
    budgets=BUDGETS,
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


LIMITS = st.fixed_dictionaries(
    {"subjects": st.just(SUBJECT)},
    optional={
        "quota": maybe(cpu=AMOUNTS, memory=AMOUNTS, pods=AMOUNTS),
        "budgets": BUDGETS,
    },
)


@settings(max_examples=600)
@given(spec=SPECS | SPECS.map(lambda spec: {**spec, "subjects": SUBJECT}) | LIMITS)
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


PRICES = some(
    maybe(resource=st.sampled_from(["cpu", "memory", "pods", "gpu", None]), usdPerHour=AMOUNTS)
    | st.fixed_dictionaries(
        {"resource": st.sampled_from(["cpu", "memory", "pods"]), "usdPerHour": AMOUNTS}
    )
)


@settings(max_examples=200)
@given(prices=PRICES, name=st.sampled_from(["cluster", "cluster", "other"]))
@example(prices=[{"resource": "cpu", "usdPerHour": "999999.999999999"}], name="cluster")
@example(prices=[{"resource": "cpu", "usdPerHour": "1000000"}], name="cluster")
@example(prices=[{"resource": "cpu", "usdPerHour": 1_000_000}], name="cluster")
def test_governor_and_the_api_server_accept_the_same_prices(
    plane: ControlPlane, prices: object, name: str
) -> None:
    resource = pricebook(prices)
    resource["metadata"]["name"] = name

    answer = plane.admin.call("POST", f"{PRICEBOOKS}?dryRun=All&fieldValidation=Strict", resource)

    assert answer.status in (201, 400, 422), answer.text
    assert is_price_book(resource) == answer.ok, answer.text


def pricebook(prices: object) -> Object:
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "PriceBook",
        "metadata": {"name": "cluster"},
        "spec": {"prices": prices},
    }


def is_price_book(resource: Object) -> bool:
    try:
        pricebook_from_object(resource)
    except InvalidResourceError:
        return False
    return True


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


def priced() -> tuple[Condition, ...]:
    return set_condition(
        (),
        type=PRICED.type,
        status=PRICED.status,
        reason=PRICED.reason,
        message=PRICED.message,
        observed_generation=1,
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
    [
        *("mandates", "mandate", "mdt", "governances", "gov", "accounts", "account", "acct"),
        *("pricebooks", "pricebook", "pb", "governor"),
    ],
)
def test_every_name_of_a_kind_is_understood(plane: ControlPlane, name: str) -> None:
    plane.kubectl("get", name).require_ok()


# What people read. They are the samples that a newcomer reads, too.
SHOWN = ("mandate-migrator", "mandate-suspended", "mandate-warn", "mandate-limits")


@pytest.fixture(scope="module")
def shown(plane: ControlPlane) -> Iterator[tuple[str, ...]]:
    """One mandate in force, one suspended, one not yet observed, one with limits: their names."""
    samples = {path.stem: path for path in GOOD_SAMPLES}
    resources = {stem: resource_in(samples[stem]) for stem in SHOWN}
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


def a_busy_account() -> Account:
    counted = an_account(
        an_entry(after={"pods": 2}),
        agent="migrator",
        settled={"cpu": 2500, "memory": 4 * 2**30, "pods": 4},
        as_of={DEPLOYMENTS: 4711, PODS: 4712},
    )
    return replace(
        counted,
        windows={
            WindowKey("usd", 86400): Window(1_795_564_800_000, 1_795_608_000_000, 3_480_000_000)
        },
        wanted=(WindowKey("changes", 3600),),
        prices="0b6b3a52-0000-4000-8000-00000000b00c:2",
        asks_version=1,
    )


@pytest.fixture(scope="module")
def shown_accounts(plane: ControlPlane) -> Iterator[tuple[str, ...]]:
    """Of an agent with a write under way, and of one that is suspended: their names."""
    busy = a_busy_account()
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


def test_an_account_is_stored_as_it_was_written(
    plane: ControlPlane, shown_accounts: tuple[str, ...]
) -> None:
    """The API server prunes what its schema does not know: nothing of ours."""
    path = f"/apis/governor.dev/v1alpha1/accounts/{shown_accounts[0]}"

    assert account_from_object(plane.admin.call("GET", path).json) == a_busy_account()


@pytest.fixture(scope="module")
def shown_prices(plane: ControlPlane) -> Iterator[str]:
    """The PriceBook of the cluster, in force."""
    (sample,) = (path for path in GOOD_SAMPLES if path.stem == "pricebook-cluster")
    plane.kubectl("create", "-f", str(sample)).require_ok()
    written = plane.admin.call(
        "PATCH",
        f"{PRICEBOOKS}/cluster/status",
        status_of(priced()),
        content_type="application/merge-patch+json",
    )
    assert written.ok, written.text
    yield "cluster"
    plane.kubectl("delete", "pricebook", "cluster").require_ok()


@pytest.mark.parametrize(
    ("golden", "arguments"),
    [
        pytest.param("get-pricebooks.txt", ["get", "pricebooks"], id="get"),
        pytest.param("describe-pricebook.txt", ["describe", "pricebook"], id="describe"),
    ],
)
def test_the_prices_read_well(
    plane: ControlPlane, shown_prices: str, golden: str, arguments: list[str], repository: Path
) -> None:
    printed = plane.kubectl(*arguments, shown_prices).require_ok().stdout

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
        pytest.param("explain-mandate-spec-quota.txt", ["mandate.spec.quota"], id="quota"),
        pytest.param("explain-mandate-spec-budgets.txt", ["mandate.spec.budgets"], id="budgets"),
        pytest.param("explain-pricebook.txt", ["pricebook"], id="pricebook"),
        pytest.param(
            "explain-pricebook-spec-prices.txt", ["pricebook.spec.prices"], id="pricebook's prices"
        ),
        pytest.param("explain-governance-spec.txt", ["governance.spec"], id="governance.spec"),
        pytest.param("explain-account.txt", ["account"], id="account"),
        pytest.param("explain-account-status.txt", ["account.status"], id="account.status"),
        pytest.param(
            "explain-account-status-fence.txt", ["account.status.fence"], id="account.status.fence"
        ),
        pytest.param(
            "explain-account-status-windows.txt", ["account.status.windows"], id="account's windows"
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
