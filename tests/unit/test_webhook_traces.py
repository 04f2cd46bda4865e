"""What `/validate` leaves behind, of whom, and what it must not: traces, records, secrets."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from structlog.testing import capture_logs

from controller.accounts.encoding import account_to_object
from controller.admission.judge import Denied, Granted, Postponed
from controller.admission.judge import Outcome as Verdict
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.clients.kube.errors import KubeError, UnreachableError
from controller.clients.outbox.rows import RowKind
from tests.admissions import (
    AGENT_NAME,
    SECRET_VALUE,
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
    CONFIGMAPS,
    SECRETS,
    UID,
    a_finding,
    a_person,
    a_registry,
    a_request,
    a_review,
    a_review_request,
    a_unit,
    an_evaluation,
    an_object,
)
from tests.fakes.registries import ScriptedRegistries
from tests.recorded import annotated

DENIES = an_evaluation(a_unit(a_finding()))
LEASES = Target("coordination.k8s.io", "v1", "Lease", "leases")
EVENTS = Target("", "v1", "Event", "events")


def codes(outcome: Verdict) -> list[str]:
    assert isinstance(outcome, Denied), outcome
    return [denial.code for denial in outcome.denials]


async def ask(desk: Desk, request: AdmissionRequest) -> Answered:
    return await call(desk.app, body=a_review(a_review_request(request)))


def raising(fault: Exception) -> Callable[[object], Awaitable[None]]:
    async def hook(_: object) -> None:
        raise fault

    return hook


def assert_no_trace(desk: Desk) -> None:
    assert desk.rows() == []
    assert (desk.pending, desk.store.swaps) == ((), 0)


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


@pytest.mark.requirement("fail-closed.suspension")
@pytest.mark.parametrize("target", [EVENTS, LEASES], ids=["an Event", "a Lease"])
async def test_bookkeeping_stops_with_its_agent_however_far_the_watch_lags(
    tmp_path: Path, target: Target
) -> None:
    desk = await a_desk(tmp_path)
    known = desk.store.now(AGENT_NAME)
    desk.store.put(known, replace(known.account, fence=a_fence(suspended=True)))
    assert codes(await desk.admission.admit(a_create(target=target))) == ["suspended"]
    assert desk.rows() == []


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
        pytest.param(a_create(owned(a_secret()), target=SECRETS), id="a create"),
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
        answered = await ask(desk, a_create(owned(a_secret()), target=SECRETS))
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
