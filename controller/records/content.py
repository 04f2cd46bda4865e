"""The digest of an object's content, by which a stored version is told to be the validated one.

Equal for an object as an update's `/validate` sees it and as the watch shows the version
that was stored. A create's may differ (a Job gets labels, a PersistentVolumeClaim its
phase, by defaults that are applied when it is read back); its uid proves it. Keyed, for
a digest of a Secret is kept where the Secret must not be guessed from. Decides nothing;
what two digests prove is `controller.accounts.evidence`'s.
"""

import hashlib
from collections.abc import Mapping

import orjson

from controller.accounts.entries import Action
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest
from controller.changes.fields import SERVER_SET_METADATA
from controller.records.stamps import Traced

_DIGEST_BYTES = 16
_SORTED = orjson.OPT_SORT_KEYS
_TYPE = frozenset({"apiVersion", "kind"})
"""A list leaves them out of its items."""


def content_digest(obj: Mapping[str, Json], *, key: bytes) -> str:
    """32 hex characters over all of the object but its type and the server-set metadata.

    Our stamp is content: the same manifest written twice has two digests.

    Args:
        obj: nested at most 250 levels deep, as `read_review` lets in. The digest of a
            deeper one (a person's) is empty, which equals no write's.
        key: of 16 to 64 bytes.
    """
    kept: dict[str, Json] = {field: value for field, value in obj.items() if field not in _TYPE}
    metadata = kept.get("metadata")
    if isinstance(metadata, dict):
        kept["metadata"] = {
            field: value for field, value in metadata.items() if field not in SERVER_SET_METADATA
        }
    try:
        written = orjson.dumps(kept, option=_SORTED)
        if _holds_nothing(written):
            written = orjson.dumps(_without_nothing(kept), option=_SORTED)
    except TypeError:  # too deep to be written
        return ""
    return hashlib.blake2b(written, key=key, digest_size=_DIGEST_BYTES).hexdigest()


def _holds_nothing(written: bytes) -> bool:
    """Whether a field is null or an empty list; in a text (`last-applied`) the quote is escaped."""
    return any(
        written.count(b'":' + nothing) > written.count(b'\\":' + nothing)
        for nothing in (b"null", b"[]")
    )


def _without_nothing(value: Json) -> Json:
    """The value without null and empty lists in maps.

    Built-in kinds are stored as protobuf, which does not tell the two from an absent field:
    a Role with `rules: []` comes back with `rules: null`.
    """
    if isinstance(value, dict):
        kept = ((key, inner) for key, inner in value.items() if inner is not None and inner != [])
        return {key: _without_nothing(inner) for key, inner in kept}
    if isinstance(value, list):
        return [_without_nothing(item) for item in value]
    return value


def traced_digest(request: AdmissionRequest, traced: Traced, *, key: bytes) -> str:
    """What the stored version is to be compared with, as an entry holds it.

    The content digest of what was validated, of a scale the value; empty where the
    version that follows tells nothing (a delete, a no-op, what is never stored).
    """
    if traced.value:
        return traced.value
    has_content = traced.action in {Action.CREATE, Action.UPDATE, Action.VALUE}
    return content_digest(request.obj or {}, key=key) if has_content else ""
