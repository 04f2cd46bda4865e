"""Writes CEL source: literals that nothing can break out of. Evaluates nothing."""

from collections.abc import Iterable

_PRINTABLE = frozenset(map(chr, range(0x20, 0x7F)))


def cel_string(text: str) -> str:
    """A CEL string literal that means exactly `text`, in printable ASCII only.

    ASCII, because the source travels through YAML readers and terminals: nothing in
    it may be invisible, or be refused on the way.

    Raises:
        ValueError: `text` holds a surrogate, which no string of CEL or Kubernetes can.
    """
    return '"' + "".join(map(_escaped, text)) + '"'


def cel_list(texts: Iterable[str]) -> str:
    """A CEL list of strings."""
    return "[" + ", ".join(map(cel_string, texts)) + "]"


def _escaped(character: str) -> str:
    if character in {'"', "\\"}:
        return f"\\{character}"
    if character in _PRINTABLE:
        return character
    point = ord(character)
    if 0xD800 <= point <= 0xDFFF:
        raise ValueError(f"U+{point:04X} is a surrogate: no Kubernetes string holds it")
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"
