"""The stamp: which change wrote an object, in an annotation that only Governor can make.

Writes and reads stamps, says which writes need one, and by which trace a write will
be known once it is stored. It mints no change ids, sees no cluster, and says nothing
about whether a stamp proves a change: a copied or resurrected one is authentic, too
(`controller.accounts.evidence` compares the object's uid, version and content).
"""

import base64
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import orjson

from controller.accounts.entries import Action, WatchedKind
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation
from controller.asks.ownership import AGENT
from controller.changes.fields import SERVER_SET_METADATA

CHANGE: Final = "governor.dev/change"
"""The annotation that holds the stamp."""
REASON: Final = "governor.dev/reason"
"""The annotation in which an agent says why; `/mutate` takes it off the object."""

OWN: Final[Mapping[str, frozenset[str]]] = {
    "annotations": frozenset({CHANGE, REASON}),
    "labels": frozenset({AGENT}),
}
"""What Governor itself keeps in an object's metadata, whoever's write put it there."""

_MAC_BYTES: Final = 16
_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_STAMP: Final = re.compile(rf"(?P<change>{_ULID.pattern})\.(?P<mac>[a-z2-7]{{26}})")

_STAMPED: Final = frozenset({"", "status"})
"""Subresources that keep an annotation; scale, resize and ephemeralcontainers drop it."""
_HOLDS_REPLICAS: Final = frozenset(
    {
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("apps", "statefulsets"),
        ("", "replicationcontrollers"),
    }
)
"""Kinds whose `scale` is their `spec.replicas`; a custom kind may keep it anywhere."""


@dataclass(frozen=True, slots=True)
class Traced:
    """By what a write will be known in the watch."""

    action: Action
    kind: WatchedKind
    """What to watch; of a subresource its parent's."""
    change: str = ""
    """That the fresh stamp carries; empty where none survives, and in a dry run."""
    old_change: str = ""
    """That the oldObject's stamp carries; empty without one."""
    value: str = ""
    """Of a scale, `replicas:3`; empty: compare the content."""


@dataclass(frozen=True, slots=True)
class MissingStamp:
    """The write will be stored, and nothing in it would prove whose it was."""

    kind: WatchedKind


Trace: TypeAlias = Traced | MissingStamp


def write_stamp(change: str, *, key: bytes) -> str:
    """The stamp of a change.

    Args:
        change: its id, a ULID.
        key: at least 32 bytes, shared by all processes of one Governor.

    Raises:
        ValueError: `change` is no ULID: it could not be read back.
    """
    if _ULID.fullmatch(change) is None:
        raise ValueError(f"a stamp carries a ULID, not {change[:40]!r}")
    return f"{change}.{_mac(change, key)}"


def read_stamp(obj: Mapping[str, Json] | None, *, key: bytes) -> str:
    """The change id that an object's stamp carries; empty without an authentic one."""
    stamp = annotation_of(obj, CHANGE)
    parts = _STAMP.fullmatch(stamp) if isinstance(stamp, str) else None
    if parts is None or not hmac.compare_digest(parts["mac"], _mac(parts["change"], key)):
        return ""
    return parts["change"]


def annotation_of(obj: Mapping[str, Json] | None, name: str) -> Json:
    """One annotation on the object's own metadata; None where there is none."""
    metadata = obj.get("metadata") if obj is not None else None
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    return annotations.get(name) if isinstance(annotations, dict) else None


def without_own(metadata: Mapping[str, Json]) -> dict[str, Json]:
    """An object's metadata without `OWN`; a map in which nothing is left is left out."""
    found = {**metadata}
    for name, own in OWN.items():
        entries = found.get(name)
        if not isinstance(entries, dict | None):
            continue
        kept: dict[str, Json] = {key: it for key, it in (entries or {}).items() if key not in own}
        if kept:
            found[name] = kept
        else:
            found.pop(name, None)
    return found


def needs_stamp(request: AdmissionRequest) -> bool:
    """Whether `/mutate` is to stamp this write: it will be stored, and it changes something.

    A write that changes nothing must stay one, or each repeated apply would become a
    write. The reason alone is no change, nor is the stamp, nor whose the object is.
    """
    if request.dry_run or not _can_be_stamped(request):
        return False
    if request.operation is Operation.CREATE or request.obj is None or request.old is None:
        return True
    old = _with_left_out_status(request.obj, request.old)
    return not _is_same(_own_content(request.obj), _own_content(old))


def trace_of(request: AdmissionRequest, *, key: bytes) -> Trace:
    """By what this write, as `/validate` sees it, will be known once it is stored.

    Args:
        request: with the final object.
        key: of the stamps.
    """
    kind = watched_kind(request)
    untraced = Traced(Action.UNTRACED, kind)
    if request.operation is Operation.DELETE:
        return Traced(Action.DELETE, kind, old_change=read_stamp(request.old, key=key))
    if request.operation is Operation.UPDATE:
        return _trace_update(request, key=key)
    if request.operation is Operation.CREATE and not request.target.subresource:
        is_stored = _has_uid(request)
        return _trace_stamp(request, Action.CREATE, key=key) if is_stored else untraced
    return untraced


def watched_kind(request: AdmissionRequest) -> WatchedKind:
    """What has to be watched to see this write: the resource, in the version it came in."""
    target = request.target
    return WatchedKind(target.group, target.served_version, target.resource)


def _trace_update(request: AdmissionRequest, *, key: bytes) -> Trace:
    if request.target.subresource == "scale":
        return _trace_scale(request, key=key)
    kind, old_change = watched_kind(request), read_stamp(request.old, key=key)
    obj, old = request.obj or {}, request.old or {}
    if _is_same(_content(obj), _content(old)):
        is_noop = _is_same(_owners(obj), _owners(old))
        action = Action.NOTHING if is_noop else Action.VALUE
        return Traced(action, kind, old_change=old_change)
    traced = _trace_stamp(request, Action.UPDATE, key=key)
    if isinstance(traced, Traced) or not _leaves_trace_by_value(request):
        return traced
    return Traced(Action.VALUE, kind, old_change=old_change)


def _trace_stamp(request: AdmissionRequest, action: Action, *, key: bytes) -> Trace:
    kind = watched_kind(request)
    change, old_change = read_stamp(request.obj, key=key), read_stamp(request.old, key=key)
    is_fresh = bool(change) and change != old_change
    if is_fresh and _can_be_stamped(request):
        return Traced(action, kind, change=change, old_change=old_change)
    # Nothing was stamped in a dry run, for nothing is stored: it is judged as if it were.
    return Traced(action, kind, old_change=old_change) if request.dry_run else MissingStamp(kind)


def _leaves_trace_by_value(request: AdmissionRequest) -> bool:
    """Where no stamp can be asked for.

    Most subresources drop it, of custom resources even `status` does (their metadata is
    copied from the old object). And `/mutate` could not know that a status which the
    request left out would not be completed.
    """
    if request.target.subresource:
        return True
    obj, old = request.obj or {}, request.old or {}
    return _is_same(_content(obj), _content(_with_left_out_status(obj, old)))


def _trace_scale(request: AdmissionRequest, *, key: bytes) -> Traced:
    """Never `NOTHING`: the same number asked for by another manager is written, too."""
    kind = watched_kind(request)
    spec = (request.obj or {}).get("spec")
    # The API server leaves a zero out.
    replicas = spec.get("replicas", 0) if isinstance(spec, dict) else 0
    if (kind.group, kind.resource) not in _HOLDS_REPLICAS or not isinstance(replicas, int):
        return Traced(Action.UNTRACED, kind)
    old_change = read_stamp(request.old, key=key)
    return Traced(Action.VALUE, kind, old_change=old_change, value=f"replicas:{replicas}")


def _can_be_stamped(request: AdmissionRequest) -> bool:
    is_write = request.operation in {Operation.CREATE, Operation.UPDATE}
    is_kept = request.target.subresource in _STAMPED
    return is_write and is_kept and isinstance((request.obj or {}).get("metadata"), dict)


def _has_uid(request: AdmissionRequest) -> bool:
    """What is only answered and never stored (reviews, a Binding) is given no uid."""
    metadata = (request.obj or {}).get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("uid"))


def _with_left_out_status(obj: Mapping[str, Json], old: Mapping[str, Json]) -> Mapping[str, Json]:
    """The old object as a bare PUT without `status` is compared with: the server completes it."""
    if "status" in obj:
        return old
    return {key: value for key, value in old.items() if key != "status"}


def _content(obj: Mapping[str, Json]) -> dict[str, Json]:
    """Everything but what the API server keeps itself."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        return {**obj}
    kept = {key: value for key, value in metadata.items() if key not in SERVER_SET_METADATA}
    return {**obj, "metadata": kept}


def _own_content(obj: Mapping[str, Json]) -> dict[str, Json]:
    """The content without what Governor keeps there itself."""
    content = _content(obj)
    metadata = content.get("metadata")
    return {**content, "metadata": without_own(metadata)} if isinstance(metadata, dict) else content


def _owners(obj: Mapping[str, Json]) -> Json:
    metadata = obj.get("metadata")
    return metadata.get("managedFields") if isinstance(metadata, dict) else None


def _is_same(left: Json, right: Json) -> bool:
    """Equal as JSON: Python takes `1`, `1.0` and `true` for one value."""
    return left == right and _written(left) == _written(right)


def _written(value: Json) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _mac(change: str, key: bytes) -> str:
    mac = hmac.digest(key, change.encode(), "sha256")[:_MAC_BYTES]
    return base64.b32encode(mac).decode().lower().rstrip("=")
