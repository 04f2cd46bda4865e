"""Writes the API server's answer for an outcome: a complete AdmissionReview as bytes.

Denied is 403, never 429 (the API server would resend it). No answer grows with
what a caller or a policy wrote: an audit event is lost when it is too large. A postponed write has
no AdmissionReview: the shell answers HTTP 503 with `Retry-After`. Audit
annotations hold ids and verdicts only, never text that a caller chose.
"""

from http import HTTPStatus
from itertools import islice

import orjson

from controller.admission.explain import (
    MAX_LISTED,
    shown,
    word_denial,
    word_relaxed,
    word_warning,
)
from controller.admission.judge import Denied, Granted
from controller.admission.review import API_VERSION, MalformedReviewError
from controller.apis.json import Json
from controller.apis.mandates import Enforcement
from controller.policy.denials import Code

MAX_WARNINGS = 16
"""The API server cuts and drops warnings whose sum is above 4,096 characters."""
_MAX_CAUSE = 120
_MAX_ANNOTATION = 256


def write_answer(uid: str, outcome: Granted | Denied) -> bytes:
    """The AdmissionReview that answers request `uid`."""
    if isinstance(outcome, Denied):
        return _review(uid, _denied(outcome))
    return _review(uid, _granted(outcome))


def write_malformed(error: MalformedReviewError) -> bytes:
    """Refuse a review that cannot be judged but whose uid is known."""
    message = f"governor: denied [{Code.REQUEST_MALFORMED}] {error}"
    status = _status(HTTPStatus.BAD_REQUEST, "BadRequest", message)
    return _review(error.uid, {"allowed": False, "status": status})


def _review(uid: str, response: dict[str, Json]) -> bytes:
    return orjson.dumps(
        {
            "apiVersion": API_VERSION,
            "kind": "AdmissionReview",
            "response": {"uid": uid, **response},
        }
    )


def _granted(outcome: Granted) -> dict[str, Json]:
    if outcome.mandate is None:
        return {"allowed": True}
    response: dict[str, Json] = {
        "allowed": True,
        "auditAnnotations": _annotations(outcome, _verdict(outcome)),
    }
    warnings = [word_warning(text) for text in outcome.warnings]
    if outcome.enforcement is Enforcement.WARN:
        warnings += [word_relaxed(denial) for denial in outcome.relaxed]
    if warnings:
        response["warnings"] = [*islice(dict.fromkeys(warnings), MAX_WARNINGS)]
    return response


def _verdict(outcome: Granted) -> str:
    if not outcome.relaxed:
        return "granted"
    return "warned" if outcome.enforcement is Enforcement.WARN else "shadowed"


def _denied(outcome: Denied) -> dict[str, Json]:
    status = _status(HTTPStatus.FORBIDDEN, "Forbidden", word_denial(outcome))
    status["details"] = {
        "causes": [
            {
                "reason": denial.code,
                "message": shown(denial.message, _MAX_CAUSE),
                "field": shown(denial.field or "", _MAX_CAUSE),
            }
            for denial in outcome.denials[:MAX_LISTED]
        ]
    }
    return {
        "allowed": False,
        "status": status,
        "auditAnnotations": _annotations(outcome, "denied"),
    }


def _status(code: HTTPStatus, reason: str, message: str) -> dict[str, Json]:
    return {"status": "Failure", "code": code.value, "reason": reason, "message": message}


def _annotations(outcome: Granted | Denied, verdict: str) -> dict[str, Json]:
    denials = outcome.denials if isinstance(outcome, Denied) else outcome.relaxed
    found: dict[str, Json] = {"verdict": verdict, "change": outcome.change}
    if outcome.mandate is not None:
        found["mandate"] = shown(outcome.mandate, _MAX_ANNOTATION)
    if denials:
        codes = [*dict.fromkeys(denial.code for denial in denials)]
        found["codes"] = ",".join(codes[:MAX_LISTED])
    if outcome.digest:
        found["policies"] = outcome.digest
    if isinstance(outcome, Granted) and outcome.account:
        found["account"] = outcome.account
    return found
