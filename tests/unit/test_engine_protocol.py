"""Frames and answers: what goes out is exact, what comes in is believed only if promised."""

import json
import struct
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.apis.json import Json
from controller.clients.engine import protocol
from controller.clients.engine.supervisor import unit_result
from controller.clients.frames import Reply, frame
from controller.policy.engine import (
    EngineError,
    EngineInputError,
    EngineProtocolError,
    EngineTimeoutError,
    EngineUnavailableError,
    PolicyProblem,
    PolicyRejectedError,
    UnitResult,
)

DIGEST = bytes(range(32))
KNOWN = {DIGEST: ("a", "b")}
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
PROBLEM = {"unit": "u", "file": "f", "row": 1, "column": 2, "code": "c", "message": "m"}


def entry(name: str, **rest: object) -> dict[str, Any]:
    return {"unit": name, **rest}


def parsed(document: object) -> tuple[protocol.UnitAnswer, ...]:
    return protocol.parse_answer(json.dumps(document).encode(), names=("a", "b"), wide=False)


def test_an_evaluation_is_framed_byte_by_byte() -> None:
    framed = protocol.evaluate_frame(b"{}", request=7, now_ns=-1, timeout_seconds=1.5, flags=4)
    assert framed == (
        b"\x00\x00\x00\x12\x02\x04\x00\x00" + struct.pack(">Qqq", 7, -1, 1_500_000_000) + b"{}"
    )


def test_a_time_allowed_that_is_over_is_none() -> None:
    framed = protocol.evaluate_frame(b"{}", request=7, now_ns=0, timeout_seconds=-3)
    assert framed[24:32] == bytes(8)


def test_other_questions_are_framed_byte_by_byte() -> None:
    assert frame(protocol.PING, 2**63, b"x") == (
        b"\x00\x00\x00\x01\x03\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00x"
    )


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON))
def test_documents_survive_their_encoding(document: dict[str, Any]) -> None:
    assume_encodable = json.dumps(document).encode("utf-8", "strict")
    try:
        encoded = protocol.encode_document(document, limit=1 << 20)
    except EngineInputError:
        assert b"\\ud" in assume_encodable  # only lone surrogates have no UTF-8
        return
    assert json.loads(encoded) == document


UNENCODABLE: list[Any] = [
    pytest.param({"a": "x" * 100}, "has 108 bytes; at most 50", id="too large"),
    pytest.param({"a": object()}, "not JSON", id="not JSON"),
    pytest.param({"a": "\ud800"}, "not JSON", id="not Unicode"),
    pytest.param({"a": 2**70, "b": object()}, "not JSON", id="not JSON beside a large number"),
    pytest.param({"a": 2**70, "b": float("inf")}, "not JSON", id="infinity"),
]


@pytest.mark.parametrize(("document", "message"), UNENCODABLE)
def test_documents_that_have_no_encoding_are_named(document: dict[str, Json], message: str) -> None:
    with pytest.raises(EngineInputError, match=message):
        protocol.encode_document(document, limit=50)


def test_an_answer_names_the_set_that_gave_it() -> None:
    digest, body = protocol.split_answer(Reply(protocol.ANSWER, 0, DIGEST + b"[]"), KNOWN)
    assert (digest, bytes(body)) == (DIGEST, b"[]")


@pytest.mark.parametrize("payload", [b"", DIGEST[:31], b"x" * 32 + b"[]"])
def test_an_answer_of_an_unknown_set_is_refused(payload: bytes) -> None:
    with pytest.raises(EngineProtocolError, match="never loaded"):
        protocol.split_answer(Reply(protocol.ANSWER, 0, payload), KNOWN)


def test_every_unit_has_bindings_or_an_error() -> None:
    error = {"code": "c", "message": "m", "file": "f", "row": 1, "column": 2, "text": "t"}
    bound, failed = parsed([entry("a", value=[{"x": 1}, {"x": 2}]), entry("b", error=error)])
    assert bound == protocol.UnitAnswer("a", ({"x": 1}, {"x": 2}))
    assert failed == protocol.UnitAnswer("b", error=protocol.UnitError("c", "m", "t"))


GOOD = entry("b", value=[])
MALFORMED: dict[str, Any] = {
    "not a list": {},
    "too few units": [GOOD],
    "too many units": [entry("a", value=[]), GOOD, GOOD],
    "units in another order": [GOOD, entry("a", value=[])],
    "a unit that is no object": ["a", GOOD],
    "neither value nor error": [entry("a"), GOOD],
    "value and error": [entry("a", value=[], error={}), GOOD],
    "something else beside": [entry("a", other=[]), GOOD],
    "a value that is no list": [entry("a", value={"x": 1}), GOOD],
    "a binding that is no object": [entry("a", value=["x"]), GOOD],
    "an error that is no object": [entry("a", error="x"), GOOD],
    "an error without its text": [entry("a", error={"code": "c", "message": "m"}), GOOD],
    "an error whose code is no text": [
        entry("a", error={"code": 1, "message": "m", "text": "t"}),
        GOOD,
    ],
}


@pytest.mark.parametrize("document", MALFORMED.values(), ids=MALFORMED.keys())
def test_answers_that_are_not_as_promised_are_refused(document: object) -> None:
    with pytest.raises(EngineProtocolError):
        parsed(document)


@pytest.mark.parametrize("wide", [False, True], ids=["narrow", "wide"])
@given(body=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_back_is_an_answer_or_a_protocol_error(body: bytes, *, wide: bool) -> None:
    try:
        answers = protocol.parse_answer(body, names=("a",), wide=wide)
    except EngineProtocolError:
        return
    assert [answer.unit for answer in answers] == ["a"]


def test_wide_numbers_keep_their_digits() -> None:
    body = b'[{"unit":"a","value":[{"x":123456789012345678901234567890}]}]'
    (answer,) = protocol.parse_answer(body, names=("a",), wide=True)
    assert answer.bindings == ({"x": 123456789012345678901234567890},)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("deadline", EngineTimeoutError),
        ("overloaded", EngineUnavailableError),
        ("not_loaded", EngineUnavailableError),
        ("loading", EngineUnavailableError),
        ("internal", EngineUnavailableError),
        ("bad_input", EngineInputError),
    ],
)
def test_every_fault_is_an_error_of_the_port(code: str, error: type[EngineError]) -> None:
    fault = Reply(protocol.FAULT, 0, json.dumps({"code": code, "message": "why"}).encode())
    with pytest.raises(error, match=r"^why$"):
        protocol.split_answer(fault, KNOWN)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_fault_that_cannot_be_read_is_a_protocol_error(payload: bytes) -> None:
    error = protocol.unexpected(Reply(protocol.FAULT, 0, payload))
    assert isinstance(error, EngineProtocolError)


def test_a_refusal_carries_its_problems() -> None:
    body = orjson.dumps({"problems": [PROBLEM]})
    with pytest.raises(PolicyRejectedError, match=r"^f:1:2: c: m$") as refused:
        protocol.check_loaded(Reply(protocol.REJECTED, 0, body), DIGEST)
    assert refused.value.problems == (PolicyProblem("u", "f", 1, 2, "c", "m"),)


REFUSALS: dict[str, Any] = {
    "no problems": {"problems": []},
    "no list of problems": {},
    "no object": [],
    "a problem that lacks a field": {"problems": [{"unit": "u"}]},
    "a problem with a field too many": {"problems": [PROBLEM | {"more": 1}]},
    "a row that is no number": {"problems": [PROBLEM | {"row": "1"}]},
    "a message that is no text": {"problems": [PROBLEM | {"message": None}]},
}


@pytest.mark.parametrize("body", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_that_cannot_be_read_is_a_protocol_error(body: object) -> None:
    with pytest.raises(EngineProtocolError):
        protocol.check_loaded(Reply(protocol.REJECTED, 0, orjson.dumps(body)), DIGEST)


def test_a_promise_to_have_loaded_is_believed_for_the_same_digest_only() -> None:
    protocol.check_loaded(Reply(protocol.LOADED, 0, memoryview(DIGEST)), DIGEST)
    with pytest.raises(EngineProtocolError, match="another policy set"):
        protocol.check_loaded(Reply(protocol.LOADED, 0, b"x" * 32), DIGEST)
    with pytest.raises(EngineProtocolError, match="kind 0x82"):
        protocol.check_loaded(Reply(protocol.ANSWER, 0, DIGEST), DIGEST)


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        pytest.param(
            protocol.UnitAnswer("a", ({"deny": []},)),
            UnitResult("a", value={"deny": []}),
            id="one answer is the value",
        ),
        pytest.param(
            protocol.UnitAnswer("a"),
            UnitResult("a", error="the unit's query gave 0 answers instead of one"),
            id="no answer is an error",
        ),
        pytest.param(
            protocol.UnitAnswer("a", ({}, {})),
            UnitResult("a", error="the unit's query gave 2 answers instead of one"),
            id="two answers are an error",
        ),
        pytest.param(
            protocol.UnitAnswer("a", error=protocol.UnitError("c", "m", "t")),
            UnitResult("a", error="t"),
            id="an error is an error",
        ),
    ],
)
def test_a_unit_has_one_answer(answer: protocol.UnitAnswer, result: UnitResult) -> None:
    assert unit_result(answer) == result


def test_problems_read_as_editors_read_them() -> None:
    assert str(PolicyProblem("u", "f.rego", 3, 1, "c", "m")) == "f.rego:3:1: c: m"
    assert str(PolicyProblem("u", "", 0, 0, "c", "m")) == "u: c: m"
    assert str(PolicyProblem("", "", 0, 0, "c", "m")) == "policy set: c: m"
