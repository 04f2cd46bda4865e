"""Tries what the README promises to a newcomer: ``make cold``.

Clones what is committed, gives it a new HOME and new caches, and runs both
README commands; then the tour once more, warm. Prints the wall times, last the
time to the tour's first denial by the API server. Standard library only: there
is no environment yet. It must leave nothing behind, and take nothing along from
the user's own settings but the way to the network (PIP_*, proxies, certificates).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DENIAL = "governor: denied ["
"""How every denial begins, in the words of the API server's answer."""

_LEFT_OUT = ("GO", "UV_", "GOVERNOR_", "XDG_", "PYTHON", "PYTEST_", "VIRTUAL_ENV", "MAKE", "MFLAGS")
_GO_NETWORK = ("GOPROXY", "GONOPROXY", "GOPRIVATE", "GOSUMDB", "GONOSUMDB", "GOINSECURE")
_GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Governor",
    "GIT_AUTHOR_EMAIL": "governor@localhost",
    "GIT_COMMITTER_NAME": "Governor",
    "GIT_COMMITTER_EMAIL": "governor@localhost",
}


class ColdError(Exception):
    """One of the commands failed."""


@dataclass(frozen=True)
class Run:
    """How long a command took, and when it first told of a denial."""

    seconds: float
    first_denial_seconds: float | None


def environment(inherited: Mapping[str, str], home: Path) -> dict[str, str]:
    """What a newcomer's shell has: a new HOME, new caches, the machine's network settings."""
    kept = {name: value for name, value in inherited.items() if not name.startswith(_LEFT_OUT)}
    caches = {
        "HOME": home,
        "XDG_CACHE_HOME": home / ".cache",
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_DATA_HOME": home / ".local/share",
        "XDG_STATE_HOME": home / ".local/state",
        "GOPATH": home / "go",
        "GOMODCACHE": home / "go/pkg/mod",
        "GOCACHE": home / ".cache/go-build",
        "UV_CACHE_DIR": home / ".cache/uv",
        "PIP_CACHE_DIR": home / ".cache/pip",
    }
    proxies = {name: inherited[name] for name in _GO_NETWORK if name in inherited}
    return (
        kept
        | proxies
        | {name: str(path) for name, path in caches.items()}
        | _GIT
        | {"PYTHONUNBUFFERED": "1"}  # else a pipe delays the lines that are timed
    )


def run(command: list[str], *, where: Path, variables: Mapping[str, str]) -> Run:
    """Run a command to its end, passing its lines on.

    Raises:
        ColdError: its status is not 0.
    """
    started = time.monotonic()
    first_denial: float | None = None
    with subprocess.Popen(
        command,
        cwd=where,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            if first_denial is None and DENIAL in line:
                first_denial = time.monotonic() - started
    if process.returncode != 0:
        raise ColdError(f"`{' '.join(command)}` ended with {process.returncode}")
    return Run(time.monotonic() - started, first_denial)


def try_everything(folder: Path) -> None:
    """Clone into the folder and run everything there.

    Raises:
        ColdError: a command failed, or the warm tour showed no denial.
    """
    home = folder / "home"
    home.mkdir()
    clone = folder / "governor"
    variables = environment(os.environ, home)
    run(["git", "clone", "--quiet", str(ROOT), str(clone)], where=folder, variables=variables)
    tour = ["make", "run", "TOUR=exit"]
    cold = run(tour, where=clone, variables=variables)
    tests = run(["make", "test"], where=clone, variables=variables)
    warm = run(tour, where=clone, variables=variables)
    if warm.first_denial_seconds is None:
        raise ColdError(f"the tour showed no line with {DENIAL!r}")
    sys.stdout.write(
        f"cold: make run TOUR=exit: {cold.seconds:.0f} s\n"
        f"cold: make test: {tests.seconds:.0f} s\n"
        f"warm: make run TOUR=exit: {warm.seconds:.1f} s\n"
        f"warm: first denial after {warm.first_denial_seconds:.1f} s\n"
    )


def warn_of_uncommitted_work() -> None:
    """Say so when the clone will not be what lies here."""
    status = ["git", "status", "--porcelain"]
    answer = subprocess.run(status, cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.stdout.strip():
        sys.stderr.write("cold: uncommitted changes are not part of what is tried\n")


def remove(folder: Path) -> None:
    """Remove the folder; Go's module cache is read-only by design."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder)


def main() -> int:
    """Try it all in a temporary folder; 1 when a command failed."""
    warn_of_uncommitted_work()
    folder = Path(tempfile.mkdtemp(prefix="governor-cold-"))
    try:
        try_everything(folder)
    except ColdError as error:
        sys.stderr.write(f"cold: {error}\n")
        return 1
    finally:
        remove(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
