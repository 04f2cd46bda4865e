"""What a view proves about one write: by its uid, its direct successor, or other writes."""

import pytest

from controller.accounts.entries import Action, Entry, Outcome
from controller.accounts.evidence import judge, judge_overdue
from controller.accounts.views import KindView, Version
from tests.account_builders import (
    PODS,
    a_create,
    a_delete,
    a_scale,
    a_version,
    a_view,
    an_entry,
    content_of,
)

BASE = a_version(10, "earlier")
"""What the writes below were validated against."""
ENDING = a_version(10, "earlier", is_ending=True)
GONE = a_version(20, "earlier", is_deleted=True)
MINE = a_version(20, "mine")
THEIRS = a_version(20, "theirs")

OTHER_OBJECT = a_version(20, "theirs", uid="web-2")

CREATES = [
    pytest.param(a_view(MINE), None, Outcome.PERSISTED, id="its uid is there"),
    pytest.param(
        a_view(a_version(20)), None, Outcome.PERSISTED, id="its uid is there, the stamp stripped"
    ),
    pytest.param(
        a_view(a_version(30, "mine", is_deleted=True)),
        None,
        Outcome.PERSISTED,
        id="its uid was there and ended",
    ),
    pytest.param(a_view(), None, None, id="nothing is there"),
    pytest.param(a_view(OTHER_OBJECT), None, None, id="another object has its name"),
    pytest.param(
        a_view(), an_entry("later", version=50), Outcome.PERSISTED, id="another write met it"
    ),
    pytest.param(
        a_view(), an_entry("later", version=101), None, id="another write met it beyond the view"
    ),
    pytest.param(
        a_view(), an_entry("later", version=50, kind=PODS), None, id="a write of another kind"
    ),
    pytest.param(a_view(), a_create("later", uid="web-1"), None, id="a create of the same uid"),
]


@pytest.mark.requirement("record-before-effect.evidence")
@pytest.mark.parametrize(("view", "other", "outcome"), CREATES)
def test_what_proves_a_create(view: KindView, other: Entry | None, outcome: Outcome | None) -> None:
    pending = (a_create(), other) if other else (a_create(),)
    assert judge(a_create(), view, pending) is outcome


def test_a_create_without_a_uid_is_proven_by_nothing() -> None:
    entry = a_create(uid="")
    assert judge(entry, a_view(a_version(20, uid="")), (entry, an_entry("b", uid=""))) is None


UPDATES = [
    pytest.param(a_view(BASE), None, id="nothing followed"),
    pytest.param(a_view(BASE, listed_at=10), None, id="nothing followed what was listed"),
    pytest.param(a_view(listed_at=5, seen_to=5), None, id="the view has not come so far"),
    pytest.param(a_view(BASE, MINE), Outcome.PERSISTED, id="it followed"),
    pytest.param(
        a_view(BASE, MINE, a_version(30, "theirs")), Outcome.PERSISTED, id="it followed, then more"
    ),
    pytest.param(a_view(BASE, THEIRS), Outcome.LOST, id="another write followed"),
    pytest.param(
        a_view(BASE, a_version(20, "mine", digest="with defaults, or planted")),
        Outcome.UNKNOWN,
        id="its id followed on other content",
    ),
    pytest.param(
        a_view(BASE, a_version(20, "mine", digest="with defaults"), a_version(30, "theirs")),
        Outcome.UNKNOWN,
        id="its id followed on other content, then more",
    ),
    pytest.param(
        a_view(BASE, THEIRS, a_version(30, "mine", digest="planted")),
        Outcome.LOST,
        id="another write followed, and later its id",
    ),
    pytest.param(
        a_view(BASE, a_version(20, "mine", is_deleted=True)),
        Outcome.UNKNOWN,
        id="a deletion followed that shows what nothing was seen to store",
    ),
    pytest.param(
        a_view(BASE, a_version(20, "", digest=content_of("mine"))),
        Outcome.LOST,
        id="its content followed without its id",
    ),
    pytest.param(
        a_view(BASE, THEIRS, a_version(30, "mine")),
        Outcome.LOST,
        id="its content came back later, by an undo",
    ),
    pytest.param(a_view(BASE, GONE), Outcome.LOST, id="the deletion followed"),
    pytest.param(
        a_view(BASE, MINE, listed_at=10), Outcome.PERSISTED, id="it followed what was listed"
    ),
    pytest.param(a_view(MINE, listed_at=9), Outcome.PERSISTED, id="it followed, all being watched"),
    pytest.param(a_view(THEIRS, listed_at=20), Outcome.UNKNOWN, id="a list skipped versions"),
    pytest.param(
        a_view(a_version(8), THEIRS, listed_at=15),
        Outcome.UNKNOWN,
        id="the list does not hold what it was validated against",
    ),
    pytest.param(a_view(THEIRS, listed_at=15), Outcome.UNKNOWN, id="the list held nothing"),
    pytest.param(a_view(listed_at=20), Outcome.UNKNOWN, id="it ended before the list"),
    pytest.param(a_view(MINE, listed_at=20), Outcome.PERSISTED, id="the list shows it"),
    pytest.param(
        a_view(THEIRS, a_version(30, "mine"), listed_at=20),
        Outcome.PERSISTED,
        id="an undo after the list shows it",
    ),
    pytest.param(
        a_view(a_version(20, "mine", digest="planted"), listed_at=20),
        Outcome.UNKNOWN,
        id="the list shows its id on other content",
    ),
    pytest.param(a_view(ENDING, MINE), Outcome.PERSISTED, id="it followed while ending"),
    pytest.param(a_view(ENDING, GONE), Outcome.GONE, id="the end followed while ending"),
    pytest.param(
        a_view(ENDING, THEIRS),
        Outcome.UNKNOWN,
        id="another followed while ending: its deletion may yet come",
    ),
]


@pytest.mark.requirement("record-before-effect.evidence")
@pytest.mark.parametrize(("view", "outcome"), UPDATES)
def test_what_proves_an_update(view: KindView, outcome: Outcome | None) -> None:
    assert judge(an_entry(), view, (an_entry(),)) is outcome


ACROSS_A_GAP = [
    pytest.param(
        an_entry("later", version=15, old_change="mine", old_digest=content_of("mine")),
        Outcome.PERSISTED,
        id="another write was validated against it",
    ),
    pytest.param(a_delete("later", version=15), Outcome.UNKNOWN, id="a delete met something else"),
    pytest.param(
        an_entry("later", version=15, old_change="mine", old_digest="planted"),
        Outcome.UNKNOWN,
        id="another write met its id on other content",
    ),
    pytest.param(
        an_entry("later", uid="web-2", old_change="mine", old_digest=content_of("mine")),
        Outcome.UNKNOWN,
        id="its id was met on another object",
    ),
    pytest.param(an_entry("theirs"), Outcome.LOST, id="a rival of the same version won"),
    pytest.param(
        an_entry("theirs", digest="other"), Outcome.UNKNOWN, id="a rival's id, on other content"
    ),
    pytest.param(
        an_entry("theirs", version=15),
        Outcome.UNKNOWN,
        id="the winner is no rival, but a successor",
    ),
    pytest.param(
        an_entry("theirs", action=Action.VALUE),
        Outcome.UNKNOWN,
        id="the rival leaves no stamp, so it is not shown to have won",
    ),
]


@pytest.mark.requirement("record-before-effect.evidence")
@pytest.mark.parametrize(("other", "outcome"), ACROSS_A_GAP)
def test_what_other_writes_tell_of_an_update_across_a_gap(other: Entry, outcome: Outcome) -> None:
    view = a_view(THEIRS, listed_at=20)
    assert judge(an_entry(), view, (an_entry(), other)) is outcome


def test_across_a_gap_no_rival_is_shown_to_have_won_over_a_deletion() -> None:
    view = a_view(a_version(20, "theirs", is_ending=True), listed_at=20)
    pending = (an_entry(), an_entry("theirs"))
    assert judge(an_entry(), view, pending) is Outcome.UNKNOWN


def test_across_a_gap_no_rival_is_shown_to_have_won_where_the_writes_own_id_is_seen() -> None:
    reshaped = a_version(30, "mine", digest="with defaults")
    pending = (an_entry(), an_entry("theirs"))
    assert judge(an_entry(), a_view(THEIRS, reshaped, listed_at=20), pending) is Outcome.UNKNOWN


DELETES = [
    pytest.param(a_view(BASE), None, id="nothing followed"),
    pytest.param(a_view(BASE, GONE), Outcome.GONE, id="the deletion followed"),
    pytest.param(
        a_view(BASE, a_version(20, "earlier", is_ending=True)),
        Outcome.GONE,
        id="the deletion began",
    ),
    pytest.param(a_view(BASE, THEIRS), Outcome.LOST, id="another write followed"),
    pytest.param(
        a_view(BASE, THEIRS, a_version(30, is_deleted=True)),
        Outcome.LOST,
        id="another write followed, then a deletion",
    ),
    pytest.param(a_view(ENDING, GONE), Outcome.GONE, id="the end followed while ending"),
    pytest.param(
        a_view(ENDING, a_version(20, "earlier", is_ending=True)),
        Outcome.UNKNOWN,
        id="it may have shortened the grace period",
    ),
    pytest.param(a_view(THEIRS, listed_at=20), Outcome.UNKNOWN, id="a list skipped versions"),
    pytest.param(a_view(listed_at=20), Outcome.UNKNOWN, id="it ended before the list"),
]


@pytest.mark.requirement("record-before-effect.evidence")
@pytest.mark.parametrize(("view", "outcome"), DELETES)
def test_what_proves_a_delete_and_never_by_whom(view: KindView, outcome: Outcome | None) -> None:
    assert judge(a_delete(), view, (a_delete(),)) is outcome


THREE = a_version(20, "earlier", value="replicas:3")

SCALES = [
    pytest.param(a_view(BASE), None, id="nothing followed"),
    pytest.param(a_view(BASE, THREE), Outcome.MATCHES, id="the size followed"),
    pytest.param(
        a_view(BASE, a_version(20, value="replicas:4")), Outcome.LOST, id="another size followed"
    ),
    pytest.param(
        a_view(BASE, a_version(20, value="replicas:4"), a_version(30, value="replicas:3")),
        Outcome.LOST,
        id="the size came later",
    ),
    pytest.param(a_view(BASE, a_version(20)), Outcome.UNKNOWN, id="what followed names no size"),
    pytest.param(a_view(BASE, GONE), Outcome.LOST, id="the deletion followed"),
    pytest.param(a_view(ENDING, GONE), Outcome.GONE, id="the end followed while ending"),
    pytest.param(
        a_view(ENDING, a_version(20, value="replicas:4")),
        Outcome.UNKNOWN,
        id="another size followed while ending",
    ),
    pytest.param(a_view(THREE, listed_at=20), Outcome.UNKNOWN, id="a list skipped versions"),
]


@pytest.mark.requirement("record-before-effect.evidence")
@pytest.mark.parametrize(("view", "outcome"), SCALES)
def test_what_matches_a_scale_and_never_by_whom(view: KindView, outcome: Outcome | None) -> None:
    assert judge(a_scale(to=3), view, (a_scale(to=3),)) is outcome


BY_CONTENT = [
    pytest.param(a_version(20, "earlier", digest="sent"), Outcome.MATCHES, id="as it was sent"),
    pytest.param(
        a_version(20, "earlier", digest="another"),
        Outcome.UNKNOWN,
        id="other content under the stamp that it leaves",
    ),
    pytest.param(
        a_version(20, "", digest="another"), Outcome.UNKNOWN, id="other content under no stamp"
    ),
    pytest.param(
        a_version(20, "theirs", digest="another"),
        Outcome.LOST,
        id="other content under another write's stamp",
    ),
    pytest.param(
        a_version(20, "theirs", digest="sent"),
        Outcome.MATCHES,
        id="as it was sent, under another write's stamp",
    ),
    pytest.param(
        a_version(20, "earlier", digest=""), Outcome.UNKNOWN, id="nothing to compare with"
    ),
    pytest.param(GONE, Outcome.LOST, id="the deletion"),
]


@pytest.mark.requirement("record-before-effect.evidence")
@pytest.mark.parametrize(("successor", "outcome"), BY_CONTENT)
def test_a_write_whose_only_trace_is_its_content_is_lost_to_another_stamp_only(
    successor: Version, outcome: Outcome
) -> None:
    entry = an_entry(action=Action.VALUE, digest="sent", old_change="earlier")
    assert judge(entry, a_view(BASE, successor), (entry,)) is outcome


def test_a_write_of_which_no_content_is_known_matches_nothing() -> None:
    entry = an_entry(action=Action.VALUE, digest="")
    assert judge(entry, a_view(BASE, a_version(20, digest="")), (entry,)) is Outcome.UNKNOWN


@pytest.mark.parametrize("action", [Action.UNTRACED, Action.NOTHING, Action.UPDATE])
def test_an_entry_without_a_uid_is_not_judged(action: Action) -> None:
    entry = an_entry(action=action, uid="")
    assert judge(entry, a_view(listed_at=50), (entry,)) is None


def test_a_stampless_version_proves_no_change_without_an_id() -> None:
    entry = an_entry("", digest=content_of(""))
    assert judge(entry, a_view(BASE, a_version(20)), (entry,)) is Outcome.LOST


OVERDUE = [
    pytest.param(a_create(version=10), a_view(listed_at=10), Outcome.LOST, id="all was watched"),
    pytest.param(
        a_create(version=10), a_view(listed_at=11), Outcome.UNKNOWN, id="a list came between"
    ),
    pytest.param(
        a_create(version=0),
        a_view(listed_at=0),
        Outcome.UNKNOWN,
        id="its kind was not watched when it was granted",
    ),
    pytest.param(an_entry(), a_view(BASE), Outcome.LOST, id="an update left no trace"),
    pytest.param(a_delete(), a_view(BASE), Outcome.LOST, id="a delete left no trace"),
    pytest.param(a_scale(), a_view(BASE), Outcome.LOST, id="a scale left no trace"),
    pytest.param(an_entry(), a_view(), Outcome.UNKNOWN, id="its object is nowhere"),
    pytest.param(an_entry(uid=""), a_view(BASE), Outcome.UNKNOWN, id="its object is not known"),
    pytest.param(
        an_entry(), a_view(a_version(9)), Outcome.UNKNOWN, id="its version was never seen"
    ),
]


@pytest.mark.requirement("record-before-effect.evidence")
@pytest.mark.parametrize(("entry", "view", "outcome"), OVERDUE)
def test_what_the_clock_leaves_to_say(entry: Entry, view: KindView, outcome: Outcome) -> None:
    assert judge_overdue(entry, view) is outcome
