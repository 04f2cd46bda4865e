"""Whatever bytes arrive: a request that says what they say, or a named refusal."""

import json
from typing import cast

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.admission.review import MalformedReviewError, read_json_object, read_review
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation
from tests.builders import UID, a_request, a_review, a_review_request
from tests.strategies import json_objects, json_values, texts

SPACES = ("", "", "", " ", "\n", "\t ")
REQUEST_KEYS = sorted({*a_review_request(), "subResource"})


def read(body: bytes) -> AdmissionRequest | MalformedReviewError:
    """Read a review; no other exception may come out of it."""
    try:
        return read_review(body)
    except MalformedReviewError as error:
        return error


@st.composite
def spelled_texts(draw: st.DrawFn, text: str) -> str:
    """A JSON string for the text, each of its characters escaped or not."""
    return f'"{"".join(_spelled(draw, character) for character in text)}"'


def _spelled(draw: st.DrawFn, character: str) -> str:
    must_escape = character in '"\\' or ord(character) < 0x20
    if not must_escape and draw(st.booleans()):
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


@st.composite
def spelled_objects(draw: st.DrawFn, depth: int = 2) -> tuple[str, bool]:
    """A JSON object in some odd spelling, and whether any object in it has a key twice."""
    keys = draw(st.lists(texts, max_size=4))
    is_ambiguous = len(set(keys)) < len(keys)
    members: list[str] = []
    for key in keys:
        value, value_is_ambiguous = draw(_spelled_values(depth))
        is_ambiguous = is_ambiguous or value_is_ambiguous
        before, after = draw(st.sampled_from(SPACES)), draw(st.sampled_from(SPACES))
        members.append(f"{draw(spelled_texts(key))}{before}:{after}{value}")
    space = draw(st.sampled_from(SPACES))
    return f"{{{space}{','.join(members)}}}{space}", is_ambiguous


@st.composite
def _spelled_values(draw: st.DrawFn, depth: int) -> tuple[str, bool]:
    choice = draw(st.integers(0, 3 if depth else 1))
    if choice == 0:
        return draw(st.sampled_from(["1", "1.50", "-0", "1E3", "true", "null", "[]"])), False
    if choice == 1:
        return draw(spelled_texts(draw(texts))), False
    inner, is_ambiguous = draw(spelled_objects(depth - 1))
    return (inner if choice == 2 else f"[{inner},{inner}]"), is_ambiguous


@pytest.mark.requirement("fail-closed.ambiguous-review")
@given(spelled_objects())
@example(('{"x":"\\u003a","b":1,"b":2}', True))
@example(('{"a" :1,"b":1,"b":2}', True))
def test_a_key_twice_is_refused_in_any_spelling_and_nothing_else_is(pair: tuple[str, bool]) -> None:
    text, is_ambiguous = pair
    body = text.encode()
    if is_ambiguous:
        with pytest.raises(MalformedReviewError, match="twice in one object"):
            read_json_object(body)
    else:
        assert read_json_object(body) == json.loads(body)


@pytest.mark.requirement("fail-closed.malformed-review")
@given(st.one_of(st.binary(), st.text().map(str.encode), json_values.map(orjson.dumps)))
def test_arbitrary_bytes_are_refused_and_nothing_else_is_raised(body: bytes) -> None:
    assert isinstance(read(body), MalformedReviewError)


@pytest.mark.requirement("fail-closed.malformed-review")
@given(json_objects.map(lambda request: a_review(None) if not request else a_review(request)))
def test_an_arbitrary_request_is_refused_or_read(body: bytes) -> None:
    read(body)


@pytest.mark.requirement("fail-closed.malformed-review")
@given(
    st.sampled_from(list(Operation)),
    st.dictionaries(st.sampled_from(REQUEST_KEYS), json_values, max_size=3),
    st.sets(st.sampled_from(REQUEST_KEYS), max_size=2),
)
def test_a_review_with_some_parts_exchanged_is_read_as_it_says_or_refused(
    operation: Operation, changes: dict[str, Json], without: set[str]
) -> None:
    whole = {**a_review_request(a_request(operation)), **changes}
    request = {key: value for key, value in whole.items() if key not in without}
    found = read(a_review(request))
    if isinstance(found, MalformedReviewError):
        has_uid = isinstance(request.get("uid"), str) and 0 < len(str(request["uid"])) <= 128
        assert found.uid == (request["uid"] if has_uid else "")
        assert str(found).isprintable()
        assert len(str(found)) < 400
        return
    user = cast("dict[str, Json]", request["userInfo"])
    assert (found.uid, found.operation.value) == (request["uid"], request["operation"])
    assert found.user.username == user["username"]
    assert found.obj == request.get("object")
    assert found.old == request.get("oldObject")
    assert found.namespace == (request.get("namespace") or "")
    assert found.dry_run == (request.get("dryRun") is True)


@given(json_objects, json_objects)
def test_the_objects_under_review_are_handed_on_unchanged(
    spec: dict[str, Json], old: dict[str, Json]
) -> None:
    request = a_review_request(
        a_request(Operation.UPDATE), object={"spec": spec}, oldObject={"spec": old}
    )
    found = read_review(a_review(request))
    assert (found.uid, found.obj, found.old) == (UID, {"spec": spec}, {"spec": old})
