"""The bootstrap of .venv: what it says when a machine lacks something."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Attempt = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def attempt(tmp_path: Path, repository: Path) -> Attempt:
    """Run the bootstrap on a machine whose only Python is this shell script."""
    shutil.copytree(repository / "scripts", tmp_path / "checkout/scripts")
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("cp", "cut", "dirname", "mkdir", "rm"):
        found = shutil.which(name)
        assert found is not None
        (commands / name).symlink_to(found)

    def run(python: str) -> "subprocess.CompletedProcess[str]":
        if python:
            (commands / "python3").write_text(f"#!/bin/sh\n{python}\n", encoding="utf-8")
            (commands / "python3").chmod(0o755)
        return subprocess.run(
            ["/bin/sh", "scripts/bootstrap"],
            cwd=tmp_path / "checkout",
            env={"PATH": str(commands)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    "python",
    [
        pytest.param("", id="there is none"),
        pytest.param("exit 1", id="it is too old"),
        pytest.param("echo 'pyenv: python3: command not found' >&2; exit 127", id="it is a shim"),
    ],
)
def test_without_a_python_that_is_new_enough_it_says_which_and_how_to_get_it(
    attempt: Attempt, python: str
) -> None:
    done = attempt(python)

    assert done.returncode == 1
    assert done.stderr.startswith("setup: no Python >= 3.11 was found: install one")
    assert "make setup PYTHON=" in done.stderr


def test_without_venv_it_names_the_package_and_leaves_nothing_half_made(
    attempt: Attempt, tmp_path: Path
) -> None:
    done = attempt(
        'case "$*" in\n'
        "-c*) exit 0 ;;\n"
        '*) mkdir .venv; echo "ensurepip is not available"; exit 1 ;;\n'
        "esac"
    )

    assert done.returncode == 1
    assert "cannot make a virtual environment: ensurepip is not available" in done.stderr
    assert "apt-get install python3-venv" in done.stderr
    assert not (tmp_path / "checkout/.venv").exists()


A_PYTHON_WHOSE_PIP_FINDS_NOTHING = """\
case "$*" in
-c* | *"pip --version"*) exit 0 ;;
*venv*) mkdir -p .venv/bin; cp -p "$0" .venv/bin/python ;;
*install*) echo "ERROR: No matching distribution found" >&2; exit 1 ;;
esac
"""


def test_when_pip_finds_no_uv_it_points_to_pips_own_settings(
    attempt: Attempt,
) -> None:
    done = attempt(A_PYTHON_WHOSE_PIP_FINDS_NOTHING)

    assert done.returncode == 1
    assert "No matching distribution found" in done.stderr
    assert "setup: pip could not install uv==" in done.stderr
    assert ".venv/bin/pip config list" in done.stderr
