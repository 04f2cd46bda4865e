"""The canonical form of any value: one to one, and RFC 8785 wherever that has a form."""

import json

import orjson
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from controller.apis.json import Json
from controller.records.canonical import CanonicalError, canonical, parsed, restored

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
)


def _nested(values: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    keys = st.one_of(st.sampled_from(["$int", "$literal", "a"]), TEXTS)
    return st.one_of(st.lists(values, max_size=4), st.dictionaries(keys, values, max_size=3))


def _plain(values: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.one_of(st.lists(values, max_size=3), st.dictionaries(TEXTS, values, max_size=3))


VALUES: st.SearchStrategy[Json] = st.recursive(SCALARS, _nested, max_leaves=12)
SAFE: st.SearchStrategy[Json] = st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), TEXTS)
PLAIN_VALUES: st.SearchStrategy[Json] = st.recursive(SAFE, _plain, max_leaves=8)


@given(VALUES)
def test_what_is_written_is_read_back(value: Json) -> None:
    assert parsed(canonical(value)) == value


@given(VALUES, VALUES)
def test_different_values_have_different_forms(one: Json, other: Json) -> None:
    same = canonical(one) == canonical(other)
    assert same == (json.dumps(_typed(one)) == json.dumps(_typed(other)))


@given(VALUES)
def test_the_form_is_json_that_any_parser_reads(value: Json) -> None:
    form = canonical(value)
    assert restored(json.loads(form)) == value
    assert restored(orjson.loads(form)) == value


@given(PLAIN_VALUES)
def test_without_large_integers_it_is_rfc_8785(value: Json) -> None:
    if '"$' not in json.dumps(value):
        assert canonical(value) == rfc8785.dumps(value)


@given(st.binary(max_size=60))
def test_bytes_are_one_form_or_refused(content: bytes) -> None:
    try:
        value = parsed(content)
    except CanonicalError:
        return
    assert canonical(value) == content


def _typed(value: Json) -> Json:
    """With what JSON does not tell apart made equal: 5.0 and 5, -0.0 and 0; keys sorted."""
    if isinstance(value, dict):
        return {key: _typed(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
