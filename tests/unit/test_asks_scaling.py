"""What a scale and an autoscaler ask for: of their target, and of nothing else."""

from dataclasses import replace

import pytest

from controller.apis.json import Json
from controller.apis.requests import Target
from controller.apis.resources import Amounts
from controller.asks.asked import NOTHING_ASKED, AskProblem, asked_by
from tests.asking import (
    AUTOSCALERS,
    ROLLING,
    SCALABLE,
    STATEFUL_SETS,
    Object,
    a_container,
    an_autoscaler,
    around,
    at_rest,
    creating,
    scaling,
    sides,
    units,
    updating,
)

pytestmark = pytest.mark.requirement("never-oversold.asks")

BIG = a_container("200m", "1Gi")
NONE: Amounts = {}


@pytest.mark.parametrize("target", SCALABLE, ids=lambda target: target.resource)
def test_a_scale_asks_for_the_pods_of_what_it_scales(target: Target) -> None:
    stored = at_rest(BIG, target=target, owner="migrator")
    asked = asked_by(scaling(4, 6, target), around(scaled=stored))
    assert sides(asked) == (units(4, cpu=200), units(6, cpu=200))
    assert (asked.unit, asked.field, asked.owner) == (
        units(1, cpu=200),
        "spec.replicas",
        "migrator",
    )


def test_a_scale_without_replicas_asks_for_none() -> None:
    assert sides(asked_by(scaling(4, None), around(scaled=at_rest()))) == (units(4), {})
    assert sides(asked_by(scaling(None, 4), around(scaled=at_rest()))) == (NONE, units(4))


def test_a_scale_during_a_rollout_asks_for_the_surge() -> None:
    assert sides(asked_by(scaling(8, 4), around(scaled=at_rest(status=ROLLING)))) == (
        units(10),
        units(5),
    )


def test_a_scale_of_what_is_gone_is_not_guessed() -> None:
    problem = asked_by(scaling(4, 6), around()).problem
    assert problem == AskProblem("", "the object to be scaled is not there any more")


def test_a_scale_that_cannot_be_read_is_a_problem() -> None:
    problem = asked_by(scaling(4, "6"), around(scaled=at_rest())).problem
    assert problem is not None
    assert problem.field == "spec.replicas"


def test_a_scale_of_a_kind_that_is_not_counted_asks_for_nothing() -> None:
    custom = Target("example.com", "v1", "Model", "models")
    assert asked_by(scaling(1, 9, custom), around()) == NOTHING_ASKED


def raising(most: Json, *, owner: str = "", before: Json = None) -> tuple[Object | None, Object]:
    old = None if before is None else an_autoscaler(before, owner=owner)
    return old, an_autoscaler(most, owner=owner)


@pytest.mark.parametrize(
    ("before", "most", "holder", "owner", "expected"),
    [
        pytest.param(None, 10, "migrator", "migrator", (NONE, units(6)), id="adds to one's own"),
        pytest.param(
            None, 3, "migrator", "migrator", (NONE, NONE), id="adds nothing to what is there"
        ),
        pytest.param(10, 12, "migrator", "migrator", (units(6), units(8)), id="may add more"),
        pytest.param(12, 10, "migrator", "migrator", (units(8), units(6)), id="may add less"),
        pytest.param(None, 10, "migrator", "other", (NONE, units(10)), id="all of another's"),
        pytest.param(None, 10, "migrator", "", (NONE, units(10)), id="all of nobody's"),
        pytest.param(
            None, 3, "migrator", "", (NONE, units(4)), id="all there is, though most is less"
        ),
        pytest.param(10, 12, "", "", (units(10), units(12)), id="nobody's on nobody's"),
    ],
)
def test_an_autoscaler_asks_for_what_it_may_add(
    before: Json, most: Json, holder: str, owner: str, expected: tuple[Amounts, Amounts]
) -> None:
    old, new = raising(most, owner=holder, before=before)
    request = creating(new, AUTOSCALERS) if old is None else updating(old, new, AUTOSCALERS)
    asked = asked_by(request, around(scaled=at_rest(owner=owner)))
    assert sides(asked) == expected
    assert (asked.field, asked.unit) == ("spec.maxReplicas", units(1))


def test_an_autoscaler_that_turns_to_another_target_asks_for_all_of_that() -> None:
    old = an_autoscaler(10, name="old", owner="migrator")
    new = an_autoscaler(10, owner="migrator")
    asked = asked_by(updating(old, new, AUTOSCALERS), around(scaled=at_rest(owner="migrator")))
    assert sides(asked) == (NONE, units(6))


def test_an_update_of_an_autoscaler_is_judged_by_the_stored_label() -> None:
    """So that `/mutate`, which writes the label, and `/validate` see the same raise."""
    old, adopted = an_autoscaler(5), an_autoscaler(10, owner="migrator")
    scaled = at_rest(owner="migrator")
    unlabelled = asked_by(updating(old, an_autoscaler(10), AUTOSCALERS), around(scaled=scaled))
    labelled = asked_by(updating(old, adopted, AUTOSCALERS), around(scaled=scaled))
    assert labelled == unlabelled


def test_an_autoscaler_without_a_target_asks_for_nothing_yet() -> None:
    asked = asked_by(creating(an_autoscaler(), AUTOSCALERS), around())
    assert sides(asked) == (NONE, NONE)


def test_what_an_autoscaler_may_raise_counts_as_raised() -> None:
    known = around(autoscalers=(an_autoscaler(10), an_autoscaler(7)))
    assert sides(asked_by(creating(at_rest(status=None)), known)) == (NONE, units(10))
    assert sides(asked_by(updating(at_rest(), at_rest(BIG)), known)) == (
        units(10),
        units(13, cpu=200),
    )
    assert sides(asked_by(updating(at_rest(), at_rest(replicas=12)), known)) == (
        units(10),
        units(12),
    )
    scaled = replace(known, scaled=at_rest())
    assert sides(asked_by(scaling(4, 12), scaled)) == (units(10), units(12))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(an_autoscaler(name="other"), id="another name"),
        pytest.param(an_autoscaler(owner="other"), id="another agent's"),
        pytest.param(an_autoscaler(target=STATEFUL_SETS), id="another kind"),
        pytest.param(
            an_autoscaler(target=Target("example.com", "v1", "Deployment", "deployments")),
            id="another group",
        ),
        pytest.param({"spec": 7}, id="one that cannot be read"),
    ],
)
def test_autoscalers_of_others_do_not_count(other: Object) -> None:
    asked = asked_by(creating(at_rest(status=None)), around(autoscalers=(other,)))
    assert sides(asked) == (NONE, units(4))


@pytest.mark.parametrize(
    ("replicas", "before", "after"),
    [
        pytest.param(4, 4, 4, id="touched: nothing is asked"),
        pytest.param(3, 4, 3, id="lowered: nothing is asked"),
        pytest.param(5, 4, 10, id="raised: all that it may become"),
    ],
)
def test_of_a_persons_object_only_a_raise_answers_for_its_autoscaler(
    replicas: int, before: int, after: int
) -> None:
    known = around(autoscalers=(an_autoscaler(10),))
    old, new = at_rest(replicas=4), at_rest(replicas=replicas)
    asked = asked_by(updating(old, new), known, agent="migrator")
    assert sides(asked) == (units(before), units(after))
