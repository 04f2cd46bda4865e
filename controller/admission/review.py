"""Reads an AdmissionReview: bytes in, an `AdmissionRequest` out.

Everything that is not a well-formed `admission.k8s.io/v1` request is refused
with a sentence that names the field. It judges nothing, and builds no typed
model of the object under review.
"""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import orjson

from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target, UserInfo

API_VERSION = "admission.k8s.io/v1"
MAX_REVIEW_BYTES = 16 * 1024 * 1024
"""An API request holds at most 3 MiB; an update's review carries two versions of the object."""

MAX_UID_CHARACTERS = 128
"""The API server's have 36; an answer repeats it."""

_MUST_GO = (
    "take out what the API server stores but no reader of JSON agrees on: half of a surrogate "
    "pair, bytes that are no UTF-8, a number beyond 1e308, more than 250 levels"
)
_MAX_SHOWN = 80
"""Characters of a wrong value that an error repeats."""
_UID_FIRST = re.compile(
    rb'\{"kind":"AdmissionReview","apiVersion":"admission\.k8s\.io/v1",'
    rb'"request":\{"uid":"(?P<uid>[!#-\[\]-~]{1,%d})"' % MAX_UID_CHARACTERS
)
"""How the API server begins a review: no object can say what stands here."""
_NEEDS_OBJECT = frozenset({Operation.CREATE, Operation.UPDATE, Operation.CONNECT})
_NEEDS_OLD = frozenset({Operation.UPDATE, Operation.DELETE})


class MalformedReviewError(Exception):
    """The body is not an AdmissionReview that can be judged.

    `field` says where it is wrong, e.g. `request.operation` (empty: the body as
    a whole); `uid` is `request.uid` where it could be read, for the answer must
    echo it.
    """

    def __init__(self, field: str, problem: str, uid: str = "") -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem
        self.uid = uid


def read_review(body: bytes) -> AdmissionRequest:
    """Read one AdmissionReview, or raise `MalformedReviewError`."""
    try:
        review = read_json_object(body)
    except MalformedReviewError as error:
        raise MalformedReviewError(error.field, error.problem, _uid_first(body)) from error
    if review.get("kind") != "AdmissionReview":
        problem = f"is {_shown(review.get('kind'))}; send AdmissionReview"
        raise MalformedReviewError("kind", problem)
    if review.get("apiVersion") != API_VERSION:
        problem = f"is {_shown(review.get('apiVersion'))}; register admissionReviewVersions: [v1]"
        raise MalformedReviewError("apiVersion", problem)
    request = review.get("request")
    if not isinstance(request, dict):
        raise MalformedReviewError("request", "is missing or not an object")
    return read_request(request)


def _uid_first(body: bytes) -> str:
    """The uid of a review that cannot be read as a whole; empty where it is not found at once.

    So whoever wrote is told why, and in no time: an agent can have any number of them sent.
    """
    found = _UID_FIRST.match(body)
    return found["uid"].decode() if found is not None else ""


def read_json_object(body: bytes) -> dict[str, Json]:
    """Parse strictly: one object, no key twice in any object, at most 250 levels deep."""
    if len(body) > MAX_REVIEW_BYTES:
        problem = f"has {len(body)} bytes; at most {MAX_REVIEW_BYTES} are judged"
        raise MalformedReviewError("", f"the body {problem}")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        problem = f"is not JSON that can be judged: {error}; {_MUST_GO}"
        raise MalformedReviewError("", f"the body {problem}") from error
    if not isinstance(value, dict):
        raise MalformedReviewError("", "the body is JSON, but not an object")
    try:
        compact = orjson.dumps(value)
    except TypeError as error:
        problem = "is nested deeper than 250 levels; flatten the object"
        raise MalformedReviewError("", f"the body {problem}") from error
    if not _is_written_as(compact, body):
        _refuse_duplicate_keys(body)
    return cast("dict[str, Json]", value)


def _is_written_as(compact: bytes, body: bytes) -> bool:
    """Whether the body is the parsed value written out again, byte for byte.

    If so, it holds no key twice: the value does not. The API server writes
    compact JSON, and like all of Go escapes what could end an HTML script; such
    characters occur in strings only.
    """
    body = body.removesuffix(b"\n")
    if compact == body:
        return True
    for character in (b"<", b">", b"&"):
        compact = compact.replace(character, b"\\u%04x" % ord(character))
    return compact == body


def _refuse_duplicate_keys(body: bytes) -> None:
    """The slow check, for documents in any other spelling. Numbers are none of its business."""

    def unique(pairs: list[tuple[str, None]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                problem = f"the body has the key {_shown(key)} twice in one object; leave one out"
                raise MalformedReviewError("", problem)
            seen.add(key)

    json.loads(body, object_pairs_hook=unique, parse_int=_discard, parse_float=_discard)


def _discard(_: str) -> None:
    """Python refuses to read very long integers, which are harmless here."""


def read_request(request: Mapping[str, Json]) -> AdmissionRequest:
    """Read `request` of an AdmissionReview, or raise `MalformedReviewError`."""
    uid = request.get("uid")
    if not isinstance(uid, str) or not uid:
        raise MalformedReviewError("request.uid", "is missing; the answer could not be matched")
    if len(uid) > MAX_UID_CHARACTERS:
        problem = f"has {len(uid)} characters; send at most {MAX_UID_CHARACTERS}"
        raise MalformedReviewError("request.uid", problem)
    try:
        found = _read_parts(uid, request)
        _refuse_mismatch(found, _text(_object(request, "kind"), "group", "request.kind"))
    except MalformedReviewError as error:
        raise MalformedReviewError(error.field, error.problem, uid) from error
    return found


def _read_parts(uid: str, request: Mapping[str, Json]) -> AdmissionRequest:
    operation = _operation(request)
    obj, old = _optional_object(request, "object"), _optional_object(request, "oldObject")
    if obj is None and operation in _NEEDS_OBJECT:
        raise MalformedReviewError("request.object", f"is missing in a {operation}")
    if old is None and operation in _NEEDS_OLD:
        raise MalformedReviewError("request.oldObject", f"is missing in a {operation}")
    name, target = _text(request, "name"), _target(request)
    return AdmissionRequest(
        uid=uid,
        operation=operation,
        target=target,
        namespace=_namespace(request, target),
        name=name or metadata_text(old or obj, "name"),
        user=_user(request),
        obj=obj,
        old=old,
        options=_optional_object(request, "options"),
        dry_run=_flag(request, "dryRun"),
        is_collection=operation is Operation.DELETE and not name,
    )


def _namespace(request: Mapping[str, Json], target: Target) -> str:
    """A Namespace is cluster-scoped, though its requests carry its own name as their namespace."""
    namespace = _text(request, "namespace")
    return "" if (target.group, target.resource) == ("", "namespaces") else namespace


def _operation(request: Mapping[str, Json]) -> Operation:
    value = request.get("operation")
    try:
        return Operation(value if isinstance(value, str) else "")
    except ValueError as error:
        problem = f"is {_shown(value)}; know {', '.join(Operation)}"
        raise MalformedReviewError("request.operation", problem) from error


def _target(request: Mapping[str, Json]) -> Target:
    kind, resource = _object(request, "kind"), _object(request, "resource")
    version = _text(kind, "version", "request.kind")
    own_version = _text(resource, "version", "request.resource")
    target = Target(
        group=_text(resource, "group", "request.resource"),
        version=version,
        kind=_text(kind, "kind", "request.kind"),
        resource=_text(resource, "resource", "request.resource"),
        subresource=_text(request, "subResource"),
        api_version="" if own_version == version else own_version,
    )
    if not target.kind:
        raise MalformedReviewError("request.kind.kind", "is missing")
    if not target.version:
        raise MalformedReviewError("request.kind.version", "is missing")
    if not target.resource:
        raise MalformedReviewError("request.resource.resource", "is missing")
    return target


def _user(request: Mapping[str, Json]) -> UserInfo:
    user = _object(request, "userInfo")
    username = _text(user, "username", "request.userInfo")
    if not username:
        raise MalformedReviewError("request.userInfo.username", "is missing")
    extra = user.get("extra")
    if not isinstance(extra, dict | None):
        raise MalformedReviewError("request.userInfo.extra", "is not an object")
    where = "request.userInfo"
    return UserInfo(
        username=username,
        uid=_text(user, "uid", where),
        groups=_texts(user.get("groups"), f"{where}.groups"),
        extra=MappingProxyType(
            {
                key: _texts(value, f"{where}.extra[{_shown(key)}]")
                for key, value in (extra or {}).items()
            }
        ),
    )


def _refuse_mismatch(request: AdmissionRequest, kind_group: str) -> None:
    """An envelope that says something else than its objects must not be judged by either."""
    target = request.target
    if not target.subresource and kind_group != target.group:
        problem = f"is {_shown(kind_group)} but request.resource.group is {_shown(target.group)}"
        raise MalformedReviewError("request.kind.group", problem)
    version = f"{kind_group}/{target.version}" if kind_group else target.version
    for place, obj in (("object", request.obj), ("oldObject", request.old)):
        if obj is None:
            continue
        for field, asked in (("kind", target.kind), ("apiVersion", version)):
            if obj.get(field) not in (None, asked):
                problem = f"is {_shown(obj.get(field))} but request.kind says {_shown(asked)}"
                raise MalformedReviewError(f"request.{place}.{field}", problem)
        _refuse_other_place(request, place, obj)


def _refuse_other_place(request: AdmissionRequest, place: str, obj: Mapping[str, Json]) -> None:
    """An Eviction or a TokenRequest may leave its own metadata out, but not contradict."""
    for field, asked in (("name", request.name), ("namespace", request.namespace)):
        own = metadata_text(obj, field)
        if own and own != asked:
            problem = f"is {_shown(own)} but request.{field} is {_shown(asked)}"
            raise MalformedReviewError(f"request.{place}.metadata.{field}", problem)


def metadata_text(obj: Mapping[str, Json] | None, key: str) -> str:
    """`metadata.<key>` where that is a string; empty otherwise."""
    metadata = obj.get("metadata") if obj is not None else None
    value = metadata.get(key) if isinstance(metadata, dict) else None
    return value if isinstance(value, str) else ""


def _text(parent: Mapping[str, Json], key: str, where: str = "request") -> str:
    value = parent.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedReviewError(f"{where}.{key}", "is not a string")
    return value


def _texts(value: Json, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise MalformedReviewError(where, "is not a list of strings")
    return tuple(cast("list[str]", value))


def _object(parent: Mapping[str, Json], key: str) -> dict[str, Json]:
    value = parent.get(key)
    if not isinstance(value, dict):
        raise MalformedReviewError(f"request.{key}", "is missing or not an object")
    return value


def _optional_object(parent: Mapping[str, Json], key: str) -> dict[str, Json] | None:
    return None if parent.get(key) is None else _object(parent, key)


def _flag(parent: Mapping[str, Json], key: str) -> bool:
    value = parent.get(key)
    if not isinstance(value, bool | None):
        raise MalformedReviewError(f"request.{key}", "is not true or false")
    return value is True


def _shown(value: Json) -> str:
    """A wrong value, or its beginning, without control characters."""
    if isinstance(value, str):
        return repr(value[:_MAX_SHOWN])
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(value)
