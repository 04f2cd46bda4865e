"""The build cache: what its key covers, that two builders wait, and what is refused."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from native import build
from native.build import PROGRAMS, BuildError, Program
from native.components import Binaries
from native.toolchain import Toolchain, Version
from tests.waiting import eventually

GO = Toolchain(Path("/usr/bin/go"), Version(1, 26, 6), "linux/amd64")
FLAGS = ("-trimpath", "-ldflags", "-s -w")
HELLO = Program(name="hello", binary="governor-hello", aliases=("hi",), build_bytes=0)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A module of two files."""
    folder = tmp_path / "sources/hello"
    (folder / "inner").mkdir(parents=True)
    (folder / "go.mod").write_text("module hello\n\ngo 1.20\n", encoding="utf-8")
    (folder / "main.go").write_text("package main\n\nfunc main() {}\n", encoding="utf-8")
    (folder / "inner/inner.go").write_text("package inner\n", encoding="utf-8")
    return folder


def edit(module: Path) -> None:
    (module / "main.go").write_text("package main\n\nfunc main() { }\n", encoding="utf-8")


def move_a_byte_between_files(module: Path) -> None:
    (module / "inner/inner.go").write_text("package inner\npackage", encoding="utf-8")
    (module / "main.go").write_text(" main\n\nfunc main() {}\n", encoding="utf-8")


SOURCE_CHANGES: dict[str, Callable[[Path], None]] = {
    "an edit": edit,
    "content that moves to the next file": move_a_byte_between_files,
    "a new file": lambda module: (module / "new.go").touch(),
    "a new file in a folder": lambda module: (module / "inner/new.go").touch(),
    "a removed file": lambda module: (module / "inner/inner.go").unlink(),
    "a renamed file": lambda module: _ignore((module / "main.go").rename(module / "other.go")),
    "another dependency": lambda module: _ignore(
        (module / "go.sum").write_text("x v1 h1:=\n", encoding="utf-8")
    ),
}


def _ignore(_: object) -> None:
    """A step that answers nothing."""


@pytest.mark.parametrize("change", SOURCE_CHANGES.values(), ids=SOURCE_CHANGES.keys())
def test_the_key_changes_with_the_sources(module: Path, change: Callable[[Path], None]) -> None:
    before = build.digest(module, GO, FLAGS)

    change(module)

    assert build.digest(module, GO, FLAGS) != before


@pytest.mark.parametrize(
    ("go", "flags"),
    [
        pytest.param(replace(GO, version=Version(1, 26, 7)), FLAGS, id="another release of Go"),
        pytest.param(replace(GO, platform="linux/arm64"), FLAGS, id="another platform"),
        pytest.param(GO, ("-trimpath",), id="a flag less"),
        pytest.param(GO, ("-trimpath-ldflags", "-s -w"), id="the same letters, cut elsewhere"),
    ],
)
def test_the_key_changes_with_go_and_with_the_flags(
    module: Path, go: Toolchain, flags: tuple[str, ...]
) -> None:
    assert build.digest(module, go, flags) != build.digest(module, GO, FLAGS)


def test_the_key_stays_where_nothing_that_shapes_the_binary_changes(
    module: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(module, elsewhere)
    (elsewhere / ".main.go.swp").touch()
    same_go_elsewhere = replace(GO, path=Path("/opt/go/bin/go"))

    assert build.digest(elsewhere, same_go_elsewhere, FLAGS) == build.digest(module, GO, FLAGS)


@pytest.mark.parametrize(
    ("environment", "root"),
    [
        pytest.param(
            {"GOVERNOR_CACHE": "/g", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/g", id="its own first"
        ),
        pytest.param({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/governor", id="then XDG's"),
        pytest.param({"HOME": "/h"}, "/h/.cache/governor", id="then HOME's"),
        pytest.param(
            {"GOVERNOR_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h"},
            "/h/.cache/governor",
            id="an empty variable says nothing",
        ),
    ],
)
def test_the_cache_is_where_the_first_variable_says(environment: dict[str, str], root: str) -> None:
    assert build.cache_root(environment) == Path(root)


def test_without_any_place_for_a_cache_the_error_names_the_variable() -> None:
    with pytest.raises(BuildError, match="set GOVERNOR_CACHE"):
        build.cache_root({})


class Usage(NamedTuple):
    """As `shutil.disk_usage` answers."""

    total: int
    used: int
    free: int


def disk_with(*, free: int) -> Callable[[object], Usage]:
    """A disk that has so many bytes free, whatever folder is asked about."""
    return lambda folder: Usage(10, 10, free)


def test_a_full_disk_is_an_error_that_names_folder_need_and_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", disk_with(free=512 << 20))
    absent = tmp_path / "not/yet/there"

    with pytest.raises(BuildError) as refused:
        build.require_space(absent, 2 << 30, what="the hello binary")

    assert str(refused.value).startswith(f"{absent}: the hello binary needs 2.0 GiB free")
    assert "there are 0.5 GiB" in str(refused.value)
    assert "GOVERNOR_CACHE" in str(refused.value)


def test_a_folder_that_is_not_there_yet_counts_as_its_parent(tmp_path: Path) -> None:
    build.require_space(tmp_path / "a/b/c", 1, what="anything")


class Bench:
    """A cache, and a Go that copies its input and counts its runs."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder / "runs"
        self.cache = folder / "cache"
        self.go = folder / "bin/go"
        self.go.parent.mkdir()
        self.sources = folder / "sources"
        self.said: list[str] = []

    def install(self, compile_step: str) -> None:
        """Put a Go on PATH that compiles by this shell command; "$2" is its output."""
        self.go.write_text(
            "#!/bin/sh\n"
            'case "$1" in\n'
            "version) echo go version go1.26.6 linux/amd64 ;;\n"
            f"env) echo {self.cache} ;;\n"
            "build)\n"
            f"  echo run >> {self.runs}\n"
            '  while [ "$1" != -o ]; do shift; done\n'
            f"  {compile_step} ;;\n"
            "esac\n",
            encoding="utf-8",
        )
        self.go.chmod(0o755)

    def build(self) -> Path:
        """Build hello with that Go."""
        environment = {
            "PATH": f"{self.go.parent}:/usr/bin:/bin",
            "GOVERNOR_CACHE": str(self.cache),
        }
        return build.build(
            HELLO, environment=environment, tell=self.said.append, sources=self.sources
        )

    def count(self) -> int:
        """How often Go has compiled."""
        return len(self.runs.read_text(encoding="utf-8").splitlines()) if self.runs.exists() else 0


COMPILES = 'cp main.go "$2" && chmod 755 "$2"'


@pytest.fixture
def bench(module: Path, tmp_path: Path) -> Bench:
    """A builder whose Go succeeds."""
    made = Bench(tmp_path)
    assert module.parent == made.sources
    made.install(COMPILES)
    return made


def test_what_was_built_is_not_built_again(bench: Bench) -> None:
    first = bench.build()
    second = bench.build()

    assert first == second
    assert first.read_bytes() == (bench.sources / "hello/main.go").read_bytes()
    assert bench.count() == 1


def test_an_edit_is_built_beside_what_was_there(bench: Bench) -> None:
    first = bench.build()
    edit(bench.sources / "hello")
    second = bench.build()

    assert bench.count() == 2
    assert first != second
    assert first.exists()


def test_two_builders_of_one_thing_wait_for_one_build(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Go holds still until the second builder waits, or runs Go as well.
    monkeypatch.setattr(build, "PROGRESS_SECONDS", 0)
    gate = bench.cache.parent / "gate"
    bench.install(f"while [ ! -e {gate} ]; do sleep 0.02; done; {COMPILES}")
    built: list[Path] = []
    builders = [threading.Thread(target=lambda: built.append(bench.build())) for _ in range(2)]
    for builder in builders:
        builder.start()

    def second_is_there() -> bool:
        return bench.count() == 2 or any("waiting" in line for line in bench.said)

    try:
        eventually(second_is_there, "the second builder")
    finally:
        gate.touch()
    for builder in builders:
        builder.join(30)

    assert bench.count() == 1
    assert len(built) == 2
    assert built[0] == built[1]


def test_a_lock_that_is_held_keeps_others_out_until_it_is_free(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with build.locked(tmp_path / "lock", tell=order.append):
            order.append("second")

    with build.locked(tmp_path / "lock", tell=order.append):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        order.append("first")
    waiting.join(30)

    assert order == ["first", "second"]


def test_whoever_waits_for_a_lock_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "PROGRESS_SECONDS", 0)
    said = threading.Event()
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        said.set()

    def wait_for_lock() -> None:
        with build.locked(tmp_path / "lock", tell=tell):
            pass

    waiting = threading.Thread(target=wait_for_lock)
    with build.locked(tmp_path / "lock", tell=tell):
        waiting.start()
        assert said.wait(30)
    waiting.join(30)

    assert "waiting for another build" in lines[0]


def test_a_long_build_tells_how_long_and_what(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "PROGRESS_SECONDS", 0.05)
    gate = bench.cache.parent / "gate"
    bench.install(f"echo k8s.io/api; while [ ! -e {gate} ]; do sleep 0.02; done; {COMPILES}")

    def tell(line: str) -> None:
        bench.said.append(line)
        if "k8s.io/api" in line:
            gate.touch()

    build.build(
        HELLO,
        environment={
            "PATH": f"{bench.go.parent}:/usr/bin:/bin",
            "GOVERNOR_CACHE": str(bench.cache),
        },
        tell=tell,
        sources=bench.sources,
    )

    assert any(line.startswith("building hello: 0 s, 1 modules") for line in bench.said)
    assert bench.said[-1] == "built hello in 0 s"


def test_a_failed_build_tells_the_end_of_gos_output_and_leaves_nothing(bench: Bench) -> None:
    bench.install("echo './main.go:3:1: syntax error' >&2; exit 1")

    with pytest.raises(BuildError, match=r"(?s)hello: `go build` .* ended with 1:.*syntax error"):
        bench.build()

    assert [path.name for path in bench.cache.iterdir()] == ["hello.lock"]


def test_what_a_killed_build_left_does_not_disturb_the_next(bench: Bench) -> None:
    first = bench.build()
    shutil.rmtree(first.parent)
    (bench.cache / f".{first.parent.name}").mkdir()
    (bench.cache / f".{first.parent.name}/half").touch()

    assert bench.build() == first
    assert sorted(path.name for path in bench.cache.iterdir()) == [first.parent.name, "hello.lock"]


def test_sources_that_are_edited_during_the_build_are_not_kept_under_the_old_key(
    bench: Bench,
) -> None:
    bench.install(f"{COMPILES}; echo '// late' >> main.go")

    with pytest.raises(BuildError, match="was edited during its build"):
        bench.build()

    assert [path.name for path in bench.cache.iterdir()] == ["hello.lock"]


def test_no_room_for_the_build_is_found_before_go_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", disk_with(free=0))

    with pytest.raises(BuildError, match=r"the hello binary needs 1\.0 GiB free"):
        bench.build()

    assert bench.count() == 0


def test_a_cache_that_cannot_be_made_is_a_named_error(bench: Bench) -> None:
    bench.cache.touch()  # a file where the folder should be: root is refused too

    with pytest.raises(BuildError, match=r"cannot be made .*set GOVERNOR_CACHE"):
        bench.build()


def test_links_replace_what_had_their_names(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "hi").write_text("an old file", encoding="utf-8")

    binary = bench.build()
    build.link(HELLO, binary, folder)
    build.link(HELLO, binary, folder)

    assert {path.name: path.readlink() for path in folder.iterdir()} == {
        "governor-hello": binary,
        "hi": binary,
    }


def test_a_linked_binary_is_as_new_as_its_sources_for_make(bench: Bench, tmp_path: Path) -> None:
    binary = bench.build()
    source = bench.sources / "hello/main.go"
    source.write_bytes(source.read_bytes())  # newer, and the same: as after a checkout

    build.link(HELLO, bench.build(), tmp_path / "links")

    assert bench.count() == 1
    assert binary.stat().st_mtime >= source.stat().st_mtime


def test_a_binary_is_installed_when_its_link_leads_somewhere(tmp_path: Path) -> None:
    link = tmp_path / "bin/governor-opa"
    link.parent.mkdir()
    assert build.installed("opa", prefix=tmp_path) is None

    link.symlink_to(tmp_path / "gone")
    assert build.installed("opa", prefix=tmp_path) is None

    link.unlink()
    link.symlink_to(sys.executable)
    assert build.installed("opa", prefix=tmp_path) == link


def test_upstreams_binaries_are_used_only_when_asked_for(tmp_path: Path) -> None:
    only_set = {"KUBEBUILDER_ASSETS": "/usr/local/kubebuilder/bin"}
    asked_for = {"GOVERNOR_ASSETS": "/usr/local/kubebuilder/bin"}

    assert build.control_plane_binaries(only_set, prefix=tmp_path) is None
    assert build.control_plane_binaries(asked_for, prefix=tmp_path) == Binaries.folder(
        Path("/usr/local/kubebuilder/bin")
    )


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_every_program_has_a_module_of_ours(name: str, repository: Path) -> None:
    assert PROGRAMS[name].name == name
    assert (repository / "native" / name / "go.mod").exists()


def test_the_version_that_is_linked_in_is_the_one_that_is_built(repository: Path) -> None:
    go_mod = (repository / "native/kubernetes/go.mod").read_text(encoding="utf-8")

    assert "k8s.io/kubernetes v1.37.2\n" in go_mod
    assert any("gitVersion=v1.37.2" in flag for flag in PROGRAMS["kubernetes"].ldflags)


def test_an_unknown_program_is_refused_by_the_command_line(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "native.build", "helm"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "invalid choice: 'helm'" in done.stderr
    assert "opa" in done.stderr
