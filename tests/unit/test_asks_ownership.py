"""Whose an object is, and whose it will be."""

import pytest

from controller.apis.json import Json
from controller.apis.requests import Operation
from controller.asks.ownership import controller_of, owner_after, owner_of
from controller.asks.values import Asked
from tests.asking import DEPLOYMENTS, Object, a_workload, creating, scaling, units, updating
from tests.builders import a_request

pytestmark = pytest.mark.requirement("never-oversold.asks")

RAISED = Asked(before=units(1), after=units(2))
KEPT = Asked(before=units(2), after=units(2))
LOWERED = Asked(before=units(2), after=units(1))


def labelled(labels: Json) -> Object:
    return {"metadata": {"labels": labels}}


@pytest.mark.parametrize(
    ("obj", "owner"),
    [
        pytest.param(labelled({"governor.dev/agent": "migrator"}), "migrator", id="by its label"),
        pytest.param(labelled({"governor.dev/agent": ""}), "", id="an empty one"),
        pytest.param(labelled({"governor.dev/agent": 7}), "", id="a number"),
        pytest.param(labelled({"agent": "migrator"}), "", id="another label"),
        pytest.param(labelled("governor.dev/agent"), "", id="no labels"),
        pytest.param({"metadata": 7}, "", id="no metadata"),
        pytest.param({}, "", id="nothing at all"),
        pytest.param(None, "", id="no object"),
    ],
)
def test_an_object_belongs_to_the_agent_that_its_label_names(
    obj: Object | None, owner: str
) -> None:
    assert owner_of(obj) == owner


@pytest.mark.parametrize(
    ("references", "uid"),
    [
        pytest.param([{"uid": "a"}, {"uid": "b", "controller": True}], "b", id="the controller"),
        pytest.param([{"uid": "a"}], "", id="an owner that does not control"),
        pytest.param([{"uid": "a", "controller": False}], "", id="one that says so"),
        pytest.param([{"uid": "a", "controller": 1}], "", id="1 is not true"),
        pytest.param([{"uid": 7, "controller": True}], "", id="no uid"),
        pytest.param([7, None], "", id="no references"),
        pytest.param({"uid": "a", "controller": True}, "", id="no list"),
        pytest.param(None, "", id="none"),
    ],
)
def test_only_the_controlling_owner_made_an_object(references: Json, uid: str) -> None:
    assert controller_of({"metadata": {"ownerReferences": references}}) == uid


def test_a_create_is_the_agents_whatever_its_label_says() -> None:
    request = creating(a_workload(owner="somebody"))
    assert owner_after(request, agent="migrator", asked=KEPT) == "migrator"


@pytest.mark.parametrize(
    ("stored", "asked", "owner"),
    [
        pytest.param("", RAISED, "migrator", id="raising what is nobody's adopts it"),
        pytest.param("other", RAISED, "migrator", id="raising what is another's adopts it"),
        pytest.param("migrator", RAISED, "migrator", id="raising one's own keeps it"),
        pytest.param("", KEPT, "", id="what asks no more stays nobody's"),
        pytest.param("other", LOWERED, "other", id="lowering leaves it to whom it belongs"),
        pytest.param("migrator", LOWERED, "migrator", id="lowering does not get rid of it"),
    ],
)
def test_an_update_keeps_the_owner_unless_it_raises(stored: str, asked: Asked, owner: str) -> None:
    request = updating(a_workload(owner=stored), a_workload(owner="forged"))
    assert owner_after(request, agent="migrator", asked=asked) == owner


def test_one_resource_that_rises_adopts_though_others_fall() -> None:
    asked = Asked(before={"cpu": 1000, "memory": 2**30}, after={"cpu": 1, "memory": 2**40})
    request = updating(a_workload(), a_workload())
    assert owner_after(request, agent="migrator", asked=asked) == "migrator"


def test_no_subresource_adopts_since_it_keeps_no_label() -> None:
    raised = Asked(before=units(1), after=units(2), owner="other")
    assert owner_after(scaling(1, 2), agent="migrator", asked=raised) == "other"
    request = updating(a_workload(owner="other"), a_workload(owner="mine"), under="status")
    assert owner_after(request, agent="migrator", asked=RAISED) == "other"


def test_a_delete_changes_no_owner() -> None:
    request = a_request(Operation.DELETE, target=DEPLOYMENTS, old=a_workload(owner="other"))
    assert owner_after(request, agent="migrator", asked=LOWERED) == "other"
