"""One write as a case: what is judged and recorded of it, what reserves it, what folds with it."""

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from controller.accounts.entries import Action, Attempt, Entry
from controller.admission.case import (
    NO_ATTEMPT,
    Case,
    body_of,
    entry_of,
    fold_of,
    open_case,
)
from controller.admission.judge import Denied, Granted
from controller.agents.registry import Registry
from controller.apis.json import Json
from controller.apis.mandates import Enforcement
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.records.body import read_body
from controller.records.content import content_digest
from controller.records.stamps import MissingStamp
from tests.admissions import KEYS, SECRET_VALUE, a_create, an_update_of, as_dry_run
from tests.builders import (
    CHANGE,
    CONFIGMAPS,
    DEPLOYMENTS,
    DIGEST,
    SECRETS,
    a_denial,
    a_mandate,
    a_person,
    a_registry,
    a_request,
    a_user,
    an_object,
)
from tests.recorded import CONTENT_KEY, MOMENT_MS, OTHER_CHANGE, stamped, with_metadata

EVENTS = Target("", "v1", "Event", "events")
NEW_EVENTS = Target("events.k8s.io", "v1", "Event", "events")
LEASES = Target("coordination.k8s.io", "v1", "Lease", "leases")
FOREIGN_EVENTS = Target("example.com", "v1", "Event", "events")
SCALE = replace(DEPLOYMENTS, subresource="scale", kind="Scale", group="apps")
EXEC = Target("", "v1", "PodExecOptions", "pods", "exec")


def a_case(request: AdmissionRequest, *, registry: Registry | None = None) -> Case:
    known = registry or a_registry(a_mandate())
    return open_case(request, known, keys=KEYS, made_at=MOMENT_MS)


def the_entry(request: AdmissionRequest) -> Entry:
    return entry_of(a_case(request), CHANGE, attempt=Attempt("r", 3), record="ab" * 32)


def a_scale(replicas: int) -> dict[str, Json]:
    return an_object(SCALE, spec={"replicas": replicas})


def a_connect() -> AdmissionRequest:
    options: dict[str, Json] = {"kind": "PodExecOptions", "apiVersion": "v1", "command": ["id"]}
    return a_request(Operation.CONNECT, target=EXEC, obj=options)


def without_version(obj: dict[str, Json]) -> dict[str, Json]:
    metadata = obj["metadata"]
    assert isinstance(metadata, dict)
    kept = {key: value for key, value in metadata.items() if key != "resourceVersion"}
    return {**obj, "metadata": kept}


@pytest.mark.requirement("record-before-effect.as-it-is")
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(a_create(), (Action.CREATE, "object-uid", 0), id="a create has no version"),
        pytest.param(an_update_of(), (Action.UPDATE, "object-uid", 7), id="an update"),
        pytest.param(
            a_request(Operation.DELETE, old=an_object()),
            (Action.DELETE, "object-uid", 7),
            id="a delete is bound to what it deletes",
        ),
        pytest.param(
            a_request(Operation.UPDATE, target=SCALE, old=a_scale(1), obj=a_scale(3)),
            (Action.VALUE, "object-uid", 7),
            id="a scale",
        ),
        pytest.param(
            a_request(Operation.UPDATE, old=an_object(), obj=an_object()),
            (Action.NOTHING, "object-uid", 7),
            id="an update that changes nothing",
        ),
        pytest.param(a_connect(), (Action.UNTRACED, "", 0), id="a command in a Pod"),
        pytest.param(
            a_request(Operation.DELETE, old=without_version(an_object())),
            (Action.UNTRACED, "object-uid", 0),
            id="a delete of what has no version leaves no trace to wait for",
        ),
        pytest.param(
            an_update_of(
                with_metadata(an_object(), resourceVersion="٣"),
                an_object(spec={"replicas": 9}),
            ),
            (Action.UNTRACED, "object-uid", 0),
            id="a version that is no number",
        ),
    ],
)
def test_an_entry_says_what_the_write_is_and_what_it_is_bound_to(
    request_: AdmissionRequest, expected: tuple[Action, str, int]
) -> None:
    entry = the_entry(request_)
    assert (entry.action, entry.uid, entry.version) == expected


def test_an_entry_names_the_object_its_body_and_when_it_was_made() -> None:
    entry = the_entry(a_create())
    assert (entry.kind.group, entry.kind.version, entry.kind.resource) == (
        "apps",
        "v1",
        "deployments",
    )
    assert (entry.namespace, entry.name) == ("team-data", "web")
    assert (entry.change, entry.attempt, entry.record) == (CHANGE, Attempt("r", 3), "ab" * 32)
    assert entry.made_at == MOMENT_MS
    assert entry.is_open


def test_the_stamp_of_an_update_and_that_of_what_it_replaces_are_both_known() -> None:
    case = a_case(an_update_of())
    assert case.change == CHANGE
    assert entry_of(case, CHANGE).old_change == OTHER_CHANGE


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_request(Operation.DELETE, old=stamped(an_object())), id="a delete"),
        pytest.param(as_dry_run(a_create()), id="a dry run"),
        pytest.param(a_connect(), id="a CONNECT"),
    ],
)
def test_a_write_without_a_stamp_of_its_own_has_no_change_id_yet(
    request_: AdmissionRequest,
) -> None:
    assert a_case(request_).change is None


def test_a_dry_run_is_an_entry_that_is_nowhere() -> None:
    entry = entry_of(a_case(as_dry_run(a_create())), CHANGE)
    assert (entry.action, entry.attempt, entry.record) == (Action.CREATE, NO_ATTEMPT, "")


def test_a_create_without_its_stamp_cannot_be_reserved() -> None:
    case = a_case(a_request(obj=an_object()))
    assert isinstance(case.traced, MissingStamp)
    with pytest.raises(TypeError, match="stamp is missing"):
        entry_of(case, CHANGE)


def a_secret(value: str) -> dict[str, Json]:
    return {**an_object(SECRETS), "data": {"password": value}}


@pytest.mark.requirement("record-before-effect.secrets-unseen")
def test_digests_are_of_what_came_and_all_else_of_what_may_be_seen() -> None:
    old, new = a_secret("b2xkLW9sZC1vbGQ="), a_secret(SECRET_VALUE)
    case = a_case(an_update_of(old, new, target=SECRETS))
    assert case.digest == content_digest(stamped(new), key=CONTENT_KEY)
    assert case.old_digest == content_digest(stamped(old, OTHER_CHANGE), key=CONTENT_KEY)
    seen = repr(case) + body_of(case, Granted(CHANGE, "migrator")).decode()
    assert "hmac-sha256:" in seen
    assert SECRET_VALUE not in seen
    assert "b2xkLW9sZC1vbGQ=" not in seen


def test_only_an_agent_with_a_valid_mandate_is_one() -> None:
    assert a_case(a_request(user=a_person())).agent is None
    assert a_case(a_create(), registry=a_registry(dedicated=("team-data",))).agent is None
    agent = a_case(a_create()).agent
    assert agent is not None
    assert agent.mandate.name == "migrator"


@pytest.mark.parametrize(
    ("target", "namespace", "is_recorded"),
    [
        pytest.param(EVENTS, "team-data", False, id="an Event in its own namespace"),
        pytest.param(NEW_EVENTS, "team-data", False, id="one of the newer group"),
        pytest.param(LEASES, "team-data", False, id="a Lease in its own namespace"),
        pytest.param(EVENTS, "prod", True, id="an Event elsewhere"),
        pytest.param(LEASES, "kube-node-lease", True, id="a Lease elsewhere"),
        pytest.param(FOREIGN_EVENTS, "team-data", True, id="a custom kind of that name"),
        pytest.param(CONFIGMAPS, "team-data", True, id="any other kind"),
    ],
)
def test_bookkeeping_in_the_own_namespace_leaves_no_record(
    target: Target, namespace: str, *, is_recorded: bool
) -> None:
    assert a_case(a_create(target=target, namespace=namespace)).is_recorded is is_recorded


@pytest.mark.parametrize("namespace", ["team-data", ""])
def test_whoever_is_no_service_account_has_no_namespace_of_its_own(namespace: str) -> None:
    request = a_request(target=LEASES, namespace=namespace, user=a_person())
    assert a_case(request).is_recorded


@pytest.mark.parametrize(
    ("granted", "verdict"),
    [
        (Granted(CHANGE, "migrator"), "granted"),
        (
            Granted(CHANGE, "migrator", relaxed=(a_denial(),), enforcement=Enforcement.WARN),
            "warned",
        ),
        (
            Granted(CHANGE, "migrator", relaxed=(a_denial(),), enforcement=Enforcement.SHADOW),
            "shadowed",
        ),
    ],
    ids=["granted", "granted with a warning", "granted in silence"],
)
def test_a_body_says_how_a_write_was_granted_and_by_which_mandate(
    granted: Granted, verdict: str
) -> None:
    body = read_body(body_of(a_case(a_create()), granted))
    assert (body["verdict"], body["action"], body["change"]) == (verdict, "create", CHANGE)
    assert body["mandate"] == {"name": "migrator", "uid": "uid-of-migrator", "generation": 1}
    decision = body["decision"]
    assert isinstance(decision, dict)
    codes = [one.get("code") for one in denials_of(body)]
    assert codes == ["field-not-granted"] * len(granted.relaxed)


def denials_of(body: dict[str, Json]) -> list[dict[str, Json]]:
    found: list[dict[str, Json]] = orjson.loads(orjson.dumps(body["decision"]))["denials"]
    return found


def test_a_body_says_when_the_write_came() -> None:
    body = read_body(body_of(a_case(a_create()), Granted(CHANGE, "migrator")))
    expected = datetime.fromtimestamp(MOMENT_MS / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert str(body["receivedAt"]).startswith(expected)


def test_a_denied_write_takes_no_action_and_names_whoever_it_was() -> None:
    request = replace(a_create(), user=a_user("system:serviceaccount:team-data:stranger"))
    case = a_case(request, registry=a_registry(dedicated=("team-data",)))
    denied = Denied(CHANGE, request.user.username, (a_denial(),), DIGEST)
    body = read_body(body_of(case, denied))
    assert (body["verdict"], body["action"], body["mandate"]) == ("denied", "", None)
    assert body["agent"] == request.user.username
    assert [one["code"] for one in denials_of(body)] == ["field-not-granted"]


DENIED = Denied(CHANGE, "migrator", (a_denial(),), DIGEST)
OTHERS = Denied(OTHER_CHANGE, "migrator", (a_denial(message="put otherwise"),), "")


def the_fold(request: AdmissionRequest, denied: Denied = DENIED) -> str:
    return fold_of(a_case(request), denied)


def test_the_same_write_refused_for_the_same_reason_is_a_repeat() -> None:
    again = replace(a_create(), uid="another call")
    assert the_fold(again, OTHERS) == the_fold(a_create())


def generated(suffix: str) -> AdmissionRequest:
    name = f"job-{suffix}"
    made = with_metadata(an_object(name=name), generateName="job-")
    return a_create(made, name=name)


def test_a_generated_name_is_no_difference() -> None:
    assert the_fold(generated("x7k2p")) == the_fold(generated("9qwzl"))


def test_a_name_that_the_agent_chose_beside_one_to_generate_is_a_difference() -> None:
    assert the_fold(generated("of-monday")) != the_fold(generated("of-tuesday"))


@pytest.mark.parametrize(
    ("request_", "denied"),
    [
        pytest.param(a_create(name="other"), DENIED, id="another name"),
        pytest.param(a_create(namespace="prod"), DENIED, id="another namespace"),
        pytest.param(a_create(target=CONFIGMAPS), DENIED, id="another kind"),
        pytest.param(a_create(target=SCALE), DENIED, id="a subresource"),
        pytest.param(a_request(Operation.DELETE), DENIED, id="another operation"),
        pytest.param(
            replace(a_create(), user=a_user("system:serviceaccount:team-data:other")),
            DENIED,
            id="another subject of the same mandate",
        ),
        pytest.param(a_create(), replace(DENIED, mandate="other"), id="another mandate"),
        pytest.param(
            a_create(), replace(DENIED, denials=(a_denial("kind-not-granted"),)), id="another code"
        ),
        pytest.param(
            a_create(),
            replace(DENIED, denials=(replace(a_denial(), field="spec", asked="spec"),)),
            id="another field",
        ),
        pytest.param(
            a_create(),
            replace(DENIED, denials=(*DENIED.denials, a_denial("kind-not-granted"))),
            id="one more code",
        ),
    ],
)
def test_whatever_else_differs_is_another_denial(
    request_: AdmissionRequest, denied: Denied
) -> None:
    assert the_fold(request_, denied) != the_fold(a_create())


def test_a_name_that_is_no_unicode_folds_too() -> None:
    assert the_fold(a_create(name="\ud800")) == the_fold(a_create(name="\ud800"))
