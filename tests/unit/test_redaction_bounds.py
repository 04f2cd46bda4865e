"""Redaction costs little whatever it is given: beyond its bounds it marks more, never less."""

import base64

import orjson
import pytest

from controller.apis.governance import Governance, RedactedFields
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.records.places import MAX_PLACES, Tree
from controller.records.redaction import (
    MARK,
    MAX_KEY,
    MAX_PATHS,
    Redacted,
    mark_of,
    redact,
    repeats_confidential,
)
from controller.records.repeats import COMPARED, MAX_EFFORT, MAX_TEXTS, repeats_of
from controller.records.stamps import CHANGE
from tests.builders import SECRETS, a_request, an_object
from tests.recorded import CONTENT_KEY, annotated, stamped, with_metadata

PODS = Target("", "v1", "Pod", "pods")
ENV = "spec.containers[*].env[*].value"
NONE = Governance()
pytestmark = pytest.mark.requirement("record-before-effect.secrets-unseen")


def a_secret(*values: str, field: str = "stringData") -> dict[str, Json]:
    return {**an_object(SECRETS), field: {f"k{n}": value for n, value in enumerate(values)}}


def many(count: int, *, of: str = "value") -> list[str]:
    return [f"{of}-{number:06}" for number in range(count)]


def redacted(request: AdmissionRequest, *fields: str) -> Redacted:
    rules = (RedactedFields(("*",), ("*",), fields),) if fields else ()
    return redact(request, governance=Governance(redacted_fields=rules), key=CONTENT_KEY)


def secret(obj: dict[str, Json], old: dict[str, Json] | None = None) -> AdmissionRequest:
    operation = Operation.UPDATE if old else Operation.CREATE
    return a_request(operation, target=SECRETS, obj=obj, old=old)


def within(found: Redacted, *names: str) -> dict[str, Json]:
    value: Json = dict(found.request.obj or {})
    for name in names:
        assert isinstance(value, dict)
        value = value[name]
    assert isinstance(value, dict)
    return value


def test_so_many_annotations_that_they_are_not_searched_are_all_marked() -> None:
    obj = annotated(stamped(a_secret(*many(200))), note="harmless", long="q" * 100_000)

    annotations = within(redacted(secret(obj)), "metadata", "annotations")

    stamp = annotations.pop(CHANGE)
    assert isinstance(stamp, str)
    assert not stamp.startswith(MARK)
    assert annotations.keys() == {"note", "long"}
    (mark,) = set(annotations.values())
    assert str(mark).startswith(MARK)


def test_an_annotation_that_is_not_searched_leaves_the_labels_to_be_judged() -> None:
    obj = with_metadata(
        annotated(a_secret(*many(200)), long="q" * 100_000), labels={"app": "web-of-shops"}
    )

    found = redacted(secret(obj))

    assert within(found, "metadata", "labels") == {"app": "web-of-shops"}


def test_within_the_bound_only_what_repeats_a_value_is_marked() -> None:
    obj = annotated(a_secret(*many(20)), note="harmless", other="it is value-000007")

    annotations = within(redacted(secret(obj)), "metadata", "annotations")

    assert annotations["note"] == "harmless"
    assert str(annotations["other"]).startswith(MARK)


def test_values_that_are_too_many_have_the_mark_of_all_of_them_and_keep_their_keys() -> None:
    values = many(MAX_PLACES + 1)
    obj = a_secret(*values)

    found = redacted(secret(obj))

    data = within(found, "stringData")
    assert data.keys() == within(Redacted(secret(obj)), "stringData").keys()
    assert set(data.values()) == {mark_of(obj["stringData"], key=CONTENT_KEY)}
    assert found.paths == ("stringData",)


def test_at_the_bound_each_value_has_its_own_mark() -> None:
    found = redacted(secret(a_secret(*many(MAX_PLACES))))

    assert len(set(within(found, "stringData").values())) == MAX_PLACES


def test_of_too_many_values_any_change_shows_at_all_of_them() -> None:
    values = many(MAX_PLACES + 1)

    request = redacted(secret(a_secret(*values[1:], "new"), a_secret(*values))).request

    assert request.obj is not None
    assert request.old is not None
    assert orjson.dumps(request.obj["stringData"]) != orjson.dumps(request.old["stringData"])
    equal = redacted(secret(a_secret(*values), a_secret(*values))).request
    assert equal.obj == equal.old


def test_beside_too_many_values_keys_annotations_and_labels_are_one_mark() -> None:
    values = many(MAX_PLACES + 1)
    owned: Json = [{"manager": "m", "fieldsV1": {"f:metadata": {f"f:{values[0]}": {}}}}]
    noted = annotated(stamped(a_secret(*values)), note=values[3], **{values[0]: "key"})
    obj = with_metadata(noted, labels={values[1]: values[2]}, managedFields=owned)

    found = redacted(secret(obj))

    text = orjson.dumps(found.request.obj).decode()
    assert not [value for value in values if value in text]
    assert within(found, "metadata", "annotations").keys() > {CHANGE}
    assert found.paths == ("stringData", "metadata.annotations", "metadata.labels")


@pytest.mark.parametrize(
    "containers",
    [
        pytest.param(MAX_PLACES + 1, id="one list too long"),
        pytest.param(MAX_PLACES // 2 + 1, id="lists within it"),
    ],
)
def test_what_is_around_too_many_listed_fields_stays_to_be_judged(containers: int) -> None:
    items: list[Json] = [
        {"image": "evil", "env": [{"name": "V", "value": value}]} for value in many(containers)
    ]
    obj = an_object(PODS, spec={"containers": items, "privileged": True})

    found = redacted(a_request(target=PODS, obj=obj), ENV)

    spec = within(found, "spec")
    kept = spec["containers"]
    assert isinstance(kept, list)
    mark = mark_of(items, key=CONTENT_KEY)
    assert kept == [{"image": "evil", "env": [{"name": "V", "value": mark}]}] * containers
    assert spec["privileged"] is True
    assert found.paths == ("spec.containers",)


def test_nulls_and_shapes_of_too_many_values_stay() -> None:
    data: dict[str, Json] = {"null": None, "list": [1, None, {"a": True}], "empty": {}}
    obj: dict[str, Json] = {**a_secret(*many(MAX_PLACES + 1)), "data": data}

    mark = mark_of(data, key=CONTENT_KEY)
    assert within(redacted(secret(obj)), "data") == {
        "null": None,
        "list": [mark, None, {"a": mark}],
        "empty": {},
    }


def test_paths_are_gathered_under_what_they_have_in_common() -> None:
    found = redacted(secret(annotated(a_secret(*many(MAX_PATHS)), note="value-000001")))

    assert found.paths == ("stringData", "metadata.annotations")


def test_paths_are_gathered_no_further_up_than_they_must_be() -> None:
    values: list[Json] = [{"v": {f"deep{n}": f"{n}"}} for n in range(MAX_PATHS + 1)]
    obj = an_object(PODS, spec={"a": values, "b": "single"})

    found = redacted(a_request(target=PODS, obj=obj), "spec.a[*].v", "spec.b")

    assert found.paths == ("spec.a", "spec.b")


def test_a_key_of_any_length_is_listed_by_what_holds_it() -> None:
    data: Json = {"k" * (MAX_KEY + 1): "v"}
    obj = {**an_object(SECRETS), "data": data}

    assert redacted(secret(obj)).paths == ("data",)


def test_keys_and_values_of_labels_that_repeat_a_value_are_marked() -> None:
    labels: Json = {"app": "web", "correct-horse": "x", "y": "correct-horse"}
    owned: Json = [{"manager": "m", "fieldsV1": {"f:labels": {"f:correct-horse": {}}}}]
    value = base64.b64encode(b"correct-horse").decode()
    obj = with_metadata(a_secret(value, field="data"), labels=labels, managedFields=owned)

    found = redacted(secret(obj))

    mark = mark_of("correct-horse", key=CONTENT_KEY)
    assert within(found, "metadata", "labels") == {"app": "web", mark: "x", "y": mark}
    assert "correct-horse" not in orjson.dumps(found.request.obj).decode()
    assert f'metadata.labels["{mark}"]' in found.paths


def test_the_key_of_an_annotation_that_repeats_a_value_is_marked() -> None:
    obj = annotated(a_secret("correct-horse"), **{"correct-horse": "x"})

    annotations = within(redacted(secret(obj)), "metadata", "annotations")

    assert annotations == {mark_of("correct-horse", key=CONTENT_KEY): "x"}


def test_the_beginning_of_a_long_value_is_its_repetition() -> None:
    value = "".join(many(50))
    obj = annotated(a_secret(value), part=value[:COMPARED], less=value[: COMPARED - 1])

    annotations = within(redacted(secret(obj)), "metadata", "annotations")

    assert str(annotations["part"]).startswith(MARK)
    assert annotations["less"] == value[: COMPARED - 1]


@pytest.mark.parametrize("text", ["ä" * 300, "\U0001f600" * 200, 'quote"' * 40])
def test_the_beginning_of_a_long_decoded_value_is_its_repetition(text: str) -> None:
    value = base64.b64encode(text.encode()).decode()
    obj = annotated(
        a_secret(value, field="data"), note=f"is {text}", json=orjson.dumps(text).decode()
    )

    annotations = within(redacted(secret(obj)), "metadata", "annotations")

    assert all(str(one).startswith(MARK) for one in annotations.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("rotate to correct-horse", True, id="a value"),
        pytest.param("it was old-password", True, id="a value that leaves"),
        pytest.param(f"to {base64.b64encode(b'correct-horse').decode()}", True, id="encoded"),
        pytest.param("rotate the password", False, id="none"),
        pytest.param("rotate to short", False, id="one that is too short to tell"),
        pytest.param("correct", False, id="a part of one"),
    ],
)
def test_a_reason_may_repeat_a_value_of_its_write(text: str, *, expected: bool) -> None:
    value = base64.b64encode(b"correct-horse").decode()
    request = secret({**a_secret("short"), "data": {"p": value}}, a_secret("old-password"))

    assert repeats_confidential(text, request, governance=NONE) is expected


def test_beside_too_many_values_any_reason_counts_as_one_that_repeats_them() -> None:
    request = secret(a_secret(*many(MAX_PLACES + 1)))

    assert repeats_confidential("why not", request, governance=NONE)


def test_a_reason_of_what_has_no_confidential_fields_is_not_searched() -> None:
    request = a_request(target=PODS, obj=an_object(PODS, spec={"stringData": "correct-horse"}))

    assert not repeats_confidential("correct-horse", request, governance=NONE)


def test_texts_are_searched_up_to_the_bounds() -> None:
    wanted = ["12345678"]
    most = MAX_EFFORT // 8 - 16

    assert MAX_EFFORT <= 10_000_000
    assert repeats_of(wanted, ["x" * most]) is not None
    assert repeats_of(wanted, ["x" * (most + 1)]) is None
    assert repeats_of(wanted, ["x"] * MAX_TEXTS) is not None
    assert repeats_of(wanted, ["x"] * (MAX_TEXTS + 1)) is None
    assert repeats_of(None, ["x"]) is None


def test_one_item_and_every_item_are_one_tree() -> None:
    tree = Tree([("a", 0, "x"), ("a", -1, "y")]).names["a"]

    assert tree.item(0).names.keys() == {"x", "y"}
    assert tree.item(1).names.keys() == {"y"}
    assert tree.item(7) is tree.item(1)
