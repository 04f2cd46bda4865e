"""What becomes of a granted write once its account was asked: allowed only if it was taken in."""

from dataclasses import replace

import pytest

from controller.accounts.entries import Outcome as EntryOutcome
from controller.accounts.reserve import (
    AlreadySettled,
    Backlog,
    Exhausted,
    Reserved,
    StaleMandate,
    Suspended,
)
from controller.admission.judge import Denied, Granted, Postponed
from controller.admission.reservation import (
    Tried,
    conclude_reservation,
    record_failed,
    refuse,
    stamp_is_missing,
)
from controller.policy.denials import Code, Denial
from tests.accounts import an_account, an_entry
from tests.admissions import a_fence
from tests.builders import CHANGE, DIGEST
from tests.recorded import OTHER_CHANGE

GRANTED = Granted(CHANGE, "migrator", warnings=("mind the gap",), digest=DIGEST)


def denial_of(tried: Tried) -> Denial:
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
def test_what_will_pass_is_postponed(tried: Tried, words: str) -> None:
    outcome = conclude_reservation(GRANTED, tried)
    assert isinstance(outcome, Postponed)
    assert outcome.change == CHANGE
    assert words in outcome.reason


@pytest.mark.requirement("fail-closed.suspension")
def test_a_suspended_fence_refuses_for_good() -> None:
    denial = denial_of(Suspended())
    assert (denial.code, denial.retry) == (Code.SUSPENDED, False)
    assert "migrator" in denial.message


def test_an_attempt_that_is_settled_is_to_be_sent_again() -> None:
    denial = denial_of(AlreadySettled(an_entry(outcome=EntryOutcome.LOST)))
    assert (denial.code, denial.retry) == (Code.ATTEMPT_OVER, True)
    assert "lost" in denial.message


@pytest.mark.parametrize(
    ("held", "remaining"),
    [(8, 2), (10, 0), (12, 0)],
    ids=["some is left", "nothing is left", "more is held than the limit, which was lowered"],
)
def test_a_raise_beyond_the_limit_is_told_what_is_left(held: int, remaining: int) -> None:
    denial = denial_of(Exhausted("pods", asked=3, limit=10, held=held))
    assert denial.code == Code.QUOTA_EXCEEDED
    assert (denial.asked, denial.limit, denial.remaining) == (3, 10, remaining)


@pytest.mark.parametrize(
    ("denial", "code"),
    [(stamp_is_missing(), "stamp-missing"), (record_failed("no room"), "record-failed")],
    ids=["without its stamp", "without a record"],
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
