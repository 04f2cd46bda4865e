"""One commit of a ledger's history as a value, and the trailers of its message.

Values only: how they are read is the repository's business, what they must be like
that of `controller.records.verification`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_TRAILER = re.compile(r"([A-Za-z][A-Za-z0-9-]*): (.*)")


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a commit did to one file."""

    status: str
    """Git's letter: A for added, M, D, T."""
    mode: str
    """The new mode, `100644`."""
    path: str
    blob: str = ""
    """Git's id of the new content."""


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One commit."""

    commit: str
    parents: tuple[str, ...]
    at: int
    """When it was committed, seconds since the epoch; 0 where that cannot be read."""
    message: str
    changes: tuple[FileChange, ...]
    content: bytes | None
    """Of the file that it added, where it added exactly one."""
    headers: tuple[str, ...] = ()
    """The lines of the commit before its message, but for its tree and its parents."""


def trailers_of(message: str) -> Mapping[str, str]:
    """The trailers of a commit message: its last paragraph, if every line of it is one.

    A subject is no trailer, so a message of one paragraph has none. Of a key that is
    there twice the last counts.
    """
    _, separator, last = message.rstrip("\n").rpartition("\n\n")
    matches = [_TRAILER.fullmatch(line) for line in last.split("\n")]
    if not separator or not all(matches):
        return {}
    return {match[1]: match[2] for match in matches if match is not None}


def identity_of(trailers: Mapping[str, str]) -> str:
    """What no two records have in common: `Entry …` of a write, else `Attempt …`; else nothing.

    An attempt that was recorded as one may turn out to have been reserved, late: then the
    write has a record of its own.
    """
    for key in ("Entry", "Attempt"):
        if key in trailers:
            return f"{key} {trailers[key]}"
    return ""
