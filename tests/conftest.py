"""What holds for every test: no silent skips under CI, one Hypothesis profile, a few paths.

It builds no objects (`tests/builders.py` does) and starts nothing.
"""

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile(
    "governor",
    deadline=None,  # a wall clock: two shared cores would decide which examples fail
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("governor")

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout under test."""
    return ROOT


@pytest.fixture(scope="session")
def opa_binary() -> Path:
    """OPA's command line, as `make setup` builds it."""
    binary = Path(sys.executable).parent / "governor-opa"
    if not binary.exists():
        pytest.fail(f"{binary.name} is not beside Python; build it with `make setup`")
    return binary


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that is skipped proves nothing, and under CI nobody would notice."""
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Likewise for a module that skips itself."""
    return _refuse_skip((yield))


def _refuse_skip(report: Report) -> Report:
    is_expected_failure = hasattr(report, "wasxfail")
    if os.environ.get("CI") != "true" or report.outcome != "skipped" or is_expected_failure:
        return report
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = (
        f"{report.nodeid} was skipped, which counts as a failure under CI=true: {reason}\n"
        "Provide what it needs (`make setup`), or delete the test."
    )
    return report
