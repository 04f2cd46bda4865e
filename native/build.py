"""Builds our native programs once, into a cache that later builds find.

``python -m native.build {opa,kubernetes} [--link DIR]`` prints the path of the
binary as its last line. The cache key covers everything that shapes the binary:
all files of the module, Go's release and platform, and the flags. It must not
build twice what is there, nor leave a half-written binary where one is looked
for: two builders wait for each other, and the result appears by one rename.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from native import toolchain
from native.components import Binaries
from native.toolchain import Toolchain, ToolchainError

PROGRESS_SECONDS = 10
"""A build that is silent for longer looks like one that hangs."""

_GIB = 1 << 30


class BuildError(Exception):
    """The binary could not be made; the message names what to do about it."""


@dataclass(frozen=True, slots=True)
class Program:
    """A Go module of ours, and what becomes of it."""

    name: str
    """The module's folder under `native/`."""
    binary: str
    aliases: tuple[str, ...] = ()
    """Further names that the binary answers to, by the name it is called by."""
    ldflags: tuple[str, ...] = ("-s", "-w")
    cache_bytes: int = _GIB
    """Free space needed where the binary is kept: it, and its draft."""
    build_bytes: int = _GIB
    """Free space needed where Go keeps what it compiles, when it has nothing yet."""

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of `go build`."""
        return ("-trimpath", "-ldflags", " ".join(self.ldflags))


def _kubernetes_version(**values: str) -> tuple[str, ...]:
    package = "k8s.io/component-base/version"
    return tuple(f"-X {package}.{name}={value}" for name, value in values.items())


PROGRAMS: Mapping[str, Program] = {
    "opa": Program(name="opa", binary="governor-opa"),
    "kubernetes": Program(
        name="kubernetes",
        binary="governor-kubernetes",
        aliases=("kubectl",),
        ldflags=(
            "-s",
            "-w",
            # go.mod's version: without it the API server calls itself v0.0.0-master,
            # and clients take it for one that serves nothing.
            *_kubernetes_version(gitVersion="v1.37.2", gitMajor="1", gitMinor="37"),
        ),
        build_bytes=5 * _GIB,  # 4.2 were measured
    ),
}


def cache_root(environment: Mapping[str, str]) -> Path:
    """Where binaries are kept: GOVERNOR_CACHE, else XDG_CACHE_HOME, else HOME's cache.

    Raises:
        BuildError: none of the three says where.
    """
    if chosen := environment.get("GOVERNOR_CACHE"):
        return Path(chosen).absolute()
    if xdg := environment.get("XDG_CACHE_HOME"):
        return Path(xdg).absolute() / "governor"
    if home := environment.get("HOME"):
        return Path(home).absolute() / ".cache" / "governor"
    raise BuildError("cache: set GOVERNOR_CACHE to a folder: XDG_CACHE_HOME and HOME are unset too")


def source_files(module: Path) -> Iterator[Path]:
    """Every file of the module, in one order everywhere; hidden ones are not sources."""
    for path in sorted(module.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(module).parts)
        if path.is_file() and not hidden:
            yield path


def digest(module: Path, go: Toolchain, flags: Sequence[str]) -> str:
    """The cache key: SHA-256 over sources, Go's release and platform, and flags."""
    total = hashlib.sha256()
    for part in (str(go.version), go.platform, *flags):
        total.update(f"{len(part)}:{part}".encode())
    for path in source_files(module):
        content = path.read_bytes()
        total.update(f"{path.relative_to(module).as_posix()}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def folder_name(program: Program, module: Path, go: Toolchain) -> str:
    """Name the folder of the cache that holds this very binary."""
    return f"{program.name}-{digest(module, go, program.flags)[:24]}"


def require_space(folder: Path, needed: int, *, what: str) -> None:
    """Check that a folder, or the nearest one above it that exists, has room.

    Raises:
        BuildError: it has not; names the folder, what is there and what is needed.
    """
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise BuildError(
            f"{folder}: {what} needs {needed / _GIB:.1f} GiB free, and there are"
            f" {free / _GIB:.1f} GiB: make room, or name another folder by GOVERNOR_CACHE"
            " (binaries) or GOCACHE (what Go compiles)"
        )


@contextmanager
def locked(path: Path, *, tell: Callable[[str], None]) -> Generator[None]:
    """Hold a lock file; whoever else builds the same thing waits, and says so."""
    with path.open("w", encoding="utf-8") as file:
        started = told = time.monotonic()
        while not _try_lock(file.fileno()):
            time.sleep(0.1)
            if time.monotonic() - told >= PROGRESS_SECONDS:
                told = time.monotonic()
                tell(f"waiting for another build ({told - started:.0f} s, {path})")
        yield


def build(
    program: Program,
    *,
    environment: Mapping[str, str] | None = None,
    tell: Callable[[str], None] | None = None,
    sources: Path = Path(__file__).parent,
) -> Path:
    """Give the program's binary, from the cache or built into it.

    Args:
        program: one of `PROGRAMS`.
        environment: the process's own by default.
        tell: gets progress lines; they go to standard error by default.
        sources: the folder that holds the modules.

    Raises:
        BuildError: no room, no such module, or Go refused; with the end of its output.
        ToolchainError: there is no Go for it.
    """
    environment = os.environ if environment is None else environment
    tell = tell or _tell_on_stderr
    module = sources / program.name
    go = toolchain.find(
        toolchain.required_version(module / "go.mod"), environment=dict(environment)
    )
    root = cache_root(environment)
    kept = root / folder_name(program, module, go) / program.binary
    if _is_there(kept):
        return kept
    _make_folder(root)
    with locked(root / f"{program.name}.lock", tell=tell):
        if not _is_there(kept):
            _build_into(kept, program, module=module, go=go, environment=environment, tell=tell)
    return kept


def link(program: Program, binary: Path, folder: Path) -> None:
    """Put the binary's names into a folder, as links, each replaced at once."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (program.binary, *program.aliases):
        draft = folder / f".{name}.{os.getpid()}"
        draft.unlink(missing_ok=True)
        draft.symlink_to(binary)
        draft.replace(folder / name)
    # For make, which looks through the link: the binary is as new as its sources.
    with suppress(OSError):
        os.utime(binary)


def control_plane_binaries(
    environment: Mapping[str, str], *, prefix: Path = Path(sys.prefix)
) -> Binaries | None:
    """What a control plane is started from, if it is there.

    Upstream's binaries only where GOVERNOR_ASSETS names their folder: a
    KUBEBUILDER_ASSETS that happens to be set is not a wish.
    """
    if folder := environment.get("GOVERNOR_ASSETS"):
        return Binaries.folder(Path(folder).absolute())
    ours = installed("kubernetes", prefix=prefix)
    return Binaries.single(ours) if ours else None


def installed(name: str, *, prefix: Path = Path(sys.prefix)) -> Path | None:
    """The linked binary of a program in this virtual environment, if it was built."""
    linked = prefix / "bin" / PROGRAMS[name].binary
    return linked if os.access(linked, os.X_OK) else None


def _build_into(
    kept: Path,
    program: Program,
    *,
    module: Path,
    go: Toolchain,
    environment: Mapping[str, str],
    tell: Callable[[str], None],
) -> None:
    root = kept.parent.parent
    require_space(root, program.cache_bytes, what=f"the {program.name} binary")
    if go_cache := _go_cache(go, environment):
        require_space(go_cache, program.build_bytes, what=f"building {program.name}")
    for stale in root.glob(f".{program.name}-*"):  # of builds that were killed: we hold the lock
        shutil.rmtree(stale, ignore_errors=True)
    draft = root / f".{kept.parent.name}"
    draft.mkdir()
    try:
        command = [str(go.path), "build", "-v", *program.flags, "-o", str(draft / kept.name), "."]
        _run_go(command, program=program, module=module, environment=environment, tell=tell)
        if folder_name(program, module, go) != kept.parent.name:
            raise BuildError(f"{module}: was edited during its build: run the same command again")
        if kept.parent.exists():  # someone removed the binary, and left its folder
            shutil.rmtree(kept.parent)
        draft.rename(kept.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run_go(
    command: Sequence[str],
    *,
    program: Program,
    module: Path,
    environment: Mapping[str, str],
    tell: Callable[[str], None],
) -> None:
    log = Path(command[command.index("-o") + 1]).with_suffix(".log")
    started = time.monotonic()
    tell(f"building {program.name} (the first time takes minutes, later ones seconds)")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=module,
            env=toolchain.build_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while (status := _wait(process, PROGRESS_SECONDS)) is None:
                tell(f"building {program.name}: {time.monotonic() - started:.0f} s, {_doing(log)}")
        finally:
            process.kill()
            process.wait()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    log.unlink()
    if status != 0:
        tail = "\n  ".join(lines[-20:])
        raise BuildError(f"{program.name}: `go build` in {module} ended with {status}:\n  {tail}")
    tell(f"built {program.name} in {time.monotonic() - started:.0f} s")


def _doing(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines:
        return "nothing compiled so far: fetching modules, or linking"
    return f"{len(lines)} modules fetched or packages compiled, the last {lines[-1]}"


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _go_cache(go: Toolchain, environment: Mapping[str, str]) -> Path | None:
    answer = subprocess.run(
        [go.path, "env", "GOCACHE"],
        env=toolchain.build_environment(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    return Path(answer.stdout.strip()) if answer.returncode == 0 else None


def _is_there(kept: Path) -> bool:
    return os.access(kept, os.X_OK)


def _make_folder(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(
            f"{root}: cannot be made ({error.strerror}): set GOVERNOR_CACHE to a folder of yours"
        ) from error


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tell_on_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Build one program, link it where asked, and print its path."""
    parser = argparse.ArgumentParser(prog="python -m native.build", description=main.__doc__)
    parser.add_argument("program", choices=sorted(PROGRAMS))
    parser.add_argument("--link", metavar="DIR", type=Path, help="put links to the binary here")
    options = parser.parse_args(arguments)
    program = PROGRAMS[options.program]
    try:
        binary = build(program)
        if options.link:
            link(program, binary, options.link)
    except (BuildError, ToolchainError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{binary}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
