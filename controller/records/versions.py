"""Reduces an object, as a watch or a list brings it, to the version that is settled from.

Total: an object of any shape gives a version. Of an ask that cannot be read, what can be
read counts, and the object itself always does: of a Pod with an odd quantity its other
containers and `pods: 1`. It says nothing about whose the write was; a stamp that it finds
may be a copied or a resurrected one.
"""

from collections.abc import Mapping

from controller.accounts.entries import WatchedKind
from controller.accounts.views import Version
from controller.apis.json import Json, text_of
from controller.asks.ownership import controller_of, owner_of
from controller.asks.workloads import read_ask
from controller.records.content import content_digest
from controller.records.stamps import read_stamp


def version_of(
    body: Mapping[str, Json], *, kind: WatchedKind, stamp_key: bytes, content_key: bytes
) -> Version:
    """One version of one object.

    Args:
        body: as stored; of a deletion the last content under the deletion's own version,
            from which alone it cannot be told to be one.
        kind: as what it is watched.
        stamp_key: what stamps are authenticated with.
        content_key: what the content's digest is keyed with.
    """
    found = body.get("metadata")
    metadata = found if isinstance(found, dict) else {}
    ask = read_ask(kind.group, kind.resource, body).ask
    return Version(
        uid=text_of(metadata.get("uid")),
        version=number_of(metadata.get("resourceVersion")),
        namespace=text_of(metadata.get("namespace")),
        name=text_of(metadata.get("name")),
        change=read_stamp(body, key=stamp_key),
        digest=content_digest(body, key=content_key),
        value=_value(body.get("spec")),
        is_ending=metadata.get("deletionTimestamp") is not None,
        owner=owner_of(body),
        ask=ask.total,
        controller=controller_of(body),
        fleet=ask.fleet,
        scaling=ask.scaling,
    )


def number_of(resource_version: Json) -> int:
    """A resource version as the number that it is (KEP-5504); 0 for anything else."""
    if not isinstance(resource_version, str) or not resource_version.isascii():
        return 0
    return int(resource_version) if resource_version.isdecimal() else 0


def _value(spec: Json) -> str:
    replicas = spec.get("replicas") if isinstance(spec, dict) else None
    # `true` is an int to Python.
    is_number = isinstance(replicas, int) and not isinstance(replicas, bool)
    return f"replicas:{replicas}" if is_number else ""
