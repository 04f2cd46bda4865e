"""What goes wrong when Governor talks to the Kubernetes API, as one small family.

Each fault carries the API server's own words. The classes say what a caller can
do about it; they never decide whether to try again: the loops do, with a bound.
"""

from collections.abc import Mapping
from typing import ClassVar, cast

import orjson


class KubeError(Exception):
    """The API server refused a request, or could not be asked.

    Attributes:
        status: the HTTP status, 0 where no answer came.
        reason: the CamelCase reason of the answer's Status, e.g. `AlreadyExists`.
        retry_after: seconds that the API server asked us to wait, if it did.
    """

    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later without a change."""

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class UnreachableError(KubeError):
    """No usable answer: refused or broken connection, timeout, 429, 5xx. Worth a retry."""

    retryable = True


class NotFoundError(KubeError):
    """404: the object, or the resource itself (a missing CRD), does not exist."""


class ConflictError(KubeError):
    """409: it exists already, or changed since it was read. Read again, then decide again."""

    retryable = True


class ExpiredError(KubeError):
    """410: the resource version or the continue token is too old. List again."""

    retryable = True


class ForbiddenError(KubeError):
    """401 or 403: our credentials lack the right, or are not accepted."""


class InvalidError(KubeError):
    """400, 413, 415, 422: the API server will never accept this request."""


_BY_STATUS: Mapping[int, type[KubeError]] = {
    400: InvalidError,
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
    413: InvalidError,
    415: InvalidError,
    422: InvalidError,
    429: UnreachableError,
}


def error_from_answer(
    status: int, body: bytes, *, doing: str, retry_after: str | None = None
) -> KubeError:
    """The fault that an answer outside 2xx stands for.

    Args:
        status: the HTTP status of the answer.
        body: its body; a `Status` object, or anything at all.
        doing: what was asked, for the message: `apply mandates/migrator`.
        retry_after: the answer's `Retry-After` header, seconds.
    """
    reason, message = _status_of(body)
    return error_from_status(
        status, reason=reason, message=message, doing=doing, retry_after=_seconds(retry_after)
    )


def error_from_status(
    code: int, *, reason: str, message: str, doing: str, retry_after: float | None = None
) -> KubeError:
    """The fault that a `Status` object stands for, as an answer or within a watch."""
    kind = _BY_STATUS.get(code, UnreachableError if code >= 500 else InvalidError)
    return kind(
        f"{doing}: {message} (HTTP {' '.join([str(code), reason]).strip()})",
        status=code,
        reason=reason,
        retry_after=retry_after,
    )


def _status_of(body: bytes) -> tuple[str, str]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", body[:500].decode(errors="replace").strip() or "no message"
    if not isinstance(answer, dict):
        return "", "no message"
    answer = cast("dict[str, object]", answer)
    return str(answer.get("reason") or ""), str(answer.get("message") or "no message")


def _seconds(header: str | None) -> float | None:
    if header is None or not header.isdecimal():
        return None
    return float(header)
