"""Takes confidential values out of a request before anything else sees it.

The values of Secrets, and the fields that Governance lists, become keyed marks:
equal values give equal marks, so that policies can compare what they cannot read.
Everything downstream (policies, records, logs, traces) gets the redacted request;
only stamps and content digests are taken from the original.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, cast

import orjson

from controller.apis.fieldpaths import ANY_ITEM, FieldPath, format_field_path, parse_field_path
from controller.apis.governance import Governance
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Target
from controller.records.stamps import CHANGE

MARK: Final = "hmac-sha256:"
"""What every mark begins with."""

_MARK_DIGITS: Final = 32
_COPIES: Final = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "objectset.rio.cattle.io/applied",
    "kapp.k14s.io/original",
    "banzaicloud.com/last-applied",
)
"""Annotations in which tools keep a copy of the whole object, some of them compressed."""
_MIN_TELLING: Final = 8
"""Characters of a value from which its occurrence within an annotation is no coincidence."""

_SECRET_FIELDS: Final[tuple[FieldPath, ...]] = (("data",), ("stringData",))


@dataclass(frozen=True, slots=True)
class Redacted:
    """A request without confidential values."""

    request: AdmissionRequest
    paths: tuple[str, ...] = ()
    """What was replaced in object or oldObject, as field paths; empty: nothing was."""


def redact(request: AdmissionRequest, *, governance: Governance, key: bytes) -> Redacted:
    """Replace confidential values by marks; untouched subtrees are shared, not copied.

    Args:
        request: as the API server sent it; it is not changed.
        governance: says which fields are confidential beside the values of Secrets.
        key: of the marks, at least 32 bytes.
    """
    fields = _confidential_fields(request.target, governance)
    if not fields:
        return Redacted(request)

    marks = _Marks(key)
    obj, old = _Marker(marks, request.obj), _Marker(marks, request.old)
    for marker in (obj, old):
        marker.replace_fields(fields)
    # What either object holds may be repeated in the other: of both, before any copy.
    for marker in (obj, old):
        marker.replace_copies()
    paths = dict.fromkeys((*obj.paths, *old.paths))
    if not paths:
        return Redacted(request)
    redacted = replace(request, obj=obj.redacted, old=old.redacted)
    return Redacted(redacted, tuple(map(_path_text, paths)))


def mark_of(value: Json, *, key: bytes) -> str:
    """The mark of one value, wherever it stands: `hmac-sha256:` and 32 hex digits."""
    written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return MARK + hmac.digest(key, written, "sha256").hex()[:_MARK_DIGITS]


# On the hot path, and the same few thousand paths again and again.
_path_text = lru_cache(maxsize=8192)(format_field_path)
_path_of = lru_cache(maxsize=1024)(parse_field_path)


def _confidential_fields(target: Target, governance: Governance) -> tuple[FieldPath, ...]:
    listed = tuple(
        _path_of(field)
        for rule in governance.redacted_fields
        if rule.covers(target.group, target.path)
        for field in rule.fields
    )
    is_secret = (target.group, target.resource) == ("", "secrets")
    return (*_SECRET_FIELDS, *listed) if is_secret else listed


class _Marks:
    """The marks of one request, each made once."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        # `1` and `true` are one key to Python.
        self._marks: dict[tuple[type, Json], str] = {}

    def of(self, value: Json) -> str:
        identity = (type(value), value)
        if identity not in self._marks:
            self._marks[identity] = mark_of(value, key=self._key)
        return self._marks[identity]

    def spellings(self) -> list[str]:
        """How the marked texts may be repeated elsewhere."""
        return [text for _, value in self._marks for text in _spellings(value)]


class _Marker:
    """Replaces values in one object, and keeps where they were."""

    def __init__(self, marks: _Marks, obj: Mapping[str, Json] | None) -> None:
        self.redacted = obj
        self.paths: dict[FieldPath, None] = {}
        self._marks = marks

    def replace_fields(self, fields: Iterable[FieldPath]) -> None:
        """Mark what the fields lead to."""
        if self.redacted is None:
            return
        redacted: Json = {**self.redacted}
        for field in fields:
            redacted = self.replace_at(redacted, field)
        self.redacted = cast("dict[str, Json]", redacted)

    def replace_at(self, value: Json, field: FieldPath, *, at: FieldPath = ()) -> Json:
        """The value with marks wherever the field leads to, or the same one if nowhere."""
        if not field:
            return self._replace(value, at)
        segment, rest = field[0], field[1:]
        if isinstance(segment, str):
            if not isinstance(value, dict) or segment not in value:
                return value
            inner = self.replace_at(value[segment], rest, at=(*at, segment))
            return value if inner is value[segment] else {**value, segment: inner}
        if not isinstance(value, list):
            return value
        return [
            self.replace_at(item, rest, at=(*at, index)) if segment in {ANY_ITEM, index} else item
            for index, item in enumerate(value)
        ]

    def replace_copies(self) -> None:
        """Mark what repeats the marked values: some annotations, and the names of set members."""
        metadata = (self.redacted or {}).get("metadata")
        if not isinstance(metadata, dict):
            return
        found = self._without_copies(metadata)
        if any(isinstance(segment, int) for path in self.paths for segment in path):
            found = _without_owned_values(found)
        self.redacted = {**(self.redacted or {}), "metadata": found}

    def _replace(self, value: Json, at: FieldPath) -> Json:
        """Leaf by leaf: which keys and how many items there are stays to be judged."""
        if isinstance(value, dict):
            return {key: self._replace(entry, (*at, key)) for key, entry in value.items()}
        if isinstance(value, list):
            return [self._replace(item, (*at, index)) for index, item in enumerate(value)]
        if value is None or at in self.paths:
            return value
        self.paths[at] = None
        return self._marks.of(value)

    def _without_copies(self, metadata: dict[str, Json]) -> dict[str, Json]:
        annotations = metadata.get("annotations")
        if not isinstance(annotations, dict) or not annotations.keys() - {CHANGE}:
            return metadata
        texts = self._marks.spellings()
        marked = {
            name: self._replace(value, ("metadata", "annotations", name))
            for name, value in annotations.items()
            if name in _COPIES or (name != CHANGE and _repeats_one(value, texts))
        }
        return {**metadata, "annotations": {**annotations, **marked}} if marked else metadata


def _repeats_one(annotation: Json, texts: Iterable[str]) -> bool:
    return isinstance(annotation, str) and any(text in annotation for text in texts)


def _spellings(value: Json) -> list[str]:
    """How a text may be repeated elsewhere: as it is, decoded from base64, or within JSON."""
    if not isinstance(value, str) or len(value) < _MIN_TELLING:
        return []
    texts = [value]
    try:
        decoded = base64.b64decode(value.encode(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    if len(decoded) >= _MIN_TELLING:
        texts.append(decoded)
    return [spelt for text in texts for spelt in (text, orjson.dumps(text).decode()[1:-1])]


def _without_owned_values(metadata: dict[str, Json]) -> dict[str, Json]:
    """Ownership names the items of a set, and the keys of a keyed list, by their values."""
    entries = metadata.get("managedFields")
    if not isinstance(entries, list):
        return metadata
    kept: list[Json] = [
        {**entry, "fieldsV1": {}} if isinstance(entry, dict) else entry for entry in entries
    ]
    return {**metadata, "managedFields": kept}
