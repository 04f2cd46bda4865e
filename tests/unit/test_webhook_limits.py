"""`/validate` under quotas and budgets: refused before anything takes effect, in one record."""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from controller.accounts.account import ASKS_VERSION, COUNTED, Account
from controller.accounts.entries import Entry
from controller.accounts.windows import Window, WindowKey
from controller.admission.judge import Denied, Granted, Postponed
from controller.admission.judge import Outcome as Verdict
from controller.apis.json import Json
from controller.apis.mandates import Budget, Enforcement
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.apis.resources import Amounts
from controller.asks.asked import Surroundings
from controller.asks.ownership import AGENT
from controller.clients.kube.errors import UnreachableError
from controller.clients.outbox.rows import RowKind
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
from tests.builders import DEPLOYMENTS, a_mandate, a_registry, a_request, an_object
from tests.outboxes import NOON
from tests.recorded import OTHER_CHANGE, stamped

HOURLY = WindowKey("changes", 3600)
RATE = Budget("rate", "changes", 2, 3600)
AUTOSCALERS = Target("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
SCALE = Target("apps", "v1", "Scale", "deployments", "scale")


def a_counted_account(settled: Amounts | None = None, *, spent: int = 0) -> Account:
    """With one window, opened at noon."""
    return Account(
        AGENT_NAME,
        a_fence(),
        settled=settled or {},
        as_of=MappingProxyType(dict.fromkeys(COUNTED, 5)),
        windows=MappingProxyType({HOURLY: Window(NOON, NOON, spent)}),
        asks_version=ASKS_VERSION,
    )


async def a_limited_desk(
    directory: Path,
    *,
    account: Account | None = None,
    quota: Amounts | None = None,
    budgets: tuple[Budget, ...] = (),
    enforcement: Enforcement = Enforcement.ENFORCE,
) -> Desk:
    mandate = replace(a_mandate(enforcement=enforcement), quota=quota or {}, budgets=budgets)
    registry = a_registry(mandate)
    return await a_desk(directory, account=account or a_counted_account(), registry=registry)


def a_deployment(replicas: int, *, agent: str = AGENT_NAME) -> dict[str, Json]:
    container: Json = {"name": "web", "resources": {"requests": {"cpu": "500m"}}}
    spec: dict[str, Json] = {
        "replicas": replicas,
        "template": {"spec": {"containers": [container]}},
    }
    plain = an_object(DEPLOYMENTS, spec=spec)
    return owned(plain, agent) if agent else plain


def creating(replicas: int) -> AdmissionRequest:
    return a_create(a_deployment(replicas))


def scaling(old: int, new: int) -> AdmissionRequest:
    def scale(replicas: int) -> dict[str, Json]:
        return an_object(SCALE, spec={"replicas": replicas})

    return a_request(Operation.UPDATE, target=SCALE, name="web", old=scale(old), obj=scale(new))


def autoscaling(most: int) -> AdmissionRequest:
    reference: Json = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec: dict[str, Json] = {"maxReplicas": most, "scaleTargetRef": reference}
    return a_create(owned(an_object(AUTOSCALERS, spec=spec)), target=AUTOSCALERS)


def as_object(value: Json) -> dict[str, Json]:
    assert isinstance(value, dict)
    return value


def codes(outcome: Verdict) -> list[str]:
    assert isinstance(outcome, Denied), outcome
    return [denial.code for denial in outcome.denials]


def pending(desk: Desk) -> tuple[Entry, ...]:
    return desk.pending


def kinds(desk: Desk) -> list[RowKind]:
    return [row.kind for row in desk.rows()]


@pytest.mark.requirement("never-oversold.limits")
async def test_what_exceeds_the_quota_is_refused_and_what_fits_is_entered(tmp_path: Path) -> None:
    desk = await a_limited_desk(tmp_path, quota={"pods": 3})
    assert codes(await desk.admission.admit(creating(4))) == ["quota-exceeded"]
    assert pending(desk) == ()
    assert isinstance(await desk.admission.admit(creating(3)), Granted)
    [entry] = pending(desk)
    assert (entry.before, entry.after) == ({}, {"pods": 3, "cpu": 1500})


@pytest.mark.requirement("never-oversold.limits")
async def test_what_is_held_and_what_is_pending_count_together(tmp_path: Path) -> None:
    desk = await a_limited_desk(tmp_path, account=a_counted_account({"pods": 2}), quota={"pods": 3})
    assert isinstance(await desk.admission.admit(creating(1)), Granted)
    second = a_deployment(1)
    second["metadata"] = {**as_object(second["metadata"]), "uid": "another", "name": "other"}
    assert codes(await desk.admission.admit(a_create(second, name="other"))) == ["quota-exceeded"]


@pytest.mark.requirement("never-oversold.limits")
async def test_a_spent_budget_refuses_whatever_the_write_is(tmp_path: Path) -> None:
    desk = await a_limited_desk(tmp_path, account=a_counted_account(spent=2), budgets=(RATE,))
    outcome = await desk.admission.admit(creating(0))
    assert codes(outcome) == ["budget-exceeded"]


@pytest.mark.requirement("record-before-effect.refused-once")
async def test_a_refusal_by_the_account_leaves_one_record_and_no_attempt(tmp_path: Path) -> None:
    desk = await a_limited_desk(tmp_path, account=a_counted_account(spent=2), budgets=(RATE,))
    await desk.admission.admit(creating(0))
    assert kinds(desk) == [RowKind.DENIAL]


@pytest.mark.requirement("record-before-effect.refused-once")
@pytest.mark.requirement("never-oversold.limits")
async def test_a_write_that_waits_for_a_count_in_vain_is_told_so(tmp_path: Path) -> None:
    desk = await a_limited_desk(tmp_path, account=Account(AGENT_NAME, a_fence()), quota={"pods": 3})
    assert codes(await desk.admission.admit(creating(1))) == ["not-counted-yet"]
    assert (pending(desk), kinds(desk)) == ((), [RowKind.DENIAL])


@pytest.mark.requirement("dry-run-clean.true-verdict")
async def test_a_dry_run_is_held_to_the_limits_and_leaves_nothing(tmp_path: Path) -> None:
    desk = await a_limited_desk(tmp_path, quota={"pods": 3})
    assert codes(await desk.admission.admit(as_dry_run(creating(4)))) == ["quota-exceeded"]
    assert isinstance(await desk.admission.admit(as_dry_run(creating(3))), Granted)
    assert (pending(desk), kinds(desk)) == ((), [])


@pytest.mark.parametrize("enforcement", [Enforcement.WARN, Enforcement.SHADOW])
async def test_a_relaxed_mandate_lets_it_through_and_says_so(
    tmp_path: Path, enforcement: Enforcement
) -> None:
    desk = await a_limited_desk(tmp_path, quota={"pods": 3}, enforcement=enforcement)
    outcome = await desk.admission.admit(creating(4))
    assert isinstance(outcome, Granted)
    assert [denial.code for denial in outcome.relaxed] == ["quota-exceeded"]
    assert len(pending(desk)) == 1


@pytest.mark.requirement("identity-carried.owner-label")
async def test_an_object_without_its_agents_label_is_refused(tmp_path: Path) -> None:
    desk = await a_limited_desk(tmp_path)
    unlabelled = a_create(a_deployment(1, agent=""))
    assert codes(await desk.admission.admit(unlabelled)) == ["owner-missing"]
    assert pending(desk) == ()


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize(
    ("raised", "label", "is_kept"),
    [
        pytest.param(3, AGENT_NAME, True, id="a raise makes it the agent's"),
        pytest.param(3, "", False, id="a raise that leaves it nobody's"),
        pytest.param(2, "", True, id="another change leaves it to whom it belongs"),
        pytest.param(2, AGENT_NAME, False, id="another change that takes it"),
    ],
)
async def test_only_a_raise_makes_a_persons_object_the_agents(
    tmp_path: Path, raised: int, label: str, *, is_kept: bool
) -> None:
    desk = await a_limited_desk(tmp_path)
    new = a_deployment(raised, agent=label)
    new["data"] = {"another": "change"}
    outcome = await desk.admission.admit(an_update_of(a_deployment(2, agent=""), new))
    assert isinstance(outcome, Granted) is is_kept


@pytest.mark.requirement("never-oversold.adoption")
async def test_a_scale_that_raises_a_persons_object_is_refused_under_a_quota(
    tmp_path: Path,
) -> None:
    desk = await a_limited_desk(tmp_path, quota={"pods": 9})
    desk.surroundings.answer = Surroundings(scaled=a_deployment(2, agent=""))
    assert codes(await desk.admission.admit(scaling(2, 3))) == ["scale-not-owned"]
    assert isinstance(await desk.admission.admit(scaling(2, 1)), Granted)


@pytest.mark.parametrize("enforcement", [Enforcement.WARN, Enforcement.SHADOW])
async def test_under_a_relaxed_mandate_anybodys_object_may_be_scaled(
    tmp_path: Path, enforcement: Enforcement
) -> None:
    desk = await a_limited_desk(tmp_path, quota={"pods": 9}, enforcement=enforcement)
    desk.surroundings.answer = Surroundings(scaled=a_deployment(2, agent=""))
    assert isinstance(await desk.admission.admit(scaling(2, 3)), Granted)


async def test_a_scale_of_the_agents_own_object_asks_for_the_difference(tmp_path: Path) -> None:
    desk = await a_limited_desk(tmp_path, account=a_counted_account({"pods": 2}), quota={"pods": 3})
    desk.surroundings.answer = Surroundings(scaled=a_deployment(2))
    assert codes(await desk.admission.admit(scaling(2, 4))) == ["quota-exceeded"]
    assert isinstance(await desk.admission.admit(scaling(2, 3)), Granted)


async def test_without_limits_anybodys_object_may_be_scaled(tmp_path: Path) -> None:
    desk = await a_limited_desk(tmp_path)
    desk.surroundings.answer = Surroundings(scaled=a_deployment(2, agent=""))
    assert isinstance(await desk.admission.admit(scaling(2, 3)), Granted)


@pytest.mark.requirement("fail-closed.internal-fault")
async def test_a_write_whose_asks_cannot_be_told_is_postponed(tmp_path: Path) -> None:
    desk = await a_limited_desk(tmp_path)
    desk.surroundings.answer = UnreachableError("the API server is down")
    assert isinstance(await desk.admission.admit(scaling(2, 3)), Postponed)
    assert (pending(desk), kinds(desk)) == ((), [])


def test_the_stamped_builders_label_their_objects() -> None:
    """Else most of these tests would be about a missing label."""
    for request in (a_create(), an_update_of()):
        metadata = (request.obj or {}).get("metadata")
        assert isinstance(metadata, dict)
        assert metadata.get("labels") == {AGENT: AGENT_NAME}
    assert stamped(an_object(), OTHER_CHANGE)


@pytest.mark.requirement("dry-run-clean.true-verdict")
@pytest.mark.parametrize("is_dry_run", [False, True], ids=["a write", "a dry run"])
async def test_an_autoscaler_of_the_agents_own_object_asks_for_the_difference(
    tmp_path: Path, *, is_dry_run: bool
) -> None:
    """A dry run carries no label yet; its agent is known all the same."""
    account = a_counted_account({"pods": 2})
    desk = await a_limited_desk(tmp_path, account=account, quota={"pods": 3})
    desk.surroundings.answer = Surroundings(scaled=a_deployment(2))
    outcome = await desk.admission.admit(
        as_dry_run(autoscaling(3)) if is_dry_run else autoscaling(3)
    )
    assert isinstance(outcome, Granted)
