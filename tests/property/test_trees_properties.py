"""The index of trees against a recount of everything: it never leaves out what would count."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.accounts.account import COUNTED
from controller.accounts.cuts import cut_at_one_moment
from controller.accounts.entries import WatchedKind
from controller.accounts.recount import recount
from controller.accounts.views import Fleet, KindView, Scaling, Version
from reconcilers.timeline import Timeline
from reconcilers.trees import Trees, reduced

AGENTS = ("", "a", "b")
DEPLOYMENTS = WatchedKind("apps", "v1", "deployments")
REPLICASETS = WatchedKind("apps", "v1", "replicasets")
DAEMONSETS = WatchedKind("apps", "v1", "daemonsets")
PODS = WatchedKind("", "v1", "pods")
NODES = WatchedKind("", "v1", "nodes")
AUTOSCALERS = WatchedKind("autoscaling", "v2", "horizontalpodautoscalers")
KINDS = (DEPLOYMENTS, REPLICASETS, DAEMONSETS, PODS, NODES, AUTOSCALERS)
MAKERS = {REPLICASETS: DEPLOYMENTS, PODS: REPLICASETS}
UNIT = {"pods": 1, "cpu": 100}


@dataclass(frozen=True)
class Step:
    """One more version of an object, or of how far its kind was seen."""

    kind: WatchedKind
    number: int
    owner: str
    maker: int
    amount: int
    is_deleted: bool
    lags: frozenset[WatchedKind]
    """Kinds that have not been seen so far yet."""
    is_forgotten: bool


STEPS = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(KINDS),
        number=st.integers(0, 2),
        owner=st.sampled_from(AGENTS),
        maker=st.integers(0, 2),
        amount=st.integers(0, 3),
        is_deleted=st.booleans(),
        lags=st.frozensets(st.sampled_from(KINDS), max_size=2),
        is_forgotten=st.booleans(),
    ),
    max_size=30,
)


@dataclass
class World:
    """What was seen of each kind, and the index of it."""

    at: int = 10
    trees: Trees = field(default_factory=Trees)
    timelines: dict[WatchedKind, Timeline] = field(default_factory=dict[WatchedKind, Timeline])

    def __post_init__(self) -> None:
        for kind in COUNTED:
            self.timelines[kind] = Timeline()
            self.timelines[kind].relist((), at=self.at)

    def take(self, step: Step) -> frozenset[str]:
        """See one version; gives whom it concerns."""
        self.at += 1
        version = version_of(step, self.at)
        self.timelines[step.kind].add(version)
        concerned = self.trees.take(step.kind, version)
        for kind, timeline in self.timelines.items():
            if kind not in step.lags:
                timeline.reach(self.at)
            if step.is_forgotten:
                timeline.cut(self.at - 3)
                self.trees.forget_ended(kind, known=timeline.view().objects)
        return concerned

    def views(self) -> Mapping[WatchedKind, KindView]:
        """Everything."""
        return {kind: timeline.view() for kind, timeline in self.timelines.items()}

    def moment(self) -> Mapping[WatchedKind, KindView]:
        """Everything, as it was at the latest moment that all have reached."""
        return cut_at_one_moment(self.views(), COUNTED) or {}

    def reduced(self, agent: str) -> Mapping[WatchedKind, KindView]:
        """Of that what bears on one agent."""
        about = self.trees.about(agent)
        views = {kind: reduced(view, about.get(kind, ())) for kind, view in self.views().items()}
        return cut_at_one_moment(views, COUNTED) or {}


def version_of(step: Step, at: int) -> Version:
    amounts = {name: amount * step.amount for name, amount in UNIT.items()}
    maker = MAKERS.get(step.kind)
    return Version(
        uid=f"{step.kind.resource}-{step.number}",
        version=at,
        namespace="team-data",
        name=f"n{step.number}",
        is_deleted=step.is_deleted,
        owner=step.owner,
        ask={} if step.kind in {NODES, AUTOSCALERS} else amounts,
        controller="" if maker is None or step.maker == 2 else f"{maker.resource}-{step.maker}",
        fleet=fleet_of(step),
        scaling=(
            Scaling("apps", "deployments", f"n{step.maker}", 5)
            if step.kind == AUTOSCALERS
            else None
        ),
    )


def fleet_of(step: Step) -> Fleet | None:
    if step.kind not in {DEPLOYMENTS, REPLICASETS, DAEMONSETS}:
        return None
    return Fleet(UNIT, step.amount, is_per_node=step.kind == DAEMONSETS)


@pytest.mark.requirement("never-oversold.trees")
@settings(max_examples=400)
@given(steps=STEPS)
def test_an_agent_is_counted_from_its_own_trees_as_from_everything(steps: list[Step]) -> None:
    world = World()
    for step in steps:
        world.take(step)
        for agent in ("a", "b"):
            assert recount(agent, world.reduced(agent)) == recount(agent, world.moment())


@pytest.mark.requirement("never-oversold.trees")
@settings(max_examples=400)
@given(steps=STEPS)
def test_whose_holdings_a_version_changes_is_told_of_it(steps: list[Step]) -> None:
    world = World()
    for step in steps:
        before = {agent: recount(agent, world.views()).total for agent in ("a", "b")}
        concerned = world.take(step)
        if step.is_forgotten:
            continue
        after = {agent: recount(agent, world.views()).total for agent in ("a", "b")}
        changed = {agent for agent in after if after[agent] != before[agent]}
        assert changed <= concerned


@given(steps=STEPS)
def test_a_list_begins_the_index_anew(steps: list[Step]) -> None:
    world = World()
    for step in steps:
        world.take(step)
    for kind, timeline in world.timelines.items():
        timeline.relist(timeline.view().living(), at=world.at)
        world.trees.replace(kind, timeline.view().living())
    for agent in ("a", "b"):
        assert recount(agent, world.reduced(agent)) == recount(agent, world.moment())


@given(steps=STEPS)
def test_what_has_ended_is_forgotten_with_the_last_view_of_it(steps: list[Step]) -> None:
    world = World()
    for step in steps:
        world.take(step)
    for kind, timeline in world.timelines.items():
        timeline.reach(world.at)
        timeline.cut(world.at)
        world.trees.forget_ended(kind, known=timeline.view().objects)
    living = {version.uid for view in world.views().values() for version in view.living()}
    named = {
        uid for agent in ("a", "b") for uids in world.trees.about(agent).values() for uid in uids
    }
    assert named <= living
