"""The frames between Governor and its engine, and the checks on what comes back.

Pure: bytes in, values out, no I/O. The engine's output is input like any other:
whatever is not exactly what was promised raises `EngineProtocolError`. The
layout is described in `native/opa/frame.go`.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import orjson

from controller.apis.json import Json
from controller.clients.frames import Payload, Reply
from controller.policy.engine import (
    EngineError,
    EngineInputError,
    EngineProtocolError,
    EngineTimeoutError,
    EngineUnavailableError,
    PolicyProblem,
    PolicyRejectedError,
)

LOAD: Final = 0x01
EVALUATE: Final = 0x02
PING: Final = 0x03
LOADED: Final = 0x81
ANSWER: Final = 0x82
PONG: Final = 0x83
REJECTED: Final = 0x84
FAULT: Final = 0x8F

TERM: Final = 0x01
UNDEFINED: Final = 0x02
EXACT: Final = 0x04
WIDE: Final = 0x01

DIGEST_SIZE: Final = 32
_EVALUATE: Final = struct.Struct(">IBBHQqq")
_TIMES_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class UnitError:
    """Why one unit has no value."""

    code: str
    message: str
    text: str
    """The error with its position, as OPA prints it."""


class UnitAnswer(NamedTuple):
    """What one unit answered: its query's bindings, one for each way to satisfy it."""

    unit: str
    bindings: tuple[dict[str, Json], ...] = ()
    error: UnitError | None = None


def evaluate_frame(
    document: bytes, *, request: int, now_ns: int, timeout_seconds: float, flags: int = 0
) -> bytes:
    """Frame one evaluation; `document` is JSON text. Other questions are `frame`s."""
    length = _TIMES_SIZE + len(document)
    allowed_ns = max(0, int(timeout_seconds * 1e9))
    return _EVALUATE.pack(length, EVALUATE, flags, 0, request, now_ns, allowed_ns) + document


def encode_document(document: Mapping[str, Json], *, limit: int) -> bytes:
    """Give the document as JSON text of at most `limit` bytes.

    Raises:
        EngineInputError: when it is too large, too deep or not JSON.
    """
    plain: dict[str, Json] = dict(document)  # orjson takes no other mapping
    try:
        encoded = orjson.dumps(plain)
    except TypeError as error:  # orjson's own error is a TypeError
        encoded = _encode_slowly(plain, error)
    if len(encoded) > limit:
        raise EngineInputError(f"the document has {len(encoded)} bytes; at most {limit} are judged")
    return encoded


def _encode_slowly(document: dict[str, Json], cause: TypeError) -> bytes:
    """Encode integers beyond 64 bits, which orjson refuses and JSON allows."""
    if "Integer" not in str(cause):
        raise EngineInputError(f"the document is not JSON: {cause}") from cause
    try:
        return json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise EngineInputError(f"the document is not JSON: {error}") from error


def split_answer(reply: Reply, known: Mapping[bytes, tuple[str, ...]]) -> tuple[bytes, Payload]:
    """Check an answer's frame; return its policy set's digest, and the body.

    `known` are the digests of the sets that may answer.

    Raises:
        EngineError: what a fault stands for, or `EngineProtocolError`.
    """
    if reply.kind != ANSWER:
        raise unexpected(reply)
    digest = bytes(reply.payload[:DIGEST_SIZE])
    if digest not in known:
        raise EngineProtocolError(f"the answer names a policy set never loaded: {digest.hex()}")
    return digest, reply.payload[DIGEST_SIZE:]


def parse_answer(body: Payload, *, names: tuple[str, ...], wide: bool) -> tuple[UnitAnswer, ...]:
    """Read the answers of all units, which must be those of `names`, in order.

    Raises:
        EngineProtocolError: when anything in it is not as promised.
    """
    try:
        # orjson rounds integers beyond 64 bits; the engine says when there may be some.
        decoded = json.loads(bytes(body)) if wide else orjson.loads(body)
    except ValueError as error:
        raise EngineProtocolError(f"the answer is not JSON: {error}") from error
    if type(decoded) is not list or len(cast("list[Json]", decoded)) != len(names):
        raise EngineProtocolError(f"the answer is not a list of {len(names)} units")
    entries = cast("list[Json]", decoded)
    return tuple(map(_unit_answer, entries, names))


def _unit_answer(entry: Json, name: str) -> UnitAnswer:
    if type(entry) is not dict or entry.get("unit") != name or len(entry) != len(("unit", "value")):
        raise EngineProtocolError(f"the answer of unit {name} is missing or malformed")
    value = entry.get("value")
    if type(value) is list and all(type(binding) is dict for binding in value):
        return UnitAnswer(name, tuple(cast("list[dict[str, Json]]", value)))
    return UnitAnswer(name, error=_unit_error(entry.get("error"), name))


def _unit_error(error: Json, name: str) -> UnitError:
    if type(error) is not dict:
        raise EngineProtocolError(f"unit {name} answered neither bindings nor an error")
    texts = (error.get("code"), error.get("message"), error.get("text"))
    code, message, text = (item if type(item) is str else None for item in texts)
    if code is None or message is None or text is None:
        raise EngineProtocolError(f"the error of unit {name} is malformed")
    return UnitError(code, message, text)


def check_loaded(reply: Reply, digest: bytes) -> None:
    """Accept only the promise that the set with this digest is loaded.

    Raises:
        PolicyRejectedError: when the engine refused the set.
        EngineError: what a fault stands for, or `EngineProtocolError`.
    """
    if reply.kind == REJECTED:
        raise PolicyRejectedError(_problems(reply.payload))
    if reply.kind != LOADED:
        raise unexpected(reply)
    if reply.payload != digest:
        raise EngineProtocolError("the engine loaded another policy set than the one it was given")


def _problems(payload: Payload) -> tuple[PolicyProblem, ...]:
    try:
        body = orjson.loads(payload)
        problems = tuple(map(_problem, body["problems"]))
    except (ValueError, TypeError, KeyError) as error:
        raise EngineProtocolError(f"the engine's refusal is malformed: {error!r}") from error
    if not problems:
        raise EngineProtocolError("the engine refused a policy set without a reason")
    return problems


def _problem(body: dict[str, Json]) -> PolicyProblem:
    types = {name: type(value) for name, value in body.items()}
    if types != _PROBLEM_TYPES:
        raise TypeError(f"a problem has the fields {types}")
    return PolicyProblem(**cast("dict[str, Any]", body))


_PROBLEM_TYPES: Final[dict[str, type]] = {
    "unit": str,
    "file": str,
    "row": int,
    "column": int,
    "code": str,
    "message": str,
}


_FAULTS: Final[Mapping[str, type[EngineError]]] = {
    "deadline": EngineTimeoutError,
    "overloaded": EngineUnavailableError,
    "not_loaded": EngineUnavailableError,
    "loading": EngineUnavailableError,
    "bad_input": EngineInputError,
    "internal": EngineUnavailableError,
}


def unexpected(reply: Reply) -> EngineError:
    """Give the error that a fault, or a reply of the wrong kind, stands for."""
    if reply.kind != FAULT:
        return EngineProtocolError(f"the engine answered with kind {reply.kind:#x}")
    try:
        body = orjson.loads(reply.payload)
        return _FAULTS[body["code"]](str(body["message"]))
    except (ValueError, TypeError, KeyError) as error:
        return EngineProtocolError(f"the engine's fault is malformed: {error!r}")
