"""What the benchmark makes of its measurements, and when it refuses them."""

from dataclasses import replace

import pytest

from bench.load import Load
from bench.parts import Tally
from bench.webhook_report import TOLERANCE, Measured, Parts, Report, part_costs
from bench.webhook_reviews import cases

PARTS = Parts(http=40, parse=30, extract=20, rego=50, engine=300, answer=10, log=10)


def a_load(*cpu: float, wrong: tuple[str, ...] = ()) -> Load:
    return Load(1000, 1.0, p50=900.0, p99=4000.0, cpu=cpu, ticked=sum(cpu), wrong=wrong)


def a_round(
    case: str = "allowed", connections: int = 8, *, cpu: tuple[float, float] = (160, 300)
) -> Measured:
    return Measured(case, connections, a_load(*cpu), a_load(35), a_load(170, 300), PARTS)


def a_report(*measured: Measured) -> Report:
    return Report(measured or (a_round(),), cases()[:1])


def test_parts_that_add_up_are_no_problem() -> None:
    report = a_report()
    assert report.parts_to_whole("allowed", 8) == pytest.approx(1.0)
    assert report.problems == ()


@pytest.mark.parametrize(
    ("sum_to_whole", "is_believed"),
    [
        pytest.param(1 - TOLERANCE + 0.01, True, id="a little is missing"),
        pytest.param(1 - TOLERANCE - 0.01, False, id="too much is missing"),
        pytest.param(1 + TOLERANCE - 0.01, True, id="a little too much"),
        pytest.param(1 + TOLERANCE + 0.01, False, id="too much"),
    ],
)
def test_parts_must_add_up_to_the_whole(sum_to_whole: float, *, is_believed: bool) -> None:
    report = a_report(a_round(cpu=(460 / sum_to_whole - 300, 300)))
    assert (report.problems == ()) is is_believed
    assert any("PROBLEM" in line for line in report.lines()) is not is_believed


@pytest.mark.parametrize("server", ["governor", "peer", "copy"])
def test_a_wrong_verdict_of_any_server_is_a_problem(server: str) -> None:
    wrong = a_load(160, 300, wrong=("allowed is True",))
    measured = {
        "governor": replace(a_round(), governor=wrong),
        "peer": replace(a_round(), peer=wrong),
    }
    found = a_report(measured.get(server, replace(a_round(), copy=wrong))).problems
    assert "allowed: allowed is True" in found


def test_one_disturbed_round_does_not_move_the_figure() -> None:
    rounds = [a_round(), a_round(), a_round(cpu=(900, 2000))]
    assert a_report(*rounds).figure() == a_report().figure()


def test_the_figure_is_the_last_line_and_of_the_most_connections() -> None:
    last = a_report(a_round(), a_round(connections=1, cpu=(155, 300))).lines()[-1]
    assert last == (
        "CPU per review at 8 connections: allowed 460 µs (webhook 160 + engine 300); "
        "p99 4.0 ms; parts / whole = 1.00"
    )


def test_http_is_what_the_other_parts_of_the_copy_leave() -> None:
    tally = Tally(
        reviews=10, parse_ns=300_000, extract_ns=200_000, answer_ns=100_000, log_ns=100_000
    )
    assert part_costs(a_load(160, 300), tally, asking=50.0) == PARTS
