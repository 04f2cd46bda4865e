"""A scratch worktree of the repository: the committed state, and what is not committed yet.

Whatever is done in it, the checkout that it was made from stays as it is.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class GitError(Exception):
    """Git refused; the message is its own."""


@dataclass(frozen=True, slots=True)
class Worktree:
    """A second checkout, to be broken and mended."""

    path: Path
    content: str
    """What it holds, for people: `HEAD 1a2b3c4 and 3 uncommitted files`."""

    def apply(self, patch: Path) -> None:
        """Break the source, or raise `GitError` and leave it alone."""
        _git(self.path, "apply", "--whitespace=nowarn", str(patch.resolve()))

    def revert(self, patch: Path) -> None:
        """Mend it again."""
        _git(self.path, "apply", "--whitespace=nowarn", "--reverse", str(patch.resolve()))


@contextmanager
def scratch_worktree(root: Path) -> Generator[Worktree]:
    """A worktree beside `root`, gone afterwards whatever happened."""
    folder = Path(tempfile.mkdtemp(prefix="governor-mutants-"))
    path = folder / "tree"
    try:
        _git(root, "worktree", "add", "--quiet", "--detach", str(path), "HEAD")
        yield Worktree(path, _copy_uncommitted(root, path))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _git(root, "worktree", "prune")


def _copy_uncommitted(root: Path, path: Path) -> str:
    changed = _names(root, "diff", "--name-only", "--no-renames", "-z", "HEAD")
    untracked = _names(root, "ls-files", "-z", "--others", "--exclude-standard")
    for name in (*changed, *untracked):
        source, target = root / name, path / name
        if source.is_symlink() or source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
        else:
            target.unlink(missing_ok=True)
    head = _git(root, "rev-parse", "--short", "HEAD").strip()
    count = len({*changed, *untracked})
    return f"HEAD {head} and {count} uncommitted files" if count else f"HEAD {head}"


def _names(root: Path, *arguments: str) -> list[str]:
    return [name for name in _git(root, *arguments).split("\0") if name]


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(  # the developer's own Git, whichever that is
        ["git", *arguments],  # noqa: S607 -- looked up in PATH on purpose
        cwd=root,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != 0:
        raise GitError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout
