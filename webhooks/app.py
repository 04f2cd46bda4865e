"""The webhook's HTTP application: `POST /mutate`, `POST /validate`, and the health endpoints.

Both are answered before FastAPI's routing and middleware (measured: that halves the
CPU of a request); everything else is ordinary FastAPI. A write is refused by any
answer that is not an AdmissionReview with `allowed: true`, so every failure here
fails closed. What is answered is decided in `webhooks.mutation` and `webhooks.admission`.
"""

import traceback
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Protocol, TypeAlias

import orjson
import structlog
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from controller.admission.answer import write_answer, write_malformed
from controller.admission.judge import Denied, Granted, Outcome, Postponed
from controller.admission.review import MalformedReviewError, read_review
from controller.apis.requests import AdmissionRequest
from controller.clients.kube.errors import KubeError
from controller.clients.outbox.errors import OutboxError
from controller.mutation.stamp import Mutation, write_mutation_answer
from webhooks.callers import CallerUnknownError
from webhooks.credentials import ExpectedCaller
from webhooks.intake import Intake, RefusedTransportError, refuse_size

Readiness: TypeAlias = Callable[[], tuple[str, ...]]
"""What is not ready, by name; empty when all is."""
Reply: TypeAlias = tuple[int, list[tuple[bytes, bytes]], bytes]
Answer: TypeAlias = Callable[[AdmissionRequest], Awaitable[Reply]]

_JSON = [(b"content-type", b"application/json")]
_TEXT = [(b"content-type", b"text/plain; charset=utf-8")]
_RETRY = [*_JSON, (b"retry-after", b"1")]
_log = structlog.stdlib.get_logger("governor.webhook")


class Admits(Protocol):
    """Answers `/validate`."""

    async def admit(self, request: AdmissionRequest) -> Outcome:
        """Judge one write, and have it recorded and reserved if it is granted."""
        ...


class Mutates(Protocol):
    """Answers `/mutate`."""

    async def mutate(self, request: AdmissionRequest) -> Mutation:
        """What to change in one write."""
        ...


class WebhookApp(FastAPI):
    """Answers the API server."""

    def __init__(
        self,
        *,
        admission: Admits,
        mutator: Mutates,
        readiness: Readiness,
        expected: ExpectedCaller,
    ) -> None:
        super().__init__(title="Governor webhook", openapi_url=None)
        self._admission = admission
        self._mutator = mutator
        self._readiness = readiness
        self._expected = expected
        self._intake = Intake()
        self._answers: Mapping[str, Answer] = {
            "/mutate": self._mutate,
            "/validate": self._validate,
        }
        self.add_api_route("/healthz", _is_alive, methods=["GET"])
        self.add_api_route("/readyz", self._is_ready, methods=["GET"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take reviews before routing; hand over the rest."""
        answer = self._answers.get(scope["path"]) if scope["type"] == "http" else None
        if answer is None:
            await super().__call__(scope, receive, send)
            return
        status, headers, body = await self._reply(answer, scope, receive)
        # Without its length uvicorn would send it in chunks.
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _reply(self, answer: Answer, scope: Scope, receive: Receive) -> Reply:
        uid = ""
        try:
            self._refuse_transport(scope)
            request = read_review(await self._intake.read(receive))
            uid = request.uid
            return await answer(request)
        except RefusedTransportError as error:
            return _refused(error)
        except MalformedReviewError as error:
            _log.warning("review refused as malformed", uid=error.uid, problem=str(error))
            return _malformed(error)
        except Exception as error:  # noqa: BLE001 -- the one catch-all: whatever went wrong, no grant
            _log_failure(uid, error)
            return _failure(HTTPStatus.INTERNAL_SERVER_ERROR, "governor failed; its log says where")

    async def _validate(self, request: AdmissionRequest) -> Reply:
        outcome = await self._admission.admit(request)
        log_outcome(request, outcome)
        if isinstance(outcome, Postponed):
            return _postponed(outcome.reason)
        return HTTPStatus.OK, _JSON, write_answer(request.uid, outcome)

    async def _mutate(self, request: AdmissionRequest) -> Reply:
        try:
            mutation = await self._mutator.mutate(request)
        except (CallerUnknownError, KubeError) as error:
            return _postponed(str(error))
        except OutboxError as error:
            _log.warning("reason not recorded", uid=request.uid, error=str(error))
            return _told(f"governor: the reason cannot be recorded: {error}")
        return HTTPStatus.OK, _JSON, write_mutation_answer(request.uid, mutation)

    def _refuse_transport(self, scope: Scope) -> None:
        if scope["method"] != "POST":
            raise RefusedTransportError(HTTPStatus.METHOD_NOT_ALLOWED, "send POST")
        if not self._expected.accepts(scope["headers"]):
            problem = "only the API server may ask; send its bearer token"
            raise RefusedTransportError(HTTPStatus.UNAUTHORIZED, problem)
        headers = dict(scope["headers"])
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if media_type != b"application/json":
            problem = "send content-type application/json"
            raise RefusedTransportError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem)
        announced = headers.get(b"content-length", b"")
        if announced.isdigit():
            refuse_size(int(announced[:20]))

    async def _is_ready(self) -> JSONResponse:
        missing = self._readiness()
        status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
        return JSONResponse({"ready": not missing, "missing": [*missing]}, status)


async def _is_alive() -> dict[str, bool]:
    return {"alive": True}


def _postponed(reason: str) -> Reply:
    return HTTPStatus.SERVICE_UNAVAILABLE, _RETRY, orjson.dumps({"error": reason})


def _malformed(error: MalformedReviewError) -> Reply:
    if error.uid:
        return HTTPStatus.OK, _JSON, write_malformed(error)
    return _told(f"governor: the review is malformed: {error}")


def _refused(error: RefusedTransportError) -> Reply:
    """The rest of such a body is not waited for: the connection ends with the answer."""
    is_passing = error.status is HTTPStatus.SERVICE_UNAVAILABLE
    headers = [*(_RETRY if is_passing else _JSON), (b"connection", b"close")]
    return error.status, headers, orjson.dumps({"error": str(error)})


def _failure(status: HTTPStatus, problem: str) -> Reply:
    return status, _JSON, orjson.dumps({"error": problem})


def _told(problem: str) -> Reply:
    """A failure that whoever writes is to read: of a text, unlike JSON, the API server tells it."""
    return HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT, problem.encode()


def _log_failure(uid: str, error: Exception) -> None:
    """Say what failed where, not its message or variables: they may hold a Secret's values."""
    frames = traceback.extract_tb(error.__traceback__)
    _log.error(
        "review failed",
        uid=uid,
        error=type(error).__qualname__,
        at=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )


def log_outcome(request: AdmissionRequest, outcome: Outcome) -> None:
    """Log one judged write of an agent; writes that are not governed are not logged."""
    if isinstance(outcome, Granted) and outcome.mandate is None:
        return
    findings = outcome.denials if isinstance(outcome, Denied) else ()
    reason = {"reason": outcome.reason} if isinstance(outcome, Postponed) else {}
    _log.info(
        "reviewed",
        uid=request.uid,
        change=outcome.change,
        outcome=type(outcome).__name__,
        user=request.user.username,
        operation=request.operation.value,
        resource=request.target.qualified,
        object=f"{request.namespace}/{request.name}",
        codes=[denial.code for denial in findings],
        **reason,
    )
