"""The bare Git repository that holds a ledger: adds commits, and moves one ref.

A flush is one `git fast-import` (no index, no work tree) onto a ref of its own, then
one compare-and-swap of the ledger's ref: that is the fence between two leaders, and
a crash anywhere before it leaves the ledger as it was. It must not know what a
record says, delete or rewrite anything of the ledger, or try again by itself.
"""

import contextlib
import math
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.clients.git.errors import (
    LedgerCorruptError,
    LedgerError,
    LedgerMovedError,
    LedgerStorageError,
    fault_of,
)
from controller.clients.git.history import commits_of, read_files, read_steps, read_trailers
from controller.clients.git.process import GitProcess
from controller.records.chain import SEALS, WRITER_EMAIL, WRITER_NAME, LedgerIdentity
from controller.records.history import HistoryStep

NO_COMMIT: Final = ""
"""The head of a ledger that has nothing yet."""

_ZERO: Final = "0" * 40
_OWN: Final = "refs/governor"
_PATH: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_SPECIAL: Final = re.compile(r"[.^$*+?{}\\\[\]|()]")
_ESCAPED: Final = r"\\\g<0>"
_LOST: Final = ("but expected", "reference already exists", "unable to resolve reference")
_STALE_SECONDS: Final = 60.0
_LEFTOVER_SECONDS: Final = 3600.0
_MANY_PACKS: Final = 50


@dataclass(frozen=True, slots=True)
class Commit:
    """One file to add, in a commit of its own.

    Raises:
        ValueError: Git could not store the path or the message.
    """

    path: str
    content: bytes
    message: str
    at: int
    """Milliseconds since the epoch; Git keeps seconds."""

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.path):
            raise ValueError(f"path: {self.path!r} is none of a ledger")
        if "\0" in self.message:
            raise ValueError("message: it holds a NUL, which Git cannot store")


class LedgerRepository:
    """One ledger in one bare repository. Everything here blocks."""

    def __init__(self, git: GitProcess, identity: LedgerIdentity) -> None:
        """Use `open`, or to read only, this."""
        self.git = git
        self.identity = identity

    @classmethod
    def open(cls, directory: Path, identity: LedgerIdentity) -> "LedgerRepository":
        """Open the repository to write, and make it if there is none.

        Raises:
            LedgerError: there is no usable git, or the directory cannot be used.
        """
        repository = cls(GitProcess(directory), identity)
        repository.git.require_usable()
        _require_own(directory)
        repository._prepare()
        return repository

    def make_if_gone(self) -> None:
        """Make it anew, empty, where its directory was deleted or emptied since it was opened.

        Raises:
            LedgerError: the directory cannot be used.
        """
        if not _names_in(self.git.directory):
            self._prepare()

    @property
    def ref(self) -> str:
        """The ledger's ref."""
        return self.identity.ref

    def head(self) -> str:
        """The last commit; `NO_COMMIT` before the first.

        Raises:
            LedgerCorruptError: there is a ref, but no commit that it names.
        """
        return self.resolve(self.ref)

    def resolve(self, ref: str) -> str:
        """The commit that a ref names; `NO_COMMIT` without such a ref.

        Raises:
            LedgerCorruptError: it names no commit that is there.
        """
        status, output, words = self.git.ask(
            "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"
        )
        if status == 0:
            return output.decode("ascii").strip()
        if not (self.git.directory / "HEAD").is_file():
            raise fault_of("rev-parse", status=status, words=words or "not a git repository")
        if self._has_ref(ref):  # taken for absent, the ledger would start anew
            problem = f"{ref} names no commit that is there"
            raise LedgerCorruptError(f"{problem}; run `git fsck`, or restore the repository")
        return NO_COMMIT

    def append(self, commits: Sequence[Commit], *, onto: str) -> str:
        """Add these commits after the head `onto`; all of them, or none.

        Returns:
            The new head.

        Raises:
            LedgerMovedError: the head is no longer `onto`; nothing was added.
            LedgerError: anything else; nothing was added.
        """
        if not commits:
            raise ValueError("commits: there is none; a flush has at least one")
        flush = f"{_OWN}/flush/{secrets.token_hex(8)}"
        stream = b"".join(_import_lines(commits, onto=onto, ref=flush))
        try:
            output = self.git.run(
                "fast-import", "--quiet", "--done", "--date-format=raw", stdin=stream
            )
        finally:  # each failure leaves a report, and a full disk fails every second
            _drop(self._crash_reports(), older_than=-math.inf)
        new = output.decode("ascii").strip()
        self.move(self.ref, new=new, old=onto, dropping=flush)
        return new

    def move(self, ref: str, *, new: str, old: str, dropping: str = "") -> None:
        """Compare and swap a ref, and in the same transaction drop another that names `new`.

        Raises:
            LedgerMovedError: it does not name `old`.
            LedgerError: anything else.
        """
        lines = ["start", f"update {ref} {new} {old or _ZERO}"]
        if dropping:
            lines.append(f"delete {dropping} {new}")
        orders = "\n".join([*lines, "prepare", "commit", ""]).encode()
        status, _, words = self.git.ask("update-ref", "--stdin", stdin=orders)
        if status == 0:
            return
        if dropping:
            with contextlib.suppress(LedgerError):
                self.git.run("update-ref", "-d", dropping)
        self.drop_stale_locks()
        if any(sign in words for sign in _LOST):
            problem = f"{ref} is no longer at {old or 'nothing'}: {' '.join(words.split())}"
            raise LedgerMovedError(f"{problem}; someone else commits")
        raise fault_of("update-ref", status=status, words=words)

    def last_seal(self, head: str) -> bytes | None:
        """The seal that a head ends with; None before the first.

        Raises:
            LedgerCorruptError: it does not end with one.
        """
        if head == NO_COMMIT:
            return None
        step = next(read_steps(self.git, [head]))
        if step.content is None or not step.changes[0].path.startswith(f"{SEALS}/"):
            problem = f"{head} is no seal: what wrote it was not Governor"
            raise LedgerCorruptError(f"{problem}; see what `governor verify` finds")
        return step.content

    def trailers(self, head: str, *, after: str = NO_COMMIT) -> Iterator[Mapping[str, str]]:
        """The trailers of every commit up to `head`, oldest first; of those after `after`."""
        if head == NO_COMMIT:
            return iter(())
        return read_trailers(self.git, commits_of(self.git, head, after=after))

    def steps(self, head: str) -> Iterator[HistoryStep]:
        """Every commit up to `head` with the file that it added, oldest first."""
        if head == NO_COMMIT:
            return iter(())
        return read_steps(self.git, commits_of(self.git, head))

    def find(self, head: str, *, trailer: str) -> bytes | None:
        """The file that the last commit with a trailer (`Key: value`) added; None without one."""
        if head == NO_COMMIT:
            return None
        pattern = f"--grep=^{_SPECIAL.sub(_ESCAPED, trailer)}$"
        found = self.git.run("rev-list", "-n", "1", "--extended-regexp", pattern, head).split()
        steps = read_steps(self.git, [commit.decode("ascii") for commit in found])
        return next((step.content for step in steps), None)

    def read(self, commit: str, path: str) -> bytes:
        """One file.

        Raises:
            LedgerError: it is not there.
        """
        return next(read_files(self.git, [f"{commit}:{path}"]))

    def leads_to(self, ancestor: str, head: str) -> bool:
        """Whether `ancestor` is `head` or comes before it. False if it is not even there."""
        if NO_COMMIT in {ancestor, head}:
            return ancestor == NO_COMMIT
        status, _, _ = self.git.ask("merge-base", "--is-ancestor", ancestor, head)
        return status == 0

    def tidy(self) -> bool:
        """Between flushes: join packs once they are many, and drop what crashes left.

        Returns:
            Whether packs were joined.
        """
        packs = self.git.directory / "objects" / "pack"
        _drop([*packs.glob("tmp_*"), *self._crash_reports()], older_than=_LEFTOVER_SECONDS)
        if sum(1 for _ in packs.glob("*.pack")) <= _MANY_PACKS:
            return False
        self.git.run("repack", "--geometric=2", "-d", "--quiet")
        return True

    def drop_unfinished(self) -> None:
        """Drop the refs of flushes that a crash ended; one that goes on fails, and is repeated."""
        found = self.git.run("for-each-ref", "--format=delete %(refname)", f"{_OWN}/flush/")
        if found:
            self.git.run("update-ref", "--stdin", stdin=found)

    def drop_stale_locks(self) -> None:
        """Drop locks that a killed git left; a living one holds them for milliseconds."""
        names = (self.ref, "HEAD", "packed-refs", "config")
        locks = [self.git.directory / f"{name}.lock" for name in names]
        own = (self.git.directory / _OWN).rglob("*.lock")
        _drop([*locks, *own], older_than=_STALE_SECONDS)

    def _crash_reports(self) -> list[Path]:
        return [*self.git.directory.glob("fast_import_crash_*")]

    def _prepare(self) -> None:
        git, directory = self.git, self.git.directory
        branch = self.ref.removeprefix("refs/heads/")
        if not (directory / "HEAD").exists():
            settings = ("--bare", "--quiet", "--template=", f"--initial-branch={branch}")
            git.run("init", *settings, str(directory), outside=True)
        self.drop_stale_locks()
        self.drop_unfinished()
        git.run("symbolic-ref", "HEAD", self.ref)  # so that a bare `git log` shows it

    def _has_ref(self, ref: str) -> bool:
        if (self.git.directory / ref).exists():
            return True
        packed = self.git.directory / "packed-refs"
        return packed.exists() and f" {ref}\n".encode() in packed.read_bytes()


def _require_own(directory: Path) -> None:
    """Never make a repository among somebody's files."""
    present = _names_in(directory)
    if present and not present & {"HEAD", "objects", "refs", "config"}:
        problem = f"{directory} holds something else than a bare Git repository"
        raise LedgerCorruptError(f"{problem}; name a directory that is empty or not there")


def _names_in(directory: Path) -> set[str]:
    """What a directory holds; nothing where it is not there."""
    try:
        return {entry.name for entry in directory.iterdir()}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise LedgerStorageError(f"{directory}: {error.strerror}; give another one") from error


def _import_lines(commits: Sequence[Commit], *, onto: str, ref: str) -> Iterator[bytes]:
    """The stream for `git fast-import`, which ends with asking for the last commit's id."""
    for mark, commit in enumerate(commits, start=1):
        message = commit.message.encode("utf-8", "surrogateescape")
        yield f"commit {ref}\nmark :{mark}\n".encode()
        yield f"committer {WRITER_NAME} <{WRITER_EMAIL}> {commit.at // 1000} +0000\n".encode()
        yield b"data %d\n%s\n" % (len(message), message)
        if mark == 1 and onto != NO_COMMIT:
            yield f"from {onto}\n".encode()
        yield f"M 100644 inline {commit.path}\n".encode()
        yield b"data %d\n%s\n" % (len(commit.content), commit.content)
    yield f"get-mark :{len(commits)}\ndone\n".encode()


def _drop(files: Sequence[Path], *, older_than: float) -> None:
    for file in files:
        with contextlib.suppress(OSError):  # gone, or not ours: the next git will say so
            if time.time() - file.stat().st_mtime > older_than:
                file.unlink()
