"""What is found in a history that somebody touched: each kind of it, and nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from controller.records.canonical import canonical, parsed
from controller.records.chain import LedgerIdentity, digest_of, record_content, record_path
from controller.records.history import FileChange, HistoryStep
from controller.records.record import message_of
from controller.records.seals import read_seal, sealed
from controller.records.verification import ChainVerifier, Code, ExpectedHead, Finding
from tests.ledgers import CLUSTER, IDENTITY, NOON, OTHER_SEED, SEED, Ledger, a_denial, a_record

History = tuple[HistoryStep, ...]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Records 1 to 6 in flushes of three, one and two: steps 0-2, 4, 6-7; seals 3, 5, 8."""
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.git")
    ledger.flush(a_record(1), a_record(2), a_denial(3), replicas={"replica-a": 3})
    ledger.clock.now += 1000
    ledger.flush(a_record(4), replicas={"replica-a": 4})
    ledger.flush(a_record(5), a_record(6), replicas={"replica-a": 6, "replica-b": 1})
    return tuple(ledger.repository.steps(ledger.book.head))


def verified(
    steps: Sequence[HistoryStep], *expected: ExpectedHead, identity: LedgerIdentity = IDENTITY
) -> list[Finding]:
    """Everything that is found."""
    verifier = ChainVerifier(identity, expected=expected)
    found = [finding for step in steps for finding in verifier.take(step)]
    return [*found, *verifier.finish()]


def codes(steps: Sequence[HistoryStep], *expected: ExpectedHead) -> list[Code]:
    """The codes of what is found, each once."""
    return [*dict.fromkeys(finding.code for finding in verified(steps, *expected))]


def relinked(steps: Sequence[HistoryStep]) -> History:
    """The same commits, one after the other, as somebody who rewrites history leaves them."""
    linked: list[HistoryStep] = []
    for step in steps:
        parents = (linked[-1].commit,) if linked else ()
        linked.append(replace(step, parents=parents))
    return tuple(linked)


def without(steps: History, *places: int) -> History:
    """Without these steps."""
    return relinked([step for place, step in enumerate(steps) if place not in places])


def content_of(step: HistoryStep) -> bytes:
    """Of its file."""
    assert step.content is not None
    return step.content


def rewritten(step: HistoryStep, **fields: object) -> HistoryStep:
    """A record with other fields, otherwise fine."""
    record = parsed(content_of(step))
    assert isinstance(record, dict)
    changed = {**record, **fields}
    return replace(step, content=canonical(changed))  # type: ignore[arg-type] # values of a test


def resealed(step: HistoryStep, *, seed: bytes = SEED, **fields: object) -> HistoryStep:
    """A seal with other fields, signed anew."""
    seal = replace(read_seal(content_of(step)), **fields)  # type: ignore[arg-type] # a test's
    return replace(step, content=sealed(seal, seed=seed))


def replaced(steps: History, place: int, step: HistoryStep) -> History:
    """With another step there."""
    return (*steps[:place], step, *steps[place + 1 :])


def test_a_ledger_as_governor_wrote_it_is_whole(history: History) -> None:
    verifier = ChainVerifier(IDENTITY)
    assert [finding for step in history for finding in verifier.take(step)] == []
    assert list(verifier.finish()) == []
    assert (verifier.records, verifier.seals) == (6, 3)
    assert verifier.head == digest_of(content_of(history[7]))


def test_an_empty_ledger_is_whole() -> None:
    assert verified([]) == []


def swapped(steps: History, one: int, other: int) -> History:
    """Two steps in each other's place."""
    moved = [*steps]
    moved[one], moved[other] = moved[other], moved[one]
    return relinked(moved)


def repeated(steps: History, place: int) -> History:
    """A step twice."""
    again = replace(steps[place], commit="ab" * 20)
    return relinked([*steps[: place + 1], again, *steps[place + 1 :]])


def moved_file(step: HistoryStep) -> HistoryStep:
    """Under another name."""
    change = replace(step.changes[0], path=step.changes[0].path.replace("/12/", "/13/"))
    return replace(step, changes=(change,))


def with_change(step: HistoryStep, **fields: str) -> HistoryStep:
    """That did something else to its file."""
    return replace(step, changes=(replace(step.changes[0], **fields),))


def with_message(step: HistoryStep, old: str, new: str) -> HistoryStep:
    """With other words in its message."""
    assert old in step.message
    return replace(step, message=step.message.replace(old, new))


def reworded(steps: History, *, old: str, new: str) -> History:
    """With other words in the message of the second record."""
    return replaced(steps, 1, with_message(steps[1], old, new))


def with_headers(step: HistoryStep, old: str, new: str) -> HistoryStep:
    """By somebody else, or at another time."""
    headers = tuple(line.replace(old, new) for line in step.headers)
    assert headers != step.headers
    return replace(step, headers=headers)


def nested(levels: int) -> bytes:
    """JSON so deep that reading it would take more calls than Python allows."""
    return b'{"a":' * levels + b"1" + b"}" * levels


@dataclass(frozen=True)
class Touch:
    """What somebody did to a history, and what must be found for it."""

    change: Callable[[History], History]
    found: Code
    id: str


DELETION = FileChange("D", "000000", "records/2026/11/25/12/0000000000/000000000001-x.json")


TOUCHES = (
    Touch(lambda h: without(h, 1), Code.GAP, id="a record taken out"),
    Touch(lambda h: without(h, 0), Code.GAP, id="the first record taken out"),
    Touch(lambda h: without(h, 7), Code.SEAL_WRONG, id="the last record taken out"),
    Touch(lambda h: without(h, 4, 5), Code.GAP, id="a whole flush taken out"),
    Touch(lambda h: without(h, 5), Code.SEAL_CHAIN_BROKEN, id="a seal taken out"),
    Touch(lambda h: without(h, 8), Code.UNSEALED_TAIL, id="the last seal taken out"),
    Touch(lambda h: swapped(h, 0, 1), Code.OUT_OF_ORDER, id="records exchanged"),
    Touch(lambda h: repeated(h, 1), Code.OUT_OF_ORDER, id="a record twice"),
    Touch(
        lambda h: replaced(h, 1, rewritten(h[1], outcome="lost")),
        Code.CHAIN_BROKEN,
        id="a record changed",
    ),
    Touch(
        lambda h: replaced(h, 7, rewritten(h[7], outcome="lost")),
        Code.SEAL_WRONG,
        id="the last record changed",
    ),
    Touch(
        lambda h: replaced(h, 1, replace(h[1], content=content_of(h[1]) + b"\n")),
        Code.UNREADABLE,
        id="other bytes of the same record",
    ),
    Touch(lambda h: replaced(h, 1, replace(h[1], content=b"{")), Code.UNREADABLE, id="garbage"),
    Touch(lambda h: replaced(h, 1, replace(h[1], content=b"[]")), Code.UNREADABLE, id="a list"),
    Touch(lambda h: replaced(h, 1, moved_file(h[1])), Code.MISNAMED, id="a record's file moved"),
    Touch(lambda h: replaced(h, 3, moved_file(h[3])), Code.MISNAMED, id="a seal's file moved"),
    Touch(
        lambda h: replaced(h, 1, replace(h[1], at=h[1].at + 7200)),
        Code.MISNAMED,
        id="a commit dated anew",
    ),
    Touch(lambda h: replaced(h, 1, replace(h[1], at=10**18)), Code.MISNAMED, id="no date at all"),
    Touch(
        lambda h: replaced(h, 1, with_change(h[1], status="M")),
        Code.NOT_APPEND_ONLY,
        id="a file modified",
    ),
    Touch(
        lambda h: replaced(h, 1, with_change(h[1], mode="120000")),
        Code.NOT_APPEND_ONLY,
        id="a link",
    ),
    Touch(
        lambda h: replaced(h, 1, replace(h[1], changes=(*h[1].changes, DELETION))),
        Code.NOT_APPEND_ONLY,
        id="a file deleted beside it",
    ),
    Touch(
        lambda h: (*h, replace(h[8], commit="cd" * 20, parents=(h[8].commit,), changes=())),
        Code.NOT_APPEND_ONLY,
        id="a commit that adds nothing",
    ),
    Touch(
        lambda h: replaced(h, 1, with_change(h[1], path="README.md")),
        Code.FOREIGN_FILE,
        id="another file",
    ),
    Touch(
        lambda h: replaced(h, 4, replace(h[4], parents=(h[3].commit, h[1].commit))),
        Code.NOT_LINEAR,
        id="a merge",
    ),
    Touch(
        lambda h: replaced(h, 0, replace(h[0], parents=("ee" * 20,))),
        Code.NOT_LINEAR,
        id="a start that goes on from elsewhere",
    ),
    Touch(
        lambda h: replaced(h, 1, replace(h[1], message=h[0].message)),
        Code.MESSAGE_DIFFERS,
        id="the message of another",
    ),
    Touch(
        lambda h: replaced(h, 1, replace(h[1], message="nothing\n")),
        Code.MESSAGE_DIFFERS,
        id="no trailers",
    ),
    *(
        Touch(
            partial(reworded, old=old, new=new),
            Code.MESSAGE_DIFFERS,
            id=f"another {what} in the message",
        )
        for what, old, new in (
            ("subject", "migrator create", "deployer create"),
            ("reason", "> the release of Monday", "> a test"),
            ("agent", "Agent: migrator", "Agent: deployer"),
            ("object", "Object: Deployment team-data/web-2", "Object: Deployment other/web-2"),
            ("outcome", "Outcome: persisted", "Outcome: lost"),
            ("trailer", "Verdict: granted", "Verdict: granted\nCodes: CEL"),
            ("end", "\n\nChange-Id", "\n\n\nChange-Id"),
        )
    ),
    Touch(
        lambda h: replaced(h, 3, with_message(h[3], "Count: 3", "Count: 2")),
        Code.MESSAGE_DIFFERS,
        id="a seal's message",
    ),
    Touch(
        lambda h: replaced(h, 1, with_headers(h[1], "author Governor", "author Mallory")),
        Code.FOREIGN_WRITER,
        id="another author",
    ),
    Touch(
        lambda h: replaced(h, 3, with_headers(h[3], "committer Governor", "committer Mallory")),
        Code.FOREIGN_WRITER,
        id="another committer",
    ),
    Touch(
        lambda h: replaced(h, 1, with_headers(h[1], "+0000", "+0100")),
        Code.FOREIGN_WRITER,
        id="another time zone",
    ),
    Touch(
        lambda h: replaced(h, 1, replace(h[1], headers=(*h[1].headers, "encoding ISO-8859-1"))),
        Code.FOREIGN_WRITER,
        id="an encoding in which readers see other words",
    ),
    Touch(
        lambda h: replaced(h, 1, replace(h[1], content=nested(400))),
        Code.UNREADABLE,
        id="a record nested 400 levels",
    ),
    Touch(
        lambda h: replaced(h, 3, replace(h[3], content=nested(400))),
        Code.UNREADABLE,
        id="a seal nested 400 levels",
    ),
    Touch(
        lambda h: replaced(
            h, 3, replace(h[3], content=content_of(h[3]).replace(b'"count":3', b'"count":4'))
        ),
        Code.SEAL_FORGED,
        id="a seal changed",
    ),
    Touch(lambda h: replaced(h, 3, replace(h[3], content=b"{}")), Code.UNREADABLE, id="no seal"),
    Touch(lambda h: replaced(h, 3, resealed(h[3], count=4)), Code.SEAL_WRONG, id="a wrong count"),
    Touch(lambda h: replaced(h, 3, resealed(h[3], first=2)), Code.SEAL_WRONG, id="a wrong start"),
    Touch(
        lambda h: replaced(h, 3, resealed(h[3], head="aa" * 32)),
        Code.SEAL_WRONG,
        id="a wrong hash",
    ),
    Touch(
        lambda h: replaced(h, 3, resealed(h[3], identity=LedgerIdentity(CLUSTER, 2))),
        Code.SEAL_WRONG,
        id="another epoch's seal",
    ),
    Touch(
        lambda h: replaced(h, 8, resealed(h[8], replicas={"replica-a": 2})),
        Code.OUTBOX_WENT_BACK,
        id="an outbox that went back",
    ),
    Touch(
        lambda h: replaced(h, 8, resealed(h[8], seed=OTHER_SEED)),
        Code.KEY_CHANGED,
        id="another key",
    ),
)


@pytest.mark.requirement("history-append-only.verify")
@pytest.mark.parametrize("touch", [pytest.param(touch, id=touch.id) for touch in TOUCHES])
def test_what_was_touched_is_found(history: History, touch: Touch) -> None:
    assert touch.found in codes(touch.change(history))


def appended(history: History, record: dict[str, object], *, seq: int = 7) -> History:
    """With one more record after the last seal, correct in itself."""
    prev = digest_of(content_of(history[7]))
    content = record_content(record, seq=seq, prev=prev)  # type: ignore[arg-type] # a test's
    message = message_of(record, seq=seq, prev=prev)  # type: ignore[arg-type] # a test's
    change = FileChange("A", "100644", record_path(seq, str(record["change"]), NOON + 1000))
    parents = (history[8].commit,)
    at, headers = NOON // 1000 + 1, history[8].headers
    step = HistoryStep("fe" * 20, parents, at, message, (change,), content, headers)
    return (*history, step)


@pytest.mark.requirement("history-append-only.verify")
def test_records_that_no_seal_covers_are_found(history: History) -> None:
    assert codes(appended(history, {**a_record(7)})) == [Code.UNSEALED_TAIL]


@pytest.mark.requirement("history-append-only.verify")
@pytest.mark.parametrize(
    "record",
    [
        pytest.param(a_record(2), id="of one entry"),
        pytest.param(a_denial(3), id="of one attempt"),
    ],
)
def test_a_second_record_of_the_same_is_found(history: History, record: dict[str, object]) -> None:
    assert Code.RECORDED_TWICE in codes(appended(history, record))


def test_a_record_without_its_body_is_a_warning(history: History) -> None:
    found = verified(appended(history, {**a_record(7), "bodyMissing": "lost"}))
    assert [(one.code, one.is_warning) for one in found] == [
        (Code.BODY_MISSING, True),
        (Code.UNSEALED_TAIL, False),
    ]


def head_after(history: History, seal: int, record: int) -> ExpectedHead:
    """What the cluster keeps after that flush."""
    content = read_seal(content_of(history[seal]))
    return ExpectedHead(
        digest_of(content_of(history[record])),
        seq=content.last,
        commit=history[seal].commit,
        public_key=content.public_key,
    )


@pytest.mark.parametrize(
    ("seal", "record"), [pytest.param(8, 7, id="the last"), pytest.param(3, 2, id="an earlier")]
)
def test_a_ledger_that_has_the_known_head_is_whole(
    history: History, seal: int, record: int
) -> None:
    assert verified(history, head_after(history, seal, record)) == []


@pytest.mark.requirement("history-append-only.verify")
def test_whole_flushes_cut_off_are_found_by_the_known_head(history: History) -> None:
    cut = history[:6]
    assert verified(cut) == [], "it looks complete: that is why a head is kept elsewhere"
    found = verified(cut, head_after(history, 8, 7))
    assert [one.code for one in found] == [Code.TAIL_CUT]
    assert "record 6" in found[0].detail


@pytest.mark.requirement("history-append-only.verify")
def test_a_ledger_written_anew_is_found_by_the_known_head(history: History, tmp_path: Path) -> None:
    other = Ledger(tmp_path / "other.git", seed=OTHER_SEED).fill([3, 1, 4], start=11)
    steps = list(other.repository.steps(other.book.head))
    assert verified(steps) == []
    found = verified(steps, head_after(history, 8, 7))
    assert [one.code for one in found] == [Code.REWRITTEN, Code.FOREIGN_KEY]


def test_a_head_noted_by_hand_is_a_hash_or_a_commit(history: History) -> None:
    assert codes(history, ExpectedHead(digest_of(content_of(history[4])))) == []
    assert codes(history, ExpectedHead(history[4].commit)) == []
    assert codes(history, ExpectedHead("aa" * 32)) == [Code.TAIL_CUT]


def test_the_ledger_of_another_epoch_is_not_this_one(history: History) -> None:
    found = verified(history, identity=LedgerIdentity(CLUSTER, 2))
    assert {one.code for one in found} >= {Code.CHAIN_BROKEN, Code.SEAL_WRONG}
