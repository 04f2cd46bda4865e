"""Runs named tests in a worktree and says what came of it.

A mutant is caught by a failing test only: not by a test that cannot be
collected, an import that breaks, a name that does not exist or a timeout, for
these would pass for any nonsense.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.mutants import plugin

TIMEOUT_SECONDS = 120
"""Of the tests of one mutant."""
WHOLE_SECONDS = 900
"""Of the tests of all of them, once, on the unbroken code."""
_NONSENSE = (
    "ImportError",
    "ModuleNotFoundError",
    "NameError",
    "SyntaxError",
    "IndentationError",
    "UnboundLocalError",
    "Failed: Timeout",
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of pytest."""

    status: int | None
    """Its exit status; None: stopped by us."""
    failures: tuple[str, ...]
    """The first line of what each failed test said."""
    output: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Every test ran and passed."""
        return self.status == 0


def why_not_caught(run: Run) -> str | None:
    """Why this run does not prove that the tests notice; None if it does."""
    match run.status:
        case None:
            return f"the tests did not end within {TIMEOUT_SECONDS} s"
        case 0:
            return "every test passed"
        case plugin.FOREIGN:
            return "the tests ran other code than the broken one"
        case 1 if not run.failures:
            return "a fixture failed, and no test"
        case 1:
            nonsense = [line for line in run.failures if line.startswith(_NONSENSE)]
            return f"the code broke, not the promise: {nonsense[0]}" if nonsense else None
        case _:
            return f"pytest could not run the tests (exit status {run.status})"


def run_tests(root: Path, tests: Sequence[str], *, timeout: float = TIMEOUT_SECONDS) -> Run:
    """Run the tests with the code below `root`, up to the first failure."""
    report = root / ".mutant-report.xml"
    report.unlink(missing_ok=True)
    started = time.monotonic()
    try:
        done = subprocess.run(
            _command(report, tests),
            cwd=root,
            env=_environment(root),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode(errors="replace")
        return Run(None, (), output, time.monotonic() - started)
    return Run(done.returncode, _failures(report), done.stdout, time.monotonic() - started)


def _command(report: Path, tests: Sequence[str]) -> list[str]:
    options = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", plugin.__name__]
    return [sys.executable, "-m", "pytest", *options, f"--junit-xml={report}", *tests]


def _environment(root: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(root),  # for processes that the tests start elsewhere, too
        # Bytecode is told fresh from stale by size and second: breaking and mending is faster.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _failures(report: Path) -> tuple[str, ...]:
    if not report.exists():
        return ()
    tree = ET.parse(report)  # noqa: S314 -- written a moment ago by the pytest we started
    return tuple(failure.get("message", "") for failure in tree.iter("failure"))
