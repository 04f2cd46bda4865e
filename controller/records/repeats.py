"""Says whether a text repeats a confidential value that stands elsewhere in the same write.

Looks for what tells: eight characters or more, as they are, decoded from base64, or
escaped as within JSON; of a long value its beginning. It searches only what is searched in
no time, and says so where it does not. It marks nothing.
"""

import binascii
import codecs
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, TypeAlias

import orjson

from controller.apis.json import Json

MIN_TELLING: Final = 8
"""Characters of a value from which its occurrence within another text is no coincidence."""
COMPARED: Final = 64
"""Characters of a value that are looked for: whoever repeats so many repeats the value."""
MAX_EFFORT: Final = 10_000_000
"""Characters looked for, times characters looked at: 7 ms, whatever the texts are."""

MAX_TEXTS: Final = 2_000
"""How many texts are looked at."""

_TEXT_EFFORT: Final = 16
"""Of looking at a text at all, in characters."""
_ENCODED: Final = COMPARED * 16 // 3 // 4 * 4
"""Base64 digits of `COMPARED` characters, at most four bytes each."""

IsRepeat: TypeAlias = Callable[[str], bool]
"""Whether a text repeats a confidential value."""


def repeats_of(values: Iterable[Json] | None, texts: Collection[str]) -> IsRepeat | None:
    """How to tell which of the texts repeat one of the values; None: that is too much to find out.

    Args:
        values: the confidential ones; None: more than can be looked for.
        texts: all that will be asked about.
    """
    if not texts:
        return _never
    if values is None or len(texts) > MAX_TEXTS:
        return None
    looked_at = sum(map(len, texts)) + _TEXT_EFFORT * len(texts)
    telling = [one for one in values if isinstance(one, str) and len(one) >= MIN_TELLING]
    if len(telling) * MIN_TELLING * looked_at > MAX_EFFORT:
        return None
    wanted = {spelt: None for value in telling for spelt in _spellings(value)}
    if sum(map(len, wanted)) * looked_at > MAX_EFFORT:
        return None
    return lambda text: any(spelt in text for spelt in wanted)


def _never(_: str) -> bool:
    return False


def _spellings(value: str) -> Iterator[str]:
    """How a value may be repeated elsewhere."""
    for text in (value[:COMPARED], _decoded(value)[:COMPARED]):
        if len(text) >= MIN_TELLING:
            yield text
            yield orjson.dumps(text).decode()[1:-1]


def _decoded(value: str) -> str:
    """The beginning of the text that is encoded as base64; empty where there is none."""
    try:
        held = binascii.a2b_base64(value[:_ENCODED].encode(), strict_mode=True)
        # The cut may be within a character: what is left of it is left out.
        return codecs.getincrementaldecoder("utf-8")().decode(held)
    except (binascii.Error, UnicodeDecodeError):
        return ""
