"""Decoding what others stored: whatever the API server passes on is read, and told apart."""

import json
import sys
import threading
import time

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.apis.decoding import KEPT_LEVELS, decoded
from controller.apis.json import Json
from controller.records.content import content_digest
from tests.strategies import json_values

KEY = b"c" * 32


def nested(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    """A document of so many levels with a number within."""
    return opening * levels + "1" + closing * levels


def levels_of(value: Json) -> int:
    """How many levels there are, down first children."""
    levels = 0
    while isinstance(value, dict | list):
        levels += 1
        value = next(iter(value.values() if isinstance(value, dict) else value))
    return levels


ODD = [
    pytest.param(b'"\\ud800"', "\ud800", id="the first half of a surrogate pair"),
    pytest.param(b'"a\\udc00b"', "a\udc00b", id="the second half"),
    pytest.param(b'"\xff"', "\udcff", id="a byte that is no UTF-8"),
    pytest.param(b'"\xed\xa0\x80"', "\udced\udca0\udc80", id="a half as three bytes"),
    pytest.param(b"1e999", 10**309, id="a number beyond every double"),
    pytest.param(b"-1e999", -(10**309), id="a number below every double"),
    pytest.param(b"9" * 5000, 10**309, id="an integer of thousands of digits"),
]


@pytest.mark.parametrize(("written", "value"), ODD)
def test_what_the_fast_reader_refuses_is_read_with_all_that_is_beside_it(
    written: bytes, value: Json
) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(written)
    assert decoded(b'{"odd":' + written + b',"other":[1,2.5,"\xc3\xa9"]}') == {
        "odd": value,
        "other": [1, 2.5, "é"],
    }


@pytest.mark.requirement("record-before-effect.gaps-known")
@pytest.mark.parametrize(
    "written", [*(case.values[0] for case in ODD), nested(1_200).encode(), nested(9_999).encode()]
)
def test_what_was_read_so_has_the_digest_of_no_write(written: bytes) -> None:
    found = decoded(b'{"items":[{"metadata":{"name":"a"},"data":[' + written + b"]}]}")
    assert isinstance(found, dict)
    assert isinstance(items := found["items"], list)
    assert isinstance(obj := items[0], dict)
    assert obj["metadata"] == {"name": "a"}
    assert content_digest(obj, key=KEY) == ""


DEEP = [
    pytest.param('{"a":', "}", id="objects"),
    pytest.param("[", "]", id="lists"),
    pytest.param('{"]}":[', "]}", id="both, with brackets in the texts"),
    pytest.param('{"\\"{[\\\\":', "}", id="texts with escaped quotes"),
]


@pytest.mark.parametrize("levels", [1_025, 1_200, 9_000, 10_000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), DEEP)
def test_a_part_that_is_too_deep_is_null_and_all_beside_it_is_read(
    opening: str, closing: str, levels: int
) -> None:
    deep = nested(levels, opening, closing)
    found = decoded(f'{{"deep":{deep},"next":[{deep},"[{{"],"last":1}}'.encode())
    assert isinstance(found, dict)
    assert levels_of(found["deep"]) == KEPT_LEVELS - 1
    assert isinstance(following := found["next"], list)
    assert following[1:] == ["[{"]
    assert found["last"] == 1


def test_a_thread_reads_as_deep_and_leaves_the_recursion_limit_alone() -> None:
    found: list[Json] = []
    limit = sys.getrecursionlimit()
    thread = threading.Thread(target=lambda: found.append(decoded(nested(10_000).encode())))
    thread.start()
    thread.join()
    assert levels_of(found[0]) == KEPT_LEVELS
    assert sys.getrecursionlimit() == limit


def test_what_is_as_deep_as_the_fast_reader_reads_is_whole() -> None:
    assert levels_of(decoded(nested(1_000).encode())) == 1_000


def test_a_large_and_deep_document_is_read_in_a_time_that_is_linear() -> None:
    """Half of it quotes that never end, where a careless pattern would begin anew at each."""

    def seconds(size: int) -> float:
        texts = '"\\"\\"",' * size
        content = f"[{texts}{nested(1_200)},{texts}1]".encode()
        begun = time.process_time()
        decoded(content)
        unended = f"[{nested(1_200)},".encode() + b'"' + b'\\"' * size
        with pytest.raises(ValueError, match=r"Unterminated|Expecting|Invalid"):
            decoded(unended)
        return time.process_time() - begun

    seconds(1_000)
    assert seconds(200_000) < 100 * max(seconds(20_000), 0.01)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>", id="a proxy's words"),
        pytest.param(b'{"a":"\\ud800"', id="cut"),
        pytest.param(nested(2_000).encode()[:-1], id="deep and cut at its end"),
        pytest.param(nested(2_000).encode()[:8_000], id="deep and cut on its way down"),
        pytest.param(b"[" * 100_000, id="never closed"),
        pytest.param(b"[" * 2_000 + b"}" * 2_000, id="closed by another bracket"),
        pytest.param(b"]" * 2_000, id="never opened"),
        pytest.param(b"NaN", id="not a number"),
        pytest.param(b"[-Infinity]", id="infinity"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', id="a byte order mark"),
        pytest.param(b'"\n"', id="a raw line end in a text"),
    ],
)
def test_what_is_no_document_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decoded(content)


@given(json_values)
@example([-0.0, 0, 1e16, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), 1.5e-300])
@example({"n": [None, [], {}], "t": "\u2028<&>\x7f"})
def test_what_is_beside_it_is_read_as_ever(value: Json) -> None:
    """The digest of an object must not hang on what is on the same page of a list."""
    written = orjson.dumps(value)
    beside = decoded(b'["\\ud800",' + written + b"]")
    under = decoded(b"[" + nested(1_200).encode() + b"," + written + b"]")
    assert isinstance(beside, list)
    assert isinstance(under, list)
    assert orjson.dumps(beside[1]) == orjson.dumps(under[1]) == orjson.dumps(orjson.loads(written))


@pytest.mark.parametrize(
    "number", ["-0", "1E3", "1.0", "18446744073709551616", "-9223372036854775809", "1" * 300]
)
def test_numbers_in_any_spelling_are_read_as_ever(number: str) -> None:
    beside = decoded(f'["\\ud800",{number}]'.encode())
    assert isinstance(beside, list)
    assert orjson.dumps(beside[1]) == orjson.dumps(orjson.loads(number))


@given(st.binary() | st.text().map(str.encode))
def test_arbitrary_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        found = decoded(content)
    except ValueError:
        return
    assert found == json.loads(content.decode(errors="surrogateescape"))
