"""Writes the body of a record: everything that is known of a write when it is judged.

It is in the outbox before the write may take effect; what became of the write is not
known here and not said. Works on the redacted request: it takes no value out itself.
Bounded, for a ledger that one write could fill would be no ledger.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, cast

import orjson

from controller.apis.json import Json, section_of
from controller.apis.mandates import Mandate
from controller.apis.requests import AdmissionRequest, Operation, UserInfo
from controller.policy.denials import Denial
from controller.records.differences import differences, without_bookkeeping
from controller.records.redaction import Redacted
from controller.records.stamps import Traced

VERSION: Final = "governor.dev/record/v1"
MAX_BODY_BYTES: Final = 1024 * 1024
TOO_LARGE: Final = "too large"

_CREDENTIAL: Final = "authentication.kubernetes.io/credential-id"
_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_POD_UID: Final = "authentication.kubernetes.io/pod-uid"
_MAX_LISTED: Final = 64
"""Groups, denials and warnings that are written down; beyond it their number is."""
_MAX_TEXT: Final = 2_000
_TEXTS: Final = ("version", "change", "verdict", "receivedAt", "agent", "action")
_OBJECTS: Final = ("actor", "request", "object", "decision")


class UnreadableBodyError(ValueError):
    """The bytes are no body of a record; the message names the field."""


class Verdict(StrEnum):
    """How a write was judged."""

    GRANTED = "granted"
    DENIED = "denied"
    WARNED = "warned"
    """Granted, though the rules refuse it: the mandate only warns."""
    SHADOWED = "shadowed"
    """Likewise, silently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One judgement, reduced to what is written down."""

    change: str
    received_at: datetime
    """Aware."""
    verdict: Verdict
    agent: str
    """The mandate's name, or where there is none the username."""
    mandate: Mandate | None = None
    policies: str = ""
    """Digest of the policy set; empty where none was asked."""
    denials: tuple[Denial, ...] = ()
    """Why it was denied, or would be were the mandate enforced."""
    warnings: tuple[str, ...] = ()


def write_body(
    redacted: Redacted,
    judged: Judged,
    *,
    traced: Traced | None = None,
    digest: str = "",
    old_digest: str = "",
) -> bytes:
    """One JSON object, its keys sorted, of at most `MAX_BODY_BYTES`.

    Args:
        redacted: the request without confidential values.
        judged: what was decided of it.
        traced: by what it will be known; None where it was denied.
        digest: of the content validated, before redaction.
        old_digest: of the oldObject's content, likewise.
    """
    request = redacted.request
    facts: dict[str, Json] = {
        "version": VERSION,
        "change": judged.change,
        "verdict": judged.verdict.value,
        "receivedAt": _time(judged.received_at),
        "agent": judged.agent,
        "mandate": _mandate(judged.mandate),
        "actor": _actor(request.user),
        "request": _request(request),
        "object": _object(request, digest=digest, old_digest=old_digest),
        "action": traced.action.value if traced is not None else "",
        "decision": _decision(judged),
    }
    detail = {**_detail(request), "redactions": cast("Json", [*redacted.paths])}
    body = _written({**facts, **detail})
    return body if len(body) <= MAX_BODY_BYTES else _written({**facts, "omitted": TOO_LARGE})


def read_body(body: bytes) -> dict[str, Json]:
    """Read what `write_body` wrote.

    Raises:
        UnreadableBodyError: it is something else.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnreadableBodyError(f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnreadableBodyError("the body is JSON, but not an object")
    read = cast("dict[str, Json]", found)
    if read.get("version") != VERSION:
        raise UnreadableBodyError(f"version: is not {VERSION}; another Governor wrote this body")
    for fields, type_, name in ((_TEXTS, str, "text"), (_OBJECTS, dict, "an object")):
        for field in fields:
            if not isinstance(read.get(field), type_):
                raise UnreadableBodyError(f"{field}: is missing or not {name}")
    return read


def _written(body: Mapping[str, Json]) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _mandate(mandate: Mandate | None) -> Json:
    if mandate is None:
        return None
    return {"name": mandate.name, "uid": mandate.uid, "generation": mandate.generation}


def _actor(user: UserInfo) -> dict[str, Json]:
    pod: dict[str, Json] = {
        "name": _first(user.extra, _POD_NAME),
        "uid": _first(user.extra, _POD_UID),
    }
    return {
        "username": user.username,
        "uid": user.uid,
        "groups": [*user.groups[:_MAX_LISTED]],
        "groupsOmitted": max(0, len(user.groups) - _MAX_LISTED),
        "credential": _first(user.extra, _CREDENTIAL),
        "pod": pod if any(pod.values()) else None,
    }


def _first(extra: Mapping[str, tuple[str, ...]], key: str) -> str:
    return next(iter(extra.get(key, ())), "")


def _request(request: AdmissionRequest) -> dict[str, Json]:
    target, options = request.target, request.options or {}
    return {
        "uid": request.uid,
        "operation": request.operation.value,
        "group": target.group,
        "version": target.served_version,
        "resource": target.resource,
        "subresource": target.subresource,
        "kind": target.kind,
        "kindVersion": target.version,
        "namespace": request.namespace,
        "name": request.name,
        "fieldManager": options.get("fieldManager") or "",
        "isCollection": request.is_collection,
    }


def _object(request: AdmissionRequest, *, digest: str, old_digest: str) -> dict[str, Json]:
    new, old = section_of(request.obj, "metadata"), section_of(request.old, "metadata")
    return {
        "uid": new.get("uid") or old.get("uid") or "",
        "version": old.get("resourceVersion") or "",
        "digest": digest,
        "oldDigest": old_digest,
    }


def _decision(judged: Judged) -> dict[str, Json]:
    denials: list[Json] = [
        {**denial.as_json(), "message": denial.message[:_MAX_TEXT]}
        for denial in judged.denials[:_MAX_LISTED]
    ]
    return {
        "policies": judged.policies,
        "denials": denials,
        "denialsOmitted": max(0, len(judged.denials) - _MAX_LISTED),
        "warnings": [text[:_MAX_TEXT] for text in judged.warnings[:_MAX_LISTED]],
        "warningsOmitted": max(0, len(judged.warnings) - _MAX_LISTED),
    }


def _detail(request: AdmissionRequest) -> dict[str, Json]:
    """What the write does: the object that comes or goes, or what changes in it."""
    old, obj = request.old, request.obj
    if request.operation is Operation.CONNECT:
        return {"options": without_bookkeeping(obj)}
    found = differences(old, obj) if old is not None and obj is not None else None
    if found is None:
        sides = (("before", without_bookkeeping(old)), ("after", without_bookkeeping(obj)))
        return {name: side for name, side in sides if side is not None}
    lost_owners = _has_owners(request.old) and not _has_owners(request.obj)
    return {**found, **({"ownershipLost": True} if lost_owners else {})}


def _has_owners(obj: Mapping[str, Json] | None) -> bool:
    entries = section_of(obj, "metadata").get("managedFields")
    return isinstance(entries, list) and any(entries)
