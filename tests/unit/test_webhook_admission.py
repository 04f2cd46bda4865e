"""`/validate` from question to answer: recorded, then reserved, then allowed; or nothing."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from structlog.testing import capture_logs

from controller.accounts.account import MAX_PENDING, Account
from controller.accounts.encoding import account_to_object
from controller.accounts.entries import Action, Outcome
from controller.admission.judge import Denied, Granted, Postponed
from controller.admission.judge import Outcome as Verdict
from controller.apis.json import Json
from controller.apis.mandates import Enforcement
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.clients.kube.errors import KubeError, UnreachableError
from controller.clients.outbox.rows import RowKind
from tests.accounts import an_entry
from tests.admissions import (
    AGENT_NAME,
    SECRET_VALUE,
    Desk,
    a_create,
    a_desk,
    a_fence,
    an_update_of,
    as_dry_run,
)
from tests.asgi import Answered, call
from tests.builders import (
    CHANGE,
    CONFIGMAPS,
    SECRETS,
    UID,
    a_finding,
    a_mandate,
    a_person,
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
LEASES = Target("coordination.k8s.io", "v1", "Lease", "leases")
EVENTS = Target("", "v1", "Event", "events")
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


@pytest.mark.requirement("record-before-effect.as-it-is")
async def test_repeated_calls_of_one_delete_share_an_entry_and_its_id(tmp_path: Path) -> None:
    """A forced delete is validated three times, and has no stamp to be known by."""
    desk = await a_desk(tmp_path)
    deletes = [await desk.admission.admit(a_request(Operation.DELETE)) for _ in range(3)]
    (entry,) = desk.pending
    assert [outcome.change for outcome in deletes] == [entry.change] * 3


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
    outcome = await desk.admission.admit(a_create())
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
    assert kinds == [(RowKind.BODY, "granted"), (RowKind.DENIAL, "denied")]


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


# Dry runs.


@pytest.mark.requirement("dry-run-clean.no-trace")
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_create(), id="a create"),
        pytest.param(an_update_of(), id="an update"),
        pytest.param(a_request(Operation.DELETE), id="a delete"),
    ],
)
async def test_a_dry_run_leaves_no_trace_and_names_the_account_that_it_was_judged_by(
    tmp_path: Path, request_: AdmissionRequest
) -> None:
    desk = await a_desk(tmp_path)
    answered = await ask(desk, as_dry_run(request_))
    response = answered.document["response"]
    assert response["allowed"]
    stored = desk.store.now(AGENT_NAME).resource_version
    assert response["auditAnnotations"]["account"] == stored
    assert_no_trace(desk)


@pytest.mark.requirement("dry-run-clean.true-verdict")
async def test_a_dry_run_is_judged_by_the_account_as_it_is_stored_now(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    known = desk.store.now(AGENT_NAME)
    desk.store.put(known, replace(known.account, fence=a_fence(suspended=True)))
    assert codes(await desk.admission.admit(as_dry_run(a_create()))) == ["suspended"]
    assert_no_trace(desk)


@pytest.mark.requirement("dry-run-clean.no-trace")
async def test_a_dry_run_that_the_policies_deny_is_denied_without_a_trace(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path, DENIES)
    assert codes(await desk.admission.admit(as_dry_run(a_create()))) == ["kind-not-granted"]
    assert_no_trace(desk)


async def test_a_real_write_names_no_account(tmp_path: Path) -> None:
    answered = await ask(await a_desk(tmp_path), a_create())
    assert "account" not in answered.document["response"]["auditAnnotations"]


# Denials.


@pytest.mark.requirement("record-before-effect.as-it-is")
async def test_a_denial_is_recorded_before_it_is_answered(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path, DENIES)
    outcome = await desk.admission.admit(a_create())
    (row,), (body,) = desk.rows(), desk.bodies()
    assert row.kind is RowKind.DENIAL
    assert (body["verdict"], body["change"]) == ("denied", outcome.change)
    assert_nothing_swapped(desk)


def assert_nothing_swapped(desk: Desk) -> None:
    assert (desk.pending, desk.store.swaps) == ((), 0)


@pytest.mark.requirement("record-before-effect.as-it-is")
async def test_repeats_of_one_denial_are_counted(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path, DENIES)
    for _ in range(5):
        await desk.admission.admit(a_create())
    first, repeats = desk.rows()
    assert (first.kind, repeats.kind, repeats.count) == (RowKind.DENIAL, RowKind.REPEATS, 4)
    assert repeats.of == first.attempt.number


async def test_another_denial_is_another_record(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path, DENIES)
    await desk.admission.admit(a_create())
    await desk.admission.admit(a_create(name="other"))
    assert [row.kind for row in desk.rows()] == [RowKind.DENIAL] * 2


@pytest.mark.requirement("record-before-effect.as-it-is")
async def test_whoever_has_no_mandate_where_one_is_needed_is_denied_on_record(
    tmp_path: Path,
) -> None:
    desk = await a_desk(tmp_path, registry=a_registry(dedicated=("team-data",)))
    assert codes(await desk.admission.admit(a_create())) == ["unregistered-agent"]
    (body,) = desk.bodies()
    assert (body["verdict"], body["mandate"]) == ("denied", None)
    assert_nothing_swapped(desk)


@pytest.mark.requirement("record-before-effect.as-it-is")
@pytest.mark.parametrize("target", [EVENTS, LEASES], ids=["an Event", "a Lease"])
@pytest.mark.parametrize("answer", [an_evaluation(), DENIES], ids=["granted", "denied"])
async def test_bookkeeping_in_the_own_namespace_is_judged_and_neither_recorded_nor_reserved(
    tmp_path: Path, target: Target, answer: object
) -> None:
    assert isinstance(answer, type(DENIES))
    desk = await a_desk(tmp_path, answer)
    outcome = await desk.admission.admit(a_create(target=target))
    assert isinstance(outcome, Denied if answer is DENIES else Granted)
    assert len(desk.engine.asked) == 1
    assert_no_trace(desk)


@pytest.mark.requirement("record-before-effect.as-it-is")
@pytest.mark.parametrize("target", [EVENTS, LEASES], ids=["an Event", "a Lease"])
async def test_bookkeeping_elsewhere_is_recorded_and_reserved(
    tmp_path: Path, target: Target
) -> None:
    desk = await a_desk(tmp_path)
    request = a_create(target=target, namespace="prod")
    assert isinstance(await desk.admission.admit(request), Granted)
    assert ([row.kind for row in desk.rows()], len(desk.pending)) == ([RowKind.BODY], 1)


# What must not be touched, and what must not be seen.


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
@pytest.mark.parametrize("operation", [*Operation])
async def test_a_persons_write_touches_neither_outbox_nor_account(
    tmp_path: Path, operation: Operation
) -> None:
    desk = await a_desk(tmp_path)
    request = a_request(operation, user=a_person())
    answered = await ask(desk, request)
    assert answered.document["response"] == {"uid": UID, "allowed": True}
    assert_no_trace(desk)
    assert desk.store.reads == 0
    assert desk.engine.asked == []


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
async def test_a_person_passes_while_outbox_account_and_engine_are_down(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path, MemoryError("boom"))
    desk.outbox.close()
    desk.store.before_read = desk.store.before_swap = raising(UnreachableError("no route"))
    answered = await ask(desk, a_request(user=a_person()))
    assert answered.document["response"] == {"uid": UID, "allowed": True}


def a_secret(value: str = SECRET_VALUE) -> dict[str, Json]:
    copy = f'{{"data":{{"a":"{value}"}}}}'
    secret: dict[str, Json] = {
        **an_object(SECRETS),
        "data": {"password": value, "other": value},
    }
    return annotated(secret, **{"kubectl.kubernetes.io/last-applied-configuration": copy})


@pytest.mark.requirement("record-before-effect.secrets-unseen")
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_create(a_secret(), target=SECRETS), id="a create"),
        pytest.param(
            an_update_of(a_secret("b2xkLW9sZC1vbGQ="), a_secret(), target=SECRETS), id="an update"
        ),
        pytest.param(
            an_update_of(a_secret(), a_secret("bmV3LW5ldy1uZXc="), target=SECRETS),
            id="an update that takes it away",
        ),
        pytest.param(a_request(Operation.DELETE, target=SECRETS, old=a_secret()), id="a delete"),
    ],
)
@pytest.mark.parametrize("answer", [an_evaluation(), DENIES], ids=["granted", "denied"])
async def test_a_secrets_value_is_seen_by_nobody(
    tmp_path: Path, request_: AdmissionRequest, answer: object
) -> None:
    assert isinstance(answer, type(DENIES))
    desk = await a_desk(tmp_path, answer)
    with capture_logs() as logs:
        answered = await ask(desk, request_)
    account = account_to_object(desk.store.now(AGENT_NAME).account, metadata={})
    on_disk = b"".join(path.read_bytes() for path in desk.directory.iterdir())
    seen = {
        "policies": orjson.dumps([{**asked.document} for asked in desk.engine.asked]),
        "outbox": b"".join(row.body for row in desk.rows()) + on_disk,
        "account": orjson.dumps(account),
        "log": repr(logs).encode(),
        "answer": answered.body,
    }
    assert b"hmac-sha256:" in seen["policies"]
    assert b"hmac-sha256:" in seen["outbox"]
    assert logs
    for value in (SECRET_VALUE, "hunter2-do-not-log"):
        assert [place for place, text in seen.items() if value.encode() in text] == []


@pytest.mark.requirement("record-before-effect.secrets-unseen")
@pytest.mark.requirement("fail-closed.internal-fault")
async def test_a_fault_on_the_way_is_no_grant_and_its_log_keeps_the_secret(
    tmp_path: Path,
) -> None:
    desk = await a_desk(tmp_path)
    desk.store.before_swap = raising(RuntimeError(f"cannot handle {SECRET_VALUE}"))
    with capture_logs() as logs:
        answered = await ask(desk, a_create(a_secret(), target=SECRETS))
    assert answered.status == 500
    assert "response" not in answered.document
    assert [line["event"] for line in logs] == ["review failed"]
    assert SECRET_VALUE not in repr(logs) + answered.body.decode()
    assert desk.pending == ()


@pytest.mark.requirement("fail-closed.internal-fault")
@pytest.mark.parametrize("fault", [RuntimeError("boom"), MemoryError(), KeyError("x")])
async def test_a_fault_in_the_judgement_is_no_grant(tmp_path: Path, fault: Exception) -> None:
    desk = await a_desk(tmp_path, fault)
    answered = await ask(desk, a_create())
    assert (answered.status, "response" in answered.document) == (500, False)
    assert_no_trace(desk)


@pytest.mark.requirement("fail-closed.not-ready")
async def test_while_the_mandates_are_unknown_every_write_is_postponed(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path, registries=ScriptedRegistries(None))
    answered = await ask(desk, a_create(target=CONFIGMAPS))
    assert (answered.status, answered.headers["retry-after"]) == (503, "1")
    assert_no_trace(desk)


async def test_many_at_once_are_all_recorded_and_reserved(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    deletes = [a_request(Operation.DELETE, old=of_uid(number)) for number in range(60)]
    outcomes = await asyncio.gather(*map(desk.admission.admit, deletes))
    assert all(isinstance(outcome, Granted) for outcome in outcomes)
    rows = {row.key: hashlib.sha256(row.body).hexdigest() for row in desk.rows()}
    assert {str(entry.key): entry.record for entry in desk.pending} == rows
    assert len(rows) == 60
    assert desk.store.swaps < 60


def of_uid(number: int) -> dict[str, Json]:
    ordinary = an_object(name=f"web-{number}")
    metadata = ordinary["metadata"]
    assert isinstance(metadata, dict)
    return {**ordinary, "metadata": {**metadata, "uid": f"uid-{number}"}}


@pytest.mark.parametrize("fault", [KubeError("refused", status=422), UnreachableError("429")])
async def test_whatever_the_api_server_says_of_the_account_is_no_grant(
    tmp_path: Path, fault: KubeError
) -> None:
    desk = await a_desk(tmp_path)
    desk.store.before_swap = raising(fault)
    assert isinstance(await desk.admission.admit(a_create()), Postponed)
    assert desk.pending == ()
