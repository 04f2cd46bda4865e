"""The benchmark's settler: every write persisted, and gone once it is committed."""

from dataclasses import replace
from itertools import count

import pytest

from bench.webhook_settler import CROWDED, next_account
from controller.accounts.account import Account, Fence
from controller.accounts.entries import Action, Attempt, Entry, Outcome, WatchedKind

PODS = WatchedKind("", "v1", "pods")
_NUMBERS = count(1)


def an_entry(outcome: Outcome | None = None) -> Entry:
    number = next(_NUMBERS)
    return Entry(
        change=f"change-{number}",
        attempt=Attempt("replica", number),
        action=Action.CREATE,
        kind=PODS,
        namespace="team-data",
        name=f"pod-{number}",
        uid=f"uid-{number}",
        version=7,
        made_at=number,
        outcome=outcome,
    )


def an_account(*pending: Entry) -> Account:
    return Account("migrator", Fence("uid", 1, suspended=False), pending=pending)


def test_an_open_entry_is_found_persisted_and_stays() -> None:
    entry = an_entry()
    settled = next_account(an_account(entry), {entry.key})
    assert settled == an_account(replace(entry, outcome=Outcome.PERSISTED))


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_decided_entry_stays_until_it_is_committed(*, is_committed: bool) -> None:
    entry = an_entry(Outcome.PERSISTED)
    settled = next_account(an_account(entry), {entry.key} if is_committed else set())
    assert settled.pending == (() if is_committed else (entry,))


@pytest.mark.parametrize(
    ("entries", "left"),
    [
        pytest.param(CROWDED, CROWDED, id="half full"),
        pytest.param(CROWDED + 1, 1, id="fuller: only the open one stays"),
    ],
)
def test_a_list_that_is_more_than_half_full_lets_go_of_what_is_decided(
    entries: int, left: int
) -> None:
    decided = [an_entry(Outcome.PERSISTED) for _ in range(entries - 1)]
    assert len(next_account(an_account(*decided, an_entry()), ()).pending) == left


def test_nothing_to_do_is_no_other_account() -> None:
    account = an_account(an_entry(Outcome.PERSISTED))
    assert next_account(account, ()) == account
