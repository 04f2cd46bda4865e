"""`/mutate` end to end: agents' writes are stamped, reasons kept, and nobody is ever denied."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from controller.agents.registry import Registry
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.clients.kube.errors import UnreachableError
from controller.clients.outbox.rows import RowKind
from controller.records.stamps import CHANGE, REASON, annotation_of, read_stamp
from tests.admissions import AGENT_NAME, SECRET_VALUE, Desk, a_desk, as_dry_run
from tests.asgi import Answered, call
from tests.builders import (
    SECRETS,
    UID,
    a_mandate,
    a_person,
    a_registry,
    a_request,
    a_review,
    a_review_request,
    a_user,
    an_object,
)
from tests.fakes.registries import ScriptedRegistries
from tests.jsonpatches import apply_patch
from tests.outboxes import NOON, FailingOnce, open_outbox
from tests.recorded import STAMP_KEY, annotated
from tests.strategies import json_objects
from webhooks.mutation import WITHHELD

WHY = "the queue is full"
REASONED = a_request(obj=annotated(an_object(), **{REASON: WHY}))
SQLITE_FULL = 13


async def mutate(desk: Desk, request: AdmissionRequest) -> Answered:
    return await call(desk.app, path="/mutate", body=a_review(a_review_request(request)))


def patch_of(answered: Answered) -> list[dict[str, Any]]:
    response = answered.document["response"]
    if "patch" not in response:
        return []
    assert response["patchType"] == "JSONPatch"
    found: list[dict[str, Any]] = orjson.loads(base64.b64decode(response["patch"]))
    return found


@pytest.mark.requirement("record-before-effect.stamped")
async def test_an_agents_write_is_stamped(tmp_path: Path) -> None:
    answered = await mutate(await a_desk(tmp_path), a_request())
    patched = apply_patch(an_object(), patch_of(answered))
    assert read_stamp(patched, key=STAMP_KEY)
    assert (answered.status, answered.document["response"]["allowed"]) == (200, True)


@pytest.mark.requirement("record-before-effect.stamped")
async def test_each_call_has_a_stamp_of_its_own(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    stamps = [
        annotation_of(apply_patch(an_object(), patch_of(await mutate(desk, a_request()))), CHANGE)
        for _ in range(5)
    ]
    assert len(set(stamps)) == 5


@pytest.mark.requirement("record-before-effect.as-it-is")
async def test_the_reason_leaves_the_object_and_waits_under_the_change_id(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    answered = await mutate(desk, REASONED)
    assert REASONED.obj is not None
    patched = apply_patch(REASONED.obj, patch_of(answered))
    assert annotation_of(patched, REASON) is None
    (row,) = desk.rows()
    assert (row.kind, row.body.decode(), row.made_at) == (RowKind.REASON, WHY, NOON)
    assert row.key == read_stamp(patched, key=STAMP_KEY)


@pytest.mark.requirement("record-before-effect.secrets-unseen")
@pytest.mark.parametrize(
    "reason",
    [
        pytest.param(f"rotate to {SECRET_VALUE}", id="as it is stored"),
        pytest.param(f"rotate to {base64.b64decode(SECRET_VALUE).decode()}", id="decoded"),
        pytest.param("x" * 990 + SECRET_VALUE, id="where the reason is cut"),
    ],
)
async def test_a_reason_that_tells_a_secret_is_withheld(tmp_path: Path, reason: str) -> None:
    desk = await a_desk(tmp_path)
    secret: dict[str, Json] = {**an_object(SECRETS), "data": {"a": SECRET_VALUE}}
    await mutate(desk, a_request(target=SECRETS, obj=annotated(secret, **{REASON: reason})))
    assert [row.body.decode() for row in desk.rows()] == [WITHHELD]


async def test_the_reason_of_a_secret_that_tells_nothing_is_kept(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    secret: dict[str, Json] = {**an_object(SECRETS), "data": {"a": SECRET_VALUE}}
    await mutate(desk, a_request(target=SECRETS, obj=annotated(secret, **{REASON: WHY})))
    assert [row.body.decode() for row in desk.rows()] == [WHY]


async def test_a_reason_stays_with_a_write_that_another_webhook_changed(tmp_path: Path) -> None:
    """The API server asks again then: with the object as we left it, and a change on top."""
    desk = await a_desk(tmp_path)
    ours = apply_patch(
        annotated(an_object(), **{REASON: WHY}), patch_of(await mutate(desk, REASONED))
    )
    again = a_request(obj=annotated(ours, theirs="a label of sorts"))
    twice = apply_patch(again.obj or {}, patch_of(await mutate(desk, again)))
    first, second = desk.rows()
    assert (first.key, second.key) == (
        read_stamp(ours, key=STAMP_KEY),
        read_stamp(twice, key=STAMP_KEY),
    )
    assert first.body == second.body == WHY.encode()


async def test_a_reason_does_not_pass_on_to_the_next_write(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    stored = apply_patch(
        annotated(an_object(), **{REASON: WHY}), patch_of(await mutate(desk, REASONED))
    )
    later = a_request(Operation.UPDATE, obj=annotated(stored, more="x"), old=stored)
    await mutate(desk, later)
    assert [row.kind for row in desk.rows()] == [RowKind.REASON]


async def test_without_a_reason_nothing_is_kept(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    await mutate(desk, a_request())
    assert desk.rows() == []


@pytest.mark.requirement("dry-run-clean.no-trace")
async def test_a_dry_run_is_left_alone(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    answered = await mutate(desk, replace(REASONED, dry_run=True))
    assert answered.document["response"] == {"uid": UID, "allowed": True}
    assert desk.rows() == []


@pytest.mark.parametrize("operation", [Operation.DELETE, Operation.CONNECT])
async def test_what_has_no_metadata_of_its_own_is_left_alone(
    tmp_path: Path, operation: Operation
) -> None:
    desk = await a_desk(tmp_path)
    answered = await mutate(desk, a_request(operation))
    assert answered.document["response"] == {"uid": UID, "allowed": True}


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
async def test_a_persons_write_is_left_alone_even_with_a_reason_or_a_stamp(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    planted = annotated(an_object(), **{REASON: WHY, CHANGE: "planted"})
    answered = await mutate(desk, a_request(user=a_person(), obj=planted))
    assert answered.document["response"] == {"uid": UID, "allowed": True}
    assert (desk.rows(), desk.store.reads, desk.store.swaps) == ([], 0, 0)


@pytest.mark.parametrize(("namespace", "is_stamped"), [("team-data", False), ("prod", True)])
async def test_what_leaves_no_record_gets_no_stamp_that_would_lead_to_one(
    tmp_path: Path, namespace: str, *, is_stamped: bool
) -> None:
    lease = Target("coordination.k8s.io", "v1", "Lease", "leases")
    body = annotated(an_object(lease, namespace=namespace), **{REASON: WHY})
    desk = await a_desk(tmp_path)
    answered = await mutate(desk, a_request(target=lease, namespace=namespace, obj=body))
    assert (bool(patch_of(answered)), bool(desk.rows())) == (is_stamped, is_stamped)


@pytest.mark.parametrize(
    "registry",
    [
        pytest.param(a_registry(dedicated=("team-data",)), id="who has no mandate and needs one"),
        pytest.param(
            a_registry(a_mandate(), a_mandate("second")), id="whom two mandates speak for"
        ),
    ],
)
async def test_one_who_will_be_refused_gets_no_stamp(tmp_path: Path, registry: Registry) -> None:
    desk = await a_desk(tmp_path, registry=registry)
    answered = await mutate(desk, REASONED)
    assert answered.document["response"] == {"uid": UID, "allowed": True}
    assert desk.rows() == []


@pytest.mark.requirement("fail-closed.lagging-watch")
async def test_an_agent_whom_the_watch_does_not_know_yet_is_looked_up_and_stamped(
    tmp_path: Path,
) -> None:
    registries = ScriptedRegistries(a_registry(), stored=a_registry(a_mandate()))
    desk = await a_desk(tmp_path, registries=registries)
    assert patch_of(await mutate(desk, a_request()))
    assert registries.fetches == 1


async def test_a_stamp_that_does_not_fit_is_not_set_and_no_reason_kept(tmp_path: Path) -> None:
    """`/validate` refuses it, with a better error than the API server's."""
    desk = await a_desk(tmp_path)
    full = annotated(an_object(), **{REASON: WHY, "filler": "x" * 262_130})
    answered = await mutate(desk, a_request(obj=full))
    assert answered.document["response"] == {"uid": UID, "allowed": True}
    assert desk.rows() == []


async def test_a_known_agent_is_not_looked_up(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    await mutate(desk, a_request())
    assert desk.registries.fetches == 0


@pytest.mark.requirement("fail-closed.lagging-watch")
@pytest.mark.parametrize(
    "registries",
    [
        pytest.param(ScriptedRegistries(None), id="no mandates are known"),
        pytest.param(
            ScriptedRegistries(a_registry(), stored=UnreachableError("no route")),
            id="a stranger cannot be looked up",
        ),
    ],
)
async def test_whoever_cannot_be_told_is_to_come_again(
    tmp_path: Path, registries: ScriptedRegistries
) -> None:
    answered = await mutate(await a_desk(tmp_path, registries=registries), a_request())
    assert (answered.status, answered.headers["retry-after"]) == (503, "1")
    assert "response" not in answered.document


@pytest.mark.requirement("record-before-effect.as-it-is")
async def test_a_reason_that_cannot_be_kept_stops_the_write_and_names_the_place(
    tmp_path: Path,
) -> None:
    connect = FailingOnce("COMMIT", SQLITE_FULL)
    desk = await a_desk(tmp_path, outbox=open_outbox(tmp_path / "outbox", connect=connect))
    connect.is_armed = True
    answered = await mutate(desk, REASONED)
    assert (answered.status, answered.headers["content-type"].partition(";")[0]) == (
        500,
        "text/plain",
    )
    assert str(tmp_path / "outbox") in answered.body.decode()
    assert patch_of(await mutate(desk, REASONED))


async def test_a_full_outbox_does_not_stop_a_write_without_a_reason_here(tmp_path: Path) -> None:
    """`/validate` refuses it, with the code that an agent can read."""
    desk = await a_desk(tmp_path)
    desk.outbox.close()
    assert patch_of(await mutate(desk, a_request()))


@pytest.mark.requirement("fail-closed.internal-fault")
@pytest.mark.requirement("record-before-effect.secrets-unseen")
async def test_a_fault_is_no_grant_and_its_log_keeps_the_secret(tmp_path: Path) -> None:
    class Broken(ScriptedRegistries):
        async def fetch(self) -> None:
            raise RuntimeError(f"cannot handle {SECRET_VALUE}")

    desk = await a_desk(tmp_path, registries=Broken(a_registry()))
    secret: dict[str, Json] = {**an_object(SECRETS), "data": {"a": SECRET_VALUE}}
    with capture_logs() as logs:
        answered = await mutate(desk, a_request(target=SECRETS, obj=secret))
    assert (answered.status, "response" in answered.document) == (500, False)
    assert SECRET_VALUE not in repr(logs) + answered.body.decode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(obj=json_objects, annotations=st.one_of(st.none(), json_objects))
async def test_whatever_an_object_looks_like_it_is_never_denied_here(
    tmp_path: Path, obj: dict[str, Json], annotations: dict[str, Json] | None
) -> None:
    registry = a_registry(a_mandate())
    desk = await a_desk(tmp_path, registries=ScriptedRegistries(registry))
    try:
        metadata: dict[str, Json] = {"name": "web", "namespace": "team-data"}
        whole: dict[str, Json] = {**obj, "metadata": {**metadata, "annotations": annotations}}
        answered = await mutate(desk, a_request(target=Target("", "v1", "X", "xs"), obj=whole))
    finally:
        desk.outbox.close()
    allowed = answered.document.get("response", {}).get("allowed", True)
    assert allowed is True
    if answered.status == 200 and patch_of(answered):
        assert read_stamp(apply_patch(whole, patch_of(answered)), key=STAMP_KEY)


async def test_the_stamp_of_the_mutation_is_the_change_of_the_grant(tmp_path: Path) -> None:
    """One write through both calls: reason, stamp, body and entry share one id."""
    desk = await a_desk(tmp_path)
    assert REASONED.obj is not None
    patched = apply_patch(REASONED.obj, patch_of(await mutate(desk, REASONED)))
    request = a_request(obj=patched)
    answered = await call(desk.app, body=a_review(a_review_request(request)))
    change = answered.document["response"]["auditAnnotations"]["change"]
    assert [row.key.partition("/")[0] for row in desk.rows()] == [change, change]
    assert [entry.change for entry in desk.pending] == [change]
    assert desk.store.now(AGENT_NAME).account.pending[0].change == read_stamp(
        patched, key=STAMP_KEY
    )


async def test_the_dry_run_of_a_write_and_the_write_get_the_same_verdict(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    dry = await desk.admission.admit(as_dry_run(REASONED))
    patched = apply_patch(an_object(), patch_of(await mutate(desk, a_request())))
    real = await desk.admission.admit(a_request(obj=patched, user=a_user()))
    assert type(dry) is type(real)
