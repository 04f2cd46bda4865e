"""Which records are due, which rows are done with, and how far an outbox has come."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.accounts.entries import Attempt, Entry, Outcome
from controller.clients.outbox.rows import Row, RowKind
from reconcilers.gathering import (
    LATE_MS,
    REASON_MS,
    attempt_identity,
    done,
    entry_identity,
    frontiers,
    gather,
)
from tests.ledgers import NOON, REPLICA, a_change, an_entry


def a_row(
    number: int, kind: RowKind = RowKind.BODY, *, replica: str = REPLICA, ready_at: int = NOON
) -> Row:
    """What `an_entry(number)` left, or a denial, a reason of the same number."""
    key = a_change(number) if kind is RowKind.REASON else str(an_entry(number).key)
    return Row(Attempt(replica, number), kind, key, NOON, ready_at, b"")


def by_attempt(*rows: Row) -> Mapping[Attempt, Row]:
    """As the inbox holds them."""
    return {row.attempt: row for row in rows}


def due(
    entries: Collection[Entry],
    rows: Mapping[Attempt, Row],
    *,
    recorded: Collection[str] = (),
    after: int = 0,
) -> tuple[list[int], list[int]]:
    """The numbers of what is due, and of the suspects."""
    found = gather(entries, rows, is_committed=lambda name: name in recorded, now=NOON + after)
    return (
        [item.attempt.number for item in found.items],
        [row.attempt.number for row in found.suspects],
    )


def forgotten(
    entries: Collection[Entry],
    rows: Mapping[Attempt, Row],
    *,
    recorded: Collection[str] = (),
    after: int = 0,
) -> list[int]:
    """The numbers of the rows that are done with."""
    found = done(entries, rows, is_committed=lambda name: name in recorded, now=NOON + after)
    return sorted(attempt.number for attempt in found)


ENTRY = an_entry(1)
OPEN = an_entry(1, outcome=None)
KEY = entry_identity(str(ENTRY.key))
ATTEMPT = attempt_identity(ENTRY.attempt)


@pytest.mark.requirement("record-before-effect.committed-once")
@pytest.mark.parametrize(
    ("entries", "rows", "recorded", "after", "items", "suspects"),
    [
        pytest.param([ENTRY], [a_row(1)], [], 0, [1], [], id="an outcome is due"),
        pytest.param([OPEN], [a_row(1)], [], LATE_MS, [], [], id="without one it is not"),
        pytest.param([ENTRY], [a_row(1)], [KEY], LATE_MS, [], [], id="once recorded it is not"),
        pytest.param([ENTRY], [a_row(1)], [ATTEMPT], 0, [1], [], id="a late one has its record"),
        pytest.param([ENTRY], [], [], LATE_MS - 1, [], [], id="its body may be late"),
        pytest.param([ENTRY], [], [], LATE_MS, [1], [], id="not for ever"),
        pytest.param([], [a_row(1)], [], LATE_MS - 1, [], [], id="a reservation may be under way"),
        pytest.param([], [a_row(1)], [], LATE_MS, [], [1], id="not for ever either"),
        pytest.param([], [a_row(1)], [KEY], LATE_MS, [], [], id="its entry has a record"),
        pytest.param([], [a_row(1)], [ATTEMPT], LATE_MS, [], [], id="it has a record itself"),
        pytest.param([], [a_row(1, RowKind.DENIAL)], [], 0, [1], [], id="a denial is due"),
        pytest.param(
            [], [a_row(1, RowKind.DENIAL)], [ATTEMPT], 0, [], [], id="a denial that is recorded"
        ),
        pytest.param(
            [],
            [a_row(1, RowKind.DENIAL)],
            [KEY],
            0,
            [1],
            [],
            id="a denial is not what an entry's record says",
        ),
        pytest.param(
            [], [a_row(1, RowKind.REPEATS, ready_at=NOON + 1)], [], 0, [], [], id="still counting"
        ),
        pytest.param(
            [], [a_row(1, RowKind.REPEATS, ready_at=NOON + 1)], [], 1, [1], [], id="counted"
        ),
        pytest.param([], [a_row(1, RowKind.REASON)], [], LATE_MS, [], [], id="a reason never is"),
    ],
)
def test_what_is_due(
    entries: list[Entry],
    rows: list[Row],
    recorded: list[str],
    after: int,
    items: list[int],
    suspects: list[int],
) -> None:
    assert due(entries, by_attempt(*rows), recorded=recorded, after=after) == (items, suspects)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_is_recorded(outcome: Outcome) -> None:
    assert due([an_entry(1, outcome=outcome)], by_attempt(a_row(1))) == ([1], [])


@pytest.mark.requirement("record-before-effect.committed-once")
@pytest.mark.parametrize(
    ("entries", "rows", "recorded", "after", "gone"),
    [
        pytest.param([ENTRY], [a_row(1)], [], 0, [], id="nothing that is not recorded"),
        pytest.param([ENTRY], [a_row(1)], [KEY, ATTEMPT], 0, [1], id="what is recorded"),
        pytest.param([], [a_row(1), a_row(2)], [KEY], 0, [1], id="a resend of what is recorded"),
        pytest.param([], [a_row(1, RowKind.DENIAL)], [KEY], 9**9, [], id="no denial for an entry"),
        pytest.param([], [a_row(1, RowKind.REASON)], [], REASON_MS - 1, [], id="no young reason"),
        pytest.param([], [a_row(1, RowKind.REASON)], [], REASON_MS, [1], id="an old reason"),
        pytest.param(
            [OPEN], [a_row(1, RowKind.REASON)], [], 9**9, [], id="no reason of a pending write"
        ),
        pytest.param(
            [],
            [a_row(1, RowKind.REASON), replace(a_row(1), attempt=Attempt(REPLICA, 2))],
            [],
            9**9,
            [],
            id="no reason of a body that waits",
        ),
    ],
)
def test_what_is_done_with(
    entries: list[Entry], rows: list[Row], recorded: list[str], after: int, gone: list[int]
) -> None:
    assert forgotten(entries, by_attempt(*rows), recorded=recorded, after=after) == gone


def test_what_is_due_comes_by_time_then_by_attempt() -> None:
    rows = [
        replace(a_row(3, RowKind.DENIAL), made_at=NOON - 2),
        replace(a_row(1, RowKind.DENIAL), made_at=NOON - 1),
        replace(a_row(2, RowKind.DENIAL), made_at=NOON - 1),
    ]
    assert due([], by_attempt(*rows)) == ([3, 1, 2], [])


@pytest.mark.parametrize(
    ("before", "highest", "waiting", "after"),
    [
        pytest.param({}, {"a": 5}, [], {"a": 5}, id="nothing waits"),
        pytest.param({}, {"a": 5}, [("a", 3), ("a", 4)], {"a": 2}, id="up to what waits"),
        pytest.param({"a": 4}, {"a": 5}, [("a", 3)], {"a": 4}, id="never back"),
        pytest.param({"b": 9}, {"a": 5}, [], {"a": 5}, id="without replicas that are gone"),
        pytest.param({}, {"a": 5, "b": 0}, [("a", 1)], {"a": 0, "b": 0}, id="each on its own"),
    ],
)
def test_how_far_an_outbox_has_come(
    before: dict[str, int],
    highest: dict[str, int],
    waiting: list[tuple[str, int]],
    after: dict[str, int],
) -> None:
    attempts = [Attempt(replica, number) for replica, number in waiting]
    assert frontiers(before, highest, waiting=attempts) == after


def aged(number: int, kind: RowKind, age: int) -> Row:
    """A row that was made so many milliseconds ago."""
    return replace(a_row(number, kind), made_at=NOON - age)


def decided(number: int, outcome: Outcome | None) -> Entry:
    """An entry, open or not."""
    return an_entry(number, outcome=outcome)


def entry_named(number: int) -> str:
    """By what its record is known."""
    return entry_identity(str(an_entry(number).key))


def attempt_named(number: int) -> str:
    """By what its record is known."""
    return attempt_identity(Attempt(REPLICA, number))


NUMBERS = st.integers(1, 6)
AGES = st.integers(0, 2 * REASON_MS)
OUTCOMES = st.one_of(st.none(), st.sampled_from(Outcome))
ROWS = st.lists(st.builds(aged, NUMBERS, st.sampled_from(RowKind), AGES), max_size=6)
ENTRIES = st.dictionaries(NUMBERS, OUTCOMES, max_size=4)
RECORDED = st.sets(st.one_of(NUMBERS.map(entry_named), NUMBERS.map(attempt_named)))


@given(ENTRIES, ROWS, RECORDED)
def test_nothing_is_both_due_and_done_with_and_nothing_unrecorded_is_forgotten(
    outcomes: dict[int, Outcome | None], rows: list[Row], recorded: set[str]
) -> None:
    held = by_attempt(*rows)
    entries = [decided(number, outcome) for number, outcome in outcomes.items()]
    found = gather(entries, held, is_committed=recorded.__contains__, now=NOON)
    gone = set(done(entries, held, is_committed=recorded.__contains__, now=NOON))
    rows_due = {item.attempt for item in (*found.items, *found.suspects) if isinstance(item, Row)}
    assert not rows_due & gone
    for attempt in gone:
        row = held[attempt]
        is_known = {attempt_identity(attempt), entry_identity(row.key)} & recorded
        assert row.kind is RowKind.REASON or is_known
