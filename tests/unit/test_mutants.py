"""The mutant runner, on a repository of a few lines: what it takes for a catch, and what not."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mutants.__main__ import check_mutants
from tests.mutants.patches import BadPatchError, Mutant, read_mutant, read_mutants
from tests.mutants.runs import Run, run_tests, why_not_caught
from tests.mutants.scratch import GitError, scratch_worktree

SOURCE = "def is_allowed(name: str) -> bool:\n    return name == 'ann'\n"
TESTS = """\
from controller.judge import is_allowed

def test_ann_may():
    assert is_allowed("ann")

def test_bob_may_not():
    assert not is_allowed("bob")
"""
BOB = "tests/test_judge.py::test_bob_may_not"


def git(root: Path, *arguments: str) -> str:
    """Git as a developer without any configuration runs it."""
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.com"]
    command = ["git", *who, *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A committed project of one decision and its tests."""
    root = tmp_path / "project"
    (root / "controller").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / "controller" / "__init__.py").touch()
    (root / "controller" / "judge.py").write_text(SOURCE, encoding="utf-8")
    (root / "tests" / "test_judge.py").write_text(TESTS, encoding="utf-8")
    (root / ".gitignore").write_text("ignored\n", encoding="utf-8")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    return root


MutantOf = Callable[..., Mutant]


@pytest.fixture
def mutant_of(project: Path, tmp_path: Path) -> MutantOf:
    """Makes the patch that turns the decision into another one."""

    def make(source: str, *tests: str, name: str = "everyone-may") -> Mutant:
        judge = project / "controller" / "judge.py"
        before = judge.read_bytes()
        judge.write_text(source, encoding="utf-8")
        diff = git(project, "diff")
        judge.write_bytes(before)
        path = tmp_path / f"{name}.patch"
        names = " ".join(tests or [BOB])
        path.write_text(f"Promise: a.b\nTests: {names}\nBreaks: Bob may.\n\n{diff}", "utf-8")
        return read_mutant(path)

    return make


def mutated(expression: str, prefix: str = "") -> str:
    """The decision with another answer."""
    return prefix + SOURCE.replace("name == 'ann'", expression)


# ------------------------------------------------------------- the whole run


def test_a_mutant_that_a_test_notices_is_caught(
    project: Path, mutant_of: MutantOf, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_mutants(project, [mutant_of(mutated("True"))], ["a.b"])
    assert capsys.readouterr().out.endswith("broken 1, caught 1\n")


def test_every_mutant_starts_from_mended_code(
    project: Path, mutant_of: MutantOf, capsys: pytest.CaptureFixture[str]
) -> None:
    mutants = [
        mutant_of(mutated("True"), name="everyone"),
        mutant_of(mutated("name == 'bob'"), name="bob-only"),
        mutant_of(mutated("name != 'ann'"), name="everyone-else"),
    ]
    assert check_mutants(project, mutants, ["a.b"])
    assert capsys.readouterr().out.endswith("broken 3, caught 3\n")


@pytest.mark.parametrize(
    ("source", "tests", "reason"),
    [
        pytest.param(
            mutated("True"),
            ("tests/test_judge.py::test_ann_may",),
            "every test passed",
            id="no named test notices",
        ),
        pytest.param(
            mutated("name == 'ann'", "import nonsense\n"),
            (BOB,),
            "pytest could not run the tests",
            id="the broken code cannot be imported",
        ),
        pytest.param(
            mutated("nmae == 'ann'"),
            (BOB,),
            "the code broke, not the promise: NameError",
            id="the broken code cannot run",
        ),
    ],
)
def test_a_mutant_survives_if(
    project: Path,
    mutant_of: MutantOf,
    capsys: pytest.CaptureFixture[str],
    source: str,
    tests: tuple[str, ...],
    reason: str,
) -> None:
    assert not check_mutants(project, [mutant_of(source, *tests)], ["a.b"])
    out = capsys.readouterr().out
    assert f"SURVIVED  a.b: everyone-may: {reason}" in out
    assert "breaks: Bob may." in out
    assert out.endswith("broken 1, caught 0\n")


def test_a_patch_that_no_longer_applies_is_not_caught(
    project: Path, mutant_of: MutantOf, capsys: pytest.CaptureFixture[str]
) -> None:
    mutant = mutant_of(mutated("True"))
    (project / "controller" / "judge.py").write_text(mutated("name in ['ann']"), encoding="utf-8")
    assert not check_mutants(project, [mutant], ["a.b"])
    out = capsys.readouterr().out
    assert "the patch does not apply" in out
    assert out.endswith("broken 1, caught 0\n")


def test_tests_that_fail_on_unbroken_code_catch_nothing(
    project: Path, mutant_of: MutantOf, capsys: pytest.CaptureFixture[str]
) -> None:
    mutant = mutant_of(mutated("True"))
    broken = TESTS.replace("assert not", "assert")
    (project / "tests" / "test_judge.py").write_text(broken, encoding="utf-8")
    assert not check_mutants(project, [mutant], ["a.b"])
    out = capsys.readouterr().out
    assert "do not pass on the unbroken code" in out
    assert out.endswith("broken 1, caught 0\n")


def test_a_promise_without_a_mutant_is_named(
    project: Path, mutant_of: MutantOf, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not check_mutants(project, [mutant_of(mutated("True"))], ["a.b", "c.d"])
    assert "no patch breaks c.d" in capsys.readouterr().out


def test_no_mutant_at_all_is_no_success(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not check_mutants(project, [], [])
    assert capsys.readouterr().out.endswith("broken 0, caught 0\n")


# ------------------------------------------------------------- the worktree


def test_the_worktree_holds_what_is_not_committed_yet_and_says_so(project: Path) -> None:
    (project / "controller" / "judge.py").write_text(mutated("name in 'ann'"), encoding="utf-8")
    (project / "controller" / "new.py").write_text("NEW = 1\n", encoding="utf-8")
    (project / "controller" / "__init__.py").unlink()
    (project / "ignored").touch()
    with scratch_worktree(project) as tree:
        assert tree.content.endswith("and 3 uncommitted files")
        assert "name in 'ann'" in (tree.path / "controller" / "judge.py").read_text("utf-8")
        assert (tree.path / "controller" / "new.py").exists()
        assert not (tree.path / "controller" / "__init__.py").exists()
        assert not (tree.path / "ignored").exists()


def test_a_clean_worktree_is_named_by_its_commit(project: Path) -> None:
    head = git(project, "rev-parse", "--short", "HEAD").strip()
    with scratch_worktree(project) as tree:
        assert tree.content == f"HEAD {head}"


def test_the_worktree_is_gone_after_a_failure_and_the_checkout_untouched(
    project: Path, mutant_of: MutantOf
) -> None:
    mutant = mutant_of(mutated("True"))
    with pytest.raises(KeyboardInterrupt):
        fail_in_broken_worktree(project, mutant)
    assert git(project, "worktree", "list").count("\n") == 1
    assert (project / "controller" / "judge.py").read_text("utf-8") == SOURCE


def fail_in_broken_worktree(project: Path, mutant: Mutant) -> None:
    with scratch_worktree(project) as tree:
        tree.apply(mutant.path)
        assert tree.path.exists()
        raise KeyboardInterrupt


def test_a_patch_that_does_not_apply_changes_nothing(project: Path, mutant_of: MutantOf) -> None:
    mutant = mutant_of(mutated("True"))
    with scratch_worktree(project) as tree:
        other = mutated("name in ['ann']")
        (tree.path / "controller" / "judge.py").write_text(other, encoding="utf-8")
        with pytest.raises(GitError, match="apply"):
            tree.apply(mutant.path)
        assert (tree.path / "controller" / "judge.py").read_text("utf-8") == other


# ------------------------------------------------------------- one run of tests


def test_the_tests_run_the_code_of_their_worktree(project: Path, mutant_of: MutantOf) -> None:
    """Although `controller` is installed from another checkout: this one."""
    mutant = mutant_of(mutated("True"))
    with scratch_worktree(project) as tree:
        unbroken = run_tests(tree.path, mutant.tests)
        tree.apply(mutant.path)
        broken = run_tests(tree.path, mutant.tests)
    assert unbroken.passed, unbroken.output
    assert broken.status == 1
    assert why_not_caught(broken) is None


def test_a_run_of_code_from_elsewhere_proves_nothing(project: Path) -> None:
    test = project / "tests" / "test_judge.py"
    elsewhere = Path(__file__).parent.parent.parent
    test.write_text(
        f"import sys\nsys.path.insert(0, {str(elsewhere)!r})\n"
        "from controller.apis.mandates import Enforcement\n"
        "def test_x():\n    assert Enforcement is None\n",
        encoding="utf-8",
    )
    run = run_tests(project, ["tests/test_judge.py"])
    assert why_not_caught(run) == "the tests ran other code than the broken one"
    assert "controller.apis.mandates from" in run.output


def test_a_test_that_does_not_end_is_stopped_and_catches_nothing(project: Path) -> None:
    endless = "import time\ndef test_x():\n    time.sleep(600)\n"
    (project / "tests" / "test_judge.py").write_text(endless, encoding="utf-8")
    run = run_tests(project, ["tests/test_judge.py"], timeout=2)
    assert run.status is None
    assert "did not end" in (why_not_caught(run) or "")


def test_a_fixture_that_fails_catches_nothing(project: Path) -> None:
    (project / "tests" / "test_judge.py").write_text(
        "import pytest\n@pytest.fixture\ndef x():\n    assert False\ndef test_x(x): ...\n",
        encoding="utf-8",
    )
    run = run_tests(project, ["tests/test_judge.py"])
    assert why_not_caught(run) == "a fixture failed, and no test"


@pytest.mark.parametrize(
    ("status", "failures", "is_caught"),
    [
        pytest.param(1, ("AssertionError: assert not True",), True, id="a test failed"),
        pytest.param(1, ("ImportError: no",), False, id="an import in a test failed"),
        pytest.param(1, ("Failed: Timeout (>300.0s)",), False, id="a test timed out"),
        pytest.param(2, (), False, id="the collection failed"),
        pytest.param(4, (), False, id="no such test"),
        pytest.param(5, (), False, id="nothing was collected"),
        pytest.param(None, (), False, id="the run was stopped"),
        pytest.param(-9, (), False, id="the run was killed"),
    ],
)
def test_only_a_failed_test_catches(
    status: int | None, failures: tuple[str, ...], *, is_caught: bool
) -> None:
    assert (why_not_caught(Run(status, failures, "", 0.0)) is None) is is_caught


# ------------------------------------------------------------- patch files

HEADER = "Promise: a.b\nTests: tests/x.py tests/y.py::z\nBreaks: Bob may.\n"
DIFF = "diff --git a/x b/x\n--- a/x\n+++ b/x\n"


def write_patch(folder: Path, text: str) -> Path:
    path = folder / "bob-may.patch"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_header_names_promise_tests_and_damage(tmp_path: Path) -> None:
    mutant = read_mutant(write_patch(tmp_path, f"{HEADER}  And everyone.\n\n{DIFF}"))
    assert mutant.name == "bob-may"
    assert mutant.promise == "a.b"
    assert mutant.tests == ("tests/x.py", "tests/y.py::z")
    assert mutant.breaks == "Bob may. And everyone."


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(DIFF, "says nothing about Promise, Tests, Breaks", id="no header"),
        pytest.param(f"Promise: a.b\n{DIFF}", "nothing about Tests, Breaks", id="half a header"),
        pytest.param(HEADER, "there is no diff", id="no diff"),
        pytest.param(f"{HEADER}Why: x\n{DIFF}", "'Why: x' is no line", id="an unknown key"),
        pytest.param(f"{HEADER}Promise: c\n{DIFF}", "is no line", id="a key twice"),
        pytest.param(f"hello\n{DIFF}", "'hello' is no line", id="prose"),
    ],
)
def test_a_bad_header_is_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    path = write_patch(tmp_path, text)
    with pytest.raises(BadPatchError, match=f"^bob-may.patch: .*{problem}"):
        read_mutant(path)


def test_a_patch_of_an_unknown_promise_is_refused(tmp_path: Path) -> None:
    write_patch(tmp_path, HEADER + DIFF)
    assert len(read_mutants(tmp_path, ["a.b"])) == 1
    with pytest.raises(BadPatchError, match=r"'a.b' is no requirement that holds today"):
        read_mutants(tmp_path, ["c.d"])


def test_the_command_names_a_mutant_that_it_does_not_know(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutants", "no-such-mutant"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no-such-mutant" in done.stdout
