"""Takes confidential values out of a request before anything else sees it.

The values of Secrets, and the fields that Governance lists, become keyed marks:
equal values give equal marks, so that policies can compare what they cannot read.
Everything downstream (policies, records, logs, traces) gets the redacted request;
only stamps and content digests are taken from the original.

Runs before anything was judged, so its cost is bounded: where there are too many values
to be marked one by one, or too much to be searched for them, more is marked than need be.
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import orjson

from controller.apis.fieldpaths import FieldPath, format_field_path, parse_field_path
from controller.apis.governance import Governance
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Target
from controller.records.places import Each, Make, Whole, filled, tree_of
from controller.records.repeats import IsRepeat, repeats_of
from controller.records.stamps import CHANGE

MARK: Final = "hmac-sha256:"
"""What every mark begins with."""
MAX_PATHS: Final = 256
"""How many places are listed; more are gathered under what they have in common."""
MAX_KEY: Final = 256
"""Characters of a key in a listed place; a longer one is gathered under what holds it."""

_MARK_DIGITS: Final = 32
_COPIES: Final = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "objectset.rio.cattle.io/applied",
    "kapp.k14s.io/original",
    "banzaicloud.com/last-applied",
)
"""Annotations in which tools keep a copy of the whole object, some of them compressed."""
_UNSEARCHED: Final = frozenset({CHANGE, *_COPIES})
_NEVER_MARKED: Final[Mapping[str, frozenset[str]]] = {
    "annotations": frozenset({CHANGE}),
    "labels": frozenset(),
}
"""The stamp; a label of its name is the agent's, who may write anything there."""

_SECRET_FIELDS: Final[tuple[FieldPath, ...]] = (("data",), ("stringData",))


@dataclass(frozen=True, slots=True)
class Redacted:
    """A request without confidential values."""

    request: AdmissionRequest
    paths: tuple[str, ...] = ()
    """Where something was replaced in object or oldObject, as field paths: at the place or above
    it, at most `MAX_PATHS` below the root's fields; empty: nothing was."""


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

    marks = _marks_of(request, fields, lambda value: mark_of(value, key=key))
    # What either object holds may be repeated in the other: of both, before any copy.
    obj, old = _without_repeats((marks.obj, marks.old), marks)
    if not marks.paths:
        return Redacted(request)
    paths = _gathered([*marks.paths])
    return Redacted(replace(request, obj=obj, old=old), tuple(map(format_field_path, paths)))


def repeats_confidential(text: str, request: AdmissionRequest, *, governance: Governance) -> bool:
    """Whether a text of the agent's repeats a confidential value of its write, or might.

    Args:
        text: whole; a part of it may hold the beginning of a value only.
        request: as the API server sent it.
        governance: says what is confidential.
    """
    fields = _confidential_fields(request.target, governance)
    if not fields:
        return False
    each, tree = Each(lambda _: ""), tree_of(fields)
    for obj in (request.obj, request.old):
        each.within(obj, tree)
    values = [value for _, value in each.marks] if each.left >= 0 else None
    is_repeat = repeats_of(values, (text,))
    return is_repeat is None or is_repeat(text)


def mark_of(value: Json, *, key: bytes) -> str:
    """The mark of one value, wherever it stands: `hmac-sha256:` and 32 hex digits."""
    written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return MARK + hmac.digest(key, written, "sha256").hex()[:_MARK_DIGITS]


# On the hot path, and always the same: Governance's.
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


@dataclass(slots=True)
class _Marks:
    """The objects of a request with marks where the fields lead to."""

    make: Make
    obj: Mapping[str, Json] | None
    old: Mapping[str, Json] | None
    paths: dict[FieldPath, None]
    """Where marks are, in order."""
    values: list[Json] | None
    """What was marked; None: too much to be told one by one."""
    tells_by_ownership: bool
    """Whether `managedFields` may name confidential values."""


def _marks_of(request: AdmissionRequest, fields: tuple[FieldPath, ...], make: Make) -> _Marks:
    tree = tree_of(fields)
    each = Each(make)
    obj, old = each.within(request.obj, tree), each.within(request.old, tree)
    if each.left >= 0:
        by_item = any(isinstance(part, int) for path in each.paths for part in path)
        values = [value for _, value in each.marks]
        return _Marks(make, obj, old, each.paths, values, by_item)
    whole = Whole(make)
    obj, old = whole.within(request.obj, tree), whole.within(request.old, tree)
    return _Marks(make, obj, old, whole.paths, None, tells_by_ownership=True)


def _without_repeats(
    objs: Iterable[Mapping[str, Json] | None], marks: _Marks
) -> list[Mapping[str, Json] | None]:
    """The objects without what repeats the marked values in their metadata."""
    found = [*objs]
    annotations = [_metadata_map(obj, "annotations") for obj in found]
    labels = [_metadata_map(obj, "labels") for obj in found]
    # Two searches, so that no annotation is so large that keys and labels cannot be judged.
    short = [key for entries in (*annotations, *labels) for key in entries]
    short += [text for entries in labels for text in entries.values() if isinstance(text, str)]
    long = [
        text
        for entries in annotations
        for key, text in entries.items()
        if isinstance(text, str) and key not in _UNSEARCHED
    ]
    is_short, is_long = repeats_of(marks.values, short), repeats_of(marks.values, long)
    return [_Repeats(marks, is_short, is_long).within(obj) for obj in found]


def _metadata_map(obj: Mapping[str, Json] | None, name: str) -> dict[str, Json]:
    metadata = (obj or {}).get("metadata")
    found = metadata.get(name) if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


@dataclass(slots=True)
class _Repeats:
    """Marks what repeats the marked values in the metadata of one object."""

    marks: _Marks
    is_short: IsRepeat | None
    """Of keys and labels."""
    is_long: IsRepeat | None
    """Of annotations."""

    def within(self, obj: Mapping[str, Json] | None) -> Mapping[str, Json] | None:
        metadata = (obj or {}).get("metadata")
        if obj is None or not isinstance(metadata, dict):
            return obj
        found = self._without(metadata, "annotations", self.is_long)
        found = self._without(found, "labels", self.is_short)
        if self.marks.tells_by_ownership:
            found = _without_owned_values(found)
        return obj if found is metadata else {**obj, "metadata": found}

    def _without(
        self, metadata: dict[str, Json], name: str, is_repeat: IsRepeat | None
    ) -> dict[str, Json]:
        whole = metadata.get(name)
        if not isinstance(whole, dict) or not whole.keys() - _NEVER_MARKED[name]:
            return metadata
        found = {key: text for key, text in whole.items() if key in _NEVER_MARKED[name]}
        entries = {key: text for key, text in whole.items() if key not in found}
        if self.is_short is None:
            return {**metadata, name: {**found, **self._as_one(entries, ("metadata", name))}}
        if is_repeat is None:
            entries = self._with_one_mark(entries, ("metadata", name))
        for key, text in entries.items():
            kept = self._key(key)
            found[kept] = text if is_repeat is None else self._text(key, text, is_repeat)
            if kept != key or found[kept] is not text:
                self.marks.paths["metadata", name, kept] = None
        return {**metadata, name: found} if found != whole else metadata

    def _as_one(self, entries: dict[str, Json], at: FieldPath) -> dict[str, Json]:
        """Keys and all: one entry, for keys may repeat values too."""
        self.marks.paths[at] = None
        self.marks.tells_by_ownership = True
        mark = self.marks.make(entries)
        return {mark: mark}

    def _with_one_mark(self, entries: dict[str, Json], at: FieldPath) -> dict[str, Json]:
        """Each with the mark of all."""
        self.marks.paths[at] = None
        return dict.fromkeys(entries, self.marks.make(entries))

    def _key(self, key: str) -> str:
        if self.is_short is None or not self.is_short(key):
            return key
        # Ownership lists the keys.
        self.marks.tells_by_ownership = True
        return self.marks.make(key)

    def _text(self, key: str, text: Json, is_repeat: IsRepeat) -> Json:
        if text is None:
            return text
        if key in _COPIES or (isinstance(text, str) and is_repeat(text)):
            return filled(text, self.marks.make(text))
        return text


def _without_owned_values(metadata: dict[str, Json]) -> dict[str, Json]:
    """Ownership names the items of a set, and the keys of a keyed list, by their values."""
    entries = metadata.get("managedFields")
    if not isinstance(entries, list):
        return metadata
    kept: list[Json] = [
        {**entry, "fieldsV1": {}} if isinstance(entry, dict) else entry for entry in entries
    ]
    return {**metadata, "managedFields": kept}


def _gathered(paths: list[FieldPath]) -> list[FieldPath]:
    """At most `MAX_PATHS` that lead to, or above, all of them: the longest that are so few.

    Never above the fields of the root, nor above those of the metadata.
    """
    cut = [*dict.fromkeys(map(_above_long_keys, paths))]
    depth = max(map(len, cut))
    while len(cut) > MAX_PATHS and depth > 1:
        depth -= 1
        cut = [*dict.fromkeys(_cut(path, depth) for path in cut)]
    return cut


def _above_long_keys(path: FieldPath) -> FieldPath:
    long = (at for at, part in enumerate(path) if isinstance(part, str) and len(part) > MAX_KEY)
    return path[: next(long, len(path))] or path[:1]


def _cut(path: FieldPath, depth: int) -> FieldPath:
    return path[: max(depth, 2)] if path[0] == "metadata" else path[:depth]
