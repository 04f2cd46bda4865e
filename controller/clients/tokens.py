"""Reads the bearer tokens of a file, anew whenever it changes.

Several lines may hold one token each: a new one is put beside the old, the other side
is switched over, the old one is taken out. Blank lines count for nothing.

It compares no tokens and logs none. A file that becomes unusable leaves the last usable
tokens in force: whoever replaces it in two steps must not have every write refused
meanwhile. So a token is revoked by putting another in its place, not by removing the file.
"""

from pathlib import Path
from typing import TypeAlias

import structlog

SHORTEST = 16
"""Characters of a token; fewer would be a name rather than a secret."""

_LARGEST = 65_536
_Stamp: TypeAlias = tuple[int, int, int] | None

log = structlog.get_logger("governor.clients")


class TokenFileError(Exception):
    """The file holds no usable tokens; the message names it, the line and the fix."""


class TokenFile:
    """The tokens of one file."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            TokenFileError: it cannot be read, is empty, or a line is no token.
        """
        self._path = path
        self._stamp = _stamp(path)
        self._tokens = _read(path)

    def current(self) -> tuple[bytes, ...]:
        """The tokens as of now, at least one. Costs a `stat`; never fails."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return self._tokens
        # Before it is read: what changes in between has another stamp at the next look.
        self._stamp = stamp
        try:
            self._tokens = _read(self._path)
        except TokenFileError as unusable:
            log.warning("tokens unusable, the last ones stay in force", error=str(unusable))
        else:
            log.info("tokens read anew", file=str(self._path), count=len(self._tokens))
        return self._tokens


def _stamp(path: Path) -> _Stamp:
    """What differs when the content may differ; None where there is nothing to be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise TokenFileError(f"{path}: {error.strerror}; expected a file of tokens") from error
    if len(content) > _LARGEST:
        raise TokenFileError(f"{path}: more than {_LARGEST} bytes; expected a few tokens")
    lines = [line.strip() for line in content.split(b"\n")]
    for number, line in enumerate(lines, 1):
        if line and not _is_token(line):
            raise TokenFileError(
                f"{path}: line {number} is no token: expected at least {SHORTEST} "
                "visible ASCII characters without spaces"
            )
    tokens = tuple(line for line in lines if line)
    if not tokens:
        raise TokenFileError(f"{path}: is empty; expected one token a line")
    return tokens


def _is_token(line: bytes) -> bool:
    """Whether it can stand in a header as it is."""
    return len(line) >= SHORTEST and all(0x21 <= byte <= 0x7E for byte in line)
