"""The benchmark's settler: every write persisted, and gone once it is committed."""

from dataclasses import replace
from itertools import count

import pytest

from bench.webhook_reviews import AGENT
from bench.webhook_settler import CROWDED, Done, Settler, next_account
from controller.accounts.account import ASKS_VERSION, COUNTED, Account, Fence, is_counted
from controller.accounts.entries import Action, Attempt, Entry, Outcome, WatchedKind
from controller.accounts.windows import Window, WindowKey
from controller.clients.kube.accounts import Stored
from controller.clients.kube.errors import ConflictError
from tests.accounts import NOON

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
    return Account(
        "migrator",
        Fence("uid", 1, suspended=False),
        as_of=dict.fromkeys(COUNTED, 1),
        pending=pending,
        asks_version=ASKS_VERSION,
    )


def test_what_was_not_counted_is_counted_and_what_is_waited_for_is_open() -> None:
    key = WindowKey("changes", 3600)
    waiting = Account("migrator", Fence("uid", 1, suspended=False), wanted=(key,))
    settled = next_account(waiting, (), now=NOON)
    assert is_counted(settled)
    assert settled.wanted == ()
    assert settled.windows == {key: Window(NOON - NOON % 3_600_000, NOON, 0)}


def test_an_open_entry_is_found_persisted_and_stays() -> None:
    entry = an_entry()
    settled = next_account(an_account(entry), {entry.key}, now=NOON)
    assert settled == an_account(replace(entry, outcome=Outcome.PERSISTED))


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_decided_entry_stays_until_it_is_committed(*, is_committed: bool) -> None:
    entry = an_entry(Outcome.PERSISTED)
    settled = next_account(an_account(entry), {entry.key} if is_committed else set(), now=NOON)
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
    assert len(next_account(an_account(*decided, an_entry()), (), now=NOON).pending) == left


def test_nothing_to_do_is_no_other_account() -> None:
    account = an_account(an_entry(Outcome.PERSISTED))
    assert next_account(account, (), now=NOON) == account


class _OneAccount:
    """A store and a copy of it that lags behind; the first swaps lose to somebody else's."""

    def __init__(self, known: Account, stored: Account, *, rivals: int) -> None:
        self.stored = Stored(stored, {"resourceVersion": "2"})
        self._known = Stored(known, {"resourceVersion": "1"})
        self._rivals = rivals

    async def read(self, agent: str) -> Stored:
        assert agent == AGENT
        return self.stored

    async def swap(self, stored: Stored, account: Account) -> Stored:
        if stored.resource_version != self.stored.resource_version or self._rivals:
            self._rivals = max(0, self._rivals - 1)
            raise ConflictError("somebody was first")
        version = str(int(stored.resource_version) + 1)
        self.stored = Stored(account, {"resourceVersion": version})
        return self.stored

    def get(self, agent: str) -> Stored | None:
        assert agent == AGENT
        return self._known

    def adopt(self, stored: Stored) -> None:
        self._known = stored


async def test_a_swap_that_loses_is_repeated_with_what_is_stored() -> None:
    first, second = an_entry(), an_entry()
    accounts = _OneAccount(an_account(first), an_account(first, second), rivals=2)
    settler = Settler(accounts, accounts, ())
    settled = await settler.look(())
    assert settled == accounts.stored.account
    assert [entry.outcome for entry in settled.pending] == [Outcome.PERSISTED] * 2
    # One of the conflicts is that of the copy that lagged behind.
    assert await settler.tell() == Done(looks=1, pending=1, swaps=1, conflicts=2)
    assert await settler.tell() == Done()


async def test_what_needs_nothing_is_not_written() -> None:
    account = an_account(an_entry(Outcome.PERSISTED))
    accounts = _OneAccount(account, account, rivals=0)
    settler = Settler(accounts, accounts, ())
    assert await settler.look(()) == account
    assert accounts.stored.resource_version == "2"
    assert (await settler.tell()).swaps == 0
