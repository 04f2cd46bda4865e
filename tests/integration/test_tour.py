"""The tour itself: it ends well, tells when the first denial came, and can fail."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tour.steps import STEPS

pytestmark = pytest.mark.integration


def take_the_tour(repository: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tour", "--exit", *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.usefixtures("kubernetes_binary", "opa_binary")
def test_every_step_of_the_tour_goes_as_expected(repository: Path) -> None:
    tour = take_the_tour(repository)
    assert tour.returncode == 0, tour.stdout + tour.stderr
    *_, summary, last = tour.stdout.splitlines()
    assert summary == f"{len(STEPS)} of {len(STEPS)} steps went as expected"
    assert re.fullmatch(r"first denial from the API server after \d+\.\d s", last)


@pytest.mark.usefixtures("kubernetes_binary", "opa_binary")
def test_one_swapped_expectation_makes_the_tour_fail(repository: Path) -> None:
    tour = take_the_tour(repository, "--swap", "1")
    assert tour.returncode == 1
    assert tour.stdout.count("NOT AS EXPECTED") == 1


@pytest.mark.usefixtures("kubernetes_binary", "opa_binary")
def test_every_step_can_fail(repository: Path) -> None:
    swaps = [part for number in range(len(STEPS)) for part in ("--swap", str(number + 1))]
    tour = take_the_tour(repository, *swaps)
    assert tour.returncode == 1
    assert f"0 of {len(STEPS)} steps went as expected" in tour.stdout
    assert tour.stdout.splitlines()[-1] == "no denial came from the API server"
