"""Reads the patches: what each one breaks, and which tests must notice.

A patch file is a header of `Promise:`, `Tests:` and `Breaks:` lines (a line that
starts with a space continues the one before), then a unified diff. Reads only.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_KEYS = ("Promise", "Tests", "Breaks")
_DIFF = ("diff --git ", "--- ")


class BadPatchError(Exception):
    """A patch file whose header does not say what it must; the message names the file."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One way to break one promise in the source."""

    path: Path
    promise: str
    """A requirement id of `tests/requirements.py`."""
    tests: tuple[str, ...]
    """Paths or node ids; one of these tests must fail."""
    breaks: str
    """What no longer holds, in one sentence."""

    @property
    def name(self) -> str:
        """The file's name, without its ending."""
        return self.path.stem


def read_mutants(folder: Path, promises: Collection[str]) -> tuple[Mutant, ...]:
    """All patches of a folder in the order of their names, or a `BadPatchError`."""
    mutants = tuple(read_mutant(path) for path in sorted(folder.glob("*.patch")))
    for mutant in mutants:
        if mutant.promise not in promises:
            problem = f"{mutant.promise!r} is no requirement that holds today"
            raise BadPatchError(f"{mutant.path.name}: Promise: {problem} (tests/requirements.py)")
    return mutants


def read_mutant(path: Path) -> Mutant:
    """One patch file, or a `BadPatchError`."""
    header = _header(path)
    missing = [key for key in _KEYS if not header.get(key)]
    if missing:
        raise BadPatchError(f"{path.name}: the header says nothing about {', '.join(missing)}")
    return Mutant(path, header["Promise"], tuple(header["Tests"].split()), header["Breaks"])


def _header(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    key = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(_DIFF):
            return found
        if line.startswith(" ") and key:
            found[key] += f" {line.strip()}"
            continue
        key, colon, text = line.partition(":")
        if line and (not colon or key not in _KEYS or key in found):
            raise BadPatchError(f"{path.name}: {line!r} is no line of a header; know {_KEYS}")
        found[key] = text.strip()
    raise BadPatchError(f"{path.name}: there is no diff in it")
