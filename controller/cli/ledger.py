"""Finds records in a ledger's Git repository, newest first, for `governor log` and `show`.

Reads the trailers, which are the index, and the files of those records only that are
asked for. It verifies nothing (`governor verify` does), and changes nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from controller.apis.json import Json
from controller.clients.git.errors import LedgerError
from controller.clients.git.history import commits_of, read_steps, read_trailers
from controller.clients.git.process import GitProcess
from controller.records.canonical import CanonicalError, parsed

BAD_LEDGER: Final = 2
_LEDGERS: Final = "refs/heads/ledger/"
_CHUNK: Final = 500

Trailers: TypeAlias = Mapping[str, str]


class LedgerReadError(Exception):
    """Nothing can be read; the message names what, and the fix."""


@dataclass(frozen=True, slots=True)
class Found:
    """One record, and the commit that added it."""

    commit: str
    record: dict[str, Json]


def find_records(
    directory: Path, matches: Callable[[Trailers], bool], *, limit: int | None = None
) -> Iterator[Found]:
    """The records whose trailers match, newest first.

    Args:
        directory: the bare repository.
        matches: asked with the trailers of every record's commit.
        limit: at most so many; None: all.

    Raises:
        LedgerReadError: there is no ledger, no git, or something in it cannot be read.
    """
    git = GitProcess(directory)
    try:
        commits = commits_of(git, _head_of(git))[::-1]
        found = 0
        for start in range(0, len(commits), _CHUNK):
            chunk = commits[start : start + _CHUNK]
            chosen = [
                commit
                for commit, trailers in zip(chunk, read_trailers(git, chunk), strict=True)
                if "Change-Id" in trailers and matches(trailers)
            ]
            wanted = chosen if limit is None else chosen[: limit - found]
            found += len(wanted)
            yield from _read(git, wanted)
            if found == limit:
                return
    except LedgerError as error:
        raise LedgerReadError(f"--ledger: {error}") from error


def _head_of(git: GitProcess) -> str:
    """The ref of the ledger that HEAD names, or of the only one."""
    if not (git.directory / "HEAD").is_file():
        raise LedgerReadError(f"--ledger: {git.directory} is no bare Git repository")
    git.require_usable()
    listed = git.run("for-each-ref", "--format=%(refname)", _LEDGERS).split(b"\n")
    refs = [name.decode(errors="replace") for name in listed if name]
    _, output, _ = git.ask("symbolic-ref", "--quiet", "HEAD")
    current = output.decode(errors="replace").strip()
    if current in refs:
        return current
    if len(refs) != 1:
        problem = f"holds {len(refs)} ledgers, and HEAD names none of them"
        fix = "run `git symbolic-ref HEAD` with one of" if refs else "there is no ref below"
        names = ", ".join(refs) or _LEDGERS
        raise LedgerReadError(f"--ledger: {git.directory} {problem}; {fix} {names}")
    return refs[0]


def _read(git: GitProcess, commits: list[str]) -> Iterator[Found]:
    if not commits:
        return
    for step in read_steps(git, commits):
        if step.content is None:
            raise LedgerReadError(f"{step.commit}: adds no record; see `governor verify`")
        try:
            record = parsed(step.content)
        except CanonicalError as error:
            problem = f"{step.commit}: its record cannot be read: {error}"
            raise LedgerReadError(f"{problem}; see `governor verify`") from error
        if not isinstance(record, dict):
            raise LedgerReadError(f"{step.commit}: its record is no object")
        yield Found(step.commit, record)
