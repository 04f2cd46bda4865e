"""What one settler's swap writes, and when it must not."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from controller.accounts.account import COUNTED, Account, Fence
from controller.accounts.entries import EntryKey, Outcome, WatchedKind
from controller.accounts.settle import ViewTooOld, enforce_fence, is_worth_a_swap, settle
from controller.accounts.views import KindView
from tests.account_builders import (
    AGENT,
    DEPLOYMENTS,
    MANDATE_UID,
    PODS,
    UNSPENT,
    a_create,
    a_version,
    a_view,
    an_account,
    an_entry,
    pods,
    views_of,
)

FENCE = Fence(MANDATE_UID, 1, suspended=False)
CONFIGMAPS = WatchedKind("", "v1", "configmaps")
WIDGETS = WatchedKind("example.com", "v1", "widgets")
SEEN_LATER = dict.fromkeys(COUNTED, 99)


def settled(
    account: Account,
    deployments: KindView,
    *,
    pods_view: KindView | None = None,
    fence: Fence = FENCE,
    ledgered: tuple[EntryKey, ...] = (),
    overdue: dict[EntryKey, int] | None = None,
) -> Account:
    """The next account, which there must be."""
    views = views_of(deployments, others={PODS: pods_view} if pods_view else {})
    result = settle(
        account, views, fence=fence, ledgered=ledgered, overdue=overdue or {}, spending=UNSPENT
    )
    assert isinstance(result, Account)
    return result


def test_what_is_settled_is_recounted_whatever_it_was() -> None:
    view = a_view(
        a_version(5, uid="a", ask=1),
        a_version(20, uid="a", ask=3),
        a_version(5, uid="b", ask=4, is_ending=True),
        a_version(5, uid="c", ask=100),
        a_version(20, uid="c", ask=100, is_deleted=True),
        a_version(5, uid="d", ask=100, owner=""),
        a_version(5, uid="e", ask=100, owner="another"),
    )
    assert settled(an_account(settled=55), view).settled == pods(3 + 4)


def test_what_is_settled_is_the_sum_over_all_kinds() -> None:
    result = settled(
        an_account(), a_view(a_version(5, ask=2)), pods_view=a_view(a_version(5, uid="p", ask=1))
    )
    assert result.settled == pods(3)


def test_the_account_is_counted_from_the_latest_moment_that_every_counted_kind_has_reached() -> (
    None
):
    views = views_of(a_view(seen_to=40), others={CONFIGMAPS: a_view(seen_to=77)})
    result = settle(
        an_account(as_of={DEPLOYMENTS: 10}),
        views,
        fence=FENCE,
        ledgered=(),
        overdue={},
        spending=UNSPENT,
    )
    assert isinstance(result, Account)
    assert result.as_of == {**dict.fromkeys(COUNTED, 40), CONFIGMAPS: 77}


@pytest.mark.requirement("never-oversold.protocol")
def test_one_swap_decides_every_entry_that_its_view_decides() -> None:
    account = an_account(
        an_entry("a", uid="a"), an_entry("b", uid="b"), an_entry("c", uid="c"), a_create(uid="d")
    )
    view = a_view(
        *(a_version(10, uid="a"), a_version(20, "a", uid="a")),
        *(a_version(10, uid="b"), a_version(20, "x", uid="b")),
        a_version(10, uid="c"),
    )
    outcomes = [e.outcome for e in settled(account, view).pending]
    assert outcomes == [Outcome.PERSISTED, Outcome.LOST, None, None]


def test_the_first_outcome_stands() -> None:
    account = an_account(an_entry().decided(Outcome.UNKNOWN))
    view = a_view(a_version(10), a_version(20, "mine"))
    assert settled(account, view).pending == account.pending


def test_an_entry_of_a_kind_that_is_not_watched_stays_open() -> None:
    account = an_account(an_entry(kind=CONFIGMAPS))
    view = a_view(a_version(10), a_version(20, "mine"))
    assert settled(account, view, overdue={an_entry().key: 1}).pending == account.pending


# The record.


def test_a_recorded_entry_leaves() -> None:
    done, other = an_entry("a").decided(Outcome.LOST), an_entry("b").decided(Outcome.LOST)
    result = settled(an_account(done, other), a_view(), ledgered=(done.key,))
    assert result.pending == (other,)


def test_an_entry_leaves_only_after_a_swap_has_given_it_its_outcome() -> None:
    view = a_view(a_version(10), a_version(20, "mine"))
    result = settled(an_account(an_entry()), view, ledgered=(an_entry().key,))
    assert result.pending == (an_entry().decided(Outcome.PERSISTED),)


def test_an_open_entry_stays_though_somebody_has_recorded_it() -> None:
    account = an_account(an_entry())
    result = settled(account, a_view(a_version(10)), ledgered=(an_entry().key,))
    assert result.pending == account.pending


def test_an_entry_that_leaves_still_tells_of_what_it_met() -> None:
    later = an_entry("later", version=50).decided(Outcome.LOST)
    result = settled(an_account(a_create(), later), a_view(), ledgered=(later.key,))
    assert result.pending == (a_create().decided(Outcome.PERSISTED),)


# The view.

OLDER = a_view(seen_to=9)
TOO_OLD = [
    pytest.param({DEPLOYMENTS: OLDER}, ViewTooOld(DEPLOYMENTS, 9, 10), id="an older view"),
    pytest.param({PODS: a_view()}, ViewTooOld(DEPLOYMENTS, 0, 10), id="a kind is not watched"),
    pytest.param(
        {DEPLOYMENTS: a_view(), PODS: OLDER},
        ViewTooOld(PODS, 9, 10),
        id="newer in one kind, older in another",
    ),
]


@pytest.mark.requirement("never-oversold.protocol")
@pytest.mark.parametrize(("views", "refusal"), TOO_OLD)
def test_an_older_view_settles_nothing(
    views: Mapping[WatchedKind, KindView], refusal: ViewTooOld
) -> None:
    account = an_account(as_of=dict.fromkeys((DEPLOYMENTS, refusal.kind), 10))
    assert settle(account, views, fence=FENCE, ledgered=(), overdue={}, spending=UNSPENT) == refusal


def test_a_view_of_the_same_moment_settles() -> None:
    account = an_account(settled=1)
    view = a_view(a_version(5, ask=1), listed_at=10, seen_to=10)
    assert settled(account, view) == account


# The clock.


@pytest.mark.requirement("never-oversold.clock-after-watch")
def test_the_clock_ends_what_evidence_leaves_open_once_the_watch_has_caught_up() -> None:
    account = an_account(a_create())
    view = a_view(listed_at=10, seen_to=40)
    assert settled(account, view, overdue={a_create().key: 41}).pending == account.pending
    result = settled(account, view, overdue={a_create().key: 40})
    assert result.pending == (a_create().decided(Outcome.LOST),)


def test_the_clock_never_overrules_evidence() -> None:
    view = a_view(a_version(10), a_version(20, "mine"))
    result = settled(an_account(an_entry()), view, overdue={an_entry().key: 30})
    assert result.pending == (an_entry().decided(Outcome.PERSISTED),)


def test_the_clocks_swap_decides_by_evidence_too() -> None:
    account = an_account(a_create(), an_entry("other", uid="api-1"))
    view = a_view(a_version(20, "other", uid="api-1"), listed_at=9)
    result = settled(account, view, overdue={a_create().key: 30})
    assert [e.outcome for e in result.pending] == [Outcome.LOST, Outcome.PERSISTED]


# The fence.


def a_fence(generation: int, mandate_uid: str = MANDATE_UID, *, suspended: bool = True) -> Fence:
    """Suspended, so that it differs from the account's."""
    return Fence(mandate_uid, generation, suspended)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param(a_fence(3), a_fence(3), id="a newer one"),
        pytest.param(a_fence(2), a_fence(2), id="the same, the mandate being gone"),
        pytest.param(a_fence(1), a_fence(2, suspended=False), id="an older one"),
        pytest.param(a_fence(1, "next"), a_fence(1, "next"), id="another mandate's"),
    ],
)
def test_the_fence_is_copied_and_never_goes_back(given: Fence, kept: Fence) -> None:
    account = an_account(generation=2)
    assert settled(account, a_view(), fence=given).fence == kept
    assert enforce_fence(account, given) == replace(account, fence=kept)


@pytest.mark.requirement("never-oversold.fence-copied")
def test_an_older_mandate_does_not_lift_a_suspension() -> None:
    account = an_account(generation=2, suspended=True)
    assert settled(account, a_view(), fence=FENCE).fence == account.fence


# Kinds that are gone.


def test_a_kind_that_nobody_can_watch_holds_nothing_up() -> None:
    account = replace(an_account(), as_of={**dict.fromkeys(COUNTED, 10), WIDGETS: 10})
    result = settle(
        account,
        views_of(a_view()),
        fence=FENCE,
        ledgered=(),
        overdue={},
        unwatchable={WIDGETS},
        spending=UNSPENT,
    )
    assert isinstance(result, Account)
    assert result.as_of == dict.fromkeys(COUNTED, 100)
    assert is_worth_a_swap(account, result)


def test_a_write_of_a_kind_that_nobody_can_watch_is_unknown_once_it_is_overdue() -> None:
    late, recent = an_entry("late", kind=WIDGETS), an_entry("recent", kind=WIDGETS)
    done = an_entry("done", kind=WIDGETS).decided(Outcome.LOST)
    result = settle(
        an_account(late, recent, done),
        views_of(a_view()),
        fence=FENCE,
        ledgered=(),
        overdue=dict.fromkeys((late.key, done.key), 1),
        unwatchable={WIDGETS},
        spending=UNSPENT,
    )
    assert isinstance(result, Account)
    assert result.pending == (late.decided(Outcome.UNKNOWN), recent, done)


# Whether to write.


@pytest.mark.parametrize(
    ("after", "is_worth"),
    [
        pytest.param(an_account(), False, id="nothing changed"),
        pytest.param(an_account(as_of=SEEN_LATER), False, id="only more was seen"),
        pytest.param(an_account(as_of={**SEEN_LATER, WIDGETS: 1}), True, id="a kind is new"),
        pytest.param(an_account(settled=1), True, id="the count changed"),
        pytest.param(an_account(suspended=True), True, id="the fence changed"),
        pytest.param(an_account(an_entry()), True, id="the entries changed"),
    ],
)
def test_whether_a_swap_is_worth_its_cost(*, after: Account, is_worth: bool) -> None:
    assert is_worth_a_swap(an_account(), after) is is_worth


def test_nothing_to_settle_is_the_same_account() -> None:
    account = an_account(an_entry(), settled=1, as_of=dict.fromkeys(COUNTED, 100))
    assert settled(account, a_view(a_version(10, ask=1))) == account
    assert account.agent == AGENT
