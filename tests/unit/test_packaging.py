"""What installing Governor puts into an environment, and what the repository must not hold."""

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:root\b|home/(?!me\b)\w|work\b|Users/\w)[/\w.-]*")
"""A path of somebody's own machine: nobody else has it. `/home/me` is nobody's: examples use it."""

EXAMPLES_OF_MACHINE_PATHS = {"tests/unit/test_packaging.py", "tests/unit/test_cold.py"}
"""They have to name what they are about."""


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def packages(project: dict[str, Any]) -> list[str]:
    """The top-level packages of the wheel."""
    found: list[str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return found


def tracked_files(root: Path) -> list[Path]:
    """Every file of the repository, the ones not committed yet included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"],  # noqa: S607 -- anybody's git
        cwd=root,
        capture_output=True,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return [root / name for name in names if (root / name).is_file()]


def test_no_other_distribution_has_our_generic_package_names(packages: list[str]) -> None:
    owners = importlib.metadata.packages_distributions()
    others = {name: {*owners.get(name, ())} - {"governor"} for name in packages}
    assert others == {name: set() for name in packages}


def test_the_wheel_holds_every_package_of_the_application(
    repository: Path, packages: list[str]
) -> None:
    found = {path.parent.name for path in repository.glob("*/__init__.py")}
    assert found - {"bench"} == set(packages)


def test_each_package_is_typed(repository: Path, packages: list[str]) -> None:
    assert [name for name in packages if not (repository / name / "py.typed").exists()] == []


def test_the_bundle_and_the_tests_are_no_packages(repository: Path) -> None:
    strays = [*repository.glob("policies/**/__init__.py"), *repository.glob("tests/**/__init__.py")]
    assert strays == []


def test_the_command_starts_in_a_package_of_the_wheel(
    project: dict[str, Any], packages: list[str]
) -> None:
    module, _, function = project["project"]["scripts"]["governor"].partition(":")
    assert module.partition(".")[0] in packages
    assert function == "main"


def test_no_file_names_a_path_of_somebodys_machine(repository: Path) -> None:
    found: list[str] = []
    for path in tracked_files(repository):
        name = path.relative_to(repository).as_posix()
        if name in EXAMPLES_OF_MACHINE_PATHS:
            continue
        text = path.read_bytes().decode(errors="replace")
        found += [f"{name}: {match}" for match in MACHINE_PATH.findall(text)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("cd /root/x", True, id="root's home"),
        pytest.param('"/home/ann/governor"', True, id="a home"),
        pytest.param("/work/main", True, id="a work folder"),
        pytest.param("/Users/ann", True, id="a home on a Mac"),
        pytest.param("/home/me/x", False, id="the home of examples"),
        pytest.param("/home/mel/x", True, id="a home that only begins like it"),
        pytest.param("/home", False, id="the folder of homes"),
        pytest.param("https://example.com/work/main", False, id="a part of an address"),
        pytest.param("$HOME/work", False, id="a relative place"),
        pytest.param("./root/x", False, id="a relative path"),
        pytest.param("/workspace", False, id="another word"),
    ],
)
def test_a_path_of_a_machine_is_told_from_other_text(text: str, *, expected: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) is expected
