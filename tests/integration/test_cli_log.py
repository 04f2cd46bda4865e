"""`governor log` on ledgers in real Git repositories."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from controller.accounts.entries import Attempt
from controller.apis.json import Json
from controller.cli.ledger import LedgerReadError, find_records
from controller.cli.log import Filters, log, read_filters
from controller.records.record import repeats_record
from tests.ledgers import Forgery, Ledger, a_change, a_denial, a_record

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def run(directory: Path, *options: str) -> Result:
    app = typer.Typer()
    app.command()(log)
    return CliRunner().invoke(app, ["--ledger", str(directory), *options], catch_exceptions=False)


def lines(directory: Path, *options: str) -> list[str]:
    result = run(directory, *options)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def changes(directory: Path, *options: str) -> list[str]:
    return [line.split("  ")[1] for line in lines(directory, *options)]


def a_record_of(number: int, **fields: Json) -> dict[str, Json]:
    return {**a_record(number), **fields}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.git")


def test_the_newest_comes_first_a_line_each(ledger: Ledger) -> None:
    ledger.flush(a_record(1), a_denial(2))
    ledger.flush(a_record(3))

    assert lines(ledger.directory) == [
        f"2026-11-25T12:00:00Z  {a_change(3)}  "
        "migrator create Deployment team-data/web-3: persisted",
        f"2026-11-25T12:00:00Z  {a_change(2)}  migrator create Deployment team-data/web-2: denied",
        f"2026-11-25T12:00:00Z  {a_change(1)}  "
        "migrator create Deployment team-data/web-1: persisted",
    ]


def test_no_more_are_told_than_are_asked_for(ledger: Ledger) -> None:
    ledger.fill([30])

    assert len(lines(ledger.directory)) == 20
    assert changes(ledger.directory, "-n", "2") == [a_change(30), a_change(29)]


def test_more_than_one_chunk_is_read_until_enough_are_found(ledger: Ledger) -> None:
    ledger.fill([2])
    ledger.fill([600], start=3)

    found = changes(ledger.directory, "--object", "team-data/web-1")

    assert found == [a_change(1)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--agent", "other"), [2]),
        (("--agent", "nobody"), []),
        (("--object", "team-data/web-3"), [3]),
        (("--object", "web-4"), [4]),
        (("--object", "team-data/web"), []),
        (("--outcome", "denied"), [5]),
        (("--outcome", "persisted", "--agent", "migrator", "-n", "1"), [4]),
    ],
)
def test_records_are_told_apart_by_what_is_asked(
    ledger: Ledger, options: tuple[str, ...], expected: list[int]
) -> None:
    node: Json = {"operation": "CREATE", "kind": "Node", "namespace": "", "name": "web-4"}
    ledger.flush(
        a_record(1),
        a_record_of(2, agent="other"),
        a_record(3),
        a_record_of(4, request=node),
        a_denial(5),
    )

    result = lines(ledger.directory, *options)

    assert [line.split("  ")[1] for line in result if "  " in line] == [
        a_change(number) for number in expected
    ]
    assert bool(expected) or result == ["there is no such record"]


def test_repeats_are_told_with_their_number(ledger: Ledger) -> None:
    repeats = repeats_record(
        a_denial(1), count=7, first_ms=0, last_ms=1_000, attempt=Attempt("replica-a", 9)
    )
    ledger.flush(a_denial(1), repeats)

    assert lines(ledger.directory, "-n", "1")[0].endswith("web-1: denied 7 more times")


def test_the_records_can_be_had_as_json(ledger: Ledger) -> None:
    ledger.flush(a_record_of(1, reason="\u2028 \x1b[31m"))

    result = run(ledger.directory, "--json")

    found: list[dict[str, Any]] = json.loads(result.stdout)
    assert result.stdout.isascii()
    assert found[0]["reason"] == "\u2028 \x1b[31m"
    assert found[0]["seq"] == 1
    assert len(found[0]["commit"]) == 40


@pytest.mark.requirement("history-append-only.safe-text")
def test_what_an_agent_wrote_cannot_steer_the_terminal(ledger: Ledger) -> None:
    ledger.flush(a_record_of(1, agent="\x1b]0;owned\x07\n\u202eevil"))

    assert run(ledger.directory).stdout.rstrip("\n").isprintable()


def test_since_when_is_told_by_the_changes_ids(ledger: Ledger) -> None:
    ledger.flush(a_record(1))
    made = datetime(2024, 11, 22, 3, 38, 47, tzinfo=UTC)  # what a_change(1) tells

    before, after = made - timedelta(days=1), made + timedelta(days=1)

    assert changes(ledger.directory, "--since", before.isoformat()) == [a_change(1)]
    assert lines(ledger.directory, "--since", after.isoformat()) == ["there is no such record"]


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_a_time_is_written_as_length_or_moment(since: str, expected: datetime) -> None:
    assert read_filters(since=since, now=NOW) == Filters(since=expected)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--since", "yesterday"), "--since: 'yesterday' is no time; write 90m"),
        (("--since", "2026-01-02"), "is no time"),
        (("--since", "999999d"), "--since: '999999d' is no time"),
        (("--outcome", "won"), "--outcome: 'won' is none of persisted, lost"),
    ],
)
def test_an_option_that_means_nothing_is_refused_with_the_fix(
    ledger: Ledger, options: tuple[str, ...], problem: str
) -> None:
    result = run(ledger.directory, *options)

    assert result.exit_code == 2
    assert problem in result.stderr


def test_a_change_whose_id_tells_no_time_is_since_nothing() -> None:
    assert not Filters(since=NOW).match({"Change-Id": "no-ulid"})


def test_a_directory_without_a_ledger_is_refused(tmp_path: Path) -> None:
    assert "is no bare Git repository" in run(tmp_path).stderr


def test_a_repository_without_a_ledger_is_refused(ledger: Ledger) -> None:
    result = run(ledger.directory)

    assert (result.exit_code, "holds 0 ledgers" in result.stderr) == (2, True)


def test_a_copy_whose_head_names_something_else_has_its_only_ledger_read(ledger: Ledger) -> None:
    ledger.flush(a_record(1))
    ledger.git.run("symbolic-ref", "HEAD", "refs/heads/main")

    assert changes(ledger.directory) == [a_change(1)]


def test_of_several_ledgers_one_must_be_named(ledger: Ledger) -> None:
    ledger.flush(a_record(1))
    ledger.git.run("symbolic-ref", "HEAD", "refs/heads/main")
    ledger.git.run("update-ref", "refs/heads/ledger/other/1", ledger.repository.head())

    assert "holds 2 ledgers, and HEAD names none" in run(ledger.directory).stderr


def test_no_setting_of_the_repository_changes_what_is_read(ledger: Ledger) -> None:
    ledger.flush(a_record(1))
    ledger.git.run("config", "i18n.logOutputEncoding", "UTF-16")

    assert changes(ledger.directory) == [a_change(1)]
    assert ledger.book.find(Attempt("replica-a", 1)) is not None


@pytest.mark.parametrize(
    "content", [b"{", b"[]\n", b'{"b":1,"a":2}', b'{"a":' * 400 + b"1" + b"}" * 400]
)
def test_what_is_no_record_sends_to_verify(ledger: Ledger, content: bytes) -> None:
    ledger.flush(a_record(1))
    message = f"x\n\nChange-Id: {a_change(2)}\n"
    ledger.forge(Forgery([("records/x.json", content)], message=message))

    result = run(ledger.directory)

    assert result.exit_code == 2
    assert "governor verify" in result.stderr or "is no object" in result.stderr


def test_a_commit_that_adds_no_record_sends_to_verify(ledger: Ledger) -> None:
    ledger.flush(a_record(1))
    message = f"x\n\nChange-Id: {a_change(2)}\n"
    ledger.forge(Forgery([("a", b"1"), ("b", b"2")], message=message))

    with pytest.raises(LedgerReadError, match="adds no record; see `governor verify`"):
        list(find_records(ledger.directory, lambda _: True))
