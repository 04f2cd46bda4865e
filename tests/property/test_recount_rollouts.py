"""Whatever Kubernetes' controllers do, no holding is counted as less than it is or may become.

Between two writes the controllers go their way, in any order. What was counted before they
began must cover all that stands at any time until the next write: so nobody who was granted
what was left is oversold. A Pod that the controllers end meanwhile lives beside its successor
for its grace period, as everywhere in Kubernetes; it is counted from then on.
"""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from controller.accounts.recount import recount
from controller.apis.resources import Amounts
from tests.recount_builders import AGENT
from tests.workload_world import Rollout, controllers, end_pod

UNITS: tuple[Amounts, ...] = (
    {"cpu": 100, "memory": 8, "pods": 1},
    {"cpu": 1000, "memory": 1, "pods": 1},
    {"cpu": 300, "memory": 3, "pods": 1},
)
steps = st.lists(st.integers(0, 10**6), max_size=25)


def covers(counted: Amounts, held: Amounts) -> bool:
    """Whether no resource is held beyond what is counted."""
    return all(counted.get(name, 0) >= amount for name, amount in held.items())


def carried_on(world: Rollout, choices: list[int], counted: Amounts) -> Rollout:
    """The world after so many steps of its controllers, each covered by the count before them."""
    left = world.leaving()
    for choice in choices:
        following = list(controllers(world))
        if not following:
            break
        world = following[choice % len(following)]
        standing = world.held(but=world.leaving() - left)
        assert covers(counted, standing), f"counted {dict(counted)}, stands {standing}: {world}"
        assert covers(recount(AGENT, world.views()).total, world.held())
    return world


@st.composite
def written(draw: st.DrawFn, world: Rollout) -> Rollout:
    """The world after one write: of the Deployment, or of one of its Pods."""
    what = draw(st.sampled_from(["scale", "template", "delete pod", "delete"]))
    if what == "delete pod" and world.pods:
        return end_pod(world, draw(st.integers(0, len(world.pods) - 1)))
    if what == "delete":
        return replace(world, is_there=False)
    if what == "template":
        return replace(world, template=draw(st.integers(0, len(UNITS) - 1)))
    return replace(world, replicas=draw(st.integers(0, 5)))


@pytest.mark.requirement("never-oversold.trees")
@settings(max_examples=300)
@given(data=st.data())
def test_what_is_counted_covers_all_that_its_controllers_do_until_the_next_write(
    data: st.DataObject,
) -> None:
    replicas, surge = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 2))
    world = Rollout(UNITS, replicas=replicas, surge=surge)
    for _ in range(data.draw(st.integers(1, 5))):
        counted = recount(AGENT, world.views()).total
        world = carried_on(world, data.draw(steps), counted)
        if not world.is_there:
            break
        world = data.draw(written(world))


@given(data=st.data(), seed=st.integers())
def test_once_all_is_quiet_exactly_what_lives_is_counted(data: st.DataObject, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a walk that must be repeatable
    world = Rollout(UNITS, replicas=data.draw(st.integers(0, 4)))
    for _ in range(3):
        world = data.draw(written(world))
        for _ in range(300):
            following = list(controllers(world))
            world = random.choice(following) if following else world
        assume(not list(controllers(world)))
        assert recount(AGENT, world.views()).total == world.held()
