"""What the registration loop plans, from what is stored to effects in order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from controller.agents.registry import InvalidMandate
from controller.apis.conditions import Condition, ConditionStatus
from controller.apis.governance import Governance
from controller.apis.mandates import Mandate
from controller.clients.kube.client import Object
from controller.feeds.registry import (
    InvalidGovernance,
    Status,
    StoredGovernance,
    StoredMandate,
)
from controller.registration.subject import Target, UrlEndpoint
from reconcilers.plan import (
    CreateConfiguration,
    Plan,
    ReplaceConfiguration,
    View,
    WriteStatus,
    plan_governance,
    plan_registration,
)
from tests.builders import a_mandate, an_invalid_mandate

NOW = datetime(2026, 11, 24, 12, 0, 0, 250_000, tzinfo=UTC)
OWN = "system:serviceaccount:governor-system:governor"
TARGET = Target(UrlEndpoint("https://127.0.0.1:8443/validate"), b"CA")
NEW = Status(None, ())


def stored(content: Mandate | InvalidMandate, *, status: Status = NEW) -> StoredMandate:
    return StoredMandate(content.name, f"uid-of-{content.name}", 1, content, status)


def a_view(
    *mandates: StoredMandate,
    governance: Governance | None = None,
    stored_governance: StoredGovernance | None = None,
    configuration: Object | None = None,
) -> View:
    return View(mandates, governance or Governance(), stored_governance, configuration)


def plan(view: View, *, now: datetime = NOW) -> Plan:
    return plan_registration(view, own_usernames=[OWN], target=TARGET, now=now)


def carried_out(view: View, done: Plan) -> View:
    """What is stored afterwards."""
    configuration = view.configuration
    statuses: dict[str, Status] = {}
    for effect in done.effects:
        if isinstance(effect, WriteStatus):
            statuses[effect.of.name] = Status(effect.of.generation, effect.conditions)
        else:
            configuration = as_stored(effect.body)
    mandates = tuple(replace(m, status=statuses.get(m.name, m.status)) for m in view.mandates)
    return replace(view, mandates=mandates, configuration=configuration)


def as_stored(body: Object) -> Object:
    metadata = cast("dict[str, Any]", body["metadata"])
    held: Object = {**body, "metadata": {**metadata, "uid": "u", "resourceVersion": "7"}}
    if not held["webhooks"]:
        del held["webhooks"]  # as the API server leaves an empty list out
    return held


def said(done: Plan) -> dict[str, dict[str, str]]:
    """The conditions that are written, by name and type."""
    return {
        effect.of.name: {c.type: f"{c.status} {c.reason}" for c in effect.conditions}
        for effect in done.effects
        if isinstance(effect, WriteStatus)
    }


def message(done: Plan, name: str, type_: str) -> str:
    (found,) = [
        condition.message
        for effect in done.effects
        if isinstance(effect, WriteStatus) and effect.of.name == name
        for condition in effect.conditions
        if condition.type == type_
    ]
    return found


IN_FORCE = {
    "Ready": "True Registered",
    "Suspended": "False NotSuspended",
    "Conflict": "False NoConflict",
}


@pytest.mark.requirement("fail-closed.registration")
def test_a_mandate_becomes_ready_only_after_its_registration_is_stored() -> None:
    done = plan(a_view(stored(a_mandate())))
    assert [type(effect) for effect in done.effects] == [CreateConfiguration, WriteStatus]
    assert said(done) == {"migrator": IN_FORCE}
    assert done.selects_all


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(a_view(), id="nothing to govern"),
        pytest.param(a_view(stored(a_mandate())), id="a mandate"),
        pytest.param(a_view(stored(an_invalid_mandate())), id="an invalid one"),
        pytest.param(
            a_view(stored(a_mandate("one")), stored(a_mandate("two"))), id="two in conflict"
        ),
        pytest.param(
            a_view(governance=Governance(1, frozenset({"team-data"}))), id="a dedicated namespace"
        ),
    ],
)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do_ever_after(view: View) -> None:
    after = carried_out(view, plan(view))
    assert plan(after, now=NOW + timedelta(days=1)) == Plan((), selects_all=True)


def test_an_invalid_mandate_is_selected_refused_and_told_what_to_mend() -> None:
    broken = an_invalid_mandate(message="spec.rules[0].verbs: is required: add it")
    done = plan(a_view(stored(broken)))
    (create,) = [effect for effect in done.effects if isinstance(effect, CreateConfiguration)]
    assert broken.usernames[0] in str(create.body["webhooks"])
    assert said(done)["broken"] == {
        "Ready": "False Invalid",
        "Suspended": "Unknown Invalid",
        "Conflict": "False NoConflict",
    }
    assert message(done, "broken", "Ready") == broken.message


def test_a_subject_in_several_mandates_makes_none_of_them_ready_and_names_the_others() -> None:
    done = plan(
        a_view(
            stored(a_mandate("one", subjects=("a", "b"))),
            stored(a_mandate("two", subjects=("b", "c"))),
            stored(an_invalid_mandate("three", usernames=("c",))),
            stored(a_mandate("apart", subjects=("d",))),
        )
    )
    contested = {**IN_FORCE, "Ready": "False SubjectConflict", "Conflict": "True SubjectConflict"}
    assert said(done) == {
        "one": contested,
        "two": contested,
        "three": {
            "Ready": "False Invalid",
            "Suspended": "Unknown Invalid",
            "Conflict": "True SubjectConflict",
        },
        "apart": IN_FORCE,
    }
    assert message(done, "one", "Conflict").startswith("b is also a subject of two:")
    assert "c is also a subject of three" in message(done, "two", "Ready")


def test_a_long_list_of_rivals_is_cut() -> None:
    mandates = [stored(a_mandate(f"m-{n}", subjects=("a",))) for n in range(50)]
    assert "m-1, m-10, m-11 and 46 more" in message(plan(a_view(*mandates)), "m-0", "Conflict")


def test_governor_as_a_subject_is_told_which_field_to_mend() -> None:
    done = plan(a_view(stored(a_mandate(subjects=("a", OWN)))))
    assert said(done)["migrator"] == {**IN_FORCE, "Ready": "False Invalid"}
    assert message(done, "migrator", "Ready").startswith("spec.subjects[1]: ")


def test_a_suspended_mandate_is_ready_and_suspended() -> None:
    done = plan(a_view(stored(a_mandate(suspended=True))))
    assert said(done)["migrator"] == {**IN_FORCE, "Suspended": "True Suspended"}


def test_a_transition_time_is_kept_until_the_status_changes() -> None:
    view = a_view(stored(a_mandate()))
    after = carried_out(view, plan(view))
    suspended = replace(
        after.mandates[0], content=a_mandate(suspended=True, generation=2), generation=2
    )
    later = NOW + timedelta(hours=1)
    done = plan(replace(after, mandates=(suspended,)), now=later)
    (write,) = done.effects
    assert isinstance(write, WriteStatus)
    assert {(c.type, c.last_transition_time, c.observed_generation) for c in write.conditions} == {
        ("Ready", NOW.replace(microsecond=0), 2),
        ("Conflict", NOW.replace(microsecond=0), 2),
        ("Suspended", later.replace(microsecond=0), 2),
    }


def test_conditions_of_others_are_neither_written_nor_a_reason_to_write() -> None:
    view = a_view(stored(a_mandate()))
    after = carried_out(view, plan(view))
    theirs = Condition(
        type="Audited",
        status=ConditionStatus.TRUE,
        reason="ByTheirs",
        message="",
        last_transition_time=NOW,
    )
    held = after.mandates[0].status
    status = Status(held.observed_generation, (theirs, *held.conditions))
    with_theirs = replace(after, mandates=(replace(after.mandates[0], status=status),))
    assert plan(with_theirs).effects == ()
    newer = replace(with_theirs.mandates[0], generation=2)
    (write,) = plan(replace(with_theirs, mandates=(newer,))).effects
    assert isinstance(write, WriteStatus)
    assert "Audited" not in {condition.type for condition in write.conditions}


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"webhooks": []}, id="emptied"),
        pytest.param({"metadata": {"labels": {}}}, id="label removed"),
    ],
)
def test_what_was_edited_is_replaced_whole_and_only_the_version_that_was_seen(
    edit: dict[str, Any],
) -> None:
    view = a_view(stored(a_mandate()))
    after = carried_out(view, plan(view))
    configuration = cast("dict[str, Any]", after.configuration)
    others = {
        "name": "governor-subject",
        "uid": "u",
        "resourceVersion": "9",
        "labels": {**configuration["metadata"]["labels"], "team": "platform"},
        "annotations": {"note": "theirs"},
        "managedFields": [{"manager": "them"}],
    }
    metadata = {**others, **edit.get("metadata", {})}
    edited = {**configuration, **edit, "metadata": metadata}
    (effect,) = plan(replace(after, configuration=edited)).effects
    assert isinstance(effect, ReplaceConfiguration)
    assert effect.body["webhooks"] == configuration["webhooks"]
    kept = cast("dict[str, Any]", effect.body["metadata"])
    assert kept["resourceVersion"] == "9"
    assert kept["annotations"] == {"note": "theirs"}
    assert kept["labels"]["app.kubernetes.io/managed-by"] == "governor"
    assert "managedFields" not in kept


def test_more_than_can_be_registered_leaves_the_last_registration_and_says_so() -> None:
    subjects = tuple(f"user-{'x' * 100}-{n}" for n in range(15_000))
    view = a_view(stored(a_mandate(subjects=subjects)), configuration={"webhooks": ["last"]})
    done = plan(view)
    assert not done.selects_all
    assert [type(effect) for effect in done.effects] == [WriteStatus]
    assert said(done)["migrator"]["Ready"] == "False Pending"
    assert "can be stored" in message(done, "migrator", "Ready")


def test_a_governance_in_force_and_an_invalid_one_are_told_apart() -> None:
    valid = StoredGovernance("cluster", "u", 3, Governance(3), NEW)
    invalid = replace(valid, content=InvalidGovernance("spec.dedicatedNamespaces[0]: no"))
    assert said(plan(a_view(stored_governance=valid))) == {"cluster": {"Ready": "True Registered"}}
    done = plan(a_view(stored_governance=invalid))
    assert said(done) == {"cluster": {"Ready": "False Invalid"}}
    assert message(done, "cluster", "Ready").endswith("spec.dedicatedNamespaces[0]: no")
    assert [type(e) for e in plan_governance(invalid, now=NOW)] == [WriteStatus]
    assert plan_governance(None, now=NOW) == ()
