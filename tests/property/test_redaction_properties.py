"""Whatever a confidential value is and wherever it stands, it is not in what comes out."""

import copy

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.apis.governance import Governance, RedactedFields
from controller.apis.json import Json
from controller.apis.requests import Operation
from controller.changes.fields import changed_fields
from controller.records.redaction import redact
from controller.records.stamps import read_stamp
from tests.builders import SECRETS, a_request, an_object
from tests.recorded import CONTENT_KEY, STAMP_KEY, annotated
from tests.strategies import json_objects, json_values, texts

letters = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789+/=", min_size=12, max_size=40)
values = letters.map(lambda text: f"confidential{text}")
field_names = st.sampled_from(["data", "stringData"])


@st.composite
def secrets(draw: st.DrawFn) -> tuple[dict[str, Json], list[str]]:
    """A Secret with values at odd places, repeated in annotations, and those values."""
    confidential = draw(st.lists(values, min_size=1, max_size=4, unique=True))
    entries: dict[str, Json] = {}
    for value in confidential:
        wraps: list[Json] = [value, [value], {"nested": value}]
        wrapped = draw(st.sampled_from(wraps))
        entries[draw(texts) + str(len(entries))] = wrapped
    obj: dict[str, Json] = {**an_object(SECRETS), draw(field_names): entries}
    note = draw(
        st.sampled_from(["", f"see {confidential[0]}", f'{{"data": "{confidential[-1]}"}}'])
    )
    return annotated(obj, note=note), confidential


@pytest.mark.requirement("record-before-effect.secrets-unseen")
@given(secrets(), secrets())
def test_no_confidential_value_occurs_anywhere_in_the_output(
    old: tuple[dict[str, Json], list[str]], new: tuple[dict[str, Json], list[str]]
) -> None:
    request = a_request(Operation.UPDATE, target=SECRETS, old=old[0], obj=new[0])
    given_bytes = orjson.dumps([request.obj, request.old])

    found = redact(request, governance=Governance(), key=CONTENT_KEY)

    output = orjson.dumps([found.request.obj, found.request.old, list(found.paths)]).decode()
    assert not [value for value in (*old[1], *new[1]) if value in output]
    assert orjson.dumps([request.obj, request.old]) == given_bytes


@given(json_objects, json_objects)
def test_a_field_changes_after_redaction_exactly_if_it_did_before(
    old: dict[str, Json], new: dict[str, Json]
) -> None:
    request = a_request(
        Operation.UPDATE, obj={**an_object(), "spec": new}, old={**an_object(), "spec": old}
    )
    rule = RedactedFields(("*",), ("*",), ("spec",))

    found = redact(request, governance=Governance(redacted_fields=(rule,)), key=CONTENT_KEY)

    before = changed_fields(request.old, request.obj)
    after = changed_fields(found.request.old, found.request.obj)
    assert after == before


@given(json_objects.filter(bool))
def test_redaction_of_any_object_is_deterministic_and_leaves_it_alone(
    obj: dict[str, Json],
) -> None:
    rule = RedactedFields(("*",), ("*",), ('a[*]["b"]', "metadata.name", "data", "a.b"))
    request = a_request(obj=copy.deepcopy(obj))
    governance = Governance(redacted_fields=(rule,))

    once = redact(request, governance=governance, key=CONTENT_KEY)

    assert request.obj == obj
    assert once == redact(request, governance=governance, key=CONTENT_KEY)


@given(json_values)
def test_a_stamp_of_any_shape_is_read_without_a_fault(annotation: Json) -> None:
    obj: dict[str, Json] = {"metadata": {"annotations": annotation}}

    assert read_stamp(obj, key=STAMP_KEY) == ""
    assert read_stamp({"metadata": annotation}, key=STAMP_KEY) == ""
    inner: dict[str, Json] = {"metadata": {"annotations": {"governor.dev/change": annotation}}}
    assert read_stamp(inner, key=STAMP_KEY) == ""
