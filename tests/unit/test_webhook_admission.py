"""`/validate` from question to answer: recorded, then reserved, then allowed; or nothing."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controller.accounts.account import MAX_PENDING, Account
from controller.accounts.entries import Action, Outcome
from controller.admission.judge import Denied, Granted, Postponed
from controller.admission.judge import Outcome as Verdict
from controller.apis.mandates import Enforcement
from controller.apis.requests import AdmissionRequest, Operation
from controller.clients.kube.errors import UnreachableError
from controller.clients.outbox.rows import RowKind
from tests.accounts import an_entry
from tests.admissions import (
    AGENT_NAME,
    Desk,
    a_create,
    a_desk,
    a_fence,
    an_update_of,
    as_dry_run,
    owned,
)
from tests.asgi import Answered, call
from tests.builders import (
    CHANGE,
    a_finding,
    a_mandate,
    a_registry,
    a_request,
    a_review,
    a_review_request,
    a_unit,
    an_evaluation,
    an_object,
)
from tests.engines import becomes
from tests.fakes.registries import ScriptedRegistries
from tests.outboxes import FailingOnce, open_outbox
from tests.recorded import annotated

DENIES = an_evaluation(a_unit(a_finding()))
SQLITE_FULL = 13


def codes(outcome: Verdict) -> list[str]:
    assert isinstance(outcome, Denied), outcome
    return [denial.code for denial in outcome.denials]


async def ask(desk: Desk, request: AdmissionRequest) -> Answered:
    return await call(desk.app, body=a_review(a_review_request(request)))


def raising(fault: Exception) -> Callable[[object], Awaitable[None]]:
    async def hook(_: object) -> None:
        raise fault

    return hook


class Hold:
    """A hook at which everybody waits."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, _: object) -> None:
        """Wait until it is opened."""
        self.reached.set()
        await self.opened.wait()


def assert_no_trace(desk: Desk) -> None:
    assert desk.rows() == []
    assert (desk.pending, desk.store.swaps) == ((), 0)


def assert_nothing_swapped(desk: Desk) -> None:
    assert (desk.pending, desk.store.swaps) == ((), 0)


# A grant.


@pytest.mark.requirement("record-before-effect.reserved-first")
async def test_the_body_is_on_disk_before_the_account_is_swapped(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    found: list[bool] = []

    async def look(account: Account) -> None:
        (entry,) = account.pending
        (row,) = desk.rows()
        names_it = row.kind is RowKind.BODY and row.key == str(entry.key)
        is_it = hashlib.sha256(row.body).hexdigest() == entry.record
        found.append(names_it and is_it and row.attempt == entry.attempt)

    desk.store.before_swap = look
    assert isinstance(await desk.admission.admit(a_create()), Granted)
    assert found == [True]


@pytest.mark.requirement("record-before-effect.reserved-first")
async def test_nothing_is_answered_while_the_swap_is_under_way(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    desk.store.before_swap = hold = Hold()
    asked = asyncio.create_task(desk.admission.admit(a_create()))
    await hold.reached.wait()
    assert not asked.done()
    hold.opened.set()
    assert isinstance(await asked, Granted)
    assert [entry.change for entry in desk.pending] == [CHANGE]


async def test_a_grant_carries_the_change_id_of_the_stamp(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    outcome = await desk.admission.admit(an_update_of())
    assert isinstance(outcome, Granted)
    assert outcome.change == CHANGE
    (body,) = desk.bodies()
    assert (body["change"], body["verdict"], body["action"]) == (CHANGE, "granted", "update")


async def test_a_write_that_carries_no_stamp_has_one_id_everywhere(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    outcome = await desk.admission.admit(a_request(Operation.DELETE))
    (body,), (entry,) = desk.bodies(), desk.pending
    assert outcome.change == body["change"] == entry.change
    assert entry.action is Action.DELETE


async def test_the_same_review_again_finds_its_entry(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    for _ in range(3):
        assert isinstance(await desk.admission.admit(a_create()), Granted)
    assert len(desk.pending) == 1
    assert [row.attempt for row in desk.rows()] == [desk.pending[0].attempt]


@pytest.mark.requirement("record-before-effect.as-it-is")
@pytest.mark.requirement("record-before-effect.refused-once")
async def test_repeated_calls_of_one_delete_share_an_entry_and_its_id(tmp_path: Path) -> None:
    """A forced delete is validated three times, and has no stamp to be known by."""
    desk = await a_desk(tmp_path)
    deletes = [await desk.admission.admit(a_request(Operation.DELETE)) for _ in range(3)]
    (entry,) = desk.pending
    assert [outcome.change for outcome in deletes] == [entry.change] * 3
    assert [row.attempt for row in desk.rows()] == [entry.attempt]


@pytest.mark.parametrize("enforcement", [Enforcement.WARN, Enforcement.SHADOW])
async def test_what_is_granted_against_the_rules_is_recorded_with_them(
    tmp_path: Path, enforcement: Enforcement
) -> None:
    registry = a_registry(a_mandate(enforcement=enforcement))
    desk = await a_desk(tmp_path, DENIES, registry=registry)
    assert isinstance(await desk.admission.admit(a_create()), Granted)
    (body,) = desk.bodies()
    assert body["verdict"] in {"warned", "shadowed"}
    assert "kind-not-granted" in str(body["decision"])
    assert len(desk.pending) == 1


# No grant without record and reservation.


@pytest.mark.requirement("record-before-effect.reserved-first")
async def test_an_outbox_that_cannot_store_refuses_and_nothing_is_swapped(tmp_path: Path) -> None:
    connect = FailingOnce("COMMIT", SQLITE_FULL)
    outbox = open_outbox(tmp_path / "outbox", connect=connect)
    desk = await a_desk(tmp_path, outbox=outbox)
    connect.is_armed = True
    outcome = await desk.admission.admit(a_create())
    assert codes(outcome) == ["record-failed"]
    assert isinstance(outcome, Denied)
    assert str(tmp_path / "outbox") in outcome.denials[0].message
    assert (desk.pending, desk.store.swaps) == ((), 0)


async def test_an_outbox_that_works_again_lets_writes_through_again(tmp_path: Path) -> None:
    connect = FailingOnce("COMMIT", SQLITE_FULL)
    desk = await a_desk(tmp_path, outbox=open_outbox(tmp_path / "outbox", connect=connect))
    connect.is_armed = True
    assert codes(await desk.admission.admit(a_create())) == ["record-failed"]
    assert isinstance(await desk.admission.admit(a_create()), Granted)


async def test_a_closed_outbox_refuses_and_the_denial_stands_though_it_is_nowhere(
    tmp_path: Path,
) -> None:
    desk = await a_desk(tmp_path)
    desk.outbox.close()
    with capture_logs() as logs:
        outcome = await desk.admission.admit(a_create())
    assert codes(outcome) == ["record-failed"]
    assert "denial not recorded" in [line["event"] for line in logs]
    assert desk.store.swaps == 0


async def test_an_entry_that_no_account_can_hold_refuses_only_its_write(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    outcome = await desk.admission.admit(a_create(name="x" * 5000))
    assert codes(outcome) == ["record-failed"]
    assert desk.pending == ()
    assert isinstance(await desk.admission.admit(a_create()), Granted)


@pytest.mark.requirement("record-before-effect.reserved-first")
@pytest.mark.parametrize(
    "request_", [a_create(), as_dry_run(a_create())], ids=["a write", "a dry run"]
)
async def test_an_account_that_cannot_be_reached_postpones(
    tmp_path: Path, request_: AdmissionRequest
) -> None:
    desk = await a_desk(tmp_path)
    desk.store.before_read = desk.store.before_swap = raising(UnreachableError("no route"))
    answered = await ask(desk, request_)
    assert (answered.status, answered.headers["retry-after"]) == (503, "1")
    assert "no route" in answered.document["error"]
    assert desk.pending == ()


async def test_an_account_that_is_not_made_yet_postpones(tmp_path: Path) -> None:
    registry = a_registry(a_mandate("other"))
    desk = await a_desk(tmp_path, registry=registry)
    outcome = await desk.admission.admit(a_create(owned(an_object(), "other")))
    assert isinstance(outcome, Postponed)
    assert "the account of other is not there yet" in outcome.reason


@pytest.mark.requirement("record-before-effect.reserved-first")
async def test_a_swap_whose_answer_was_lost_is_no_grant(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    desk.store.after_swap = raising(UnreachableError("connection reset"))
    assert isinstance(await desk.admission.admit(a_create()), Postponed)
    assert [entry.change for entry in desk.pending] == [CHANGE]


@pytest.mark.requirement("record-before-effect.reserved-first")
async def test_past_the_deadline_nothing_is_allowed_and_the_entry_stays(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path, deadline_seconds=0.05)
    desk.store.before_swap = hold = Hold()
    outcome = await desk.admission.admit(a_create())
    assert isinstance(outcome, Postponed)
    assert "no verdict within 0.05 s" in outcome.reason
    hold.opened.set()
    await becomes(lambda: len(desk.pending) == 1)
    assert [row.kind for row in desk.rows()] == [RowKind.BODY]


async def test_a_policy_engine_that_hangs_beyond_the_deadline_postpones(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path, deadline_seconds=0.05)
    desk.engine.open = asyncio.Event()
    assert isinstance(await desk.admission.admit(a_create()), Postponed)
    assert_no_trace(desk)


async def test_a_full_account_is_answered_with_a_retry(tmp_path: Path) -> None:
    pending = tuple(an_entry(number) for number in range(MAX_PENDING))
    desk = await a_desk(tmp_path, account=Account(AGENT_NAME, a_fence(), pending=pending))
    with capture_logs() as logs:
        answered = await ask(desk, a_create())
    assert (answered.status, answered.headers["retry-after"]) == (503, "1")
    assert "LedgerBacklog" in logs[-1]["reason"], "the agent is not told: its API server asks again"
    assert f"LedgerBacklog: {MAX_PENDING} writes" in answered.document["error"]
    assert len(desk.pending) == MAX_PENDING
    assert desk.rows() == [], "repeated for as long as the ledger is down, it would fill the outbox"


async def test_an_attempt_that_was_settled_meanwhile_is_over(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    assert isinstance(await desk.admission.admit(a_create()), Granted)
    now = desk.store.now(AGENT_NAME)
    (entry,) = now.account.pending
    settled = replace(now.account, pending=(entry.decided(Outcome.LOST),))
    desk.feed.show(desk.store.put(now, settled))
    assert codes(await desk.admission.admit(a_create())) == ["attempt-over"]


@pytest.mark.requirement("record-before-effect.stamped")
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_request(obj=an_object()), id="a create"),
        pytest.param(
            a_request(Operation.UPDATE, obj=an_object(spec={"replicas": 3})), id="an update"
        ),
        pytest.param(
            replace(an_update_of(), old=a_create().obj),
            id="an update that carries the stamp of the old object",
        ),
    ],
)
async def test_a_change_without_a_fresh_stamp_is_refused_and_recorded(
    tmp_path: Path, request_: AdmissionRequest
) -> None:
    desk = await a_desk(tmp_path)
    assert codes(await desk.admission.admit(request_)) == ["stamp-missing"]
    assert (desk.pending, desk.store.swaps) == ((), 0)
    assert [row.kind for row in desk.rows()] == [RowKind.DENIAL]


FULL = annotated(an_object(), filler="x" * 262_130)


@pytest.mark.requirement("dry-run-clean.true-verdict")
@pytest.mark.parametrize("is_dry_run", [False, True], ids=["a write", "a dry run"])
async def test_an_object_without_room_for_the_stamp_is_told_so(
    tmp_path: Path, *, is_dry_run: bool
) -> None:
    desk = await a_desk(tmp_path)
    outcome = await desk.admission.admit(replace(a_request(obj=FULL), dry_run=is_dry_run))
    assert codes(outcome) == ["stamp-missing"]
    assert isinstance(outcome, Denied)
    denial = outcome.denials[0]
    assert (denial.field, denial.asked, denial.limit) == ("metadata.annotations", 262_136, 262_072)
    assert not denial.retry
    assert_nothing_swapped(desk)


async def test_what_changes_nothing_needs_no_room(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    request = a_request(Operation.UPDATE, old=FULL, obj=FULL)
    assert isinstance(await desk.admission.admit(request), Granted)


# The fence.


@pytest.mark.requirement("fail-closed.suspension")
async def test_the_accounts_fence_refuses_though_the_mandates_here_know_of_no_suspension(
    tmp_path: Path,
) -> None:
    account = Account(AGENT_NAME, a_fence(suspended=True))
    desk = await a_desk(tmp_path, account=account)
    assert codes(await desk.admission.admit(a_create())) == ["suspended"]
    assert desk.pending == ()
    kinds = [
        (row.kind, body["verdict"]) for row, body in zip(desk.rows(), desk.bodies(), strict=True)
    ]
    assert kinds == [(RowKind.DENIAL, "denied")]


@pytest.mark.requirement("never-oversold.fence-copied")
async def test_a_write_that_was_judged_by_an_older_mandate_is_judged_once_more_by_the_newest(
    tmp_path: Path,
) -> None:
    registries = ScriptedRegistries(
        a_registry(a_mandate()), stored=a_registry(a_mandate(generation=2))
    )
    account = Account(AGENT_NAME, a_fence(generation=2))
    desk = await a_desk(tmp_path, registries=registries, account=account)
    assert isinstance(await desk.admission.admit(a_create()), Granted)
    assert (registries.fetches, len(desk.engine.asked), len(desk.pending)) == (1, 2, 1)
    assert desk.bodies()[-1]["mandate"] == {
        "name": AGENT_NAME,
        "uid": "uid-of-migrator",
        "generation": 2,
    }


@pytest.mark.requirement("never-oversold.fence-copied")
async def test_what_the_newest_mandate_refuses_is_refused(tmp_path: Path) -> None:
    suspended = a_mandate(generation=2, suspended=True)
    registries = ScriptedRegistries(a_registry(a_mandate()), stored=a_registry(suspended))
    account = Account(AGENT_NAME, a_fence(generation=2))
    desk = await a_desk(tmp_path, registries=registries, account=account)
    assert codes(await desk.admission.admit(a_create())) == ["suspended"]
    assert desk.pending == ()


@pytest.mark.parametrize("is_dry_run", [False, True], ids=["a write", "a dry run"])
async def test_a_fence_that_is_newer_than_any_mandate_postpones_after_one_more_try(
    tmp_path: Path, *, is_dry_run: bool
) -> None:
    desk = await a_desk(tmp_path, account=Account(AGENT_NAME, a_fence(generation=3)))
    request = as_dry_run(a_create()) if is_dry_run else a_create()
    outcome = await desk.admission.admit(request)
    assert isinstance(outcome, Postponed)
    assert (desk.registries.fetches, desk.pending) == (1, ())


async def test_newer_mandates_that_cannot_be_read_postpone(tmp_path: Path) -> None:
    registries = ScriptedRegistries(a_registry(a_mandate()), stored=UnreachableError("no route"))
    account = Account(AGENT_NAME, a_fence(generation=2))
    desk = await a_desk(tmp_path, registries=registries, account=account)
    assert isinstance(await desk.admission.admit(a_create()), Postponed)
    assert desk.pending == ()
