"""Whose objects `/mutate` says they are: an agent's own, and what the agent makes ask more."""

from dataclasses import replace
from pathlib import Path

import pytest

from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.asks.asked import Surroundings
from controller.asks.ownership import owner_of
from controller.clients.kube.errors import UnreachableError
from tests.admissions import AGENT_NAME, Desk, a_desk, owned
from tests.asgi import call
from tests.builders import (
    DEPLOYMENTS,
    a_person,
    a_request,
    a_review,
    a_review_request,
    an_object,
)
from tests.jsonpatches import apply_patch
from tests.recorded import annotated

AUTOSCALERS = Target("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")


async def mutated(desk: Desk, request: AdmissionRequest) -> dict[str, Json]:
    """The object after the patch."""
    assert request.obj is not None
    mutation = await desk.mutator.mutate(request)
    return apply_patch(request.obj, mutation.patch)


@pytest.mark.requirement("identity-carried.owner-label")
async def test_what_an_agent_creates_is_its_own(tmp_path: Path) -> None:
    desk = await a_desk(tmp_path)
    theirs = owned(an_object(), "another-agent")
    assert owner_of(await mutated(desk, a_request())) == AGENT_NAME
    assert owner_of(await mutated(desk, a_request(obj=theirs))) == AGENT_NAME
    assert desk.surroundings.asked == []


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize(
    ("replicas", "owner"),
    [
        pytest.param(3, AGENT_NAME, id="raised, it becomes the agent's"),
        pytest.param(2, "another-agent", id="changed otherwise, it stays"),
        pytest.param(1, "another-agent", id="lowered, it stays"),
    ],
)
async def test_what_the_agent_updates_is_its_own_if_it_asks_more(
    tmp_path: Path, replicas: int, owner: str
) -> None:
    old, new = (deployment(replicas=number) for number in (2, replicas))
    request = a_request(Operation.UPDATE, obj=annotated(new, note="x"), old=old)
    assert owner_of(await mutated(await a_desk(tmp_path), request)) == owner


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize(
    ("scaled", "owner"),
    [
        pytest.param(True, AGENT_NAME, id="its target is there"),
        pytest.param(False, "another-agent", id="there is nothing to be raised"),
    ],
)
async def test_whether_an_autoscaler_asks_more_depends_on_its_target(
    tmp_path: Path, *, scaled: bool, owner: str
) -> None:
    desk = await a_desk(tmp_path)
    target = deployment(replicas=1) if scaled else None
    desk.surroundings.answer = Surroundings(scaled=target)
    old, new = (owned(an_autoscaler(most=most), "another-agent") for most in (2, 9))
    request = a_request(Operation.UPDATE, target=AUTOSCALERS, obj=new, old=old)
    assert owner_of(await mutated(desk, request)) == owner


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize(
    ("replicas", "owner"),
    [
        pytest.param(3, AGENT_NAME, id="raised, it becomes the agent's"),
        pytest.param(2, "another-agent", id="touched, it stays"),
    ],
)
async def test_what_an_autoscaler_may_raise_is_no_raise_of_the_agents(
    tmp_path: Path, replicas: int, owner: str
) -> None:
    desk = await a_desk(tmp_path)
    desk.surroundings.answer = Surroundings(autoscalers=(an_autoscaler(most=9),))
    old, new = (deployment(replicas=number) for number in (2, replicas))
    request = a_request(Operation.UPDATE, obj=annotated(new, note="x"), old=old)
    assert owner_of(await mutated(desk, request)) == owner


@pytest.mark.requirement("identity-carried.owner-label")
async def test_while_nobody_can_tell_whether_it_asks_more_the_write_is_to_come_again(
    tmp_path: Path,
) -> None:
    desk = await a_desk(tmp_path)
    desk.surroundings.answer = UnreachableError("no route")
    request = a_request(Operation.UPDATE, obj=deployment(replicas=3), old=deployment(replicas=2))
    answered = await call(desk.app, path="/mutate", body=a_review(a_review_request(request)))
    assert (answered.status, answered.headers["retry-after"]) == (503, "1")
    assert "response" not in answered.document


@pytest.mark.requirement("dry-run-clean.no-trace")
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_request(Operation.UPDATE, dry_run=True), id="a dry run"),
        pytest.param(
            a_request(Operation.UPDATE, target=replace(DEPLOYMENTS, subresource="status")),
            id="a status",
        ),
        pytest.param(a_request(Operation.DELETE), id="a delete"),
        pytest.param(a_request(Operation.UPDATE, user=a_person()), id="a person's update"),
    ],
)
async def test_nothing_is_looked_up_for_what_adopts_nothing(
    tmp_path: Path, request_: AdmissionRequest
) -> None:
    desk = await a_desk(tmp_path)
    desk.surroundings.answer = UnreachableError("no route")
    await desk.mutator.mutate(request_)
    assert desk.surroundings.asked == []


def deployment(*, replicas: int) -> dict[str, Json]:
    """Another agent's."""
    container: Json = {"name": "web", "resources": {"requests": {"cpu": "1"}}}
    template: Json = {"spec": {"containers": [container]}}
    spec: dict[str, Json] = {"replicas": replicas, "template": template}
    return owned(an_object(spec=spec), "another-agent")


def an_autoscaler(*, most: int) -> dict[str, Json]:
    """Of the Deployment."""
    target: Json = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    autoscalers = Target("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
    return an_object(autoscalers, spec={"scaleTargetRef": target, "maxReplicas": most})
