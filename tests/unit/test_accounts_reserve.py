"""What an account takes in, and what it answers instead."""

from dataclasses import replace

import pytest

from controller.accounts.account import MAX_PENDING, Account
from controller.accounts.charges import charge
from controller.accounts.entries import Action, Entry, Outcome, WatchedKind
from controller.accounts.limits import Limits
from controller.accounts.reserve import (
    AlreadySettled,
    Backlog,
    Exhausted,
    Proposal,
    Reserved,
    StaleMandate,
    Suspended,
    reserve,
)
from controller.apis.resources import NOTHING
from tests.account_builders import (
    AGENT,
    DEPLOYMENTS,
    MANDATE_UID,
    PODS,
    a_create,
    a_delete,
    a_proposal,
    a_scale,
    an_account,
    an_entry,
    pods,
)


def reserved(account: Account, proposal: Proposal) -> Reserved:
    """The reservation, which must be one."""
    result = reserve(account, proposal)
    assert isinstance(result, Reserved)
    return result


def test_a_write_is_entered_at_the_end_and_nothing_else_changes() -> None:
    account = an_account(an_entry("first"), settled=3)
    result = reserved(account, a_proposal(an_entry("second")))
    assert result.entry == an_entry("second")
    assert result.account == replace(account, pending=(an_entry("first"), result.entry))


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        pytest.param(DEPLOYMENTS, 77, id="a watched kind"),
        pytest.param(PODS, 0, id="a kind that was not watched yet"),
    ],
)
def test_a_create_is_bound_to_what_its_kind_was_counted_from(
    kind: WatchedKind, version: int
) -> None:
    account = an_account(as_of={DEPLOYMENTS: 77})
    proposal = a_proposal(a_create(kind=kind, version=5))
    assert reserved(account, proposal).entry.version == version


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        pytest.param(Action.UNTRACED, Outcome.ALLOWED, id="nothing could be watched"),
        pytest.param(Action.NOTHING, Outcome.NO_OP, id="nothing will be written"),
    ],
)
def test_a_write_that_leaves_no_trace_has_its_outcome_at_once(
    action: Action, outcome: Outcome
) -> None:
    proposal = a_proposal(an_entry(action=action, after=5), limit=1)
    result = reserved(an_account(), proposal)
    assert result.entry.outcome is outcome
    assert charge(result.account) == NOTHING
    assert reserved(result.account, proposal) == result, "a swap may be tried again"


# A raise fits, or the answer says what would.


def test_a_raise_up_to_the_limit_is_granted() -> None:
    account = an_account(settled=3)
    result = reserved(account, a_proposal(an_entry(before=1, after=3), limit=5))
    assert charge(result.account) == pods(5)


def test_a_raise_beyond_the_limit_is_refused_with_what_would_pass() -> None:
    account = an_account(an_entry("other", uid="api-1", after=1), settled=3)
    refused = reserve(account, a_proposal(an_entry(before=1, after=4), limit=5))
    assert refused == Exhausted("pods", asked=3, limit=5, held=4)
    fitting = a_proposal(an_entry(before=1, after=2), limit=5)
    assert isinstance(reserve(account, fitting), Reserved)


def test_what_would_pass_beside_a_smaller_rival_counts_the_rival_in() -> None:
    account = an_account(an_entry("rival", before=1, after=2), settled=3)
    refused = reserve(account, a_proposal(an_entry(before=1, after=5), limit=6))
    assert refused == Exhausted("pods", asked=4, limit=6, held=3)
    fitting = a_proposal(an_entry(before=1, after=4), limit=6)
    assert isinstance(reserve(account, fitting), Reserved)


def test_beyond_a_lowered_limit_no_raise_passes_not_even_beside_a_larger_rival() -> None:
    account = an_account(an_entry("rival", before=1, after=5), settled=3)
    refused = reserve(account, a_proposal(an_entry(before=1, after=2), limit=4))
    assert refused == Exhausted("pods", asked=1, limit=4, held=7)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(an_entry(before=3, after=1), id="a lowering"),
        pytest.param(an_entry(before=3, after=3), id="a change of something else"),
        pytest.param(a_delete(), id="a delete"),
    ],
)
def test_what_raises_nothing_is_granted_over_the_limit_too(entry: Entry) -> None:
    assert isinstance(reserve(an_account(settled=9), a_proposal(entry, limit=1)), Reserved)


def test_a_resource_that_is_not_raised_does_not_stand_in_the_way() -> None:
    account = replace(an_account(), settled={"memory": 9, "pods": 1})
    entry = an_entry(before=1, after=2)
    limits = Limits({"memory": 1, "pods": 2})
    assert isinstance(reserve(account, replace(a_proposal(entry), limits=limits)), Reserved)


def test_a_resource_without_a_limit_is_unlimited() -> None:
    entry = replace(an_entry(), after={"cpu": 10**12})
    assert isinstance(reserve(an_account(), a_proposal(entry, limit=0)), Reserved)


# Who raises an object answers for all of it.


@pytest.mark.parametrize("owner", [pytest.param("", id="nobody's"), "another-agent"])
def test_raising_what_is_not_the_agents_charges_all_of_it(owner: str) -> None:
    proposal = a_proposal(an_entry(before=1, after=3), owner=owner)
    assert charge(reserved(an_account(), proposal).account) == pods(3)


def test_raising_what_is_the_agents_charges_the_difference() -> None:
    proposal = a_proposal(an_entry(before=1, after=3), owner=AGENT)
    assert charge(reserved(an_account(), proposal).account) == pods(2)


def test_a_change_that_raises_nothing_adopts_nothing() -> None:
    proposal = a_proposal(an_entry(before=3, after=3), owner="", limit=0)
    assert charge(reserved(an_account(), proposal).account) == NOTHING


# The mandate's state in the account outranks what a replica believes.


@pytest.mark.requirement("never-oversold.fence-copied")
@pytest.mark.parametrize("is_resent", [False, True])
@pytest.mark.parametrize(
    ("mandate_uid", "generation", "suspended", "refusal"),
    [
        pytest.param(MANDATE_UID, 1, False, StaleMandate, id="an older mandate"),
        pytest.param("another", 9, False, StaleMandate, id="another mandate of that name"),
        pytest.param(MANDATE_UID, 2, True, Suspended, id="suspended"),
        pytest.param(MANDATE_UID, 3, True, Suspended, id="suspended, whatever the replica knows"),
    ],
)
def test_the_fence_is_asked_every_time(
    *, mandate_uid: str, generation: int, suspended: bool, refusal: type, is_resent: bool
) -> None:
    known = (an_entry(),) if is_resent else ()
    account = an_account(*known, generation=2, suspended=suspended)
    proposal = a_proposal(an_entry(), mandate_uid=mandate_uid, generation=generation)
    assert isinstance(reserve(account, proposal), refusal)


def test_a_newer_mandate_than_the_fence_is_used() -> None:
    account = an_account(generation=2)
    assert isinstance(reserve(account, a_proposal(an_entry(), generation=3)), Reserved)


# The same key is the same entry, and stays.


def test_a_write_that_is_sent_again_finds_its_entry() -> None:
    account = an_account(an_entry(after=2))
    again = replace(an_entry(after=2), made_at=9_000, record="another body")
    assert reserve(account, a_proposal(again, limit=2)) == Reserved(account, an_entry(after=2))


def test_a_create_finds_its_entry_whatever_was_settled_since() -> None:
    account = an_account(a_create(version=10), as_of={DEPLOYMENTS: 99})
    result = reserved(account, a_proposal(a_create(version=0)))
    assert result == Reserved(account, a_create(version=10))


def test_an_attempt_that_has_its_outcome_is_over() -> None:
    lost = an_entry().decided(Outcome.LOST)
    assert reserve(an_account(lost), a_proposal(an_entry())) == AlreadySettled(lost)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(an_entry(digest="other content"), id="other content"),
        pytest.param(an_entry(after=7), id="another ask"),
        pytest.param(an_entry(name="api"), id="another name"),
        pytest.param(an_entry(action=Action.VALUE), id="another action"),
    ],
)
def test_one_key_never_stands_for_two_writes(other: Entry) -> None:
    account = an_account(an_entry())
    assert reserve(account, a_proposal(other)) == AlreadySettled(an_entry())


def test_one_stamp_that_comes_with_two_names_is_two_entries() -> None:
    account = an_account(a_create(uid="web-1", name="web-abc", after=1))
    again = a_create(uid="web-2", name="web-xyz", after=1)
    assert charge(reserved(account, a_proposal(again)).account) == pods(2)


def test_a_full_account_still_knows_its_own() -> None:
    account = an_account(*(an_entry(f"change-{n}") for n in range(MAX_PENDING)))
    assert reserve(account, a_proposal(an_entry("new"))) == Backlog(MAX_PENDING)
    assert isinstance(reserve(account, a_proposal(an_entry("change-7"))), Reserved)


# Calls for one write differ in their change id only.


@pytest.mark.parametrize("entry", [pytest.param(a_delete(), id="delete"), a_scale()])
def test_a_repeated_call_finds_the_entry_of_the_first(entry: Entry) -> None:
    account = an_account(entry)
    again = replace(entry, change="another")
    assert reserve(account, a_proposal(again)) == Reserved(account, entry)


@pytest.mark.parametrize("entry", [pytest.param(a_delete(), id="delete"), a_scale()])
def test_the_entry_lives_as_long_as_the_last_call(entry: Entry) -> None:
    other = an_entry("other")
    again = replace(entry, change="another", made_at=entry.made_at + 5)
    result = reserved(an_account(entry, other), a_proposal(again))
    assert result.entry == replace(entry, made_at=entry.made_at + 5)
    assert result.account.pending == (result.entry, other)


@pytest.mark.parametrize(
    ("known", "entry"),
    [
        pytest.param(a_delete(), a_delete("b", version=20), id="of another version"),
        pytest.param(a_scale(to=3), a_scale("b", to=4), id="to another value"),
        pytest.param(a_delete(), a_scale("b"), id="of another action"),
        pytest.param(a_delete().decided(Outcome.GONE), a_delete("b"), id="after the outcome"),
        pytest.param(
            replace(a_delete(), uid=""), replace(a_delete("b"), uid=""), id="of unknown objects"
        ),
        pytest.param(an_entry(digest="x"), an_entry("b", digest="x"), id="with a stamp"),
    ],
)
def test_another_write_has_an_entry_of_its_own(known: Entry, entry: Entry) -> None:
    result = reserved(an_account(known), a_proposal(entry))
    assert result.account.pending == (known, entry)
