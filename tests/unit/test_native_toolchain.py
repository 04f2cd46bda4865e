"""Which Go is taken: the first that is new enough, and a pinned one when there is none."""

from pathlib import Path

import pytest

from native import toolchain
from native.toolchain import Toolchain, ToolchainError, Version

OLD = Toolchain(Path("/old/go"), Version(1, 24, 5), "linux/amd64")
NEW = Toolchain(Path("/new/go"), Version(1, 26, 6), "linux/amd64")
NEWER = Toolchain(Path("/newer/go"), Version(1, 27, 0), "linux/amd64")


@pytest.mark.parametrize(
    ("candidates", "required", "chosen"),
    [
        pytest.param([], Version(1, 20), None, id="nothing is there"),
        pytest.param([OLD], Version(1, 26), None, id="only an old one is there"),
        pytest.param([OLD], Version(1, 24, 5), OLD, id="exactly the required release will do"),
        pytest.param([OLD], Version(1, 24, 6), None, id="a patch release too old is too old"),
        pytest.param([OLD, NEW], Version(1, 26), NEW, id="an old one on PATH is passed over"),
        pytest.param([NEW, NEWER], Version(1, 26), NEW, id="the first wins, not the newest"),
    ],
)
def test_the_first_go_that_is_new_enough_is_chosen(
    candidates: list[Toolchain], required: Version, chosen: Toolchain | None
) -> None:
    assert toolchain.choose(candidates, required) == chosen


@pytest.mark.parametrize(
    ("output", "version"),
    [
        pytest.param("go version go1.26.8 linux/amd64\n", Version(1, 26, 8), id="a release"),
        pytest.param("go version go1.26 linux/arm64\n", Version(1, 26, 0), id="without a patch"),
        pytest.param("go version go1.27rc1 linux/amd64\n", Version(1, 27, 0), id="a candidate"),
        pytest.param(
            "go version go1.26.1-X:jsonv2 darwin/arm64\n", Version(1, 26, 1), id="an experiment"
        ),
        pytest.param("go version devel +abc Mon linux/amd64\n", None, id="no release at all"),
        pytest.param("gcc 12\n", None, id="not go"),
        pytest.param("", None, id="silence"),
    ],
)
def test_the_version_is_read_from_what_go_says(output: str, version: Version | None) -> None:
    parsed = toolchain.parse_version(output, path=Path("/usr/bin/go"))

    assert (parsed.version if parsed else None) == version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param("module m\n\ngo 1.26.0\n", Version(1, 26, 0), id="three parts"),
        pytest.param("module m\n\ngo 1.25\n", Version(1, 25, 0), id="two parts"),
        pytest.param("go 1.25.3 // the oldest that works\n", Version(1, 25, 3), id="a comment"),
        pytest.param("toolchain go1.30.0\ngo 1.25.3\n", Version(1, 25, 3), id="not its toolchain"),
    ],
)
def test_the_required_version_is_the_modules_go_line(
    tmp_path: Path, text: str, version: Version
) -> None:
    (tmp_path / "go.mod").write_text(text, encoding="utf-8")

    assert toolchain.required_version(tmp_path / "go.mod") == version


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(None, "go.mod: cannot be read", id="no file"),
        pytest.param("module m\n", "no `go 1.x` line", id="no go line"),
    ],
)
def test_a_module_that_does_not_say_its_go_is_an_error(
    tmp_path: Path, text: str | None, reason: str
) -> None:
    if text is not None:
        (tmp_path / "go.mod").write_text(text, encoding="utf-8")

    with pytest.raises(ToolchainError, match=reason):
        toolchain.required_version(tmp_path / "go.mod")


def test_the_build_settings_are_ours_and_the_network_settings_the_users() -> None:
    environment = toolchain.build_environment(
        {
            "GOPROXY": "https://proxy.invalid",
            "GOFLAGS": "-mod=mod -tags=evil",
            "GOTOOLCHAIN": "auto",
            "CGO_ENABLED": "1",
            "GOOS": "windows",
            "GOARCH": "arm",
        }
    )

    assert environment == {
        "GOPROXY": "https://proxy.invalid",
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": "-buildvcs=false",
    }


def write_go(folder: Path, version: str) -> Path:
    """A command that says it is Go of that version."""
    folder.mkdir(parents=True, exist_ok=True)
    command = folder / "go"
    command.write_text(f"#!/bin/sh\necho go version go{version} linux/amd64\n", encoding="utf-8")
    command.chmod(0o755)
    return command


def refuse_to_install(_: Version) -> None:
    raise AssertionError("must not install: there is a Go that will do")


def test_the_one_on_path_comes_before_the_one_in_the_virtual_environment(tmp_path: Path) -> None:
    on_path = write_go(tmp_path / "bin", "1.26.1")
    write_go(tmp_path / "venv/bin", "1.26.6")

    found = toolchain.find(
        Version(1, 26),
        environment={"PATH": str(on_path.parent)},
        install=refuse_to_install,
        prefix=tmp_path / "venv",
    )

    assert found == Toolchain(on_path, Version(1, 26, 1), "linux/amd64")


def test_the_one_in_the_virtual_environment_stands_in_for_an_old_one_on_path(
    tmp_path: Path,
) -> None:
    write_go(tmp_path / "bin", "1.19.8")
    pinned = write_go(tmp_path / "venv/bin", "1.26.6")

    found = toolchain.find(
        Version(1, 26),
        environment={"PATH": str(tmp_path / "bin")},
        install=refuse_to_install,
        prefix=tmp_path / "venv",
    )

    assert found.path == pinned


def test_a_go_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "bin/go"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    pinned = write_go(tmp_path / "venv/bin", "1.26.6")

    found = toolchain.find(
        Version(1, 26),
        environment={"PATH": str(broken.parent)},
        install=refuse_to_install,
        prefix=tmp_path / "venv",
    )

    assert found.path == pinned


def test_the_pinned_go_is_installed_when_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = toolchain.find(
        Version(1, 26),
        environment={"PATH": str(tmp_path)},
        install=lambda _: _ignore(write_go(tmp_path / "venv/bin", "1.26.6")),
        prefix=tmp_path / "venv",
    )

    assert found.version == Version(1, 26, 6)
    assert "none was found" in capsys.readouterr().err


def _ignore(_: object) -> None:
    """A step that answers nothing."""


def test_without_any_go_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    write_go(tmp_path / "bin", "1.19.8")

    with pytest.raises(ToolchainError, match=r"Install Go 1\.26\.0 or newer from https://go\.dev"):
        toolchain.find(
            Version(1, 26),
            environment={"PATH": str(tmp_path / "bin")},
            install=lambda _: None,
            prefix=tmp_path / "venv",
        )
