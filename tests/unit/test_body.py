"""The body of a record: who, what, why and what changes; bounded, and read back strictly."""

from typing import Any

import orjson
import pytest

from controller.accounts.entries import Action
from controller.apis.governance import Governance
from controller.apis.json import Json
from controller.apis.requests import Operation, Target
from controller.records.body import (
    MAX_BODY_BYTES,
    VERSION,
    UnreadableBodyError,
    Verdict,
    read_body,
    write_body,
)
from controller.records.redaction import MARK, redact
from tests.builders import (
    CHANGE,
    DIGEST,
    SECRETS,
    UID,
    a_denial,
    a_request,
    a_user,
    an_object,
)
from tests.recorded import CONTENT_KEY, a_body, a_judged, an_update, stamped, with_metadata


def body_of(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = read_body(body)
    return found


def test_a_body_says_who_wrote_what_and_why_it_was_decided() -> None:
    body = body_of(a_body())

    assert (body["version"], body["change"], body["verdict"]) == (VERSION, CHANGE, "granted")
    assert body["receivedAt"] == "2026-01-02T03:04:05.678901Z"
    assert body["mandate"] == {"name": "migrator", "uid": "uid-of-migrator", "generation": 1}
    assert body["actor"]["credential"] == "JTI=7"
    assert body["request"]["uid"] == UID
    assert body["request"]["operation"] == "CREATE"
    assert body["object"] == {"uid": "object-uid", "version": "", "digest": "d1", "oldDigest": "d0"}
    assert body["action"] == "create"
    assert body["decision"]["policies"] == DIGEST


def test_a_denial_is_written_down_with_its_sentence() -> None:
    judged = a_judged(Verdict.DENIED, denials=(a_denial(),), warnings=("mind this",))

    decision = body_of(a_body(judged=judged))["decision"]

    assert decision["denials"] == [{**a_denial().as_json(), "message": a_denial().message}]
    assert decision["warnings"] == ["mind this"]


def test_the_pod_that_a_token_is_bound_to_is_named() -> None:
    extra = {
        "authentication.kubernetes.io/pod-name": ("runner-0",),
        "authentication.kubernetes.io/pod-uid": ("p1",),
    }

    body = body_of(a_body(a_request(user=a_user(extra=extra))))

    assert body["actor"]["pod"] == {"name": "runner-0", "uid": "p1"}
    assert body["actor"]["credential"] == ""
    assert body_of(a_body())["actor"]["pod"] is None


def test_a_create_holds_the_object_without_ownership_and_stamp() -> None:
    obj = stamped(with_metadata(an_object(), managedFields=[{"manager": "m"}]))

    body = body_of(a_body(a_request(obj=obj)))

    assert body["after"] == an_object()
    assert "before" not in body


def test_a_delete_holds_the_object_that_goes() -> None:
    body = body_of(a_body(a_request(Operation.DELETE), action=Action.DELETE))

    assert body["before"] == an_object()
    assert "after" not in body


def test_an_update_holds_what_changes() -> None:
    body = body_of(a_body(an_update({"spec": {"replicas": 2}}, {"spec": {"replicas": 3}})))

    assert body["changes"] == [{"path": "spec.replicas", "before": 2, "after": 3}]
    assert body["object"]["version"] == "7"
    assert not {"before", "after", "ownershipLost"} & body.keys()


def test_an_update_of_more_than_can_be_listed_holds_both_objects() -> None:
    data: Json = {f"key{number}": "x" for number in range(400)}

    body = body_of(a_body(an_update({}, {"data": data})))

    assert body["before"] == an_object()
    assert body["after"]["data"] == data


def test_the_loss_of_all_ownership_is_said() -> None:
    old = with_metadata(an_object(), managedFields=[{"manager": "m"}])

    body = body_of(a_body(a_request(Operation.UPDATE, old=old, obj=an_object())))

    assert body["changes"] == []
    assert body["ownershipLost"] is True


def test_a_connection_holds_its_options() -> None:
    target = Target("", "v1", "PodExecOptions", "pods", "exec")
    options: dict[str, Json] = {"kind": "PodExecOptions", "command": ["ls"]}

    body = body_of(a_body(a_request(Operation.CONNECT, target=target, obj=options)))

    assert body["options"] == options


@pytest.mark.requirement("record-before-effect.secrets-unseen")
def test_confidential_values_are_marks_and_named() -> None:
    request = an_update({"data": {"p": "b2xk"}}, {"data": {"p": "bmV3"}}, target=SECRETS)

    body = a_body(request)

    assert b"b2xk" not in body
    assert b"bmV3" not in body
    assert body_of(body)["redactions"] == ["data.p"]
    assert body_of(body)["changes"][0]["after"].startswith(MARK)


def test_a_body_that_is_too_large_keeps_its_facts() -> None:
    huge = a_request(obj={**an_object(), "data": {"a": "x" * MAX_BODY_BYTES}})

    body = a_body(huge)

    assert len(body) < 10_000
    assert body_of(body)["omitted"] == "too large"
    assert body_of(body)["object"]["digest"] == "d1"
    assert "after" not in body_of(body)


def test_long_lists_are_cut_and_counted() -> None:
    user = a_user(groups=tuple(f"group-{number}" for number in range(1_000)))
    judged = a_judged(
        Verdict.WARNED, denials=(a_denial(message="x" * 9_000),) * 100, warnings=("w" * 9_000,) * 70
    )

    body = body_of(a_body(a_request(user=user), judged))

    assert (len(body["actor"]["groups"]), body["actor"]["groupsOmitted"]) == (64, 936)
    assert body["decision"]["denialsOmitted"] == 36
    assert body["decision"]["warningsOmitted"] == 6
    assert max(map(len, body["decision"]["warnings"])) == 2_000


def test_the_same_judgement_gives_the_same_bytes() -> None:
    assert a_body() == a_body()
    assert list(body_of(a_body())) == sorted(body_of(a_body()))


def test_a_denied_write_was_traced_by_nobody() -> None:
    redacted = redact(a_request(), governance=Governance(), key=CONTENT_KEY)

    assert body_of(write_body(redacted, a_judged(Verdict.DENIED)))["action"] == ""


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param(b"", "not JSON", id="nothing"),
        pytest.param(b"\xff", "not JSON", id="bytes"),
        pytest.param(b"[]", "not an object", id="a list"),
        pytest.param(b"{}", "version: is not", id="another object"),
        pytest.param(
            b'{"version":"governor.dev/record/v2"}', "version: is not", id="another version"
        ),
    ],
)
def test_garbage_is_no_body(body: bytes, problem: str) -> None:
    with pytest.raises(UnreadableBodyError, match=problem):
        read_body(body)


@pytest.mark.parametrize("field", ["change", "agent", "actor", "request", "object", "decision"])
@pytest.mark.parametrize("value", [None, 7, []])
def test_a_body_without_one_of_its_parts_names_it(field: str, value: Json) -> None:
    broken = {**body_of(a_body()), field: value}

    with pytest.raises(UnreadableBodyError, match=f"^{field}: is missing or not"):
        read_body(orjson.dumps(broken))
