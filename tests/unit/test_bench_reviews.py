"""What the benchmark asks is what it says it is."""

from datetime import UTC, datetime

import pytest

from bench.parts import benchmark_registry
from bench.webhook_reviews import USERNAME, Case, cases, mandate
from controller.admission.judge import Question, prepare
from controller.admission.review import read_review
from tests.builders import CHANGE

BY_NAME = {case.name: case for case in cases()}


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_each_review_is_well_formed_and_reaches_the_policies(case: Case) -> None:
    request = read_review(case.review("an-uid"))
    assert (request.uid, request.user.username) == ("an-uid", USERNAME)
    now = datetime(2026, 11, 24, tzinfo=UTC)
    step = prepare(request, registry=benchmark_registry(), change=CHANGE, now=now)
    assert isinstance(step, Question)
    assert len(case.review()) == case.size


@pytest.mark.parametrize(
    ("name", "size", "containers"), [("allowed", 6500, 3), ("denied", 4000, 1)]
)
def test_the_pods_are_as_large_as_announced(name: str, size: int, containers: int) -> None:
    case = BY_NAME[name]
    obj = read_review(case.review()).obj
    assert obj is not None
    spec = obj["spec"]
    assert isinstance(spec, dict)
    assert isinstance(spec["containers"], list)
    assert len(spec["containers"]) == containers
    assert case.size == pytest.approx(size, rel=0.05)


def test_the_spelling_is_gos() -> None:
    review = BY_NAME["allowed"].review()
    assert review.endswith(b"}\n")
    assert rb"\u0026\u0026" in review
    assert not set(b"<>&") & set(review)


def test_ten_rules_of_which_one_grants_pods() -> None:
    rules = mandate()["spec"]["rules"]
    assert len(rules) == 10
    assert sum("pods" in rule["resources"] for rule in rules) == 1
