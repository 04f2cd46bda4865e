"""States the inverse of a recorded change: what would undo it, or why nothing does.

It undoes nothing itself. A stated inverse is safe to run late: it meets the object of
that uid or none, and an update's tests that every field still holds what the change put
there, in the list item where it put it, so that it fails where somebody changed that
since. A create's deletes the object with whatever was changed in it since.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from controller.accounts.entries import Outcome
from controller.apis.fieldpaths import FieldPath, parse_field_path
from controller.apis.json import Json, map_of, text_of
from controller.records.record import ATTEMPT, WRITE
from controller.records.recreation import recreatable


class InverseKind(StrEnum):
    """How a change is undone."""

    DELETE = "delete"
    PATCH = "patch"
    CREATE = "create"


@dataclass(frozen=True, slots=True)
class Inverse:
    """One call of the API server that undoes a change."""

    kind: InverseKind
    path: str
    """Of the call, from the API server's root."""
    content: Json
    """Its body: DeleteOptions with the uid, a JSON patch with tests, or the object."""
    command: str
    """The same for kubectl, ready to be pasted."""
    warnings: tuple[str, ...] = ()
    """What it does not bring back, or what is not certain."""


@dataclass(frozen=True, slots=True)
class NoInverse:
    """There is none."""

    reason: str
    """One sentence."""


_NEVER_RECORDED: Final = "the values were never recorded"
_ONLY_OWNERS: Final = "only who owns its fields changed"
_UNPROVEN: Final = {
    Outcome.UNKNOWN: "it is not known whether the change took effect",
    Outcome.GONE: "the object was deleted; by whom is not proven",
    Outcome.MATCHES: "the object then had this value; who set it is not proven",
}
_NO_EFFECT: Final = {
    Outcome.LOST: "it was not persisted, so there is nothing to undo",
    Outcome.NO_OP: "it changed nothing",
}
_REFUSED: Final = "it was refused, so there is nothing to undo"
_NO_ENTRY: Final = (
    "no entry of its own is known: whether it took effect, and how that is undone, another record "
    "says, or none"
)
_ONE_WAY: Final = {
    "approval": "a certificate that was issued cannot be taken back",
    "ephemeralcontainers": "an ephemeral container cannot be removed from its Pod",
    "eviction": "an evicted Pod does not come back; its controller makes another",
    "binding": "a Pod cannot be taken off its node again",
    "finalize": "what was finalized is gone",
    "token": "a token cannot be revoked by itself; delete what it is bound to",
}
_MAX_YAML_KEY: Final = 1000
"""Characters as written; at 1024 a reader of YAML gives up looking for the colon."""
_BEYOND_ASCII: Final = re.compile(r"[^ -~]")
_Tested: TypeAlias = tuple[list[Json], list[str]]


def inverse_of(record: Mapping[str, Json]) -> Inverse | NoInverse:
    """The inverse of what a record tells.

    Args:
        record: as `controller.records.record` makes them.
    """
    problem = _why_none(record)
    if problem:
        return NoInverse(problem)
    request = map_of(record.get("request"))
    operation, subresource = request.get("operation"), text_of(request.get("subresource"))
    if operation == "CONNECT":
        return NoInverse("what was done through a connection is not recorded")
    if subresource in _ONE_WAY:
        return NoInverse(_ONE_WAY[subresource])
    if operation == "UPDATE":
        return _undo_update(record)
    if subresource:
        return NoInverse(f"a {subresource} leaves nothing that could be undone")
    return _undo_create(record) if operation == "CREATE" else _undo_delete(record)


def _why_none(record: Mapping[str, Json]) -> str:
    if record.get("type") != WRITE:
        return _NO_ENTRY if record.get("type") == ATTEMPT else _REFUSED
    outcome = _outcome(record)
    if outcome is not None and outcome in _NO_EFFECT:
        return _NO_EFFECT[outcome]
    if "bodyMissing" in record:
        return f"the record's body is missing ({text_of(record['bodyMissing'])})"
    return "it was too large to be recorded whole" if "omitted" in record else ""


def _outcome(record: Mapping[str, Json]) -> Outcome | None:
    return next((one for one in Outcome if one == record.get("outcome")), None)


def _caveats(record: Mapping[str, Json]) -> tuple[str, ...]:
    outcome = _outcome(record)
    if outcome is None:
        return ("what became of it is not settled yet",)
    return (_UNPROVEN[outcome],) if outcome in _UNPROVEN else ()


def _undo_create(record: Mapping[str, Json]) -> Inverse | NoInverse:
    uid = text_of(map_of(record.get("object")).get("uid"))
    if not uid:
        return NoInverse("it was never stored, only answered")
    options: dict[str, Json] = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid},
        "propagationPolicy": "Background",
    }
    path = _path(map_of(record.get("request")))
    command = f"kubectl delete --raw {shlex.quote(path)} -f - {_here(_json(options))}"
    return Inverse(InverseKind.DELETE, path, options, command, _caveats(record))


def _undo_delete(record: Mapping[str, Json]) -> Inverse | NoInverse:
    before = record.get("before")
    if not isinstance(before, dict):
        return NoInverse("the deleted object was not recorded")
    request = map_of(record.get("request"))
    redactions = _redactions(record)
    if (request.get("group"), request.get("resource")) == ("", "secrets") and redactions:
        return NoInverse(_NEVER_RECORDED)
    manifest, warnings = recreatable(before, redactions)
    collection = _path(request, is_collection=True)
    command = f"kubectl create -f - {_here(_json(manifest))}"
    return Inverse(
        InverseKind.CREATE, collection, manifest, command, (*_caveats(record), *warnings)
    )


def _undo_update(record: Mapping[str, Json]) -> Inverse | NoInverse:
    if "changes" not in record:
        return NoInverse("more fields were changed than are recorded one by one")
    uid = text_of(map_of(record.get("object")).get("uid"))
    if not uid:
        return NoInverse("which object was changed is not recorded")
    operations, warnings = _patch(record, uid=uid)
    if record.get("ownershipLost") is True:
        warnings.append("which manager owned which field is not restored")
    if not operations:
        none = f"nothing of it can be restored: {warnings[0]}" if warnings else _ONLY_OWNERS
        return NoInverse(none)
    request = map_of(record.get("request"))
    subresource = text_of(request.get("subresource"))
    if subresource == "status":
        warnings.append("a status is an observation: its controller may write it again")
    path = _path(request, subresource=subresource)
    command = _patch_command(request, operations)
    return Inverse(InverseKind.PATCH, path, operations, command, (*_caveats(record), *warnings))


def _patch(record: Mapping[str, Json], *, uid: str) -> _Tested:
    """Tests first, then the edits: a JSON patch takes effect as a whole or not at all."""
    redactions = _redactions(record)
    anchors = _anchors(record, redactions)
    tests: list[Json] = []
    edits: list[Json] = []
    warnings: list[str] = []
    for change in _maps(record.get("changes")):
        path = parse_field_path(text_of(change.get("path")))
        problem = _why_not_restored(path, change, redactions=redactions, anchors=anchors)
        if problem:
            warnings.append(f"{change.get('path')} {problem}")
            continue
        tests += _test(path, change)
        edits.append(_edit(path, change))
    # A scale and a status have the uid of the object they are of.
    same_object = _operation("test", ("metadata", "uid"), value=uid)
    same_items = (_operation("test", path, value=value) for path, value in anchors.items())
    return ([same_object, *same_items, *tests, *edits] if edits else [], warnings)


def _anchors(
    record: Mapping[str, Json], redactions: tuple[FieldPath, ...]
) -> Mapping[FieldPath, Json]:
    """What can be tested of what binds the changes to their list items."""
    listed = {
        parse_field_path(text_of(anchor.get("path"))): anchor.get("value")
        for anchor in _maps(record.get("anchors"))
    }
    return {
        path: value
        for path, value in listed.items()
        if _is_comparable(value) and not _is_redacted(path, redactions)
    }


def _why_not_restored(
    path: FieldPath,
    change: Mapping[str, Json],
    *,
    redactions: tuple[FieldPath, ...],
    anchors: Mapping[FieldPath, Json],
) -> str:
    if _is_redacted(path, redactions):
        return "is confidential and cannot be restored"
    if not _is_comparable(change.get("after")):
        return "cannot be restored: it has a null in a list, which no patch can test"
    depths = (depth for depth, part in enumerate(path, start=1) if isinstance(part, int))
    if all(any(_binds(anchor, path[:depth]) for anchor in anchors) for depth in depths):
        return ""
    return (
        "cannot be restored: what tells its list item from others is confidential or has a null "
        "in a list, so no patch can test it"
    )


def _is_comparable(value: Json) -> bool:
    """Whether the API server can test it: a null that is a list's item ends the call there."""
    if isinstance(value, list):
        return all(item is not None and _is_comparable(item) for item in value)
    return not isinstance(value, dict) or all(map(_is_comparable, value.values()))


def _binds(anchor: FieldPath, item: FieldPath) -> bool:
    """Whether it is the item's name, or a list in which the item lies."""
    return anchor[:-1] == item or (len(anchor) < len(item) and item[: len(anchor)] == anchor)


def _test(path: FieldPath, change: Mapping[str, Json]) -> Iterator[Json]:
    """That the field still is as the change left it; for the API server null is no field."""
    yield _operation("test", path, value=change.get("after"))


def _edit(path: FieldPath, change: Mapping[str, Json]) -> Json:
    if "before" not in change:
        return _operation("remove", path)
    return _operation("replace" if "after" in change else "add", path, value=change["before"])


def _operation(name: str, path: FieldPath, **value: Json) -> dict[str, Json]:
    return {"op": name, "path": _pointer(path), **value}


def _pointer(path: FieldPath) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def _redactions(record: Mapping[str, Json]) -> tuple[FieldPath, ...]:
    found = record.get("redactions")
    paths = found if isinstance(found, list) else []
    return tuple(parse_field_path(text_of(path)) for path in paths)


def _is_redacted(path: FieldPath, redactions: tuple[FieldPath, ...]) -> bool:
    return any(path[: len(one)] == one[: len(path)] for one in redactions)


def _path(
    request: Mapping[str, Json], *, subresource: str = "", is_collection: bool = False
) -> str:
    group, version = text_of(request.get("group")), text_of(request.get("version"))
    namespace = text_of(request.get("namespace"))
    parts = ["apis", group, version] if group else ["api", version]
    parts += ["namespaces", namespace] if namespace else []
    parts.append(text_of(request.get("resource")))
    parts += [] if is_collection else [text_of(request.get("name"))]
    return "/" + "/".join([*parts, *([subresource] if subresource else [])])


def _patch_command(request: Mapping[str, Json], operations: list[Json]) -> str:
    group, version = text_of(request.get("group")), text_of(request.get("version"))
    namespace, subresource = text_of(request.get("namespace")), text_of(request.get("subresource"))
    arguments = [
        "kubectl",
        "patch",
        f"{text_of(request.get('resource'))}.{version}.{group}",
        text_of(request.get("name")),
        *(["--namespace", namespace] if namespace else []),
        *(["--subresource", subresource] if subresource else []),
        "--type",
        "json",
        "--patch-file",
        "/dev/stdin",
    ]
    return f"{shlex.join(arguments)} {_here(_yaml(operations))}"


def _here(document: str) -> str:
    """A document behind a command: one line of ASCII, in which nothing is expanded."""
    return f"<<'GOVERNOR'\n{document}\nGOVERNOR"


def _json(value: Json) -> str:
    return json.dumps(value, separators=(",", ":")).replace("\x7f", r"\u007f")


def _yaml(value: Json) -> str:
    """The same for what kubectl reads as YAML.

    That takes no surrogate pairs, and long keys only behind a question mark.
    """
    if isinstance(value, list):
        return f"[{','.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        items = ((_yaml(key), _yaml(inner)) for key, inner in value.items())
        return f"{{{','.join(f'{_mark(key)}{key}:{inner}' for key, inner in items)}}}"
    text = json.dumps(value, ensure_ascii=False)
    return _BEYOND_ASCII.sub(lambda found: rf"\U{ord(found[0]):08x}", text)


def _mark(key: str) -> str:
    return "? " if len(key) > _MAX_YAML_KEY else ""


def _maps(value: Json) -> Iterator[Mapping[str, Json]]:
    yield from (one for one in (value if isinstance(value, list) else []) if isinstance(one, dict))
