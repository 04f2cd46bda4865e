"""Reads the records of a ledger as any reader of Git could: with git, and none of our code."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.waiting import eventually

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LedgerFiles:
    """The files of one bare repository."""

    directory: Path

    def all(self) -> list[Record]:
        """Every record, by its number; none while there is no ledger."""
        tip = self._git("for-each-ref", "--format=%(objectname)", "refs/heads/ledger/").split()
        if not tip:
            return []
        listing = self._git("ls-tree", "-r", tip[0], "--", "records/").splitlines()
        blobs = [line.split()[2] for line in listing]
        records = [json.loads(text) for text in self._contents(blobs)]
        return sorted(records, key=lambda record: int(record["seq"]))

    def where(self, matches: Callable[[Record], bool]) -> list[Record]:
        """Those that match, by their numbers."""
        return [record for record in self.all() if matches(record)]

    def everything(self) -> bytes:
        """All objects of the repository, unpacked."""
        arguments = ("cat-file", "--batch", "--batch-all-objects")
        return self._run(*arguments)

    def _contents(self, blobs: list[str]) -> list[str]:
        output = self._run("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs))
        found: list[str] = []
        start = 0
        while start < len(output):
            end = output.index(b"\n", start)
            size = int(output[start:end].split()[2])
            found.append(output[end + 1 : end + 1 + size].decode())
            start = end + size + 2
        return found

    def _git(self, *arguments: str) -> str:
        return self._run(*arguments).decode()

    def _run(self, *arguments: str, stdin: str = "") -> bytes:
        if not self.directory.exists():
            return b""
        return subprocess.run(
            ["git", "--git-dir", self.directory, *arguments],  # noqa: S607 -- git as users have it
            input=stdin.encode(),
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout


def wait_for(
    ledger: LedgerFiles,
    matches: Callable[[Record], bool],
    *,
    count: int = 1,
    within_seconds: float = 30.0,
) -> list[Record]:
    """Wait until so many records match, and give them."""

    def found() -> list[Record]:
        records = ledger.where(matches)
        return records if len(records) >= count else []

    return eventually(found, f"{count} records", within_seconds=within_seconds)
