"""What an agent holds, by everything that Kubernetes makes of its objects."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from controller.accounts.entries import WatchedKind
from controller.accounts.recount import Holdings, recount
from controller.accounts.views import KindView
from tests.recount_builders import (
    AGENT,
    LARGE,
    a_fleet,
    a_node,
    a_pod,
    a_replicaset,
    amounts,
    an_autoscaler,
    an_object,
    ended,
    ending,
    seen,
)

PODS = [a_pod("p1"), a_pod("p2"), a_pod("p3")]
OLD_PODS = [a_pod(f"o{n}", by="old", unit=LARGE) for n in range(3)]

TREES = [
    pytest.param(seen(), amounts(0, 0), id="nothing is there"),
    pytest.param(seen(deployments=[a_fleet()]), amounts(300, 3), id="nothing is made of it yet"),
    pytest.param(
        seen(deployments=[a_fleet()], replicasets=[a_replicaset()], pods=PODS),
        amounts(300, 3),
        id="a Deployment, its ReplicaSet and its Pods count once",
    ),
    pytest.param(
        seen(deployments=[a_fleet(replicas=1)], replicasets=[a_replicaset(replicas=1)], pods=PODS),
        amounts(300, 3),
        id="scaled down, and the Pods live on",
    ),
    pytest.param(
        seen(
            deployments=[a_fleet(replicas=3, surge=1)],
            replicasets=[a_replicaset("old", unit=LARGE), a_replicaset("new", 1)],
            pods=[*OLD_PODS, a_pod("n1", by="new")],
        ),
        amounts(3100, 4),
        id="from a large template to a small one, half way",
    ),
    pytest.param(
        seen(
            deployments=[a_fleet(replicas=3, surge=1)],
            replicasets=[a_replicaset("old", unit=LARGE)],
            pods=OLD_PODS,
        ),
        amounts(4000, 4),
        id="one Pod more may come, of either template",
    ),
    pytest.param(
        seen(
            deployments=[a_fleet(replicas=3, unit=LARGE)],
            replicasets=[a_replicaset("old", unit={"cpu": 100, "pods": 1})],
            pods=PODS,
        ),
        amounts(3000, 3),
        id="from a small template to a large one, before anything is made",
    ),
    pytest.param(
        seen(
            deployments=[a_fleet(replicas=5)],
            replicasets=[a_replicaset("old", 0, unit=LARGE), a_replicaset("new", 3)],
        ),
        amounts(500, 5),
        id="a template of the past makes no Pod dearer",
    ),
    pytest.param(
        seen(deployments=[a_fleet()], replicasets=[a_replicaset()], pods=[ending(p) for p in PODS]),
        amounts(600, 6),
        id="Pods that are ending have successors beside them",
    ),
    pytest.param(
        seen(
            deployments=[a_fleet(replicas=2, unit=LARGE)],
            replicasets=[a_replicaset("old", 1), a_replicaset("new", 1, unit=LARGE)],
            pods=[ending(a_pod("o1", by="old")), a_pod("o2", by="old")],
        ),
        amounts(2100, 3),
        id="a Pod that is ending is beside all that the new template may make",
    ),
    pytest.param(
        seen(statefulsets=[a_fleet("r")], pods=[ending(PODS[0]), *PODS[1:]]),
        amounts(300, 3),
        id="a StatefulSet waits for the end of the Pod that it replaces",
    ),
    pytest.param(
        seen(
            deployments=[ended(a_fleet())],
            replicasets=[ended(a_replicaset())],
            pods=[ending(p) for p in PODS],
        ),
        amounts(300, 3),
        id="until its last Pod has ended, a deleted Deployment is held",
    ),
    pytest.param(
        seen(deployments=[ended(a_fleet())], replicasets=[a_replicaset()]),
        amounts(300, 3),
        id="a ReplicaSet that a deleted Deployment left behind may make Pods still",
    ),
    pytest.param(
        seen(
            deployments=[a_fleet()],
            replicasets=[a_replicaset()],
            pods=[*PODS[:2], a_pod("hung-in", owner=AGENT)],
        ),
        amounts(400, 4),
        id="a Pod that the agent hung into the tree takes no other's place",
    ),
    pytest.param(
        seen(deployments=[a_fleet()], pods=[a_pod(f"p{n}", by="d") for n in range(4)]),
        amounts(300, 3),
        id="no Deployment's controller makes Pods: those that name it are nobody's",
    ),
    pytest.param(
        seen(pods=[a_pod("p", by="somebody-unknown")]), amounts(0, 0), id="nobody's Pod is nobody's"
    ),
    pytest.param(
        seen(pods=[a_pod("p", by="gone", owner=AGENT)]),
        amounts(100, 1),
        id="a Pod with the agent's label is its own root",
    ),
    pytest.param(
        seen(deployments=[a_fleet()], pods=[a_pod("p", by="d", owner=AGENT)]),
        amounts(400, 4),
        id="a Pod that names a Deployment as its controller is none that the Deployment makes",
    ),
    pytest.param(
        seen(
            deployments=[a_fleet(owner="another")],
            replicasets=[a_replicaset()],
            pods=[a_pod("p", owner=AGENT)],
        ),
        amounts(100, 1),
        id="what an agent puts into another's tree is its own",
    ),
    pytest.param(
        seen(deployments=[a_fleet(owner="")], replicasets=[a_replicaset()], pods=PODS),
        amounts(0, 0),
        id="people's trees are nobody's",
    ),
    pytest.param(
        seen(deployments=[a_fleet()], horizontalpodautoscalers=[an_autoscaler(8)]),
        amounts(800, 8),
        id="an autoscaler may raise it to its maximum",
    ),
    pytest.param(
        seen(deployments=[a_fleet()], horizontalpodautoscalers=[an_autoscaler(8, owner="")]),
        amounts(800, 8),
        id="a person's autoscaler, too",
    ),
    pytest.param(
        seen(deployments=[a_fleet()], horizontalpodautoscalers=[an_autoscaler(8, owner="other")]),
        amounts(300, 3),
        id="but not another agent's, who answers for it",
    ),
    pytest.param(
        seen(statefulsets=[a_fleet("r")], pods=[a_pod("p1", unit=LARGE)]),
        amounts(3000, 3),
        id="a StatefulSet may make more Pods of its older template",
    ),
    pytest.param(
        seen(deployments=[a_fleet(replicas=9)], horizontalpodautoscalers=[an_autoscaler(8)]),
        amounts(900, 9),
        id="an autoscaler below what is there adds nothing",
    ),
    pytest.param(
        seen(deployments=[a_fleet(owner="")], horizontalpodautoscalers=[an_autoscaler(8)]),
        amounts(800, 8),
        id="who scales what is another's answers for all of it",
    ),
    pytest.param(
        seen(horizontalpodautoscalers=[an_autoscaler(8)]),
        amounts(0, 0),
        id="an autoscaler of nothing holds nothing",
    ),
    pytest.param(
        seen(deployments=[a_fleet()], horizontalpodautoscalers=[an_autoscaler(9, resource="")]),
        amounts(300, 3),
        id="an autoscaler of a kind that nobody counts holds nothing",
    ),
    pytest.param(
        seen(daemonsets=[a_fleet(replicas=0, per_node=True)], nodes=[a_node(1), a_node(2)]),
        amounts(200, 2),
        id="a DaemonSet may come to every node",
    ),
    pytest.param(
        seen(
            cronjobs=[an_object("c", amounts(200, 2))],
            jobs=[an_object(f"j{n}", amounts(200, 2), by="c", owner="") for n in range(2)],
        ),
        amounts(400, 4),
        id="a CronJob counts as its Jobs run",
    ),
    pytest.param(
        seen(
            jobs=[an_object("j", amounts(300, 3))],
            pods=[a_pod("p", by="j"), ending(a_pod("q", by="j"))],
        ),
        amounts(400, 4),
        id="of a Job the Pods that are missing count beside those that live",
    ),
]


@pytest.mark.requirement("never-oversold.trees")
@pytest.mark.requirement("identity-carried.once-at-its-root")
@pytest.mark.parametrize(("views", "held"), TREES)
def test_what_an_agent_holds(
    views: Mapping[WatchedKind, KindView], held: Mapping[str, int]
) -> None:
    assert recount(AGENT, views).total == held


def test_each_resource_counts_by_itself() -> None:
    high = {"memory": 10, "cpu": 1, "pods": 1}
    wide = {"memory": 1, "cpu": 10, "pods": 1}
    views = seen(
        deployments=[a_fleet(replicas=1, unit=wide)],
        replicasets=[a_replicaset("old", 1, unit=high)],
        pods=[a_pod("p", by="old", unit=high)],
    )
    assert recount(AGENT, views).total == {"memory": 10, "cpu": 10, "pods": 1}


def test_the_uids_are_of_all_that_would_change_the_count() -> None:
    views = seen(
        deployments=[a_fleet(), a_fleet("other", owner="another", name="other")],
        replicasets=[a_replicaset(), a_replicaset("others", by="other")],
        pods=[*PODS, a_pod("theirs", by="others")],
        horizontalpodautoscalers=[an_autoscaler(3, owner="")],
    )
    assert recount(AGENT, views) == Holdings(
        amounts(300, 3), frozenset({"d", "r", "p1", "p2", "p3", "h"})
    )


@pytest.mark.requirement("identity-carried.once-at-its-root")
def test_what_two_agents_hold_is_counted_for_each_and_never_for_both() -> None:
    views = seen(
        deployments=[a_fleet("a", 1), a_fleet("b", 2, owner="another", name="b")],
        replicasets=[a_replicaset("ra", 1, by="a"), a_replicaset("rb", 2, by="b")],
        pods=[a_pod("pa", by="ra"), a_pod("pb", by="rb"), a_pod("pc", by="rb", owner=AGENT)],
    )
    assert recount(AGENT, views).total == amounts(200, 2)
    assert recount("another", views).total == amounts(200, 2)


def test_what_is_not_counted_adds_nothing_whatever_it_asks() -> None:
    widgets = WatchedKind("example.com", "v1", "widgets")
    widget = KindView(1, 100, {"w": (an_object("w", amounts(5, 5)),)})
    assert recount(AGENT, {**seen(), widgets: widget}) == Holdings({}, frozenset())


def test_only_the_newest_version_counts() -> None:
    views = dict(seen())
    kind = WatchedKind("apps", "v1", "deployments")
    older = a_fleet(replicas=9)
    views[kind] = KindView(1, 100, {"d": (older, replace(a_fleet(replicas=1), version=20))})
    assert recount(AGENT, views).total == amounts(100, 1)
