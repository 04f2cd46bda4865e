"""Whatever objects look like, their asks are read without a fault, and never too small.

Plausible objects are workloads with some odd values somewhere; the sums are compared with
what the words of Kubernetes' own documentation say, added up by hand.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.accounts.account import COUNTED
from controller.accounts.charges import increase
from controller.accounts.entries import WatchedKind
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.apis.resources import Amounts
from controller.asks.asked import MOST_ASKED, Surroundings, asked_by, needs_of
from controller.asks.ownership import controller_of, owner_after, owner_of
from controller.asks.workloads import read_ask
from controller.records.versions import version_of
from tests.asking import (
    AUTOSCALERS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    GI,
    JOBS,
    PODS,
    SCALABLE,
    Object,
    a_container,
    a_pod,
    a_workload,
    an_autoscaler,
    around,
    creating,
    scaling,
    sides,
    units,
    updating,
)
from tests.builders import a_request
from tests.strategies import json_objects, json_values

pytestmark = pytest.mark.requirement("never-oversold.asks")

TARGETS = (*SCALABLE, DAEMON_SETS, JOBS, CRON_JOBS, AUTOSCALERS, PODS)
KEY = b"k" * 32

targets = st.sampled_from(TARGETS)
kinds = st.sampled_from(sorted(COUNTED))
subresources = st.sampled_from(["", "status", "scale", "resize", "ephemeralcontainers", "exec"])
cpus = st.integers(0, 5000)
replicas = st.integers(0, 200)
surges = st.one_of(st.integers(0, 50), st.integers(0, 200).map(lambda part: f"{part}%"))


def an_example(target: Target) -> Object:
    """A whole one, with everything that is read."""
    if target == AUTOSCALERS:
        return an_autoscaler()
    container = a_container(name="sidecar", restartPolicy="Always")
    if target == PODS:
        granted: Json = {"name": "main", "allocatedResources": {"cpu": "1"}}
        status: Object = {"phase": "Running", "containerStatuses": [granted]}
        spec: Object = {"initContainers": [container], "overhead": {"cpu": "1m"}}
        return a_pod(a_container(), spec=spec, status=status)
    rollout: Json = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}
    more: Object = {"strategy": rollout, "updateStrategy": rollout, "parallelism": 2}
    seen: Object = {"observedGeneration": 1, "desiredNumberScheduled": 2, "replicas": 2}
    return a_workload(target, a_container(), generation=2, status=seen, spec=more)


@st.composite
def odd_objects(draw: st.DrawFn, target: Target) -> Object:
    """Any object at all, or a whole one with up to three odd values in it."""
    if draw(st.integers(0, 4)) == 0:
        return draw(json_objects)
    obj = copy.deepcopy(an_example(target))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(list(_maps_of(obj))))
        key = draw(st.sampled_from(sorted(place))) if place else "spec"
        place[key] = draw(json_values)
    return obj


def _maps_of(value: Json) -> list[Object]:
    if isinstance(value, list):
        return [place for item in value for place in _maps_of(item)]
    if not isinstance(value, dict):
        return []
    return [value, *(place for item in value.values() for place in _maps_of(item))]


@st.composite
def odd_requests(draw: st.DrawFn) -> tuple[AdmissionRequest, Surroundings]:
    target = draw(targets)
    old, new = draw(odd_objects(target)), draw(odd_objects(target))
    request = a_request(
        draw(st.sampled_from(Operation)),
        target=replace(target, subresource=draw(subresources)),
        obj=new,
        old=old,
    )
    known = around(
        nodes=draw(st.integers(0, 9)),
        autoscalers=(draw(odd_objects(AUTOSCALERS)),),
        scaled=draw(st.none() | odd_objects(DEPLOYMENTS)),
    )
    return request, known


def is_counted(amounts: Amounts, *, most: int | None = None) -> bool:
    """Whether each is an integer from 0 on."""
    return all(
        type(amount) is int and amount >= 0 and (most is None or amount <= most)
        for amount in amounts.values()
    )


@given(odd_requests())
def test_every_write_is_answered(odd: tuple[AdmissionRequest, Surroundings]) -> None:
    request, known = odd
    needs_of(request)
    asked = asked_by(request, known)
    for amounts in (asked.before, asked.after, asked.unit):
        assert is_counted(amounts)
    assert is_counted(asked.after, most=MOST_ASKED)
    if asked.problem is not None:
        assert not increase(asked.before, asked.after)
        assert asked.problem.message
    assert isinstance(owner_after(request, agent="migrator", asked=asked), str)


@given(st.data(), kinds)
def test_every_stored_object_is_counted(data: st.DataObject, kind: WatchedKind) -> None:
    obj = data.draw(st.one_of([odd_objects(target) for target in TARGETS]))
    ask = read_ask(kind.group, kind.resource, obj).ask
    assert is_counted(ask.total)
    assert ask.fleet is None or is_counted(ask.fleet.unit)
    version = version_of(obj, kind=kind, stamp_key=KEY, content_key=KEY)
    assert (version.ask, version.fleet, version.scaling) == (ask.total, ask.fleet, ask.scaling)
    assert (version.owner, version.controller) == (owner_of(obj), controller_of(obj))


@given(st.sampled_from(SCALABLE), replicas, replicas, cpus, st.integers(0, 300))
def test_more_replicas_never_ask_less(
    target: Target, one: int, other: int, cpu: int, most: int
) -> None:
    fewer, more = sorted((one, other))
    known = around(autoscalers=(an_autoscaler(most, target=target),))
    asks = [
        asked_by(creating(_sized(target, count, cpu), target), known).after
        for count in (fewer, more)
    ]
    assert asks[0]["pods"] <= asks[1]["pods"]
    assert asks[0].get("cpu", 0) <= asks[1].get("cpu", 0)
    assert asks[1]["pods"] == max(more, most)


def _sized(target: Target, count: int, cpu: int, **spec: Json) -> Object:
    seen: Object = {"observedGeneration": 1, "replicas": count, "updatedReplicas": count}
    container = a_container(f"{cpu}m")
    return a_workload(target, container, replicas=count, status=seen, spec=spec)


@given(replicas, replicas, cpus, cpus, surges)
def test_a_rollout_asks_for_old_and_new_pods_side_by_side(
    before: int, after: int, small: int, large: int, surge: Json
) -> None:
    """No mixture of old and new Pods, as many as may run at once, is more than what is asked."""
    strategy: Json = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge}}
    old = _sized(DEPLOYMENTS, before, small)
    new = _sized(DEPLOYMENTS, after, large, strategy=strategy)
    asked = sides(asked_by(updating(old, new), around()))
    extra = surge if isinstance(surge, int) else _ceil_percent(after, str(surge))
    at_once = after + (extra if small != large else 0)
    assert asked[1].get("pods", 0) == at_once
    for old_ones in range(0, at_once + 1, max(1, at_once // 7)):
        mixture = old_ones * small + (at_once - old_ones) * large
        assert mixture <= asked[1].get("cpu", 0)


def _ceil_percent(count: int, percent: str) -> int:
    whole, rest = divmod(count * int(percent.removesuffix("%")), 100)
    return whole + (1 if rest else 0)


@given(st.sampled_from(SCALABLE), replicas, replicas, cpus)
def test_a_scale_asks_as_an_update_of_the_replicas_does(
    target: Target, before: int, after: int, cpu: int
) -> None:
    old, new = _sized(target, before, cpu), _sized(target, after, cpu)
    updated = asked_by(updating(old, new, target), around())
    scaled = asked_by(scaling(before, after, target), around(scaled=old))
    assert sides(scaled) == sides(updated)


@given(replicas, st.integers(0, 300), st.integers(0, 300))
def test_an_autoscaler_of_ones_own_asks_for_what_its_target_does_not_hold(
    count: int, before: int, most: int
) -> None:
    scaled = a_workload(replicas=count, owner="migrator")
    old = an_autoscaler(before, owner="migrator")
    new = an_autoscaler(most, owner="migrator")
    asked = sides(asked_by(updating(old, new, AUTOSCALERS), around(scaled=scaled)))
    assert asked == (units(max(0, before - count)), units(max(0, most - count)))


@given(st.lists(st.tuples(cpus, st.booleans()), max_size=5), st.lists(cpus, min_size=1, max_size=4))
def test_a_pod_asks_for_the_most_that_runs_at_any_moment(
    starting: list[tuple[int, bool]], running: list[int]
) -> None:
    inits = [
        a_container(f"{cpu}m", None, name=f"i{index}", **_always(is_sidecar))
        for index, (cpu, is_sidecar) in enumerate(starting)
    ]
    containers = [a_container(f"{cpu}m", "1Gi", name=f"c{i}") for i, cpu in enumerate(running)]
    asked = read_ask("", "pods", a_pod(*containers, spec={"initContainers": [*inits]})).ask.total
    moments = [
        sum(cpu for cpu, is_sidecar in starting[:index] if is_sidecar) + starting[index][0]
        for index in range(len(starting))
    ]
    sidecars = sum(cpu for cpu, is_sidecar in starting if is_sidecar)
    assert asked.get("cpu", 0) == max([*moments, sidecars + sum(running)])
    assert asked["memory"] == len(running) * GI


def _always(is_sidecar: bool) -> Mapping[str, Json]:  # noqa: FBT001 (one of a drawn pair)
    return {"restartPolicy": "Always"} if is_sidecar else {}
