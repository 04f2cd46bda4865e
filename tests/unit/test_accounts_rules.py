"""Each rule of the Account protocol, by the shortest story that leaving it out would spoil.

The stories are those of docs/adr/0006, told with the real functions: a swap is what
`reserve` or `settle` returned, taken as the next account. That nothing else spoils
them is explored in `tests/property/test_account_machine.py`.
"""

from dataclasses import replace

import pytest

from controller.accounts.account import Account, Fence
from controller.accounts.charges import charge
from controller.accounts.entries import Action, Entry, EntryKey, Outcome
from controller.accounts.reserve import (
    AlreadySettled,
    Exhausted,
    Proposal,
    Reserved,
    Suspended,
    reserve,
)
from controller.accounts.settle import ViewTooOld, enforce_fence, settle
from controller.accounts.views import KindView
from controller.apis.resources import NOTHING
from tests.account_builders import (
    DEPLOYMENTS,
    MANDATE_UID,
    PODS,
    UNSPENT,
    a_create,
    a_delete,
    a_proposal,
    a_scale,
    a_version,
    a_view,
    an_account,
    an_entry,
    pods,
    views_of,
)

FENCE = Fence(MANDATE_UID, 1, suspended=False)


def granted(account: Account, proposal: Proposal) -> Account:
    """The account after the swap that grants a write."""
    result = reserve(account, proposal)
    assert isinstance(result, Reserved)
    return result.account


def try_to_settle(
    account: Account,
    deployments: KindView,
    *,
    pods_view: KindView | None = None,
    ledgered: tuple[EntryKey, ...] = (),
    overdue: dict[EntryKey, int] | None = None,
) -> Account | ViewTooOld:
    """What a settler's swap would write."""
    views = views_of(deployments, others={PODS: pods_view} if pods_view else {})
    return settle(
        account, views, fence=FENCE, ledgered=ledgered, overdue=overdue or {}, spending=UNSPENT
    )


def settled(
    account: Account,
    deployments: KindView,
    *,
    pods_view: KindView | None = None,
    ledgered: tuple[EntryKey, ...] = (),
    overdue: dict[EntryKey, int] | None = None,
) -> Account:
    """The account after that swap."""
    result = try_to_settle(
        account, deployments, pods_view=pods_view, ledgered=ledgered, overdue=overdue
    )
    assert isinstance(result, Account)
    return result


def outcomes(account: Account) -> dict[str, Outcome | None]:
    """By change id."""
    return {entry.change: entry.outcome for entry in account.pending}


def created(entry: Entry, version: int, *, ask: int = 1) -> KindView:
    """All was watched, and the create was seen."""
    return a_view(a_version(version, entry.change, uid=entry.uid, ask=ask), seen_to=version)


@pytest.mark.requirement("never-oversold.protocol")
def test_a_settler_with_an_older_view_cannot_uncount_what_another_has_settled() -> None:
    account = granted(an_account(), a_proposal(a_create(after=1)))
    account = settled(account, created(a_create(), 20))
    account = settled(account, created(a_create(), 20), ledgered=(a_create().key,))
    assert (charge(account), account.pending) == (pods(1), ())
    older = try_to_settle(account, a_view(seen_to=10))
    assert older == ViewTooOld(DEPLOYMENTS, seen_to=10, as_of=20)


@pytest.mark.requirement("never-oversold.protocol")
def test_a_settler_that_is_ahead_in_one_kind_cannot_uncount_another_kind() -> None:
    deployments = a_view(a_version(20, ask=2), seen_to=20)
    account = settled(an_account(), deployments, pods_view=a_view(seen_to=20))
    assert charge(account) == pods(2)
    behind = try_to_settle(account, a_view(seen_to=10), pods_view=a_view(seen_to=99))
    assert behind == ViewTooOld(DEPLOYMENTS, seen_to=10, as_of=20)


@pytest.mark.requirement("never-oversold.protocol")
def test_a_record_in_the_ledger_does_not_uncount_what_ones_own_view_does_not_show() -> None:
    account = granted(an_account(), a_proposal(a_create(after=1)))
    account = settled(account, a_view(seen_to=10), ledgered=(a_create().key,))
    assert charge(account) == pods(1)


@pytest.mark.requirement("never-oversold.clock-after-watch")
def test_the_clock_ends_nothing_before_the_watch_has_caught_up_with_its_read() -> None:
    account = granted(an_account(), a_proposal(a_create(after=1)))
    behind = a_view(listed_at=10, seen_to=19)
    account = settled(account, behind, overdue={a_create().key: 20})
    assert charge(account) == pods(1)
    account = settled(account, created(a_create(), 20), overdue={a_create().key: 20})
    assert (charge(account), outcomes(account)) == (pods(1), {"mine": Outcome.PERSISTED})


@pytest.mark.requirement("record-before-effect.evidence")
def test_another_object_of_the_name_does_not_end_a_create_that_may_follow_it() -> None:
    first, second = (
        a_create("first", uid="web-1", after=1),
        a_create("second", uid="web-2", after=1),
    )
    account = granted(an_account(), a_proposal(first, limit=1))
    account = granted(account, a_proposal(second, limit=2))
    account = settled(account, created(first, 20))
    assert outcomes(account) == {"first": Outcome.PERSISTED, "second": None}
    ended = a_version(30, "first", uid="web-1", is_deleted=True)
    account = settled(account, a_view(a_version(20, "first", uid="web-1"), ended, seen_to=30))
    assert charge(account) == pods(1), "the second may still be created"
    account = settled(
        account, a_view(ended, a_version(40, "second", uid="web-2"), listed_at=25, seen_to=40)
    )
    assert (charge(account), outcomes(account)["second"]) == (pods(1), Outcome.PERSISTED)


@pytest.mark.requirement("record-before-effect.evidence")
def test_an_update_that_a_list_may_have_skipped_is_not_said_to_be_lost() -> None:
    account = granted(an_account(settled=1), a_proposal(an_entry(before=1, after=2)))
    account = settled(account, a_view(a_version(30), listed_at=30, seen_to=30))
    assert outcomes(account) == {"mine": Outcome.UNKNOWN}


@pytest.mark.requirement("record-before-effect.evidence")
def test_an_update_that_an_undo_brought_back_is_not_said_to_be_persisted() -> None:
    account = granted(an_account(settled=1), a_proposal(an_entry(before=1, after=2)))
    base, between = a_version(10, "old"), a_version(20, "theirs")
    account = settled(account, a_view(base, between, a_version(30, "mine")))
    assert outcomes(account) == {"mine": Outcome.LOST}


@pytest.mark.requirement("record-before-effect.evidence")
def test_a_person_may_have_deleted_it() -> None:
    account = granted(an_account(settled=1), a_proposal(a_delete()))
    account = settled(account, a_view(a_version(10), a_version(20, is_deleted=True)))
    assert outcomes(account) == {"mine": Outcome.GONE}


@pytest.mark.requirement("record-before-effect.evidence")
def test_a_person_may_have_scaled_it() -> None:
    account = granted(an_account(settled=1), a_proposal(a_scale(to=3)))
    account = settled(account, a_view(a_version(10), a_version(20, value="replicas:3", ask=3)))
    assert outcomes(account) == {"mine": Outcome.MATCHES}


@pytest.mark.requirement("never-oversold.protocol")
def test_a_name_that_is_created_deleted_and_created_is_not_sold_twice() -> None:
    """Both took effect, and the Pods of the first may end for as long as they like."""
    account = granted(an_account(), a_proposal(a_create("first", uid="web-1", after=1), limit=1))
    second = a_proposal(a_create("second", uid="web-2", after=1), limit=1)
    assert reserve(account, second) == Exhausted("pods", asked=1, limit=1, held=1)


@pytest.mark.requirement("never-oversold.protocol")
def test_a_write_that_is_sent_again_after_a_503_keeps_the_entry_that_it_will_need() -> None:
    account = granted(an_account(), a_proposal(a_create(after=1), limit=1))
    again = replace(a_create(after=1), attempt=a_create().attempt._replace(replica="replica-b"))
    account = granted(account, a_proposal(again, limit=1))
    assert charge(account) == pods(1)
    assert reserve(
        account, a_proposal(a_create("b", uid="api-1", name="api", after=1), limit=1)
    ) == Exhausted("pods", asked=1, limit=1, held=1)


@pytest.mark.requirement("never-oversold.fence-copied")
def test_a_write_that_was_reserved_before_the_suspension_is_refused_when_it_is_sent_again() -> None:
    account = granted(an_account(), a_proposal(an_entry()))
    account = enforce_fence(account, Fence(MANDATE_UID, 2, suspended=True))
    assert reserve(account, a_proposal(an_entry(), generation=2)) == Suspended()


@pytest.mark.requirement("never-oversold.protocol")
def test_who_raises_a_persons_object_answers_for_all_of_it() -> None:
    raise_it = an_entry(before=1, after=3)
    assert reserve(an_account(), a_proposal(raise_it, limit=2, owner="")) == Exhausted(
        "pods", asked=3, limit=2, held=0
    )
    account = granted(an_account(), a_proposal(raise_it, limit=3, owner=""))
    account = settled(account, a_view(a_version(10, owner=""), a_version(20, "mine", ask=3)))
    assert charge(account) == pods(3)


@pytest.mark.requirement("never-oversold.protocol")
def test_what_a_person_made_is_not_charged_to_the_agent() -> None:
    view = a_view(a_version(10, owner="", ask=9), a_version(10, uid="b", owner="another", ask=9))
    assert charge(settled(an_account(), view)) == NOTHING


@pytest.mark.requirement("never-oversold.protocol")
def test_a_settled_write_is_not_counted_a_second_time_while_git_is_slow() -> None:
    account = granted(an_account(), a_proposal(a_create(after=1)))
    account = settled(account, created(a_create(), 20))
    assert outcomes(account) == {"mine": Outcome.PERSISTED}, "it waits for its record"
    assert charge(account) == pods(1)


@pytest.mark.requirement("never-oversold.protocol")
def test_an_attempt_that_is_over_is_not_let_through() -> None:
    account = granted(an_account(), a_proposal(an_entry()))
    account = settled(account, a_view(a_version(10), a_version(20, "theirs")))
    assert isinstance(reserve(account, a_proposal(an_entry())), AlreadySettled)


@pytest.mark.requirement("never-oversold.protocol")
def test_a_swap_by_the_clock_counts_no_other_write_twice() -> None:
    dead = an_entry("dead", uid="web-9", version=15, before=1, after=2)
    account = granted(an_account(settled=1), a_proposal(a_create(after=1)))
    account = granted(account, a_proposal(dead))
    view = a_view(a_version(15, "old", uid="web-9"), a_version(20, "mine", uid="web-1"), seen_to=20)
    account = settled(account, view, overdue={dead.key: 20})
    assert outcomes(account) == {"mine": Outcome.PERSISTED, "dead": Outcome.LOST}
    assert charge(account) == pods(2)


@pytest.mark.requirement("never-oversold.protocol")
def test_what_a_later_write_met_beyond_the_view_does_not_end_a_charge_before_it_is_counted() -> (
    None
):
    account = granted(an_account(), a_proposal(a_create(after=1)))
    met = replace(a_delete("later"), version=30)
    account = granted(account, a_proposal(met))
    behind = a_view(listed_at=20, seen_to=20)
    assert charge(settled(account, behind)) == pods(1)


@pytest.mark.requirement("record-before-effect.evidence")
def test_a_planted_id_does_not_prove_a_write_that_was_not_stored() -> None:
    account = granted(an_account(settled=1), a_proposal(an_entry(before=1, after=2)))
    planted = a_version(20, "mine", digest="what a person wrote")
    assert outcomes(settled(account, a_view(a_version(10), planted))) == {"mine": Outcome.UNKNOWN}
    across = a_view(planted, listed_at=20)
    assert outcomes(settled(account, across)) == {"mine": Outcome.UNKNOWN}


@pytest.mark.requirement("record-before-effect.evidence")
def test_a_write_that_is_stored_in_another_form_is_not_said_to_be_lost_and_is_counted_once() -> (
    None
):
    account = granted(an_account(settled=1), a_proposal(an_entry(before=1, after=2)))
    stored = a_version(20, "mine", digest="with the storage version's defaults", ask=2)
    account = settled(account, a_view(a_version(10), stored))
    assert outcomes(account) == {"mine": Outcome.UNKNOWN}
    assert charge(account) == pods(2)


@pytest.mark.requirement("record-before-effect.evidence")
def test_a_status_that_is_stored_in_another_form_is_not_said_to_be_lost() -> None:
    status = an_entry(action=Action.VALUE, digest="sent", old_change="old")
    account = granted(an_account(), a_proposal(status))
    stored = a_version(20, "old", digest="with the storage version's defaults")
    account = settled(account, a_view(a_version(10, "old"), stored))
    assert outcomes(account) == {"mine": Outcome.UNKNOWN}


@pytest.mark.requirement("never-oversold.protocol")
def test_two_updates_one_after_the_other_count_both_their_raises() -> None:
    account = granted(an_account(settled=1), a_proposal(an_entry("a", before=1, after=2), limit=2))
    second = an_entry("b", version=20, before=2, after=3)
    assert reserve(account, a_proposal(second, limit=2)) == Exhausted(
        "pods", asked=1, limit=2, held=2
    )


@pytest.mark.requirement("never-oversold.protocol")
def test_a_lowering_that_may_never_happen_makes_no_room() -> None:
    account = granted(an_account(settled=3), a_proposal(an_entry(before=3, after=1), limit=3))
    another = a_create("b", name="api", uid="api-1", after=2)
    assert reserve(account, a_proposal(another, limit=3)) == Exhausted(
        "pods", asked=2, limit=3, held=3
    )
