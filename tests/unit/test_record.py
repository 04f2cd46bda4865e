"""Records and their messages: the body joined with the outcome, readable in a bare `git log`."""

from collections.abc import Callable

import pytest

from controller.accounts.entries import Attempt, Outcome
from controller.apis.json import Json
from controller.apis.requests import Operation, Target
from controller.records.body import UnreadableBodyError, Verdict
from controller.records.canonical import parsed
from controller.records.chain import record_content
from controller.records.history import identity_of, trailers_of
from controller.records.record import (
    MAX_REASON,
    MAX_SUBJECT,
    attempt_record,
    denial_record,
    entry_record,
    message_of,
    repeats_record,
    subject_of,
)
from tests.builders import CHANGE, DIGEST, a_denial, a_request, an_object
from tests.recorded import ATTEMPT, MOMENT_MS, a_body, a_judged, a_record, an_entry

PREV = "0" * 64
DENIED = a_body(judged=a_judged(Verdict.DENIED, denials=(a_denial("b"), a_denial("a"))))


def test_a_write_is_its_body_and_what_became_of_it() -> None:
    record = a_record(reason="the queue is full")

    assert (record["type"], record["outcome"], record["action"]) == ("write", "persisted", "create")
    assert record["reason"] == "the queue is full"
    assert record["after"] == an_object()
    assert record["attempt"] == {"replica": "replica-a", "number": 42}
    entry = record["entry"]
    assert isinstance(entry, dict)
    assert entry["key"] == f"{CHANGE}/object-uid/0"
    assert entry["madeAt"] == "2026-01-02T03:04:05.678Z"


@pytest.mark.parametrize(
    ("body", "reserved_with", "why"),
    [
        pytest.param(None, a_body(), "lost", id="an outbox that is gone"),
        pytest.param(DENIED, a_body(), "altered", id="another body than was reserved"),
        pytest.param(b"{}", b"{}", "unreadable", id="a body of another version"),
    ],
)
@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_record_without_its_body_says_so_and_keeps_the_fact(
    body: bytes | None, reserved_with: bytes, why: str
) -> None:
    record = entry_record(body, an_entry(reserved_with), reason=None, agent="migrator")

    missing = record["bodyMissing"]
    assert isinstance(missing, str)
    assert missing.startswith(why)
    assert (record["change"], record["outcome"]) == (CHANGE, "persisted")
    assert subject_of(record) == "migrator create deployments.v1.apps team-data/web: persisted"


def test_a_denial_states_its_attempt() -> None:
    record = denial_record(DENIED, ATTEMPT)

    assert (record["type"], record["outcome"], record["verdict"]) == ("denial", "denied", "denied")
    assert record["attempt"] == {"replica": "replica-a", "number": 42}


def test_an_attempt_without_an_entry_says_nothing_of_the_change() -> None:
    record = attempt_record(a_body(), ATTEMPT)

    assert (record["type"], record["outcome"]) == ("attempt", "attempted")
    assert "entry" not in record


@pytest.mark.parametrize("make", [denial_record, attempt_record])
def test_garbage_gives_no_record(make: Callable[[bytes, Attempt], dict[str, Json]]) -> None:
    with pytest.raises(UnreadableBodyError):
        make(b"garbage", ATTEMPT)


def test_repeats_are_counted_in_one_record() -> None:
    first = denial_record(DENIED, ATTEMPT)

    record = repeats_record(
        first, count=12, first_ms=MOMENT_MS, last_ms=MOMENT_MS + 1_500, attempt=Attempt("b", 7)
    )

    assert (record["type"], record["count"], record["change"]) == ("repeats", 12, CHANGE)
    assert (record["firstAt"], record["lastAt"]) == (
        "2026-01-02T03:04:05.678Z",
        "2026-01-02T03:04:07.178Z",
    )
    assert record["attempt"] == {"replica": "b", "number": 7}
    assert "after" not in record
    assert subject_of(record).endswith("team-data/web: denied 12 more times")


RECORDS = [
    pytest.param(a_record(reason="why"), id="a write"),
    pytest.param(
        entry_record(None, an_entry(), reason=None, agent="migrator"), id="one without its body"
    ),
    pytest.param(denial_record(DENIED, ATTEMPT), id="a denial"),
    pytest.param(attempt_record(a_body(), ATTEMPT), id="an attempt"),
    pytest.param(
        repeats_record(
            denial_record(DENIED, ATTEMPT), count=2, first_ms=1, last_ms=2, attempt=ATTEMPT
        ),
        id="repeats",
    ),
]


@pytest.mark.parametrize("record", RECORDS)
def test_every_record_has_a_canonical_form_that_reads_back(record: dict[str, Json]) -> None:
    content = record_content(record, seq=3, prev=PREV)

    assert parsed(content) == {**record, "seq": 3, "prev": PREV}


@pytest.mark.parametrize("record", RECORDS)
def test_the_ledger_can_tell_every_record_from_others(record: dict[str, Json]) -> None:
    trailers = trailers_of(message_of(record, seq=3, prev=PREV))

    assert identity_of(trailers)
    assert trailers["Attempt"] == "replica-a/42"
    assert (trailers["Seq"], trailers["Prev"]) == ("3", PREV)


def test_the_message_of_a_write() -> None:
    assert message_of(a_record(reason="the queue is full\nand grows"), seq=3, prev=PREV) == (
        "migrator create Deployment team-data/web: persisted\n"
        "\n"
        "> the queue is full\n"
        "> and grows\n"
        "\n"
        f"Change-Id: {CHANGE}\n"
        "Agent: migrator\n"
        "Object: Deployment team-data/web\n"
        "Outcome: persisted\n"
        "Verdict: granted\n"
        f"Entry: {CHANGE}/object-uid/0\n"
        "Attempt: replica-a/42\n"
        "Seq: 3\n"
        f"Prev: {PREV}\n"
        f"Policies: {DIGEST}\n"
    )


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(
            denial_record(DENIED, ATTEMPT),
            "migrator create Deployment team-data/web: denied [b]",
            id="a denial names its code",
        ),
        pytest.param(
            a_record(
                a_request(
                    Operation.UPDATE, target=Target("apps", "v1", "Scale", "deployments", "scale")
                ),
                outcome=Outcome.MATCHES,
            ),
            "migrator update deployments/scale team-data/web: matches",
            id="a subresource is named",
        ),
        pytest.param(
            a_record(a_request(namespace="", target=Target("", "v1", "Node", "nodes"))),
            "migrator create Node web: persisted",
            id="a cluster-scoped object has no namespace",
        ),
        pytest.param(
            a_record(outcome=None),
            "migrator create Deployment team-data/web: undecided",
            id="one that is not settled",
        ),
    ],
)
def test_a_subject_says_who_did_what_to_which_object(
    record: dict[str, Json], expected: str
) -> None:
    assert subject_of(record) == expected


def test_the_codes_of_a_denial_are_a_trailer() -> None:
    trailers = trailers_of(message_of(denial_record(DENIED, ATTEMPT), seq=1, prev=PREV))

    assert trailers["Codes"] == "b,a"


@pytest.mark.parametrize(
    "name", ["x" * 253, "line\nOutcome: lost", "\x1b[31mred", "# comment", "---\n", " "]
)
@pytest.mark.requirement("history-append-only.safe-text")
def test_a_subject_is_one_bounded_line_whatever_names_hold(name: str) -> None:
    agent = a_judged(agent=name)

    subject = subject_of(a_record(a_request(name=name, obj={"metadata": {}}), judged=agent))

    assert len(subject) <= MAX_SUBJECT
    assert subject.isprintable()
    assert not subject.startswith(("#", "---", " "))
    assert subject.endswith(": persisted")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        pytest.param(None, None, id="none"),
        pytest.param(" \n\t", None, id="blank"),
        pytest.param("a\n\nOutcome: lost", "> a\n>\n> Outcome: lost", id="a trailer of its own"),
        pytest.param("a\r\nb\x1b[31m", "> a�\n> b�[31m", id="control characters"),
        pytest.param("x" * 9_000, f"> {'x' * (MAX_REASON - 1)}…", id="endless"),
    ],
)
@pytest.mark.requirement("history-append-only.safe-text")
def test_the_reason_is_quoted_and_bounded(reason: str | None, expected: str | None) -> None:
    blocks = message_of(a_record(reason=reason), seq=1, prev=PREV).split("\n\n")

    assert (blocks[1] if len(blocks) == 3 else None) == expected
