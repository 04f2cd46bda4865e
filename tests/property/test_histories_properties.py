"""A timeline against the whole truth: whatever it forgot, its view is true within its bounds."""

from dataclasses import dataclass, field
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.accounts.views import KindView, Version
from reconcilers.timeline import Timeline

UIDS = ("a", "b", "c")
Step: TypeAlias = tuple[str, int]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, len(UIDS) - 1)),
        st.tuples(st.just("delete"), st.integers(0, len(UIDS) - 1)),
        st.tuples(st.just("elsewhere"), st.integers(1, 3)),
        st.tuples(st.just("bookmark"), st.just(0)),
        st.tuples(st.just("break"), st.just(0)),
        st.tuples(st.just("cut"), st.integers(-2, 12)),
        st.tuples(st.just("cut half"), st.just(0)),
    ),
    max_size=40,
)


@dataclass
class World:
    """Every version that there ever was, and what a watch brings of it."""

    at: int = 10
    log: list[Version] = field(default_factory=list[Version])
    incarnations: dict[str, int] = field(default_factory=dict[str, int])
    is_heard: bool = True

    def write(self, name: str, *, is_deleted: bool = False) -> Version | None:
        """One more version of the object of that name; None: there is nothing to delete."""
        incarnation = self.incarnations.get(name, 0)
        uid = f"{name}{incarnation}"
        lives = any(version.uid == uid for version in self.log)
        if is_deleted and not lives:
            return None
        if is_deleted:
            self.incarnations[name] = incarnation + 1
        self.at += 1
        version = Version(uid, self.at, "team-data", name, is_deleted=is_deleted)
        self.log.append(version)
        return version

    def current(self, at: int) -> dict[str, Version]:
        """What there was then."""
        newest = {version.uid: version for version in self.log if version.version <= at}
        return {uid: version for uid, version in newest.items() if not version.is_deleted}

    def between(self, listed_at: int, seen_to: int) -> dict[str, tuple[Version, ...]]:
        """What a view with these bounds has to say."""
        first = self.current(listed_at)
        later = [v for v in self.log if listed_at < v.version <= seen_to]
        uids = [*first, *(v.uid for v in later if v.uid not in first)]
        return {
            uid: (*([first[uid]] if uid in first else []), *(v for v in later if v.uid == uid))
            for uid in dict.fromkeys(uids)
        }


def take(world: World, timeline: Timeline, step: Step) -> None:
    """Let one thing happen."""
    what, number = step
    if what in {"write", "delete"}:
        version = world.write(UIDS[number], is_deleted=what == "delete")
        if version is not None and world.is_heard:
            timeline.add(version)
    elif what == "elsewhere":
        world.at += number
    elif what == "bookmark" and world.is_heard:
        timeline.reach(world.at)
    elif what == "break" and world.is_heard:
        world.is_heard = False
    elif what == "break":
        world.is_heard = True
        timeline.relist(world.current(world.at).values(), at=world.at)
    elif what == "cut":
        timeline.cut(timeline.seen_to - number)
    elif what == "cut half":
        timeline.cut_half()


@pytest.mark.requirement("record-before-effect.gaps-known")
@given(before=STEPS, steps=STEPS)
def test_a_view_is_the_truth_between_its_bounds_whatever_was_missed_or_forgotten(
    before: list[Step], steps: list[Step]
) -> None:
    world, timeline = World(), Timeline()
    for step in before:
        take(world, Timeline(), step)
    world.is_heard = True
    timeline.relist(world.current(world.at).values(), at=world.at)
    bounds = (timeline.listed_at, timeline.seen_to)
    for step in steps:
        take(world, timeline, step)
        view = timeline.view()
        assert view.objects == world.between(view.listed_at, view.seen_to)
        assert view.listed_at <= view.seen_to <= world.at
        assert (view.listed_at, view.seen_to) >= bounds
        bounds = (view.listed_at, view.seen_to)


@given(steps=STEPS)
def test_a_view_that_was_given_away_never_changes(steps: list[Step]) -> None:
    world, timeline = World(), Timeline()
    timeline.relist((), at=world.at)
    given_away: list[tuple[KindView, dict[str, tuple[Version, ...]], int, int]] = []
    for step in steps:
        view = timeline.view()
        given_away.append((view, dict(view.objects), view.listed_at, view.seen_to))
        take(world, timeline, step)
    for view, objects, listed_at, seen_to in given_away:
        assert (view.objects, view.listed_at, view.seen_to) == (objects, listed_at, seen_to)


@pytest.mark.requirement("record-before-effect.gaps-known")
@given(count=st.integers(1, 200))
def test_cutting_all_leaves_one_version_of_each_object_that_lives(count: int) -> None:
    world, timeline = World(), Timeline()
    timeline.relist((), at=world.at)
    for number in range(count):
        version = world.write(UIDS[number % 3], is_deleted=number % 7 == 6)
        if version is not None:
            timeline.add(version)
    timeline.cut(timeline.seen_to)
    assert timeline.length == 0
    assert timeline.view().objects == {
        uid: (version,) for uid, version in world.current(world.at).items()
    }
