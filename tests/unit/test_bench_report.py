"""What the benchmark makes of its measurements, and when it refuses them."""

from dataclasses import replace

import pytest

from bench.load import Load
from bench.parts import Depth, Tally
from bench.webhook_report import TOLERANCE, Copied, Measured, Parts, Report, part_costs
from bench.webhook_reviews import cases

PARTS = Parts(
    http=40,
    parse=30,
    case=30,
    extract=20,
    rego=50,
    engine=300,
    body=15,
    outbox=60,
    reserve=200,
    answer=10,
    log=10,
)
JUDGED = Tally(
    reviews=10,
    parse_ns=300_000,
    case_ns=300_000,
    extract_ns=200_000,
    answer_ns=100_000,
    log_ns=100_000,
)
KEPT = replace(JUDGED, body_ns=150_000)


def a_load(*cpu: float, wrong: tuple[str, ...] = (), postponed: int = 0) -> Load:
    return Load(
        1000, 1.0, p50=900.0, p99=4000.0, cpu=cpu, ticked=sum(cpu), wrong=wrong, postponed=postponed
    )


def a_round(
    case: str = "allowed",
    connections: int = 8,
    *,
    cpu: tuple[float, float] = (465, 300),
    parts: Parts = PARTS,
) -> Measured:
    copies = (Copied(a_load(465, 300), KEPT),)
    governor = a_load(*cpu, 900, 400)
    return Measured(case, connections, governor, 40.0, a_load(35), copies, parts)


def a_report(*measured: Measured) -> Report:
    return Report(measured or (a_round(),), cases()[:1])


def test_parts_that_add_up_are_no_problem() -> None:
    report = a_report()
    assert report.parts_to_whole("allowed", 8) == pytest.approx(1.0)
    assert report.problems == ()


def test_parts_that_vary_against_each_other_add_up_all_the_same() -> None:
    odd = [
        a_round(parts=replace(PARTS, **{name: getattr(PARTS, name) + 200, "engine": 100}))
        for name in ("http", "outbox", "reserve")
    ]
    assert a_report(*odd).parts_to_whole("allowed", 8) == pytest.approx(1.0)


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
    report = a_report(a_round(cpu=(765 / sum_to_whole - 300, 300)))
    assert (report.problems == ()) is is_believed
    assert any("PROBLEM" in line for line in report.lines()) is not is_believed


WRONG = a_load(465, 300, wrong=("allowed is True",))


@pytest.mark.parametrize(
    "measured",
    [
        pytest.param(replace(a_round(), governor=WRONG), id="of Governor"),
        pytest.param(replace(a_round(), peer=WRONG), id="of the peer"),
        pytest.param(
            replace(a_round(), copies=(*a_round().copies, Copied(WRONG, KEPT))), id="of a copy"
        ),
    ],
)
def test_a_wrong_verdict_of_any_server_is_a_problem(measured: Measured) -> None:
    assert "allowed: allowed is True" in a_report(measured).problems


@pytest.mark.parametrize(("postponed", "is_problem"), [(20, False), (21, True)])
def test_too_many_reviews_that_find_the_account_full_are_a_problem(
    postponed: int, *, is_problem: bool
) -> None:
    governor = a_load(465, 300, 900, 400, postponed=postponed)
    problems = a_report(replace(a_round(), governor=governor)).problems
    assert [problem for problem in problems if "found the Account full" in problem] == (
        [
            "allowed at 8: 21 reviews found the Account full beside 1000 that were judged",
        ]
        if is_problem
        else []
    )


def test_one_disturbed_round_does_not_move_the_figure() -> None:
    rounds = [a_round(), a_round(), a_round(cpu=(900, 2000))]
    assert a_report(*rounds).figure() == a_report().figure()


def test_the_figure_is_the_last_line_and_of_the_most_connections() -> None:
    last = a_report(a_round(), a_round(connections=1, cpu=(455, 300))).lines()[-1]
    assert last == (
        "CPU per review at 8 connections: allowed 765 µs (webhook 465 + engine 300); "
        "p50 0.9 ms; p99 4.0 ms; parts / whole = 1.00"
    )


def test_the_clusters_cpu_is_shown_and_is_no_part_of_the_whole() -> None:
    report = a_report()
    assert a_round().whole == 765
    row = next(line for line in report.lines() if line.startswith("allowed  "))
    assert "900 (900)" in row
    assert "400 (400)" in row


def test_the_coarse_count_is_compared_with_the_exact_one_of_all_processes() -> None:
    assert any("schedstat = 1.00" in line for line in a_report().lines())


def copied(own: float, tally: Tally) -> Copied:
    return Copied(a_load(own, 300), tally)


def test_what_a_depth_costs_more_is_its_part_and_http_is_what_nothing_else_explains() -> None:
    copies = {
        Depth.JUDGED: copied(190, JUDGED),
        Depth.RECORDED: copied(265, KEPT),
        Depth.RESERVED: copied(465, KEPT),
    }
    assert part_costs(copies, asking=50.0) == PARTS


def test_what_is_not_reserved_costs_no_reservation() -> None:
    copies = {Depth.JUDGED: copied(190, JUDGED), Depth.RECORDED: copied(265, KEPT)}
    assert part_costs(copies, asking=50.0) == replace(PARTS, reserve=0)
