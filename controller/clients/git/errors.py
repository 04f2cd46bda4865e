"""What goes wrong with the ledger's repository, as one small family.

Each fault carries Git's own words and what to do. None of them means that records
are lost: what is not committed stays where it was.
"""

from typing import Final

_SHOWN: Final = 1000


class LedgerError(Exception):
    """The repository did not do what was asked."""


class GitUnusableError(LedgerError):
    """There is no git, or one that is too old."""


class LedgerStorageError(LedgerError):
    """The file system refused: no space, no permission, read-only, a size limit."""


class LedgerCorruptError(LedgerError):
    """What is in the repository is not a ledger, not this one, or damaged."""


class LedgerMovedError(LedgerError):
    """Someone else committed since the head was read: read it again, and decide anew."""


class RemoteError(LedgerError):
    """The remote could not be reached, or refused."""


class RemoteRewrittenError(RemoteError):
    """The remote no longer has commits that it had, or has others in their place."""


_STORAGE: Final = (
    "no space left",
    "permission denied",
    "read-only file system",
    "file too large",
    "disk quota exceeded",
    "input/output error",
    "unable to create",
    "insufficient permission",
    "unable to write",
    "write error",
    "sha1 file",
    "too many open files",
)
_CORRUPT: Final = (
    "not a git repository",
    "corrupt",
    "bad object",
    "missing",
    "does not match index",
    "is broken",
    "unable to read",
    "invalid object",
    "not a valid object",
)


def fault_of(command: str, *, status: int, words: str) -> LedgerError:
    """The fault that a failed Git command stands for.

    Args:
        command: Git's subcommand.
        status: its exit status; negative: the signal that ended it.
        words: what it wrote to standard error.
    """
    said = " ".join(words.split())[:_SHOWN] or "it said nothing"
    lowered = said.lower()
    told = f"git {command} ended with {status}: {said}"
    # SIGXFSZ: the process may not write files of that size.
    if status in {-25, 128 + 25} or any(sign in lowered for sign in _STORAGE):
        advice = "make room, or give Governor the right to write there"
        return LedgerStorageError(f"{told}; {advice}; nothing is lost, it is tried again")
    if any(sign in lowered for sign in _CORRUPT):
        return LedgerCorruptError(f"{told}; run `git fsck` there, or restore it from its remote")
    return LedgerError(told)
