"""`governor show` on ledgers in real Git repositories."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from controller.accounts.entries import Outcome
from controller.apis.json import Json
from controller.apis.requests import Operation
from controller.cli.show import EVIDENCE, MAX_LINES, show
from controller.records.body import Verdict
from controller.records.record import attempt_record, denial_record, entry_record
from tests.builders import CHANGE, DIGEST, a_denial, a_request, an_object
from tests.ledgers import Ledger, a_change
from tests.ledgers import a_record as a_listed_record
from tests.recorded import ATTEMPT, a_body, a_judged, a_record, an_entry, an_update

pytestmark = pytest.mark.integration

SCALED = an_update({"spec": {"replicas": 2}}, {"spec": {"replicas": 3}})


def run(directory: Path, *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(show)
    options = ["--ledger", str(directory)]
    return CliRunner().invoke(app, [*arguments, *options], catch_exceptions=False)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.git")


def told(ledger: Ledger, *records: dict[str, Json]) -> str:
    """What is told of the one change in a ledger of these records."""
    ledger.flush(*records)
    result = run(ledger.directory, CHANGE[:10])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_change_is_told_whole(ledger: Ledger) -> None:
    text = told(ledger, a_record(SCALED, reason="the queue is full"))

    assert text.splitlines() == [
        "migrator update Deployment team-data/web: persisted",
        f"  change    {CHANGE}, judged 2026-01-02T03:04:05Z",
        "  agent     migrator, mandate generation 1, system:serviceaccount:team-data:migrator, "
        "JTI=7",
        "  object    Deployment team-data/web, uid object-uid",
        "  outcome   persisted: proven: the watch showed this very write stored",
        f"  verdict   granted, policies {DIGEST}",
        "  reason    in the agent's own words:",
        "            > the queue is full",
        f"  recorded  as number 1, commit {text.split('commit ')[1][:40]}",
        "",
        "changes",
        "  spec.replicas: 2 → 3",
        "",
        "undo: paste this; it fails where what the change left was changed since",
        "kubectl patch deployments.v1.apps web --namespace team-data --type json "
        "--patch-file /dev/stdin <<'GOVERNOR'",
        '[{"op":"test","path":"/metadata/uid","value":"object-uid"},'
        '{"op":"test","path":"/spec/replicas","value":3},'
        '{"op":"replace","path":"/spec/replicas","value":2}]',
        "GOVERNOR",
    ]


def test_a_denial_is_told_with_its_reasons(ledger: Ledger) -> None:
    judged = a_judged(Verdict.DENIED, denials=(a_denial(),), warnings=("mind this",))

    text = told(ledger, denial_record(a_body(judged=judged), ATTEMPT))

    assert "  outcome   denied: Governor refused it, so it took no effect\n" in text
    assert "            [field-not-granted] field data is not granted\n" in text
    assert "            warning: mind this\n" in text
    assert "undo: there is no inverse: it was refused, so there is nothing to undo" in text


def test_of_an_attempt_nothing_is_claimed(ledger: Ledger) -> None:
    text = told(ledger, attempt_record(a_body(), ATTEMPT))

    assert "  outcome   attempted: granted, no entry of its own is known: another" in text
    assert "undo: there is no inverse: no entry of its own is known" in text


def test_a_created_object_is_told_as_a_document(ledger: Ledger) -> None:
    text = told(ledger, a_record())

    assert "after\n+ apiVersion: apps/v1\n+ kind: Deployment\n" in text
    assert "undo: paste this; it deletes this very object, with whatever was changed" in text
    assert "kubectl delete --raw" in text


def test_a_deleted_object_is_told_with_what_does_not_come_back(ledger: Ledger) -> None:
    text = told(ledger, a_record(a_request(Operation.DELETE), outcome=Outcome.GONE))

    assert "before\n- apiVersion: apps/v1\n" in text
    assert "undo: paste this; it fails where an object has the name now\nkubectl create" in text
    assert "  note: the object was deleted; by whom is not proven\n" in text


def test_a_long_object_is_cut_and_the_rest_counted(ledger: Ledger) -> None:
    data: Json = {f"key{number}": "x" for number in range(300)}

    text = told(ledger, a_record(a_request(obj={**an_object(), "data": data})))

    assert sum(line.startswith("+ ") for line in text.splitlines()) == MAX_LINES
    assert "more lines; --json shows all" in text


def test_a_lost_body_is_told(ledger: Ledger) -> None:
    text = told(ledger, entry_record(None, an_entry(), reason=None, agent="migrator"))

    assert "what changed is not recorded: lost: the outbox that held it is gone\n" in text
    assert "verdict" not in text


def test_a_field_that_came_has_nothing_before(ledger: Ledger) -> None:
    text = told(ledger, a_record(an_update({"data": {}}, {"data": {"a": "\u2028x"}})))

    assert '  data.a: (nothing) → "�x"\n' in text


@pytest.mark.requirement("history-append-only.safe-text")
def test_what_an_agent_wrote_cannot_steer_the_terminal(ledger: Ledger) -> None:
    evil = "\x1b]0;owned\x07\u202e"
    request = an_update({"data": {"a": evil}}, {"data": {evil: evil}})

    text = told(ledger, a_record(request, reason=f"{evil}\nundo: paste this\rrm -rf /"))

    assert all(line.isprintable() for line in text.splitlines())
    assert "\n            > undo: paste this" in text


def test_all_records_of_one_change_are_told_oldest_first(ledger: Ledger) -> None:
    denied = a_judged(Verdict.DENIED, denials=(a_denial(),))
    text = told(ledger, denial_record(a_body(judged=denied), ATTEMPT), a_record())

    assert text.index(": denied [") < text.index(": persisted")


def test_a_change_can_be_had_as_json(ledger: Ledger) -> None:
    ledger.flush(a_record(SCALED))

    result = run(ledger.directory, CHANGE, "--json")

    found: list[dict[str, Any]] = json.loads(result.stdout)
    assert found[0]["record"]["change"] == CHANGE
    assert found[0]["inverse"]["exists"] is True
    assert found[0]["inverse"]["kind"] == "patch"


def test_the_json_of_a_change_without_inverse_says_why(ledger: Ledger) -> None:
    ledger.flush(a_record(outcome=Outcome.LOST))

    result = run(ledger.directory, CHANGE.lower(), "--json")

    inverse = json.loads(result.stdout)[0]["inverse"]
    assert inverse == {
        "exists": False,
        "reason": "it was not persisted, so there is nothing to undo",
    }


@pytest.mark.parametrize(
    ("beginning", "problem"),
    [
        ("7", "no change in this ledger has an id that begins '7'"),
        ("01", "3 changes have an id that begins '01'; give more of it: "),
        (a_change(1)[:20], "3 changes have an id"),
    ],
)
def test_an_id_must_mean_one_change(ledger: Ledger, beginning: str, problem: str) -> None:
    ledger.flush(*(a_listed_record(number) for number in (1, 2, 3)))

    result = run(ledger.directory, beginning)

    assert (result.exit_code, problem in result.stderr) == (1, True)


def test_a_directory_without_a_ledger_is_refused(tmp_path: Path) -> None:
    assert run(tmp_path, CHANGE).exit_code == 2


def test_of_every_outcome_it_is_said_how_it_is_known() -> None:
    assert {*Outcome, "denied", "attempted"} == set(EVIDENCE)
