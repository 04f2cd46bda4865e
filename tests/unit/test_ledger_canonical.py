"""The canonical form: which bytes, what is escaped, what is refused."""

import math

import pytest

from controller.apis.json import Json
from controller.records.canonical import MAX_LEVELS, CanonicalError, canonical, parsed, restored

LARGEST = 2**53 - 1


@pytest.mark.parametrize(
    ("value", "form"),
    [
        pytest.param({"b": 1, "a": 2}, b'{"a":2,"b":1}', id="keys are sorted"),
        pytest.param({"€": 1, "\r": 2}, '{"\\r":2,"€":1}'.encode(), id="as UTF-16 sorts them"),
        pytest.param(
            {"\U0001f600": 1, "\ufb33": 2}, '{"\U0001f600":1,"\ufb33":2}'.encode(), id="surrogates"
        ),
        pytest.param([1, 1.0, 5e-324, 1e21], b"[1,1,5e-324,1e+21]", id="numbers are ECMAScript's"),
        pytest.param(-0.0, b"0", id="minus zero is zero"),
        pytest.param(LARGEST, b"9007199254740991", id="the largest safe integer is itself"),
        pytest.param(LARGEST + 1, b'{"$int":"9007199254740992"}', id="the next is escaped"),
        pytest.param(-(2**63), b'{"$int":"-9223372036854775808"}', id="so is the least int64"),
        pytest.param({"$int": "1"}, b'{"$literal":{"$int":"1"}}', id="a look-alike is wrapped"),
        pytest.param({"$literal": 1}, b'{"$literal":{"$literal":1}}', id="so is a wrapper's"),
        pytest.param({"$int": 1, "a": 2}, b'{"$int":1,"a":2}', id="with another key it is none"),
        pytest.param(True, b"true", id="true is no integer"),
    ],
)
def test_one_value_has_one_form(value: Json, form: bytes) -> None:
    assert canonical(value) == form


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(math.inf, id="infinity"),
        pytest.param({"a": [math.nan]}, id="no number, deep inside"),
        pytest.param(10**39, id="an integer without end"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param({"\ud800": 1}, id="a lone surrogate in a key"),
    ],
)
def test_what_has_no_form_is_refused(value: Json) -> None:
    with pytest.raises(CanonicalError):
        canonical(value)


def nested(levels: int, *, key: str) -> Json:
    """Objects in each other, or lists where there is no key."""
    value: Json = 1
    for _ in range(levels):
        value = {key: value} if key else [value]
    return value


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="lists"),
        pytest.param("a", id="objects"),
        pytest.param("$int", id="objects that are wrapped each"),
    ],
)
def test_whatever_nests_as_deep_as_it_may_can_be_written_and_read(key: str) -> None:
    value = nested(MAX_LEVELS, key=key)
    assert parsed(canonical(value)) == value


@pytest.mark.parametrize("levels", [MAX_LEVELS + 1, 10_000])
def test_what_nests_deeper_is_not_written(levels: int) -> None:
    with pytest.raises(CanonicalError, match="nested more than 300 levels"):
        canonical(nested(levels, key=""))


@pytest.mark.parametrize("levels", [MAX_LEVELS + 1, 400, 900, 100_000])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}"), ('{"$int":', "}")])
def test_what_nests_deeper_is_not_read(start: str, end: str, levels: int) -> None:
    with pytest.raises(CanonicalError):
        parsed(f"{start * levels}1{end * levels}".encode())


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(2**63 - 1, id="the largest int64"),
        pytest.param(1e17, id="a float that is written as digits"),
        pytest.param({"$int": "9223372036854775807"}, id="an object that looks like an integer"),
        pytest.param({"$literal": {"$int": "1"}}, id="an object that looks wrapped"),
        pytest.param({"a": [{"$literal": ["y"]}, None, "x"]}, id="nested"),
    ],
)
def test_a_value_comes_back(value: Json) -> None:
    found = parsed(canonical(value))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"b":1,"a":2}', id="unsorted"),
        pytest.param(b'{"a": 2}', id="with a blank"),
        pytest.param(b'{"a":1,"a":2}', id="a key twice"),
        pytest.param(b'{"a":1.0}', id="another spelling of a number"),
        pytest.param(b'{"$int":"5"}', id="an integer that needs no escape"),
        pytest.param(b'{"$int":"09007199254740992"}', id="a leading zero"),
        pytest.param('{"$int":"٩٠٠٧١٩٩٢٥٤٧٤٠٩٩٢"}'.encode(), id="other digits"),
        pytest.param(b'{"$int":9007199254740992}', id="an escape that holds a number"),
        pytest.param(b'{"$literal":{"a":1}}', id="a wrapper that nothing needs"),
        pytest.param(b'{"a":1}\n', id="an end of line"),
        pytest.param(b'"\\u0041"', id="an escape that nothing needs"),
        pytest.param(b"{", id="half of it"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'"\xff"', id="no UTF-8"),
    ],
)
def test_any_other_bytes_are_not_canonical(content: bytes) -> None:
    with pytest.raises(CanonicalError):
        parsed(content)


def test_an_integer_of_any_length_is_no_work() -> None:
    with pytest.raises(CanonicalError, match="no integer that needs it"):
        restored({"$int": "9" * 100_000})
