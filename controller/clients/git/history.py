"""Reads commits and files of a ledger in bulk: a few processes per thousand commits.

Only plumbing commands, which follow no user's settings. It must not judge what it
reads, nor change anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from controller.clients.git.errors import LedgerCorruptError
from controller.clients.git.process import GitProcess
from controller.records.history import FileChange, HistoryStep, trailers_of

_CHUNK: Final = 1000
_NUL: Final = b"\0"
_FIELDS: Final = "%H%x00%P%x00%ct%x00%B%x00"


def commits_of(git: GitProcess, head: str, *, after: str = "") -> list[str]:
    """All commits that lead to `head`, oldest first; only those that do not lead to `after`."""
    excluded = [f"^{after}"] if after else []
    output = git.run("rev-list", "--reverse", "--topo-order", head, *excluded)
    return output.decode("ascii").split()


def read_trailers(git: GitProcess, commits: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """The trailers of each commit's message, in order."""
    for chunk in _chunks(commits):
        arguments = ("--stdin", "--root", "--always", "-s", "--format=%B%x00")
        output = git.run("diff-tree", *arguments, stdin=_lines(chunk))
        messages = output.split(_NUL)[:-1]
        if len(messages) != len(chunk):
            raise LedgerCorruptError("git did not tell every commit's message; run `git fsck`")
        yield from (trailers_of(_text(message.lstrip(b"\n"))) for message in messages)


def read_steps(git: GitProcess, commits: Sequence[str]) -> Iterator[HistoryStep]:
    """Each commit, what it did to files, and the file that it added, in order.

    Raises:
        LedgerError: an object is missing or damaged.
    """
    for chunk in _chunks(commits):
        output = git.run(
            *("diff-tree", "--stdin", "-r", "--root", "--always", "-m", "--raw", "--no-renames"),
            *("--no-abbrev", "-z", f"--format={_FIELDS}"),
            stdin=_lines(chunk),
        )
        found = list(_steps_of(output))
        # What made another change than one is a finding as it is.
        additions = [step for step in found if _adds_one_file(step)]
        # By its id: looking up a path in every commit's trees takes longer than all else.
        specs = [step.changes[0].blob for step in additions]
        contents = iter(read_files(git, specs))
        for step in found:
            yield replace(step, content=next(contents)) if _adds_one_file(step) else step


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


def _adds_one_file(step: HistoryStep) -> bool:
    if len(step.changes) != 1 or "\n" in step.changes[0].path:
        return False
    return step.changes[0].status == "A" and step.changes[0].mode.startswith("100")


def _steps_of(output: bytes) -> Iterator[HistoryStep]:
    """Read `--format=_FIELDS` and `--raw -z`: four fields, then pairs of change and path."""
    tokens = [token.lstrip(b"\n") for token in output.split(_NUL)]
    at = 0
    while at + 4 <= len(tokens):
        commit, parents, time, message = tokens[at : at + 4]
        at += 4
        changes: list[FileChange] = []
        while at < len(tokens) and (not tokens[at] or tokens[at].startswith(b":")):
            if tokens[at]:
                changes.append(_change(tokens[at], tokens[at + 1]))
                at += 1
            at += 1
        yield HistoryStep(
            commit=_text(commit),
            parents=tuple(_text(parents).split()),
            at=int(time),
            message=_text(message),
            changes=tuple(changes),
            content=None,
        )


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
