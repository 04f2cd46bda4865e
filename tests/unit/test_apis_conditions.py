"""Conditions: set in place, timed by their status, written in the standard form."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from controller.apis.conditions import Condition, ConditionStatus, ConditionType, set_condition
from controller.apis.invalid import InvalidResourceError
from controller.apis.reasons import Reason
from controller.apis.v1alpha1.conversion import conditions_of
from controller.apis.v1alpha1.wire import Condition as WireCondition

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)


def ready(
    status: ConditionStatus = ConditionStatus.TRUE,
    *,
    reason: str = Reason.REGISTERED,
    message: str = "The mandate is in force.",
    since: datetime = NOON,
    generation: int = 1,
) -> Condition:
    return Condition(
        type=ConditionType.READY,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=since,
        observed_generation=generation,
    )


def set_ready(held: tuple[Condition, ...], observed: Condition) -> tuple[Condition, ...]:
    return set_condition(
        held,
        type=observed.type,
        status=observed.status,
        reason=observed.reason,
        message=observed.message,
        observed_generation=observed.observed_generation or 0,
        now=LATER,
    )


def test_a_new_condition_is_put_last_with_the_time_of_now() -> None:
    other = Condition(
        type="example.com/Seen",
        status=ConditionStatus.TRUE,
        reason="Seen",
        message="",
        last_transition_time=NOON,
    )

    assert set_ready((other,), ready()) == (other, ready(since=LATER))


@pytest.mark.parametrize(
    ("observed", "since"),
    [
        pytest.param(ready(generation=2), NOON, id="the same status keeps its time"),
        pytest.param(
            ready(reason=Reason.PENDING, message="Waiting."),
            NOON,
            id="another reason and message alone keep it",
        ),
        pytest.param(
            ready(ConditionStatus.FALSE, reason=Reason.INVALID), LATER, id="another status moves it"
        ),
        pytest.param(ready(ConditionStatus.UNKNOWN), LATER, id="unknown is another status"),
    ],
)
def test_the_time_is_that_of_the_last_change_of_status(
    observed: Condition, since: datetime
) -> None:
    suspended = Condition(
        type=ConditionType.SUSPENDED,
        status=ConditionStatus.FALSE,
        reason=Reason.NOT_SUSPENDED,
        message="",
        last_transition_time=NOON,
    )

    changed, kept = set_ready((ready(), suspended), observed)

    assert kept is suspended
    assert changed.last_transition_time == since
    assert (changed.status, changed.reason, changed.message, changed.observed_generation) == (
        observed.status,
        observed.reason,
        observed.message,
        observed.observed_generation,
    )


def test_a_condition_is_written_in_whole_seconds_of_utc_and_read_back() -> None:
    elsewhere = timezone(timedelta(hours=2))
    condition = ready(since=datetime(2026, 11, 24, 14, 0, 0, 999_999, tzinfo=elsewhere))

    wire = condition.to_json()

    assert wire["lastTransitionTime"] == "2026-11-24T12:00:00Z"
    assert WireCondition.model_validate(wire).observed_generation == 1
    assert conditions_of({"status": {"conditions": [wire]}}) == (ready(),)


def test_a_condition_without_a_generation_is_written_without_one() -> None:
    condition = Condition(
        type="example.com/Seen",
        status=ConditionStatus.UNKNOWN,
        reason="Seen",
        message="",
        last_transition_time=NOON,
    )

    assert "observedGeneration" not in condition.to_json()


@pytest.mark.parametrize(
    "resource",
    [
        pytest.param({}, id="no status yet"),
        pytest.param({"status": None}, id="a null status"),
        pytest.param({"status": {"observedGeneration": 1}}, id="a status without conditions"),
    ],
)
def test_a_resource_without_conditions_has_none(resource: dict[str, object]) -> None:
    assert conditions_of(resource) == ()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"status": "Maybe"}, "use 'True', 'False' or 'Unknown'", id="a status"),
        pytest.param({"lastTransitionTime": "noon"}, "is not an RFC 3339 time", id="a time"),
        pytest.param(
            {"lastTransitionTime": "2026-11-24T12:00:00"},
            "is not an RFC 3339 time",
            id="a time of no zone",
        ),
        pytest.param({"severity": 1}, "severity: unknown field", id="an unknown field"),
    ],
)
def test_what_is_no_condition_is_refused_by_name(change: dict[str, object], problem: str) -> None:
    wire = {**ready().to_json(), **change}

    with pytest.raises(InvalidResourceError, match=problem):
        conditions_of({"status": {"conditions": [wire]}})
