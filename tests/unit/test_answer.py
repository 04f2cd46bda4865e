"""The answer that the API server gets: its uid, a verdict, nothing that costs an audit event."""

import json
import re
from typing import Any, cast

import pytest

from controller.admission.answer import MAX_WARNINGS, write_answer, write_malformed
from controller.admission.judge import Denied, Granted
from controller.admission.review import MalformedReviewError
from controller.apis.mandates import Enforcement
from controller.policy.denials import Denial
from tests.builders import AGENT, CHANGE, DIGEST, UID, a_denial

FACES = "😀" * 10_000
ANNOTATION_KEY = re.compile(r"[A-Za-z0-9._-]{1,63}")


def answered(outcome: Granted | Denied) -> dict[str, Any]:
    """The `response` of the answer, whose envelope must be right."""
    return opened(write_answer(UID, outcome))


def opened(answer: bytes) -> dict[str, Any]:
    review = cast("dict[str, Any]", json.loads(answer))
    assert (review["apiVersion"], review["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert review.keys() == {"apiVersion", "kind", "response"}
    return cast("dict[str, Any]", review["response"])


def granted(
    *relaxed: Denial, warnings: tuple[str, ...] = (), enforcement: Enforcement = Enforcement.ENFORCE
) -> Granted:
    return Granted(CHANGE, "migrator", warnings, relaxed, enforcement, DIGEST)


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
def test_a_write_that_is_not_governed_is_allowed_and_nothing_is_added() -> None:
    assert answered(Granted(CHANGE, mandate=None)) == {"uid": UID, "allowed": True}


def test_a_granted_write_is_allowed_and_annotated() -> None:
    assert answered(granted()) == {
        "uid": UID,
        "allowed": True,
        "auditAnnotations": {
            "verdict": "granted",
            "change": CHANGE,
            "mandate": "migrator",
            "policies": DIGEST,
        },
    }


@pytest.mark.requirement("explains-itself.final-or-retry")
def test_a_denied_write_is_forbidden_with_its_reason() -> None:
    response = answered(Denied(CHANGE, "migrator", (a_denial("one"), a_denial("two")), DIGEST))
    status = response["status"]
    assert response["allowed"] is False
    assert (status["status"], status["code"], status["reason"]) == ("Failure", 403, "Forbidden")
    assert status["message"].startswith("governor: denied [one] ")
    assert status["details"]["causes"] == [
        {"reason": code, "message": "field data is not granted", "field": "data"}
        for code in ("one", "two")
    ]
    assert response["auditAnnotations"] == {
        "verdict": "denied",
        "change": CHANGE,
        "mandate": "migrator",
        "codes": "one,two",
        "policies": DIGEST,
    }


@pytest.mark.requirement("explains-itself.final-or-retry")
def test_even_a_denial_worth_repeating_is_no_429() -> None:
    response = answered(Denied(CHANGE, "migrator", (Denial("c", "m", "r", retry=True),)))
    assert response["status"]["code"] == 403
    assert "retryAfterSeconds" not in response["status"]["details"]


def test_a_denial_by_a_guard_names_no_policies() -> None:
    response = answered(Denied(CHANGE, AGENT, (Denial("suspended", "m", "r"),)))
    assert "policies" not in response["auditAnnotations"]
    assert response["auditAnnotations"]["mandate"] == AGENT


@pytest.mark.requirement("explains-itself.relaxed")
def test_a_mandate_that_warns_allows_with_the_denial_as_a_warning() -> None:
    response = answered(granted(a_denial("one"), enforcement=Enforcement.WARN))
    assert response["allowed"] is True
    assert response["warnings"] == ["governor: would be denied [one] field data is not granted"]
    assert response["auditAnnotations"]["verdict"] == "warned"
    assert response["auditAnnotations"]["codes"] == "one"


@pytest.mark.requirement("explains-itself.relaxed")
def test_a_mandate_in_the_shadow_allows_silently_and_is_annotated() -> None:
    response = answered(granted(a_denial("one"), enforcement=Enforcement.SHADOW))
    assert response["allowed"] is True
    assert "warnings" not in response
    assert response["auditAnnotations"]["verdict"] == "shadowed"
    assert response["auditAnnotations"]["codes"] == "one"


@pytest.mark.parametrize("enforcement", list(Enforcement))
def test_a_relaxed_mandate_with_nothing_to_relax_is_plainly_granted(
    enforcement: Enforcement,
) -> None:
    response = answered(granted(enforcement=enforcement))
    assert response["auditAnnotations"]["verdict"] == "granted"


def test_policies_own_warnings_are_passed_on_once_each() -> None:
    response = answered(granted(warnings=("careful", "careful", "slowly")))
    assert response["warnings"] == ["governor: careful", "governor: slowly"]


def test_no_more_warnings_are_sent_than_arrive_whole() -> None:
    warnings = tuple(f"{number:03}" + "x" * 500 for number in range(100))
    response = answered(granted(warnings=warnings))
    assert len(response["warnings"]) == MAX_WARNINGS
    assert sum(map(len, response["warnings"])) <= 4096


@pytest.mark.requirement("explains-itself.safe-text")
def test_an_audit_annotation_holds_ids_and_verdicts_only_and_is_small() -> None:
    hostile = tuple(
        Denial(f"code-{n}", FACES, FACES, field=FACES, asked=FACES, limit=FACES) for n in range(500)
    )
    response = answered(Denied(CHANGE, f"\x1b[2J{FACES}", hostile, DIGEST))
    annotations = response["auditAnnotations"]
    assert all(ANNOTATION_KEY.fullmatch(key) for key in annotations)
    assert all(value.isprintable() for value in annotations.values())
    del annotations["mandate"]
    assert "😀" not in json.dumps(annotations, ensure_ascii=False)
    assert len(json.dumps(annotations)) < 1024


@pytest.mark.requirement("explains-itself.safe-text")
@pytest.mark.parametrize("letter", ["x", "😀", "\\", '"', "\x00", "é", "\u202e"])
def test_no_answer_outgrows_32_kilobytes(letter: str) -> None:
    text = letter * 20_000
    hostile = Denial("c" * 63, text, text, field=text, asked=text, limit=[text], passes=text)
    answer = write_answer(UID, Denied(CHANGE, text, (hostile,) * 500, DIGEST))
    assert len(answer) < 32 * 1024
    relaxed = granted(*(hostile,) * 500, warnings=(text,) * 500, enforcement=Enforcement.WARN)
    assert len(write_answer(UID, relaxed)) < 32 * 1024


@pytest.mark.requirement("fail-closed.malformed-review")
def test_a_malformed_review_is_refused_under_its_uid() -> None:
    answer = write_malformed(MalformedReviewError("request.operation", "is 'PATCH'", UID))
    assert opened(answer) == {
        "uid": UID,
        "allowed": False,
        "status": {
            "status": "Failure",
            "code": 400,
            "reason": "BadRequest",
            "message": "governor: denied [request-malformed] request.operation: is 'PATCH'",
        },
    }
