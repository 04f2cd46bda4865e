"""The content digest: of all that a client wrote, and of nothing else."""

import pytest

from controller.accounts.entries import Action, WatchedKind
from controller.apis.json import Json
from controller.apis.requests import Operation
from controller.records.content import content_digest, traced_digest
from controller.records.stamps import Traced
from tests.builders import a_request, an_object
from tests.recorded import CONTENT_KEY, OTHER_CHANGE, stamped, with_metadata

OBJECT = an_object()
DIGEST = content_digest(OBJECT, key=CONTENT_KEY)


def nested(levels: int) -> Json:
    value: Json = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(dict(reversed(OBJECT.items())), id="another order of keys"),
        pytest.param(
            {k: v for k, v in OBJECT.items() if k not in {"kind", "apiVersion"}}, id="no type"
        ),
        pytest.param(
            with_metadata(OBJECT, resourceVersion="8", generation=2), id="a later version"
        ),
        pytest.param(with_metadata(OBJECT, managedFields=[{"manager": "m"}]), id="other owners"),
        pytest.param(with_metadata(OBJECT, deletionTimestamp="2026-01-02T03:04:05Z"), id="ending"),
        pytest.param({**OBJECT, "rules": None}, id="a field that is null"),
        pytest.param({**OBJECT, "rules": []}, id="a list that is empty"),
    ],
)
def test_what_the_server_adds_or_loses_does_not_count(obj: dict[str, Json]) -> None:
    assert content_digest(obj, key=CONTENT_KEY) == DIGEST


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(an_object(spec={"replicas": 3}), id="another value"),
        pytest.param(an_object(spec={"replicas": "2"}), id="another type"),
        pytest.param(an_object(spec={"replicas": 2, "more": {}}), id="another field"),
        pytest.param(an_object(name="other"), id="another name"),
        pytest.param(stamped(OBJECT), id="a stamp"),
        pytest.param(with_metadata(OBJECT, labels={"a": "b"}), id="a label"),
        pytest.param({**OBJECT, "list": [None]}, id="null in a list"),
        pytest.param({**OBJECT, "status": {"ready": True}}, id="a status"),
    ],
)
def test_everything_else_counts(obj: dict[str, Json]) -> None:
    assert content_digest(obj, key=CONTENT_KEY) != DIGEST


def test_two_stamps_make_two_digests() -> None:
    one, other = stamped(OBJECT), stamped(OBJECT, OTHER_CHANGE)

    assert content_digest(one, key=CONTENT_KEY) != content_digest(other, key=CONTENT_KEY)


def test_a_digest_is_keyed_and_short() -> None:
    assert content_digest(OBJECT, key=b"another key") != DIGEST
    assert len(DIGEST) == 32
    assert int(DIGEST, 16) >= 0


def test_null_in_a_text_hides_no_null_in_a_field() -> None:
    text: Json = '{"a":null,"b":[]}'
    one: dict[str, Json] = {"text": text, "spec": {"c": 1, "d": None, "e": [], "f": [[]]}}
    other: dict[str, Json] = {"text": text, "spec": {"c": 1, "f": [[]]}}

    assert content_digest(one, key=CONTENT_KEY) == content_digest(other, key=CONTENT_KEY)
    assert content_digest({"text": "{}"}, key=CONTENT_KEY) != content_digest(
        {"text": text}, key=CONTENT_KEY
    )


@pytest.mark.parametrize("metadata", [None, [], "text", 7])
def test_an_object_of_any_shape_has_a_digest(metadata: Json) -> None:
    assert content_digest({"metadata": metadata}, key=CONTENT_KEY)


def test_what_is_nested_too_deeply_to_be_written_has_none() -> None:
    assert content_digest({"spec": nested(240)}, key=CONTENT_KEY)
    assert content_digest({"spec": nested(2_000)}, key=CONTENT_KEY) == ""


KIND = WatchedKind("apps", "v1", "deployments")


@pytest.mark.parametrize("action", [Action.CREATE, Action.UPDATE, Action.VALUE])
def test_a_write_of_content_is_compared_by_its_digest(action: Action) -> None:
    request = a_request(Operation.UPDATE, obj=OBJECT)

    assert traced_digest(request, Traced(action, KIND), key=CONTENT_KEY) == DIGEST


@pytest.mark.parametrize("action", [Action.DELETE, Action.UNTRACED, Action.NOTHING])
def test_a_write_that_leaves_no_content_has_no_digest(action: Action) -> None:
    assert traced_digest(a_request(), Traced(action, KIND), key=CONTENT_KEY) == ""


def test_a_scale_is_compared_by_its_value() -> None:
    traced = Traced(Action.VALUE, KIND, value="replicas:3")

    assert traced_digest(a_request(), traced, key=CONTENT_KEY) == "replicas:3"
