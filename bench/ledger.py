"""Reads the ledger as bare Git objects, and how much waits for it in outboxes.

For the benchmarks that hold it against other witnesses: nothing of Governor's own reading
has a say in it, and nothing is changed.
"""

import json
import os
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from shutil import which
from typing import Any, TypeAlias

Record: TypeAlias = Mapping[str, Any]


def records_of(repository: Path, *, skip: int = 0) -> list[Record]:
    """The records of a ledger, in order, without the first so many; none if it is empty."""
    if not _git(repository, "for-each-ref"):
        return []
    listed = _git(repository, "ls-tree", "-r", "--name-only", "HEAD", "records/").decode()
    names = sorted(listed.split(), key=lambda path: path.rsplit("/", 1)[-1])[skip:]
    asked = "".join(f"HEAD:{name}\n" for name in names).encode()
    output = _git(repository, "cat-file", "--batch", stdin=asked)
    records: list[Record] = []
    at = 0
    for _ in names:
        end = output.index(b"\n", at)
        size = int(output[at:end].split()[2])
        records.append(json.loads(output[end + 1 : end + 1 + size]))
        at = end + 1 + size + 1
    return records


def _git(repository: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
    return subprocess.run(
        (which("git") or "git", "--git-dir", str(repository), *arguments),
        input=stdin,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout


def waiting_in(outbox: Path) -> int:
    """Rows that nobody has acknowledged, in all outboxes of a folder."""
    total = 0
    for file in outbox.glob("outbox-*.sqlite"):
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            total += connection.execute("SELECT count(*) FROM rows").fetchone()[0]
    return total
