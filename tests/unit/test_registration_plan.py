"""What the registration loop plans, from what is stored to effects in order."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from controller.accounts.account import Fence
from controller.agents.registry import InvalidMandate
from controller.apis.conditions import Condition, ConditionStatus
from controller.apis.governance import Governance
from controller.apis.mandates import Mandate
from controller.apis.pricebooks import PriceBook
from controller.clients.kube.client import Object
from controller.clients.kube.resources import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS, Resource
from controller.feeds.registry import (
    InvalidGovernance,
    InvalidPriceBook,
    Status,
    StoredGovernance,
    StoredMandate,
    StoredPriceBook,
)
from controller.registration.subject import Target, UrlEndpoint
from reconcilers.plan import (
    CreateConfiguration,
    Plan,
    ReplaceConfiguration,
    View,
    WriteStatus,
    plan_governance,
    plan_prices,
    plan_registration,
)
from tests.builders import a_mandate, an_invalid_mandate

NOW = datetime(2026, 11, 24, 12, 0, 0, 250_000, tzinfo=UTC)
OWN = "system:serviceaccount:governor-system:governor"
TARGET = Target(UrlEndpoint("https://127.0.0.1:8443"), b"CA")
NEW = Status(None, ())


def stored(content: Mandate | InvalidMandate, *, status: Status = NEW) -> StoredMandate:
    return StoredMandate(content.name, f"uid-of-{content.name}", 1, content, status)


def a_view(
    *mandates: StoredMandate,
    governance: Governance | None = None,
    stored_governance: StoredGovernance | None = None,
    fences: Mapping[str, Fence] | None = None,
) -> View:
    """By default nothing is registered yet, and every Account is fenced as its mandate says."""
    taken_over = {one.name: a_fence(one) for one in mandates}
    return View(
        mandates,
        governance or Governance(),
        stored_governance,
        validating=None,
        mutating=None,
        fences=taken_over if fences is None else fences,
    )


def a_fence(of: StoredMandate, **otherwise: Any) -> Fence:  # noqa: ANN401 - any field of Fence
    suspended = isinstance(of.content, Mandate) and of.content.suspended
    return replace(Fence(of.uid, of.generation, suspended), **otherwise)


def plan(view: View, *, now: datetime = NOW) -> Plan:
    return plan_registration(view, own_usernames=[OWN], target=TARGET, now=now)


def carried_out(view: View, done: Plan) -> View:
    """What is stored afterwards."""
    after = view
    statuses: dict[str, Status] = {}
    for effect in done.effects:
        if isinstance(effect, WriteStatus):
            statuses[effect.of.name] = Status(effect.of.generation, effect.conditions)
        else:
            after = with_half(after, effect.resource, as_stored(effect.body))
    mandates = tuple(replace(m, status=statuses.get(m.name, m.status)) for m in view.mandates)
    return replace(after, mandates=mandates)


HALVES = [
    pytest.param(VALIDATING_WEBHOOKS, id="validating"),
    pytest.param(MUTATING_WEBHOOKS, id="mutating"),
]


def half(view: View, of: Resource) -> dict[str, Any]:
    """One of the two configurations, which is stored."""
    stored_half = view.validating if of is VALIDATING_WEBHOOKS else view.mutating
    return cast("dict[str, Any]", stored_half)


def with_half(view: View, of: Resource, configuration: Object | None) -> View:
    """The view with another configuration of that kind."""
    if of is VALIDATING_WEBHOOKS:
        return replace(view, validating=configuration)
    return replace(view, mutating=configuration)


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


def order(done: Plan) -> list[Resource | str]:
    """What is written, in order: a configuration's resource, or the name of whose status."""
    return [e.of.name if isinstance(e, WriteStatus) else e.resource for e in done.effects]


@pytest.mark.requirement("fail-closed.registration")
def test_a_mandate_becomes_ready_only_after_its_registration_is_stored() -> None:
    done = plan(a_view(stored(a_mandate())))
    assert order(done) == [VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS, "migrator"]
    assert said(done) == {"migrator": IN_FORCE}
    assert done.selects_all


@pytest.mark.requirement("fail-closed.registration")
@pytest.mark.parametrize("lost", HALVES)
def test_each_half_of_the_registration_is_restored_by_itself(lost: Resource) -> None:
    view = a_view(stored(a_mandate()))
    whole = carried_out(view, plan(view))
    (create,) = plan(with_half(whole, lost, None)).effects
    assert isinstance(create, CreateConfiguration)
    assert create.resource is lost
    assert create.body["kind"] == lost.kind
    assert create.body["webhooks"] == half(whole, lost)["webhooks"]


# --- what relies on the Account ----------------------------------------------------------------


@pytest.mark.requirement("fail-closed.registration")
@pytest.mark.parametrize(
    ("fence", "says"),
    [
        pytest.param(None, "there is no readable Account migrator yet", id="no Account"),
        pytest.param(
            {"mandate_uid": "older"}, "belongs to an earlier mandate", id="of an earlier mandate"
        ),
        pytest.param(
            {"generation": 6}, "holds generation 6 and not yet 7", id="of an earlier generation"
        ),
    ],
)
def test_a_mandate_is_pending_until_its_account_is_fenced_to_it(
    fence: dict[str, Any] | None, says: str
) -> None:
    newest = replace(stored(a_mandate()), generation=7)
    fences = {} if fence is None else {"migrator": a_fence(newest, **fence)}
    done = plan(a_view(newest, fences=fences))
    assert said(done)["migrator"]["Ready"] == "False Pending"
    assert says in message(done, "migrator", "Ready")
    # The agent is selected all the same: nothing waits for its Account but the claim.
    assert order(done)[:2] == [VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS]
    assert done.selects_all


@pytest.mark.requirement("fail-closed.registration")
def test_an_account_that_is_ahead_of_the_watch_makes_its_mandate_ready() -> None:
    seen = stored(a_mandate())
    ahead = {"migrator": a_fence(seen, generation=2)}
    assert said(plan(a_view(seen, fences=ahead))) == {"migrator": IN_FORCE}


SUSPENSIONS = [
    pytest.param(True, (7, True), "True Suspended", 7, id="taken over"),
    pytest.param(False, (7, False), "False NotSuspended", 7, id="never suspended"),
    pytest.param(True, (6, False), "False Pending", 6, id="wished and not taken over"),
    pytest.param(False, (6, True), "True Suspended", 6, id="resumed and not taken over"),
    pytest.param(True, (6, True), "True Suspended", 6, id="suspended since an earlier generation"),
    pytest.param(False, (6, False), "False NotSuspended", 6, id="an earlier generation, the same"),
    pytest.param(True, (8, False), "False NotSuspended", 8, id="resumed already, not heard yet"),
]


@pytest.mark.requirement("fail-closed.registration")
@pytest.mark.parametrize(("wish", "fenced", "says", "generation"), SUSPENSIONS)
def test_suspended_is_what_the_fence_says_and_of_the_generation_that_it_says_it_of(
    *, wish: bool, fenced: tuple[int, bool], says: str, generation: int
) -> None:
    newest = replace(stored(a_mandate(suspended=wish)), generation=7)
    fence = Fence(newest.uid, *fenced)
    done = plan(a_view(newest, fences={"migrator": fence}))
    assert said(done)["migrator"]["Suspended"] == says
    (seen,) = [
        condition.observed_generation
        for effect in done.effects
        if isinstance(effect, WriteStatus)
        for condition in effect.conditions
        if condition.type == "Suspended"
    ]
    assert seen == generation
    assert carried_out_again(a_view(newest, fences={"migrator": fence})) == ()


def carried_out_again(view: View) -> tuple[object, ...]:
    return plan(carried_out(view, plan(view)), now=NOW + timedelta(days=1)).effects


@pytest.mark.parametrize("of", ["no account", "an earlier mandate"])
def test_whether_an_agent_without_account_is_suspended_is_unknown(of: str) -> None:
    wished = stored(a_mandate(suspended=True))
    earlier = {"migrator": a_fence(wished, mandate_uid="older", suspended=True)}
    done = plan(a_view(wished, fences={} if of == "no account" else earlier))
    assert said(done)["migrator"]["Suspended"] == "Unknown Pending"


def test_while_no_account_is_known_agents_are_selected_and_no_mandate_is_spoken_of() -> None:
    view = replace(a_view(stored(a_mandate())), fences=None)
    done = plan(view)
    assert order(done) == [VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS]
    assert done.selects_all


# --- what is stored ----------------------------------------------------------------------------


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
    creations = [effect for effect in done.effects if isinstance(effect, CreateConfiguration)]
    assert len(creations) == 2
    assert all(broken.usernames[0] in str(create.body["webhooks"]) for create in creations)
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
    fences = {"migrator": a_fence(suspended)}
    done = plan(replace(after, mandates=(suspended,), fences=fences), now=later)
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
    with_theirs = replace(with_theirs, fences={"migrator": a_fence(newer)})
    (write,) = plan(replace(with_theirs, mandates=(newer,))).effects
    assert isinstance(write, WriteStatus)
    assert "Audited" not in {condition.type for condition in write.conditions}


@pytest.mark.parametrize("edited", HALVES)
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"webhooks": []}, id="emptied"),
        pytest.param({"metadata": {"labels": {}}}, id="label removed"),
    ],
)
def test_what_was_edited_is_replaced_whole_and_only_the_version_that_was_seen(
    edit: dict[str, Any], edited: Resource
) -> None:
    view = a_view(stored(a_mandate()))
    after = carried_out(view, plan(view))
    configuration = half(after, edited)
    others = {
        "name": "governor-subject",
        "uid": "u",
        "resourceVersion": "9",
        "labels": {**configuration["metadata"]["labels"], "team": "platform"},
        "annotations": {"note": "theirs"},
        "managedFields": [{"manager": "them"}],
    }
    metadata = {**others, **edit.get("metadata", {})}
    found = cast("Object", {**configuration, **edit, "metadata": metadata})
    (effect,) = plan(with_half(after, edited, found)).effects
    assert isinstance(effect, ReplaceConfiguration)
    assert effect.resource is edited
    assert effect.body["webhooks"] == configuration["webhooks"]
    kept = cast("dict[str, Any]", effect.body["metadata"])
    assert kept["resourceVersion"] == "9"
    assert kept["annotations"] == {"note": "theirs"}
    assert kept["labels"]["app.kubernetes.io/managed-by"] == "governor"
    assert "managedFields" not in kept


def test_more_than_can_be_registered_leaves_the_last_registration_and_says_so() -> None:
    subjects = tuple(f"user-{'x' * 100}-{n}" for n in range(15_000))
    view = a_view(stored(a_mandate(subjects=subjects)))
    done = plan(replace(view, validating={"webhooks": ["last"]}))
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
    assert message(done, "cluster", "Ready").endswith(
        "where none was seen since the start, every write of an agent is refused: "
        "spec.dedicatedNamespaces[0]: no"
    )
    assert [type(e) for e in plan_governance(invalid, now=NOW)] == [WriteStatus]
    assert plan_governance(None, now=NOW) == ()


PRICES = StoredPriceBook("cluster", "u", 3, PriceBook("u:3", {"cpu": 1}), NEW)


@pytest.mark.parametrize(
    ("stored_prices", "ready", "words"),
    [
        pytest.param(PRICES, "True InForce", "charged by these prices", id="in force"),
        pytest.param(
            replace(PRICES, content=InvalidPriceBook("spec.prices[0].usdPerHour: no")),
            "False Invalid",
            "where none were seen since the start, "
            "raises under a budget in US dollars are refused: spec.prices[0].usdPerHour: no",
            id="invalid",
        ),
    ],
)
def test_prices_are_told_to_be_in_force_whatever_is_registered(
    stored_prices: StoredPriceBook, ready: str, words: str
) -> None:
    (effect,) = plan_prices(stored_prices, now=NOW)

    assert isinstance(effect, WriteStatus)
    assert not effect.relies_on_registration
    (condition,) = effect.conditions
    assert f"{condition.type} {condition.status} {condition.reason}" == f"Ready {ready}"
    assert words in condition.message
    assert condition.observed_generation == 3


def test_prices_whose_status_is_true_already_need_no_write() -> None:
    (effect,) = plan_prices(PRICES, now=NOW)
    assert isinstance(effect, WriteStatus)
    told = replace(PRICES, status=Status(3, effect.conditions))

    assert plan_prices(told, now=NOW + timedelta(hours=1)) == ()
    assert plan_prices(replace(told, generation=4), now=NOW) != ()
    assert plan_prices(None, now=NOW) == ()
