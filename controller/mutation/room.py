"""Whether an object has room for the stamp: the API server bounds the sum of its annotations.

Without this, the error would be the API server's, about a size that the agent never sent.
It decides nothing about the write; `/validate` refuses it.
"""

from collections.abc import Mapping
from typing import Final

from controller.apis.json import Json
from controller.records.stamps import CHANGE, REASON

STAMP_BYTES: Final = len(CHANGE) + 26 + 1 + 26
"""Of the annotation's key, and of its value: a ULID, a dot, the code that authenticates it."""
MAX_ANNOTATION_BYTES: Final = 262_144 - STAMP_BYTES
"""What is left for all other annotations, keys and values together."""


def annotation_bytes(obj: Mapping[str, Json] | None) -> int:
    """The size of an object's annotations without Governor's own."""
    metadata = (obj or {}).get("metadata")
    found = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(found, dict):
        return 0
    texts = ((key, text) for key, text in found.items() if key not in {CHANGE, REASON})
    return sum(_size(key) + (_size(text) if isinstance(text, str) else 0) for key, text in texts)


def has_room(obj: Mapping[str, Json] | None) -> bool:
    """Whether the stamp can be added."""
    return annotation_bytes(obj) <= MAX_ANNOTATION_BYTES


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
