"""Verdicts are shown in the webhook's words, safe for terminals and stable for programs."""

import json
from typing import Any, cast

import pytest

from controller.admission.explain import word_denial
from controller.admission.judge import Denied, Granted
from controller.apis.mandates import Enforcement
from controller.cli.manifests import Manifest, Place
from controller.cli.offline import Write
from controller.cli.verdicts import (
    UNRECORDED,
    Judged,
    as_json,
    as_text,
    exit_status,
    plain,
    printable,
)
from tests.builders import AGENT, DIGEST, PERSON, a_denial, a_person, a_request

GRANTED = Granted(UNRECORDED, "migrator", digest=DIGEST)
DENIED = Denied(UNRECORDED, "migrator", (a_denial(), a_denial("suspended")), digest=DIGEST)
SHADOWED = Granted(
    UNRECORDED,
    "migrator",
    relaxed=(a_denial(), a_denial()),
    enforcement=Enforcement.SHADOW,
    digest=DIGEST,
)
WARNED = Granted(
    UNRECORDED,
    "migrator",
    warnings=("mind the gap",),
    relaxed=(a_denial(),),
    enforcement=Enforcement.WARN,
    digest=DIGEST,
)
UNGOVERNED = Granted(UNRECORDED, mandate=None)


def judged(
    outcome: Granted | Denied,
    *,
    is_made: bool = False,
    has_generated_name: bool = False,
    name: str = "web",
    file: str = "web.yaml",
) -> Judged:
    user = a_person() if outcome is UNGOVERNED else None
    request = a_request(name=name, user=user)
    manifest = Manifest(Place(file, 3, 1), {"apiVersion": "apps/v1", "kind": "Deployment"})
    return Judged(Write(manifest, request, is_made, has_generated_name), outcome)


def only(outcome: Granted | Denied) -> dict[str, Any]:
    (entry,) = json.loads(as_json([judged(outcome)]))
    return cast("dict[str, Any]", entry)


OUTCOMES = [
    pytest.param(GRANTED, "granted", 0, id="granted"),
    pytest.param(DENIED, "denied", 1, id="denied"),
    pytest.param(WARNED, "warned", 0, id="granted with a warning"),
    pytest.param(SHADOWED, "shadowed", 0, id="granted in silence"),
    pytest.param(UNGOVERNED, "not governed", 0, id="not governed"),
]


@pytest.mark.parametrize(("outcome", "verdict", "status"), OUTCOMES)
def test_each_outcome_has_its_verdict_and_exit_status(
    outcome: Granted | Denied, verdict: str, status: int
) -> None:
    assert only(outcome)["verdict"] == verdict
    assert f" {verdict}  create deployments.apps team-data/web" in as_text([judged(outcome)])
    assert exit_status([judged(outcome)]) == status


@pytest.mark.parametrize(("outcome", "_verdict", "_status"), OUTCOMES)
def test_every_entry_has_every_key(outcome: Granted | Denied, _verdict: str, _status: int) -> None:
    assert [*only(outcome)] == [
        "file",
        "line",
        "item",
        "operation",
        "resource",
        "namespace",
        "name",
        "user",
        "mandate",
        "verdict",
        "message",
        "denials",
        "warnings",
        "policies",
        "asks",
    ]


def test_an_entry_says_what_was_asked_where_and_by_whom() -> None:
    entry = only(GRANTED)
    assert (entry["file"], entry["line"], entry["item"]) == ("web.yaml", 3, 1)
    assert (entry["operation"], entry["resource"]) == ("CREATE", "deployments.apps")
    assert (entry["namespace"], entry["name"], entry["user"]) == ("team-data", "web", AGENT)
    assert (entry["mandate"], entry["policies"]) == ("migrator", DIGEST)


def test_a_denial_is_in_the_words_and_the_form_of_the_webhook() -> None:
    entry = only(DENIED)
    assert entry["message"] == word_denial(DENIED)
    assert [denial["code"] for denial in entry["denials"]] == ["field-not-granted", "suspended"]
    assert entry["denials"][0] == {**a_denial().as_json(), "message": a_denial().message}
    assert f"\n  {word_denial(DENIED)}\n" in as_text([judged(DENIED)])


def test_what_a_warning_mandate_would_deny_is_a_warning_beside_the_policies_own() -> None:
    entry = only(WARNED)
    assert entry["warnings"] == [
        "governor: mind the gap",
        "governor: would be denied [field-not-granted] field data is not granted",
    ]
    assert [denial["code"] for denial in entry["denials"]] == ["field-not-granted"]
    text = as_text([judged(WARNED)])
    assert all(f"\n  warning: {warning}\n" in text for warning in entry["warnings"])


def test_what_a_shadowing_mandate_would_deny_is_shown_to_its_author() -> None:
    assert only(SHADOWED)["warnings"] == []
    assert "enforced, it would be denied [field-not-granted]" in as_text([judged(SHADOWED)])


def test_who_is_not_governed_is_told_so() -> None:
    assert f"nobody's mandate names {PERSON}: Governor lets it pass" in as_text(
        [judged(UNGOVERNED)]
    )
    assert only(UNGOVERNED)["policies"] is None


def test_one_denial_among_grants_is_the_exit_status() -> None:
    assert exit_status([judged(GRANTED), judged(DENIED), judged(GRANTED)]) == 1
    assert exit_status([]) == 0


def test_the_text_ends_with_how_many_of_which() -> None:
    text = as_text([judged(GRANTED), judged(DENIED), judged(GRANTED)])
    assert text.splitlines()[-1] == "1 denied, 2 granted"


def test_what_an_offline_verdict_cannot_know_is_noted_once_and_where_it_matters() -> None:
    review = as_text([judged(GRANTED)])
    made = as_text([judged(GRANTED, is_made=True), judged(GRANTED, is_made=True)])
    generated = as_text([judged(GRANTED, is_made=True, has_generated_name=True)])
    assert review.count("note: ") == 0
    assert made.count("note: ") == 1
    assert generated.count("note: ") == 2


ESCAPES = "\x1b[31m\x07\u202e\u0085\x9b"


def test_names_from_files_cannot_drive_the_terminal() -> None:
    text = as_text([judged(GRANTED, name=f"w{ESCAPES}\nb", file=f"f{ESCAPES}\r.yaml")])
    assert len(text.splitlines()) == 2
    assert all(line.isprintable() for line in text.splitlines())


def test_json_is_ascii_whatever_the_names_are() -> None:
    text = as_json([judged(GRANTED, name=f"w{ESCAPES}é", file="ü.yaml")])
    assert text.isascii()
    assert json.loads(text)[0]["name"] == f"w{ESCAPES}é"


def test_a_long_name_is_cut() -> None:
    assert plain("x" * 1000) == "x" * 299 + "…"


def test_printable_text_keeps_only_its_lines() -> None:
    assert printable("a\nb\tc\x1b") == "a\nb�c�"
