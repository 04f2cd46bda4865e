"""Makes text that somebody else wrote fit for a line of ours: bounded, printable, inert.

It judges nothing and drops nothing silently: what cannot be shown becomes `�`, and
what is cut ends in `…`.
"""

QUOTE = "> "
_UNPRINTABLE = "�"


def one_line(text: str, limit: int) -> str:
    """The text as one line of at most `limit` characters, without control characters."""
    shown = printable(text).strip()
    return shown if len(shown) <= limit else f"{shown[: max(limit - 1, 0)].rstrip()}…"


def quoted(text: str, limit: int) -> str:
    """The text's lines, each behind `> `, of at most `limit` characters; empty for nothing."""
    cut = text if len(text) <= limit else f"{text[: limit - 1]}…"
    lines = [printable(line).rstrip() for line in cut.strip().split("\n")]
    return "\n".join(f"{QUOTE}{line}".rstrip() for line in lines) if any(lines) else ""


def printable(text: str) -> str:
    """Without control characters, ends of lines among them."""
    return "".join(character if character.isprintable() else _UNPRINTABLE for character in text)
