"""What becomes of a granted write once its account was asked: allowed only if it was taken in."""

from dataclasses import replace

import pytest

from controller.accounts.entries import Outcome as EntryOutcome
from controller.accounts.reserve import (
    AlreadySettled,
    Backlog,
    Exhausted,
    Reservation,
    Reserved,
    StaleMandate,
    Suspended,
    Uncounted,
    Unopened,
)
from controller.accounts.windows import WindowKey
from controller.admission.judge import Denied, Granted, Postponed
from controller.admission.reservation import (
    conclude_reservation,
    owner_is_missing,
    record_failed,
    refuse,
    scale_is_not_owned,
    stamp_is_missing,
)
from controller.apis.mandates import Enforcement
from controller.policy.denials import Code, Denial
from controller.prices.rates import Unpriced
from tests.accounts import an_account, an_entry
from tests.admissions import a_fence
from tests.builders import CHANGE, DIGEST, a_denial
from tests.limiting import asking
from tests.recorded import OTHER_CHANGE

GRANTED = Granted(CHANGE, "migrator", warnings=("mind the gap",), digest=DIGEST)


def denial_of(tried: Reservation) -> Denial:
    outcome = conclude_reservation(GRANTED, tried)
    assert isinstance(outcome, Denied)
    assert (outcome.change, outcome.mandate, outcome.digest) == (CHANGE, "migrator", DIGEST)
    (denial,) = outcome.denials
    return denial


@pytest.mark.requirement("record-before-effect.reserved-first")
def test_what_is_reserved_is_granted_as_it_was_judged() -> None:
    reserved = Reserved(an_account(), an_entry(change=CHANGE))
    assert conclude_reservation(GRANTED, reserved) == GRANTED


def test_a_repeated_call_is_granted_under_the_id_that_its_record_will_have() -> None:
    reserved = Reserved(an_account(), an_entry(change=OTHER_CHANGE))
    assert conclude_reservation(GRANTED, reserved) == replace(GRANTED, change=OTHER_CHANGE)


def test_a_dry_run_never_goes_by_the_id_of_a_write() -> None:
    reserved = Reserved(an_account(), an_entry(change=OTHER_CHANGE))
    assert conclude_reservation(GRANTED, reserved, account="4711").change == CHANGE


def test_a_dry_run_is_granted_with_the_version_of_the_account_that_was_asked() -> None:
    outcome = conclude_reservation(GRANTED, Reserved(an_account(), an_entry()), account="4711")
    assert isinstance(outcome, Granted)
    assert outcome.account == "4711"


@pytest.mark.parametrize(
    ("tried", "words"),
    [
        pytest.param(Backlog(200), "LedgerBacklog: 200 writes", id="too much is pending"),
        pytest.param(StaleMandate(a_fence(generation=2)), "the mandate changed", id="stale"),
    ],
)
def test_what_will_pass_is_postponed(tried: Reservation, words: str) -> None:
    outcome = conclude_reservation(GRANTED, tried)
    assert isinstance(outcome, Postponed)
    assert outcome.change == CHANGE
    assert words in outcome.reason


@pytest.mark.requirement("explains-itself.contract")
@pytest.mark.parametrize(
    ("tried", "words"),
    [
        pytest.param(Uncounted("it is being counted"), "it is being counted", id="not counted"),
        pytest.param(
            Unopened(an_account(), (WindowKey("usd", 86_400), WindowKey("usd", 3600))),
            "being opened: usd/86400, usd/3600",
            id="windows are to be opened",
        ),
    ],
)
def test_what_the_settler_does_not_bring_in_time_is_refused_and_may_be_tried_again(
    tried: Reservation, words: str
) -> None:
    """The API server would ask again until its own deadline, and tell nobody why."""
    denial = denial_of(tried)
    assert (denial.code, denial.retry) == (Code.NOT_COUNTED_YET, True)
    assert words in denial.message


@pytest.mark.requirement("fail-closed.suspension")
def test_a_suspended_fence_refuses_for_good() -> None:
    denial = denial_of(Suspended())
    assert (denial.code, denial.retry) == (Code.SUSPENDED, False)
    assert "migrator" in denial.message


def test_an_attempt_that_is_settled_is_to_be_sent_again() -> None:
    denial = denial_of(AlreadySettled(an_entry(outcome=EntryOutcome.LOST)))
    assert (denial.code, denial.retry) == (Code.ATTEMPT_OVER, True)
    assert "lost" in denial.message


@pytest.mark.requirement("explains-itself.remaining")
def test_a_raise_beyond_a_limit_is_refused_with_what_is_left_of_it() -> None:
    outcome = conclude_reservation(GRANTED, Exhausted("pods", 10, 5, 3), asked=asking(10))
    assert isinstance(outcome, Denied)
    (denial,) = outcome.denials
    assert (denial.code, denial.field) == (Code.QUOTA_EXCEEDED, "spec.replicas")
    assert (denial.asked, denial.limit, denial.remaining, denial.passes) == ("10", "5", "2", "2")


@pytest.mark.requirement("explains-itself.relaxed")
@pytest.mark.parametrize("account", ["", "4711"], ids=["a write", "a dry run"])
@pytest.mark.parametrize(
    ("excess", "code"),
    [
        (Exhausted("pods", 10, 5, 3), Code.QUOTA_EXCEEDED),
        (Unpriced("cpu"), Code.PRICE_UNKNOWN),
    ],
    ids=["a limit", "a price that is missing"],
)
def test_what_a_relaxed_mandate_lets_exceed_is_told_with_what_else_was_relaxed(
    excess: Exhausted | Unpriced, code: Code, account: str
) -> None:
    relaxed = replace(GRANTED, enforcement=Enforcement.WARN, relaxed=(a_denial(),))
    reserved = Reserved(an_account(), an_entry(change=CHANGE), excess)
    outcome = conclude_reservation(relaxed, reserved, asked=asking(10), account=account)
    assert isinstance(outcome, Granted)
    assert outcome.relaxed[0] == a_denial()
    assert [denial.code for denial in outcome.relaxed[1:]] == [code]
    assert (outcome.change, outcome.account) == (CHANGE, account)


def test_what_has_no_price_is_refused_until_somebody_gives_it_one() -> None:
    denial = denial_of(Unpriced("cpu"))
    assert (denial.code, denial.retry) == (Code.PRICE_UNKNOWN, False)


def test_a_scale_of_what_is_somebody_elses_is_final_and_says_what_to_do() -> None:
    denial = scale_is_not_owned("migrator")
    assert (denial.code, denial.retry) == (Code.SCALE_NOT_OWNED, False)
    assert "update the object itself, which makes it migrator's" in denial.message


@pytest.mark.parametrize(
    ("denial", "code"),
    [
        (stamp_is_missing(), "stamp-missing"),
        (owner_is_missing("migrator"), "owner-missing"),
        (record_failed("no room"), "record-failed"),
    ],
    ids=["without its stamp", "without its owner", "without a record"],
)
def test_what_cannot_be_recorded_first_is_refused_and_may_be_tried_again(
    denial: Denial, code: str
) -> None:
    outcome = refuse(GRANTED, denial)
    assert (outcome.change, outcome.mandate, outcome.digest) == (CHANGE, "migrator", DIGEST)
    assert outcome.denials == (denial,)
    assert (denial.code, denial.retry) == (code, True)


def test_the_problem_with_a_record_reaches_the_agent() -> None:
    assert (
        "/var/lib/outbox: the disk is full"
        in record_failed("/var/lib/outbox: the disk is full").message
    )
