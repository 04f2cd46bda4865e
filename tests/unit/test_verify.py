"""`make verify` runs everything, names what failed, and believes no tool that it cannot start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import verify
from tests.verify import Command, Result, checks, fresh_data, measure

FINE = Result(is_fine=True, text="first\nlast\n")
BROKEN = Result(is_fine=False, text="here\nand there\n")

HALF_TESTED = "def f(x):\n    if x:\n        return 1\n    return 2\n"


def test_every_check_runs_though_earlier_ones_fail(capsys: pytest.CaptureFixture[str]) -> None:
    ran: list[str] = []

    def check(name: str, result: Result) -> Result:
        ran.append(name)
        return result

    table = {
        "one": lambda: check("one", BROKEN),
        "two": lambda: check("two", FINE),
        "three": lambda: check("three", BROKEN),
    }
    assert verify.verify(table) == ["one", "three"]
    assert sorted(ran) == ["one", "three", "two"]
    assert "1 of 3 checks passed" in capsys.readouterr().out


def test_a_failure_is_shown_whole_and_a_success_by_its_last_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    verify.verify({"one": lambda: BROKEN, "two": lambda: FINE})
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == ["== one: FAILED", "   here", "   and there"]
    assert out[3:5] == ["== two: ok", "   last"]


@pytest.mark.parametrize(
    ("command", "is_fine"),
    [
        pytest.param(Command((sys.executable, "-c", "")), True, id="a program that ends well"),
        pytest.param(Command((sys.executable, "-c", "exit(3)")), False, id="one that does not"),
        pytest.param(
            Command((sys.executable, "-c", "print('x')"), must_be_silent=True),
            False,
            id="one that lists what is wrong and ends well",
        ),
        pytest.param(
            Command((sys.executable, "-c", ""), must_be_silent=True),
            True,
            id="one that has nothing to list",
        ),
        pytest.param(Command(("no-such-program",)), False, id="one that is not installed"),
    ],
)
def test_a_program_passes_if(command: Command, *, is_fine: bool) -> None:
    assert command().is_fine is is_fine


def test_a_program_that_is_not_there_says_how_to_get_it() -> None:
    assert "make setup" in Command(("no-such-program",))().text


def test_every_kind_of_source_is_checked() -> None:
    titles = " ".join(checks())
    wanted = ("generated", "ruff", "mypy", "pyright", "import-linter", "policies", "Go", "coverage")
    assert [word for word in wanted if word not in titles] == []


# ------------------------------------------------------------- the tools are asked rightly


@pytest.fixture
def flawless(tmp_path: Path, repository: Path) -> Path:
    """A project in which no tool finds anything."""
    files = {
        "policies/fine.rego": "package fine\n\nx := 1\n",
        "policies/fine_test.rego": "package fine_test\n\ntest_yes if 1 == 1\n",
        "policies/schemas/input.json": (repository / "policies/schemas/input.json").read_text(),
        "native/opa/go.mod": "module fine\n\ngo 1.24\n",
        "native/opa/fine.go": "package fine\n",
        "pyproject.toml": '[tool.mypy]\nfiles = "."\n',
        "fine.py": "x: int = 1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)  # noqa: S607 -- any git
    return tmp_path


@pytest.mark.parametrize(
    ("title", "file", "content"),
    [
        pytest.param(
            "policies: format", "policies/a.rego", "package a\n\n\n\nx   := 1\n", id="Rego's format"
        ),
        pytest.param(
            "policies: strict, against the input's schema",
            "policies/a.rego",
            "# METADATA\n# schemas:\n#   - input: schema.input\npackage a\n\nx if input.nonsense\n",
            id="a key that the input has not",
        ),
        pytest.param(
            "policies: their own tests",
            "policies/a_test.rego",
            "package a_test\n\ntest_no if 1 == 2\n",
            id="a policy's test",
        ),
        pytest.param(
            "Go: format", "native/opa/a.go", "package fine\nvar   x = 1\n", id="Go's format"
        ),
        pytest.param(
            "Go: vet",
            "native/opa/a.go",
            'package fine\n\nimport "fmt"\n\nfunc f() { fmt.Printf("%d", "x") }\n',
            id="a mistake in Go",
        ),
        pytest.param("lint (ruff)", "a.py", "import os\n", id="a lint"),
        pytest.param("format (ruff)", "a.py", "x   =  1\n", id="Python's format"),
        pytest.param("types (mypy strict)", "a.py", "x: int = 'a'\n", id="a type, by mypy"),
        pytest.param("types (pyright strict)", "a.py", "x: int = 'a'\n", id="a type, by pyright"),
        pytest.param(
            "each suppression has its reason", "a.py", "x = 1  # noqa: S105\n", id="a suppression"
        ),
    ],
)
def test_a_check_fails_on(
    title: str, file: str, content: str, flawless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "ROOT", flawless)
    before = checks()[title]()
    assert before.is_fine, before.text
    (flawless / file).write_text(content, encoding="utf-8")
    assert not checks()[title]().is_fine


# ------------------------------------------------------------- coverage


@pytest.fixture
def half_tested(tmp_path: Path) -> Path:
    """A project of which one of two branches is taken."""
    (tmp_path / "controller").mkdir()
    (tmp_path / "webhooks").mkdir()
    (tmp_path / ".make").mkdir()
    (tmp_path / "controller" / "__init__.py").touch()
    (tmp_path / "controller" / "a.py").write_text(HALF_TESTED, encoding="utf-8")
    (tmp_path / "other.py").write_text(HALF_TESTED, encoding="utf-8")
    return tmp_path


def cover(root: Path, calls: str) -> list[Path]:
    """The coverage data of a program that makes these calls."""
    (root / "run.py").write_text(f"from controller.a import f\n{calls}\n", encoding="utf-8")
    command = [sys.executable, "-m", "coverage", "run", "--branch", "--parallel-mode", "run.py"]
    subprocess.run(command, cwd=root, check=True)
    return sorted(root.glob(".coverage.*"))


@pytest.mark.parametrize(
    ("calls", "is_fine", "figure"),
    [
        pytest.param("f(1)", False, "1 of 2 branches taken (50.0 %)", id="half of them"),
        pytest.param("f(1); f(0)", True, "2 of 2 branches taken (100.0 %)", id="all of them"),
    ],
)
def test_the_share_of_branches_taken_decides(
    half_tested: Path, calls: str, figure: str, *, is_fine: bool
) -> None:
    data = cover(half_tested, calls)
    result = measure(data, root=half_tested, origin="a test")
    assert result.is_fine is is_fine, result.text
    assert figure in result.text
    assert all(path.exists() for path in data)


def test_data_of_several_processes_add_up(half_tested: Path) -> None:
    cover(half_tested, "f(1)")
    result = measure(cover(half_tested, "f(0)"), root=half_tested, origin="a test")
    assert result.is_fine, result.text


def test_data_that_cannot_be_read_pass_nothing(half_tested: Path) -> None:
    (half_tested / ".coverage.bad").write_text("nonsense", encoding="utf-8")
    result = measure([half_tested / ".coverage.bad"], root=half_tested, origin="a test")
    assert not result.is_fine


def test_data_older_than_the_source_are_not_used(half_tested: Path) -> None:
    data = cover(half_tested, "f(1)")
    assert fresh_data(half_tested) == data
    later = data[0].stat().st_mtime + 10
    os.utime(half_tested / "controller" / "a.py", (later, later))
    assert fresh_data(half_tested) == []


def test_without_data_there_is_nothing_fresh(half_tested: Path) -> None:
    assert fresh_data(half_tested) == []
