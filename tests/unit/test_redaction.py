"""Redaction: what is confidential leaves the request, everything else stays as it was."""

import base64

import orjson
import pytest

from controller.apis.governance import Governance, RedactedFields
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.records.redaction import MARK, Redacted, mark_of, redact
from controller.records.stamps import CHANGE, OWN
from tests.builders import CONFIGMAPS, DEPLOYMENTS, SECRETS, a_request, an_object
from tests.recorded import CONTENT_KEY, annotated, stamped, with_metadata

VALUE = base64.b64encode(b"correct horse").decode()
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ENV = "spec.containers[*].env[*].value"
PODS = Target("", "v1", "Pod", "pods")


def a_secret(**fields: Json) -> dict[str, Json]:
    obj = an_object(SECRETS)
    del obj["spec"]
    return {**obj, "type": "Opaque", **fields}


def redacted(
    request: AdmissionRequest, *rules: RedactedFields, key: bytes = CONTENT_KEY
) -> Redacted:
    return redact(request, governance=Governance(redacted_fields=rules), key=key)


def listed(field: str, *, group: str = "", resource: str = "pods") -> RedactedFields:
    return RedactedFields((group,), (resource,), (field,))


def text_of(found: Redacted) -> str:
    return orjson.dumps([found.request.obj, found.request.old]).decode()


def a_pod(*values: str) -> dict[str, Json]:
    env: list[Json] = [{"name": f"V{n}", "value": value} for n, value in enumerate(values)]
    return an_object(PODS, spec={"containers": [{"name": "web", "env": env}]})


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_request(target=SECRETS, obj=a_secret(data={"p": VALUE})), id="data"),
        pytest.param(a_request(target=SECRETS, obj=a_secret(stringData={"p": VALUE})), id="string"),
        pytest.param(
            a_request(Operation.DELETE, target=SECRETS, old=a_secret(data={"p": VALUE})),
            id="of the oldObject",
        ),
        pytest.param(
            a_request(
                target=SECRETS,
                obj=annotated(a_secret(), **{LAST_APPLIED: f'{{"data":{{"p":"{VALUE}"}}}}'}),
            ),
            id="as it was applied last",
        ),
        pytest.param(
            a_request(
                target=SECRETS, obj=annotated(a_secret(data={"p": VALUE}), note=f"it is {VALUE}")
            ),
            id="repeated in a note",
        ),
        pytest.param(
            a_request(target=SECRETS, obj=a_secret(data={"p": {"nested": [VALUE]}})),
            id="within what no Secret holds",
        ),
        pytest.param(a_request(target=SECRETS, obj=a_secret(data=VALUE)), id="in place of the map"),
    ],
)
@pytest.mark.requirement("record-before-effect.secrets-unseen")
def test_no_value_of_a_secret_is_left(request_: AdmissionRequest) -> None:
    found = redacted(request_)

    assert VALUE not in text_of(found)
    assert MARK in text_of(found)
    assert found.paths


def test_a_decoded_value_in_a_note_is_no_value_left() -> None:
    obj = annotated(a_secret(data={"p": VALUE}), note="password: correct horse")

    assert "correct horse" not in text_of(redacted(a_request(target=SECRETS, obj=obj)))


@pytest.mark.requirement("record-before-effect.secrets-unseen")
def test_a_value_that_moves_from_the_data_into_a_note_is_marked_there() -> None:
    old, new = a_secret(data={"p": VALUE}), annotated(a_secret(), note="it was correct horse")

    found = redacted(a_request(Operation.UPDATE, target=SECRETS, old=old, obj=new))

    assert "correct horse" not in text_of(found)
    assert found.paths == ("data.p", "metadata.annotations.note")


def test_a_value_of_any_script_is_marked() -> None:
    obj = a_secret(stringData={"p": "pässwörter-überall"})

    assert "pässwörter" not in text_of(redacted(a_request(target=SECRETS, obj=obj)))


@pytest.mark.requirement("record-before-effect.secrets-unseen")
def test_the_last_applied_configuration_of_a_secret_is_marked_whatever_it_says() -> None:
    obj = annotated(a_secret(), **{LAST_APPLIED: '{"data":{"old":"b2xk"}}'})

    assert "b2xk" not in text_of(redacted(a_request(target=SECRETS, obj=obj)))


def test_keys_type_and_identity_of_a_secret_stay_to_be_judged() -> None:
    obj = stamped(a_secret(data={"password": VALUE, "user": ""}))

    found = redacted(a_request(target=SECRETS, obj=obj)).request.obj

    assert found is not None
    assert found["data"] == {
        "password": mark_of(VALUE, key=CONTENT_KEY),
        "user": mark_of("", key=CONTENT_KEY),
    }
    assert {**found, "data": obj["data"]} == obj


def test_paths_name_what_was_replaced_in_either_object() -> None:
    old, new = a_secret(data={"a": "eA==", "b.c": "eA=="}), a_secret(data={"a": "eQ=="})

    found = redacted(a_request(Operation.UPDATE, target=SECRETS, old=old, obj=new))

    assert found.paths == ("data.a", 'data["b.c"]')


def test_equal_values_have_equal_marks_wherever_they_are() -> None:
    old, new = a_secret(data={"a": VALUE}), a_secret(data={"b": VALUE, "c": "eA=="})

    request = redacted(a_request(Operation.UPDATE, target=SECRETS, old=old, obj=new)).request

    assert request.old is not None
    assert request.obj is not None
    before, after = request.old["data"], request.obj["data"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert before["a"] == after["b"] != after["c"]


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, "1"), (1, True), (None, ""), ("a", "b"), ([1], [[1]]), ({"a": 1}, {"a": "1"})],
)
def test_different_values_have_different_marks(one: Json, other: Json) -> None:
    assert mark_of(one, key=CONTENT_KEY) != mark_of(other, key=CONTENT_KEY)


def test_a_mark_is_of_one_key() -> None:
    mark = mark_of(VALUE, key=CONTENT_KEY)

    assert mark != mark_of(VALUE, key=b"another")
    assert mark.startswith(MARK)
    assert len(mark) == len(MARK) + 32


def test_a_value_that_looks_like_a_mark_is_marked_too() -> None:
    forged = f"{MARK}{'0' * 32}"

    found = redacted(a_request(target=SECRETS, obj=a_secret(stringData={"p": forged})))

    assert forged not in text_of(found)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_request(), id="a Deployment"),
        pytest.param(
            a_request(
                target=CONFIGMAPS, obj=annotated(an_object(CONFIGMAPS), **{LAST_APPLIED: "{}"})
            ),
            id="a ConfigMap",
        ),
        pytest.param(
            a_request(target=Target("example.com", "v1", "Secret", "secrets")),
            id="another group's secrets",
        ),
        pytest.param(a_request(target=SECRETS, obj=a_secret()), id="a Secret without values"),
    ],
)
def test_a_request_without_confidential_values_is_the_same_one(request_: AdmissionRequest) -> None:
    assert redacted(request_).request is request_


@pytest.mark.requirement("record-before-effect.secrets-unseen")
def test_what_governance_lists_is_marked_leaf_by_leaf() -> None:
    obj = a_pod("first-value", "second-value")

    found = redacted(a_request(target=PODS, obj=obj), listed(ENV))

    assert "first-value" not in text_of(found)
    assert found.paths == (
        "spec.containers[0].env[0].value",
        "spec.containers[0].env[1].value",
    )
    assert '"name":"V0"' in text_of(found)


def test_a_listed_map_keeps_its_keys() -> None:
    data: Json = {"a": "1", "b": {"c": [True, None, 2]}}
    obj = {**an_object(CONFIGMAPS), "data": data}

    found = redacted(a_request(target=CONFIGMAPS, obj=obj), listed("data", resource="configmaps"))

    assert found.paths == ("data.a", "data.b.c[0]", "data.b.c[2]")


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(listed(ENV, group="apps"), id="of another group"),
        pytest.param(listed(ENV, resource="pods/exec"), id="of a subresource"),
        pytest.param(listed(ENV, resource="*/exec"), id="of that subresource of everything"),
        pytest.param(listed(ENV, resource="replicasets"), id="of another resource"),
        pytest.param(listed("spec.containers[3].env[*].value"), id="of an item that is not there"),
        pytest.param(listed("spec.containers.env"), id="of a list taken for a map"),
        pytest.param(listed("spec[*].env"), id="of a map taken for a list"),
    ],
)
def test_what_is_not_meant_stays(rule: RedactedFields) -> None:
    request = a_request(target=PODS, obj=a_pod("first-value"))

    assert redacted(request, rule).request is request


@pytest.mark.requirement("record-before-effect.secrets-unseen")
def test_what_is_listed_of_a_resource_is_marked_in_its_subresources() -> None:
    status = Target("", "v1", "Pod", "pods", "status")

    found = redacted(a_request(target=status, obj=a_pod("first-value")), listed(ENV))

    assert "first-value" not in text_of(found)


@pytest.mark.parametrize("resource", ["*", "pods", "pods/exec", "*/exec"])
def test_the_options_of_a_connection_can_be_listed(resource: str) -> None:
    target = Target("", "v1", "PodExecOptions", "pods", "exec")
    obj: dict[str, Json] = {"kind": "PodExecOptions", "command": ["login", "--token=secret"]}

    found = redacted(
        a_request(Operation.CONNECT, target=target, obj=obj), listed("command", resource=resource)
    )

    assert "--token=secret" not in text_of(found)
    assert found.paths == ("command[0]", "command[1]")


def test_copies_of_a_listed_field_in_annotations_are_marked() -> None:
    copies = {LAST_APPLIED: "{}", "kapp.k14s.io/original": "H4sI", "note": "it is first-value"}
    obj = annotated(a_pod("first-value"), harmless="yes", **copies)

    found = redacted(a_request(target=PODS, obj=obj), listed(ENV))

    assert "first-value" not in text_of(found)
    assert "H4sI" not in text_of(found)
    assert '"harmless":"yes"' in text_of(found)


@pytest.mark.requirement("record-before-effect.secrets-unseen")
def test_ownership_does_not_tell_the_items_of_a_set() -> None:
    owned: Json = [{"manager": "m", "fieldsV1": {"f:spec": {'v:"first-value"': {}}}}]
    obj = with_metadata(an_object(PODS, spec={"set": ["first-value"]}), managedFields=owned)

    found = redacted(a_request(target=PODS, obj=obj), listed("spec.set"))

    assert "first-value" not in text_of(found)
    assert '"manager":"m"' in text_of(found)


def test_the_stamp_is_never_marked() -> None:
    obj = stamped(a_secret(data={"p": VALUE}))
    metadata = obj["metadata"]
    assert isinstance(metadata, dict)
    annotations = metadata["annotations"]
    assert isinstance(annotations, dict)
    known = {**obj, "stringData": {"copied": annotations[CHANGE]}}

    found = redacted(a_request(target=SECRETS, obj=known)).request.obj

    assert found is not None
    assert found["metadata"] == metadata


@pytest.mark.requirement("record-before-effect.secrets-unseen")
@pytest.mark.parametrize("name", ["labels", "annotations"])
@pytest.mark.parametrize("key", sorted(key for keys in OWN.values() for key in keys))
def test_no_secret_hides_under_a_name_of_governors(name: str, key: str) -> None:
    """Of all these only the annotation with the stamp is written by nobody else."""
    entries: dict[str, Json] = {name: {key: VALUE}}
    obj = with_metadata(a_secret(data={"p": VALUE}), **entries)

    found = redacted(a_request(target=SECRETS, obj=obj))

    assert (VALUE in text_of(found)) == ((name, key) == ("annotations", CHANGE))


def test_the_given_request_is_not_changed_and_untouched_parts_are_shared() -> None:
    status: Json = {"big": ["subtree"]}
    obj = {**a_pod("first-value"), "status": status}
    before = orjson.dumps(obj)

    found = redacted(a_request(target=PODS, obj=obj), listed(ENV)).request.obj

    assert orjson.dumps(obj) == before
    assert found is not None
    assert found["status"] is obj["status"]
    assert found["metadata"] is obj["metadata"]


def test_two_rules_for_one_field_mark_it_once() -> None:
    request = a_request(target=SECRETS, obj=a_secret(data={"p": VALUE}))

    found = redacted(request, listed('data["p"]', resource="secrets"))

    assert found.request == redacted(request).request


def test_a_kind_that_nothing_is_listed_of_costs_nothing() -> None:
    request = a_request(target=DEPLOYMENTS)

    assert redacted(request, listed(ENV)).request is request
