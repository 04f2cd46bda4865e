"""The real account code in a simulated cluster, where everything can happen in any order.

Small scenarios are explored completely, breadth first, so a violation comes with a
shortest trace; larger ones are walked at random by Hypothesis, which shrinks it.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from controller.accounts.entries import Action
from tests.account_invariants import check_end, check_move, check_world, explore
from tests.account_moves import Move, moves
from tests.account_scenarios import SCENARIOS
from tests.account_world import Deed, Scenario, Wish, start


@pytest.mark.requirement("never-oversold.protocol")
@pytest.mark.requirement("record-before-effect.evidence")
@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_that_can_happen_breaks_an_invariant(name: str) -> None:
    explored = explore(SCENARIOS[name])
    assert explored.ends > 0, "it never comes to rest, so the end was never checked"


WISHES = st.builds(
    Wish,
    st.sampled_from([Action.CREATE, Action.UPDATE, Action.UPDATE, Action.DELETE, Action.VALUE]),
    st.integers(0, 1),
    st.integers(0, 3),
)
DEEDS = st.builds(
    Deed,
    st.sampled_from(
        ["scale", "strip", "undo", "delete", "copy", "limit", "suspend", "end", "finish"]
    ),
    st.integers(0, 1),
    st.integers(1, 3),
)
"""Without `plant`, which at random would forge id and content alike, and that is a proof."""


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Up to five requests and three people's writes on two names, of one kind or two."""
    base = draw(
        st.lists(
            st.tuples(st.integers(0, 1), st.integers(1, 2), st.booleans()),
            max_size=2,
            unique_by=lambda spec: spec[0],
        )
    )
    held = sum(ask for _, ask, is_owned in base if is_owned)
    wishes = draw(st.lists(WISHES, min_size=2, max_size=5))
    return Scenario(
        limit=draw(st.integers(max(1, held), max(4, held))),
        base=tuple(base),
        wishes=tuple(
            wish._replace(ask=0) if wish.action is Action.DELETE else wish for wish in wishes
        ),
        deeds=tuple(draw(st.lists(DEEDS, max_size=3))),
        settlers=draw(st.integers(1, 2)),
        relists=draw(st.integers(0, 2)),
        restarts=draw(st.integers(0, 2)),
        faults=draw(st.integers(0, 2)),
        tries=draw(st.integers(1, 3)),
        kinds=draw(st.sampled_from([(0, 0, 0), (0, 1, 0)])),
        finalizers=draw(st.sampled_from([(), (0,)])),
        reshaped=draw(st.sampled_from([(), (0,)])),
        changes=draw(st.sampled_from([99, 1, 2, 3])),
        hours=draw(st.integers(0, 1)),
    )


class Cluster(RuleBasedStateMachine):
    """One history of a cluster; each step is one of the things that can happen."""

    def __init__(self) -> None:
        super().__init__()
        self.scenario = Scenario(1, (), ())
        self.world = start(self.scenario)
        self.next: list[Move] = []
        self.is_broken = False

    @initialize(scenario=scenarios())
    def begin(self, scenario: Scenario) -> None:
        """Everything is counted and quiet."""
        self.scenario = scenario
        self.world = start(scenario)
        self._look_ahead()

    @rule(choice=st.integers(min_value=0))
    def something_happens(self, choice: int) -> None:
        """Any of the moves, until nothing is left to happen."""
        if self.next:
            self._take(choice % len(self.next))

    def teardown(self) -> None:
        """Let the rest happen in its order, until all is quiet."""
        while self.next and not self.is_broken:
            self._take(0)
        if not self.is_broken:
            check_end(self.world, self.scenario)

    def _take(self, index: int) -> None:
        _, after = self.next[index]
        self.is_broken = True
        check_move(self.world, after)
        check_world(after, self.scenario)
        self.is_broken = False
        self.world = after
        self._look_ahead()

    def _look_ahead(self) -> None:
        here = self.world.identity()
        self.next = [
            move for move in moves(self.scenario, self.world) if move[1].identity() != here
        ]


@pytest.mark.requirement("never-oversold.protocol")
def test_no_history_of_a_larger_cluster_breaks_an_invariant() -> None:
    steps = settings(max_examples=100, stateful_step_count=50)
    run_state_machine_as_test(Cluster, settings=steps)
