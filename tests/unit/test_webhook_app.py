"""The webhook's HTTP: every answer that is not a verdict refuses, and the log keeps secrets."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from controller.admission.review import MAX_REVIEW_BYTES
from controller.admission.reviewer import Reviewer
from controller.agents.registry import Registry
from controller.apis.json import Json
from controller.apis.mandates import Enforcement
from controller.apis.requests import Operation
from controller.clients.kube.errors import UnreachableError
from controller.policy.engine import EngineTimeoutError, EngineUnavailableError
from tests.asgi import Answered, call
from tests.builders import (
    CHANGE,
    SECRETS,
    UID,
    a_finding,
    a_mandate,
    a_person,
    a_registry,
    a_request,
    a_review,
    a_review_request,
    a_unit,
    an_evaluation,
    an_object,
)
from tests.fakes.admission import an_app_that_judges
from tests.fakes.engine import Answer, ScriptedEngine
from tests.fakes.registries import ScriptedRegistries
from tests.strategies import json_objects, json_values
from webhooks.app import WebhookApp

SECRET_VALUE = "aHVudGVyMi1kby1ub3QtbG9n"
AGENTS_USER: Json = a_review_request()["userInfo"]
PERSONS_REVIEW = a_review(a_review_request(a_request(user=a_person())))


def an_app(
    *answers: Answer,
    registry: Registry | None = None,
    missing: tuple[str, ...] = (),
    is_known: bool = True,
    registries: ScriptedRegistries | None = None,
) -> WebhookApp:
    """The application in front of a scripted engine; its mandate is the agent's."""
    reviewer = Reviewer(
        engine=ScriptedEngine.answering(*answers),
        clock_ns=lambda: 1_795_512_615_000_000_000,
        mint_change=lambda: CHANGE,
        timeout_seconds=1.0,
    )
    known = (registry or a_registry(a_mandate())) if is_known else None
    return an_app_that_judges(
        reviewer, registries or ScriptedRegistries(known), readiness=lambda: missing
    )


def is_a_grant(answered: Answered) -> bool:
    """Whether kube-apiserver would let the write through."""
    try:
        document: object = orjson.loads(answered.body)
    except orjson.JSONDecodeError:
        return False
    response = (
        cast("dict[str, object]", document).get("response") if isinstance(document, dict) else None
    )
    allowed = (
        cast("dict[str, object]", response).get("allowed") if isinstance(response, dict) else None
    )
    return answered.status == 200 and allowed is True


def assert_refused(answered: Answered, status: int, words: str) -> None:
    assert (answered.status, answered.headers["content-type"]) == (status, "application/json")
    assert words in answered.document["error"]
    assert "response" not in answered.document


async def test_a_granted_write_is_answered_with_a_grant() -> None:
    answered = await call(an_app(an_evaluation()), body=a_review())
    assert is_a_grant(answered)
    assert answered.document["response"]["uid"] == UID
    assert answered.headers["content-type"] == "application/json"


async def test_a_denied_write_is_answered_with_a_denial() -> None:
    answered = await call(an_app(an_evaluation(a_unit(a_finding()))), body=a_review())
    response = answered.document["response"]
    assert (answered.status, response["allowed"], response["status"]["code"]) == (200, False, 403)
    assert response["uid"] == UID


async def test_a_body_in_pieces_is_read_whole() -> None:
    body = a_review()
    pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
    assert is_a_grant(await call(an_app(an_evaluation()), body=pieces))


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_a_content_type_may_have_parameters_and_any_case(media_type: str) -> None:
    headers = {"Content-Type": media_type}
    assert is_a_grant(await call(an_app(an_evaluation()), body=a_review(), headers=headers))


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
@pytest.mark.parametrize("answer", [EngineUnavailableError("down"), MemoryError("boom")])
async def test_a_person_is_granted_while_the_engine_is_down(answer: Exception) -> None:
    answered = await call(an_app(answer), body=PERSONS_REVIEW)
    assert answered.document["response"] == {"uid": UID, "allowed": True}


@pytest.mark.requirement("fail-closed.malformed-review")
@pytest.mark.parametrize(
    ("method", "headers", "status", "words"),
    [
        pytest.param("GET", {}, 405, "POST", id="a GET"),
        pytest.param("PUT", {"content-type": "application/json"}, 405, "POST", id="a PUT"),
        pytest.param("POST", {}, 415, "application/json", id="no content type"),
        pytest.param("POST", {"content-type": "text/plain"}, 415, "application/json", id="a text"),
        pytest.param(
            "POST", {"content-type": "application/yaml"}, 415, "application/json", id="YAML"
        ),
        pytest.param(
            "POST",
            {"content-type": "application/json", "content-length": str(MAX_REVIEW_BYTES + 1)},
            413,
            "16777216 bytes",
            id="too long, as announced",
        ),
        pytest.param(
            "POST",
            {"content-type": "application/json", "content-length": "9" * 10_000},
            413,
            "16777216 bytes",
            id="an absurd length",
        ),
    ],
)
async def test_a_wrong_transport_is_refused(
    method: str, headers: Mapping[str, str], status: int, words: str
) -> None:
    answered = await call(an_app(), method=method, headers=headers, body=PERSONS_REVIEW)
    assert_refused(answered, status, words)


@pytest.mark.requirement("fail-closed.malformed-review")
async def test_a_body_that_grows_too_long_is_not_read_to_its_end() -> None:
    taken: list[int] = []

    def endless() -> Iterator[bytes]:
        for number in range(1000):
            taken.append(number)
            yield b" " * (1024 * 1024)

    assert_refused(await call(an_app(), body=endless()), 413, "16777216 bytes")
    assert len(taken) == 17


@pytest.mark.requirement("fail-closed.malformed-review")
@pytest.mark.parametrize("body", [[], [b""], [a_review()[:100]], [a_review()]])
async def test_a_client_that_goes_away_early_is_granted_nothing(body: list[bytes]) -> None:
    answered = await call(an_app(an_evaluation()), body=body, disconnects=True)
    assert_refused(answered, 400, "ended early")


@pytest.mark.requirement("fail-closed.malformed-review")
async def test_a_malformed_review_whose_uid_is_known_is_denied_under_it() -> None:
    body = a_review({**a_review_request(), "operation": "PATCH"})
    answered = await call(an_app(), body=body)
    response = answered.document["response"]
    assert (answered.status, response["uid"], response["allowed"]) == (200, UID, False)
    assert "request.operation" in response["status"]["message"]


@pytest.mark.requirement("fail-closed.malformed-review")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", "not JSON", id="no body"),
        pytest.param(b"{}", "kind: ", id="an empty object"),
        pytest.param(b'{"kind":1,"kind":2}', "twice", id="a key twice"),
        pytest.param(a_review({**a_review_request(), "uid": ""}), "request.uid", id="no uid"),
    ],
)
async def test_a_malformed_review_without_a_uid_is_refused_in_a_text_that_the_api_server_tells(
    body: bytes, words: str
) -> None:
    answered = await call(an_app(), body=body)
    # Of a 400, and of JSON, the API server would tell nothing.
    assert answered.status == 500
    assert answered.headers["content-type"].startswith("text/plain")
    assert words in answered.body.decode()


@pytest.mark.requirement("fail-closed.malformed-review")
async def test_a_review_of_what_no_reader_of_json_takes_is_denied_under_its_uid() -> None:
    body = a_review().replace(b'"replicas":2', b'"replicas":"\\ud800"')
    answered = await call(an_app(), body=body)
    response = answered.document["response"]
    assert (answered.status, response["uid"], response["allowed"]) == (200, UID, False)
    assert "surrogate" in response["status"]["message"]


@pytest.mark.requirement("fail-closed.not-ready")
@pytest.mark.parametrize("body", [a_review(), PERSONS_REVIEW], ids=["an agent", "a person"])
async def test_until_the_mandates_are_known_every_write_is_to_be_sent_again(body: bytes) -> None:
    answered = await call(an_app(is_known=False), body=body)
    assert_refused(answered, 503, "mandates are not known yet")
    assert answered.headers["retry-after"] == "1"


@pytest.mark.requirement("explains-itself.final-or-retry")
async def test_a_postponed_write_is_to_be_sent_again() -> None:
    answered = await call(an_app(EngineUnavailableError("restarting")), body=a_review())
    assert_refused(answered, 503, "restarting")
    assert answered.headers["retry-after"] == "1"


@pytest.mark.requirement("fail-closed.engine-fault")
@pytest.mark.parametrize("enforcement", list(Enforcement))
async def test_an_engine_that_is_too_late_denies_in_every_mode(enforcement: Enforcement) -> None:
    registry = a_registry(a_mandate(enforcement=enforcement))
    answered = await call(an_app(EngineTimeoutError("1 s"), registry=registry), body=a_review())
    assert answered.document["response"]["allowed"] is False
    assert answered.document["response"]["auditAnnotations"]["codes"] == "policy-timeout"


A_SECRET: dict[str, Json] = {**an_object(SECRETS), "data": {"password": SECRET_VALUE}}
SECRETS_REVIEW = a_review(
    a_review_request(a_request(Operation.UPDATE, target=SECRETS, obj=A_SECRET, old=A_SECRET))
)


@pytest.mark.requirement("fail-closed.internal-fault")
@pytest.mark.parametrize("fault", [KeyError(SECRET_VALUE), MemoryError(), RecursionError()])
async def test_a_fault_that_nobody_foresaw_refuses_and_says_where_not_what(
    fault: Exception,
) -> None:
    with capture_logs() as logs:
        answered = await call(an_app(fault), body=SECRETS_REVIEW)
    assert_refused(answered, 500, "governor failed")
    (entry,) = logs
    assert (entry["event"], entry["uid"], entry["log_level"]) == ("review failed", UID, "error")
    assert entry["error"] == type(fault).__name__
    assert any("reviewer.py" in place for place in entry["at"])
    assert SECRET_VALUE not in repr(logs) + repr(answered)


@pytest.mark.requirement("fail-closed.internal-fault")
async def test_a_registry_that_cannot_be_read_refuses() -> None:
    class Broken(ScriptedRegistries):
        def current(self) -> Registry | None:
            raise RuntimeError("no registry")

    app = an_app(registries=Broken(None))
    assert_refused(await call(app, body=PERSONS_REVIEW), 500, "governor failed")


@pytest.mark.requirement("fail-closed.lagging-watch")
async def test_the_agent_of_a_mandate_that_the_watch_has_not_brought_is_judged() -> None:
    registries = ScriptedRegistries(a_registry(), stored=a_registry(a_mandate()))
    denied = await call(
        an_app(an_evaluation(a_unit(a_finding())), registries=registries), body=a_review()
    )
    assert denied.document["response"]["allowed"] is False
    assert registries.fetches == 1


@pytest.mark.requirement("fail-closed.lagging-watch")
async def test_a_stranger_is_postponed_while_the_api_server_cannot_say_who_it_is() -> None:
    registries = ScriptedRegistries(a_registry(), stored=UnreachableError("connection refused"))
    assert_refused(
        await call(an_app(registries=registries), body=a_review()), 503, "connection refused"
    )


async def test_a_known_agent_costs_no_question_to_the_api_server() -> None:
    registries = ScriptedRegistries(a_registry(a_mandate()))
    await call(an_app(an_evaluation(a_unit()), registries=registries), body=a_review())
    assert registries.fetches == 0


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(an_evaluation(), id="granted"),
        pytest.param(an_evaluation(a_unit(a_finding())), id="denied"),
        pytest.param(EngineUnavailableError("down"), id="postponed"),
    ],
)
async def test_every_governed_write_is_logged_without_its_content(answer: Answer) -> None:
    with capture_logs() as logs:
        await call(an_app(answer), body=SECRETS_REVIEW)
    (entry,) = logs
    assert (entry["event"], entry["uid"], entry["object"]) == ("reviewed", UID, "team-data/web")
    assert SECRET_VALUE not in repr(logs)


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
async def test_a_write_that_is_not_governed_is_not_even_logged() -> None:
    with capture_logs() as logs:
        await call(an_app(), body=PERSONS_REVIEW)
    assert logs == []


async def test_a_malformed_review_is_logged_by_its_field() -> None:
    with capture_logs() as logs:
        await call(an_app(), body=a_review({**a_review_request(), "dryRun": SECRET_VALUE}))
    assert [(entry["log_level"], entry["uid"]) for entry in logs] == [("warning", UID)]
    assert "request.dryRun" in logs[0]["problem"]
    assert SECRET_VALUE not in repr(logs)


async def test_health_needs_no_more_than_a_live_process() -> None:
    answered = await call(
        an_app(is_known=False, missing=("engine",)), method="GET", path="/healthz"
    )
    assert (answered.status, answered.document) == (200, {"alive": True})


@pytest.mark.parametrize(
    ("missing", "status"), [((), 200), (("engine",), 503), (("engine", "mandates"), 503)]
)
async def test_readiness_names_what_is_missing(missing: tuple[str, ...], status: int) -> None:
    answered = await call(an_app(missing=missing), method="GET", path="/readyz")
    assert answered.status == status
    assert answered.document == {"ready": not missing, "missing": [*missing]}


@pytest.mark.parametrize(
    "path", ["/", "/validate/", "/validate/x", "/VALIDATE", "/mutate/", "//validate"]
)
async def test_no_other_path_answers_a_review(path: str) -> None:
    answered = await call(an_app(an_evaluation()), path=path, body=PERSONS_REVIEW)
    assert answered.status in {404, 405, 307}
    assert not is_a_grant(answered)


@pytest.mark.requirement("fail-closed.malformed-review")
@given(
    st.one_of(
        st.binary(),
        json_values.map(orjson.dumps),
        json_objects.map(lambda request: a_review({**request, "userInfo": AGENTS_USER})),
        st.dictionaries(st.sampled_from(sorted(a_review_request())), json_values, max_size=2).map(
            lambda changes: a_review({**a_review_request(), **changes, "userInfo": AGENTS_USER})
        ),
    )
)
def test_no_body_gets_a_governed_user_past_a_denial(body: bytes) -> None:
    """The policy refuses whatever it is asked, so a grant would be the webhook's own."""
    app = an_app(an_evaluation(a_unit(a_finding())))
    answered = asyncio.run(call(app, body=body))
    assert not is_a_grant(answered)
    if answered.status < 300:
        assert answered.document["kind"] == "AdmissionReview"
        assert answered.document["response"]["allowed"] is False
    else:
        assert answered.body.startswith(b"governor: the review is malformed: ")
