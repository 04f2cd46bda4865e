"""Reads an AdmissionReview and writes the answer to it: bytes in, bytes out.

Everything that is not a well-formed `admission.k8s.io/v1` request is refused
with a sentence that names the field. It judges nothing, and builds no typed
model of the object under review.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import orjson

from controller.apis.requests import AdmissionRequest, Operation, Target, UserInfo
from controller.policy.json import Json

API_VERSION = "admission.k8s.io/v1"
MAX_REVIEW_BYTES = 16 * 1024 * 1024
"""An API request holds at most 3 MiB; an update's review carries two versions of the object."""

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
    review = read_json_object(body)
    if review.get("kind") != "AdmissionReview":
        raise MalformedReviewError("kind", f"is {review.get('kind')!r}; send AdmissionReview")
    if review.get("apiVersion") != API_VERSION:
        problem = f"is {review.get('apiVersion')!r}; register with admissionReviewVersions [v1]"
        raise MalformedReviewError("apiVersion", problem)
    request = review.get("request")
    if not isinstance(request, dict):
        raise MalformedReviewError("request", "is missing or not an object")
    return read_request(request)


def read_json_object(body: bytes) -> dict[str, Json]:
    """Parse strictly: one object, no duplicate keys, at most 250 levels deep."""
    if len(body) > MAX_REVIEW_BYTES:
        problem = f"has {len(body)} bytes; at most {MAX_REVIEW_BYTES} are judged"
        raise MalformedReviewError("", f"the body {problem}")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedReviewError("", f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedReviewError("", "the body is JSON, but not an object")
    try:
        again = orjson.dumps(value)
    except TypeError as error:
        problem = "is nested deeper than 250 levels; flatten the object"
        raise MalformedReviewError("", f"the body {problem}") from error
    if _key_marks(again) != _key_marks(body) or b"\\\\" in body:
        _refuse_duplicate_keys(body)
    return cast("dict[str, Json]", value)


def _key_marks(document: bytes) -> int:
    r"""The number of keys in compact JSON: each is followed by `":`, which a string shows as `\":`.

    Equal counts before and after a parse prove that no key was merged away.
    Spaces before colons, and strings that end in a backslash, spoil the count;
    `_refuse_duplicate_keys` decides then.
    """
    return document.count(b'":') - document.count(b'\\":')


def _refuse_duplicate_keys(body: bytes) -> None:
    """The slow and exact check, for the few documents that the count does not clear."""
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        seen = dict(pairs)
        if len(seen) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise MalformedReviewError("", f"the body has the key {twice[:80]!r} twice in one object")
        return seen

    json.loads(body, object_pairs_hook=unique)


def read_request(request: Mapping[str, Json]) -> AdmissionRequest:
    """Read `request` of an AdmissionReview, or raise `MalformedReviewError`."""
    uid = request.get("uid")
    if not isinstance(uid, str) or not uid:
        raise MalformedReviewError("request.uid", "is missing; the answer could not be matched")
    try:
        found = _read_parts(uid, request)
        _refuse_mismatch(found)
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
    name = _text(request, "name")
    return AdmissionRequest(
        uid=uid,
        operation=operation,
        target=_target(request),
        namespace=_text(request, "namespace"),
        name=name or metadata_text(old or obj, "name"),
        user=_user(request),
        obj=obj,
        old=old,
        options=_optional_object(request, "options"),
        dry_run=request.get("dryRun") is True,
        is_collection=operation is Operation.DELETE and not name,
    )


def _operation(request: Mapping[str, Json]) -> Operation:
    value = request.get("operation")
    try:
        return Operation(str(value))
    except ValueError as error:
        known = ", ".join(Operation)
        raise MalformedReviewError("request.operation", f"is {value!r}; know {known}") from error


def _target(request: Mapping[str, Json]) -> Target:
    kind, resource = _object(request, "kind"), _object(request, "resource")
    target = Target(
        group=_text(resource, "group", "request.resource"),
        version=_text(kind, "version", "request.kind"),
        kind=_text(kind, "kind", "request.kind"),
        resource=_text(resource, "resource", "request.resource"),
        subresource=_text(request, "subResource"),
    )
    if not target.kind:
        raise MalformedReviewError("request.kind.kind", "is missing")
    if not target.resource:
        raise MalformedReviewError("request.resource.resource", "is missing")
    return target


def _user(request: Mapping[str, Json]) -> UserInfo:
    user = _object(request, "userInfo")
    username = _text(user, "username", "request.userInfo")
    if not username:
        raise MalformedReviewError("request.userInfo.username", "is missing")
    extra = user.get("extra") or {}
    if not isinstance(extra, dict):
        raise MalformedReviewError("request.userInfo.extra", "is not an object")
    where = "request.userInfo"
    return UserInfo(
        username=username,
        uid=_text(user, "uid", where),
        groups=_texts(user.get("groups"), f"{where}.groups"),
        extra=MappingProxyType(
            {key: _texts(value, f"{where}.extra[{key!r}]") for key, value in extra.items()}
        ),
    )


def _refuse_mismatch(request: AdmissionRequest) -> None:
    """An envelope that says something else than its object must not be judged by either."""
    obj, target = request.obj, request.target
    if obj is None:
        return
    if obj.get("kind") not in (None, target.kind):
        problem = f"is {obj.get('kind')!r} but request.kind.kind is {target.kind!r}"
        raise MalformedReviewError("request.object.kind", problem)
    if target.subresource:
        return  # an Eviction or a TokenRequest may leave its own metadata out
    for field, asked in (("name", request.name), ("namespace", request.namespace)):
        own = metadata_text(obj, field)
        if own and asked and own != asked:
            problem = f"is {own!r} but request.{field} is {asked!r}"
            raise MalformedReviewError(f"request.object.metadata.{field}", problem)


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
