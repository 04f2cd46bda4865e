"""Under CI a skipped test fails, whoever skipped it; elsewhere it is only reported."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = [
    pytest.param(
        "def test_x(): pytest.skip('needs a moon')\n",
        id="the test skips itself",
    ),
    pytest.param(
        "@pytest.mark.skip(reason='needs a moon')\ndef test_x(): ...\n",
        id="the test is marked",
    ),
    pytest.param(
        "@pytest.fixture\ndef moon(): pytest.skip('needs a moon')\ndef test_x(moon): ...\n",
        id="a fixture skips",
    ),
    pytest.param(
        "pytest.skip('needs a moon', allow_module_level=True)\n",
        id="the module skips itself",
    ),
]


def run_pytest(root: Path, source: str, *, ci: str) -> subprocess.CompletedProcess[str]:
    """One test file under our own conftest, in a process of its own."""
    shutil.copy(Path(__file__).parent.parent / "conftest.py", root)
    (root / "test_example.py").write_text(f"import pytest\n{source}", encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", root, root],
        cwd=root,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("source", SKIPS)
def test_under_ci_a_skip_fails_and_says_why(tmp_path: Path, source: str) -> None:
    result = run_pytest(tmp_path, source, ci="true")
    assert result.returncode in {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}
    assert "counts as a failure under CI=true" in result.stdout
    assert "needs a moon" in result.stdout


@pytest.mark.parametrize("source", SKIPS)
def test_elsewhere_a_skip_is_a_skip(tmp_path: Path, source: str) -> None:
    result = run_pytest(tmp_path, source, ci="")
    assert result.returncode in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    assert "1 skipped" in result.stdout


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    source = "@pytest.mark.xfail(reason='known')\ndef test_x(): assert False\n"
    assert run_pytest(tmp_path, source, ci="true").returncode == pytest.ExitCode.OK
