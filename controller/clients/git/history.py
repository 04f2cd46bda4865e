"""Reads commits and files of a ledger in bulk: a few processes per thousand commits.

Only plumbing commands, which follow no user's settings, and commits as they are stored.
It must not judge what it reads, nor change anything.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from controller.clients.git.errors import LedgerCorruptError
from controller.clients.git.process import GitProcess
from controller.records.history import FileChange, HistoryStep, trailers_of

_CHUNK: Final = 1000
_NUL: Final = b"\0"
_COMMITTED: Final = re.compile(r"committer .*> ([0-9]{1,18}) [+-][0-9]{4}")


def commits_of(git: GitProcess, head: str, *, after: str = "") -> list[str]:
    """All commits that lead to `head`, oldest first; only those that do not lead to `after`."""
    excluded = [f"^{after}"] if after else []
    output = git.run("rev-list", "--reverse", "--topo-order", head, *excluded)
    return output.decode("ascii").split()


def read_trailers(git: GitProcess, commits: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """The trailers of each commit's message, in order.

    Raises:
        LedgerError: one is missing or damaged.
    """
    for chunk in _chunks(commits):
        yield from (trailers_of(_parsed(raw).message) for raw in read_files(git, chunk))


def read_steps(git: GitProcess, commits: Sequence[str]) -> Iterator[HistoryStep]:
    """Each commit, what it did to files, and the file that it added, in order.

    A merge is told once for each of its parents.

    Raises:
        LedgerError: an object is missing or damaged.
    """
    for chunk in _chunks(commits):
        output = git.run(
            *("diff-tree", "--stdin", "-r", "--root", "--always", "-m", "--raw", "--no-renames"),
            *("--no-abbrev", "-z"),
            stdin=_lines(chunk),
        )
        found = list(_changes_of(output))
        raws = read_files(git, [commit for commit, _ in found])
        # What made another change than one is a finding as it is.
        additions = [changes[0] for _, changes in found if _adds_one_file(changes)]
        # By its id: looking up a path in every commit's trees takes longer than all else.
        contents = iter(read_files(git, [change.blob for change in additions]))
        for (commit, changes), raw in zip(found, raws, strict=True):
            content = next(contents) if _adds_one_file(changes) else None
            yield replace(_parsed(raw), commit=commit, changes=changes, content=content)


def read_files(git: GitProcess, specs: Sequence[str]) -> Iterator[bytes]:
    """The content of files, each named by its id or `commit:path`, in order.

    Raises:
        LedgerError: one is missing or damaged.
    """
    output = git.run("cat-file", "--batch", stdin=_lines(specs))
    start = 0
    for spec in specs:
        end = output.find(b"\n", start)
        header = output[start:end].split(b" ")
        if end < 0 or len(header) != 3 or not header[2].isdigit():
            raise LedgerCorruptError(f"{spec} cannot be read; run `git fsck` there")
        size = int(header[2])
        yield output[end + 1 : end + 1 + size]
        start = end + size + 2


def _adds_one_file(changes: Sequence[FileChange]) -> bool:
    if len(changes) != 1 or "\n" in changes[0].path:
        return False
    return changes[0].status == "A" and changes[0].mode.startswith("100")


def _changes_of(output: bytes) -> Iterator[tuple[str, tuple[FileChange, ...]]]:
    """Read `--raw -z`: a commit's id, then pairs of change and path, which begin with a colon."""
    tokens = output.split(_NUL)[:-1]
    at = 0
    while at < len(tokens):
        commit, at = _text(tokens[at]), at + 1
        changes: list[FileChange] = []
        while at + 1 < len(tokens) and tokens[at].startswith(b":"):
            changes.append(_change(tokens[at], tokens[at + 1]))
            at += 2
        yield commit, tuple(changes)


def _parsed(raw: bytes) -> HistoryStep:
    """A commit as it is stored: what `git log` makes of it depends on settings."""
    head, _, message = raw.partition(b"\n\n")
    lines = _text(head).split("\n")
    first = next((i for i, line in enumerate(lines[1:], 1) if not line.startswith("parent ")), 1)
    parents = tuple(line.removeprefix("parent ") for line in lines[1:first])
    headers = tuple(lines[first:])
    times = [match[1] for line in headers if (match := _COMMITTED.fullmatch(line))]
    at = int(times[0]) if times else 0
    return HistoryStep("", parents, at, _text(message), changes=(), content=None, headers=headers)


def _change(raw: bytes, path: bytes) -> FileChange:
    parts = _text(raw).split(" ")
    return FileChange(status=parts[4], mode=parts[1], path=_text(path), blob=parts[3])


def _chunks(commits: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(commits), _CHUNK):
        yield commits[start : start + _CHUNK]


def _lines(names: Sequence[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
