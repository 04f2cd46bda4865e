"""The webhook's HTTP application: `POST /validate`, and the health endpoints.

`/validate` is answered before FastAPI's routing and middleware (measured: that
halves the CPU of a request); everything else is ordinary FastAPI. A write is
refused by any answer that is not an AdmissionReview with `allowed: true`, so
every failure here fails closed.
"""

import traceback
from collections.abc import Callable
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
from controller.admission.reviewer import Reviewer
from controller.agents.registry import Registry
from controller.apis.requests import AdmissionRequest
from controller.clients.kube.errors import KubeError
from webhooks.intake import Intake, RefusedTransportError, refuse_size

Readiness: TypeAlias = Callable[[], tuple[str, ...]]
"""What is not ready, by name; empty when all is."""

_JSON = [(b"content-type", b"application/json")]
_RETRY = [*_JSON, (b"retry-after", b"1")]
_log = structlog.stdlib.get_logger("governor.webhook")


class Registries(Protocol):
    """Where the mandates of the moment are known."""

    def current(self) -> Registry | None:
        """As far as the watch has brought them; None until they are first known."""
        ...

    async def fetch(self) -> Registry | None:
        """As the API server holds them now; None while that is unreadable.

        Raises:
            KubeError: the API server could not be asked.
        """
        ...


class WebhookApp(FastAPI):
    """Answers the API server."""

    def __init__(self, *, reviewer: Reviewer, registries: Registries, readiness: Readiness) -> None:
        super().__init__(title="Governor webhook", openapi_url=None)
        self._reviewer = reviewer
        self._registries = registries
        self._readiness = readiness
        self._intake = Intake()
        self.add_api_route("/healthz", _is_alive, methods=["GET"])
        self.add_api_route("/readyz", self._is_ready, methods=["GET"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take `/validate` before routing; hand over the rest."""
        if scope["type"] != "http" or scope["path"] != "/validate":
            await super().__call__(scope, receive, send)
            return
        status, headers, body = await self._validate(scope, receive)
        # Without its length uvicorn would send it in chunks.
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _validate(self, scope: Scope, receive: Receive) -> "Reply":
        uid = ""
        try:
            _refuse_transport(scope)
            request = read_review(await self._intake.read(receive))
            uid = request.uid
            outcome = await self._judge(request)
            log_outcome(request, outcome)
            return _reply(request, outcome)
        except RefusedTransportError as error:
            return _refused(error)
        except MalformedReviewError as error:
            _log.warning("review refused as malformed", uid=error.uid, problem=str(error))
            return _malformed(error)
        except Exception as error:  # noqa: BLE001 -- the one catch-all: whatever went wrong, no grant
            _log_failure(uid, error)
            return _failure(HTTPStatus.INTERNAL_SERVER_ERROR, "governor failed; its log says where")

    async def _judge(self, request: AdmissionRequest) -> Outcome:
        registry = self._registries.current()
        if registry is None:
            return Postponed("", "the mandates are not known yet")
        outcome = await self._reviewer.review(request, registry)
        if isinstance(outcome, Granted) and outcome.mandate is None:
            return await self._judge_stranger(request)
        return outcome

    async def _judge_stranger(self, request: AdmissionRequest) -> Outcome:
        """The registration selects agents only: a stranger may be an agent of a new mandate.

        The API server can know the registration before our watch brings the mandate
        that it was made for; granting meanwhile would let the agent's first writes through.
        """
        try:
            registry = await self._registries.fetch()
        except KubeError as error:
            return Postponed("", f"the API server does not say who this is: {error}")
        if registry is None:
            return Postponed("", "the mandates cannot be read")
        return await self._reviewer.review(request, registry)

    async def _is_ready(self) -> JSONResponse:
        missing = self._readiness()
        status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
        return JSONResponse({"ready": not missing, "missing": [*missing]}, status)


Reply: TypeAlias = tuple[int, list[tuple[bytes, bytes]], bytes]


async def _is_alive() -> dict[str, bool]:
    return {"alive": True}


def _refuse_transport(scope: Scope) -> None:
    if scope["method"] != "POST":
        raise RefusedTransportError(HTTPStatus.METHOD_NOT_ALLOWED, "send POST")
    headers = dict(scope["headers"])
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json":
        problem = "send content-type application/json"
        raise RefusedTransportError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem)
    announced = headers.get(b"content-length", b"")
    if announced.isdigit():
        refuse_size(int(announced[:20]))


def _reply(request: AdmissionRequest, outcome: Outcome) -> Reply:
    if isinstance(outcome, Postponed):
        body = orjson.dumps({"error": outcome.reason})
        return HTTPStatus.SERVICE_UNAVAILABLE, _RETRY, body
    return HTTPStatus.OK, _JSON, write_answer(request.uid, outcome)


def _malformed(error: MalformedReviewError) -> Reply:
    if error.uid:
        return HTTPStatus.OK, _JSON, write_malformed(error)
    return _failure(HTTPStatus.BAD_REQUEST, str(error))


def _refused(error: RefusedTransportError) -> Reply:
    """The rest of such a body is not waited for: the connection ends with the answer."""
    is_passing = error.status is HTTPStatus.SERVICE_UNAVAILABLE
    headers = [*(_RETRY if is_passing else _JSON), (b"connection", b"close")]
    return error.status, headers, orjson.dumps({"error": str(error)})


def _failure(status: HTTPStatus, problem: str) -> Reply:
    return status, _JSON, orjson.dumps({"error": problem})


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
    )
