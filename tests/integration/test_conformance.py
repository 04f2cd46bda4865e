"""OPA's own cases, through our client, give OPA's own answers."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from bench import conformance
from bench.conformance import Case, Exact, Ran, identity, is_reworded, judge, order

ANSWER = Ran(({"x": [3, Decimal("1.0")]},))
ERROR = Ran((), code="eval_conflict_error", text="a.rego:1: eval_conflict_error: two values")


@pytest.fixture(scope="module")
def shown_cases(repository: Path) -> Path:
    default = repository / conformance.DEFAULT_CASES
    path = Path(os.environ.get("GOVERNOR_CONFORMANCE_CASES", default))
    if not path.exists():
        pytest.skip(f"the corpus {path} is not there; GOVERNOR_CONFORMANCE_CASES names another")
    return path


async def test_no_case_of_the_corpus_is_answered_wrongly(
    shown_cases: Path, opa_binary: Path
) -> None:
    cases = conformance.read_cases(shown_cases)
    report = await conformance.run_all(opa_binary, cases)
    assert [verdict for verdict in report.verdicts if verdict.outcome == "wrong"] == []
    passed = sum(verdict.outcome == "passed" for verdict in report.verdicts)
    assert passed >= 0.99 * len(cases.judged)


JUDGED: dict[str, tuple[dict[str, Exact], Ran, bool]] = {
    "the expected bindings": ({"want_result": [{"x": [3, 1]}]}, ANSWER, True),
    "another order of elements": ({"want_result": [{"x": [1, 3]}]}, ANSWER, False),
    "elements to be sorted": (
        {"want_result": [{"x": [1, 3]}], "sort_bindings": True},
        ANSWER,
        True,
    ),
    "one result said twice": ({"want_result": [{"x": [3, 1]}, {"x": [3, 1]}]}, ANSWER, True),
    "a result too many": ({"want_result": []}, ANSWER, False),
    "no result": ({"want_result": [{"x": 1}]}, Ran(()), False),
    "true is not 1": ({"want_result": [{"x": True}]}, Ran(({"x": 1},)), False),
    "an unexpected error": ({"want_result": []}, ERROR, False),
    "the expected code": ({"want_error_code": "eval_conflict_error"}, ERROR, True),
    "the expected code in other words": (
        {"want_error_code": "eval_conflict_error", "want_error": "no such words"},
        ERROR,
        True,
    ),
    "another code": ({"want_error_code": "eval_type_error"}, ERROR, False),
    "the expected text": ({"want_error": "two values"}, ERROR, True),
    "another text": ({"want_error": "three values"}, ERROR, False),
    "an answer in place of an error": ({"want_error": "two values"}, ANSWER, False),
    "nothing expected": ({}, ANSWER, False),
}


@pytest.mark.parametrize(("case", "ran", "passes"), JUDGED.values(), ids=JUDGED.keys())
def test_a_case_is_judged_as_opa_judges_it(case: dict[str, Exact], ran: Ran, passes: bool) -> None:  # noqa: FBT001 (a table's column)
    assert (judge(case, ran) == "") == passes


def test_other_words_for_the_expected_code_are_counted() -> None:
    case: Case = {"want_error_code": ERROR.code, "want_error": "no such words"}
    assert is_reworded(case, ERROR)
    assert not is_reworded({**case, "want_error": "two values"}, ERROR)
    assert not is_reworded({**case, "want_error_code": "other"}, ERROR)


def test_numbers_are_equal_by_value_and_never_to_booleans() -> None:
    assert identity([1, Decimal("2.50")]) == identity([Decimal("1.0"), Decimal("2.5")])
    one, true = Decimal(1), True
    assert identity(one) != identity(true)
    assert identity(10**40) != identity(10**40 + 1)


def test_values_sort_as_opa_sorts_them() -> None:
    in_order: list[Exact] = [None, False, True, -1, Decimal("0.5"), 2, "a", "b", [1], {"k": 1}]
    turned = in_order[::-1]
    assert sorted(turned, key=order) == in_order


def write_cases(folder: Path, *cases: dict[str, object]) -> Path:
    path = folder / "cases.json"
    path.write_text(json.dumps([{"note": "n", "modules": []} | case for case in cases]))
    return path


def run(cases: Path, binary: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bench.conformance", "--cases", cases, "--binary", binary],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_last_line_is_the_figure(tmp_path: Path, opa_binary: Path) -> None:
    cases = write_cases(
        tmp_path,
        {"query": "x = 1", "want_result": [{"x": 1}]},
        {"query": "x = 1", "want_result": [{"x": 2}]},
        {"query": "x = bits.lsh(1, 3)", "want_result": [{"x": 8}]},
    )
    ended = run(cases, opa_binary)
    assert ended.stdout.splitlines()[-2:] == [
        "1 ran with a builtin allowed that is denied by default; "
        "0 expect an error, by its code, that OPA words differently by now",
        "passed 2, refused 1, wrong 0 of 3",
    ]
    assert "so does this release of OPA itself" in ended.stdout
    assert ended.returncode == 0


async def test_an_answer_that_is_not_opas_is_wrong(
    tmp_path: Path, opa_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def another_answer(*_: object) -> Ran:
        return Ran(({"x": 3},))

    monkeypatch.setattr(conformance, "ask_opa", another_answer)
    path = write_cases(tmp_path, {"query": "x = 1", "want_result": [{"x": 2}]})
    report = await conformance.run_all(opa_binary, conformance.read_cases(path))
    assert report.lines()[-1] == "passed 0, refused 0, wrong 1 of 1"


NUMBERS = "[1e3,-0,1.50,123456789012345678901234567890,0.1000000000000000055]"


async def test_numbers_are_sent_as_they_are_written(tmp_path: Path, opa_binary: Path) -> None:
    path = tmp_path / "cases.json"
    path.write_text(
        f"""[{{
            "note": "n",
            "query": "x = json.marshal([input, data.d])",
            "data": {{"d": {NUMBERS}}},
            "input": {NUMBERS},
            "want_result": [{{"x": "[{NUMBERS},{NUMBERS}]"}}]
        }}]"""
    )
    report = await conformance.run_all(opa_binary, conformance.read_cases(path))
    assert [verdict.why for verdict in report.verdicts] == [""]


def test_what_cannot_be_run_is_named(tmp_path: Path, opa_binary: Path) -> None:
    for cases, binary, message in [
        (tmp_path / "none.json", opa_binary, "none.json cannot be read as cases"),
        (write_cases(tmp_path), tmp_path / "engine", "cannot run the engine"),
    ]:
        ended = run(cases, binary)
        assert (ended.returncode, message in ended.stderr) == (2, True)
