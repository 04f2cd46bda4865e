"""What the benchmark asks is what it says it is."""

from datetime import UTC, datetime

import orjson
import pytest

from bench.parts import registry_of
from bench.webhook_reviews import USERNAME, Case, cases, mandate
from bench.webhook_template import Fresh, Slot, Template
from controller.accounts.entries import Action
from controller.admission.case import RecordKeys, entry_of, open_case
from controller.admission.judge import Question, prepare
from controller.admission.review import read_review
from controller.apis.requests import AdmissionRequest
from controller.mutation.stamp import plan_mutation
from controller.records.stamps import Traced
from tests.builders import CHANGE

BY_NAME = {case.name: case for case in cases()}
KEYS = RecordKeys(stamp=b"s" * 32, content=b"c" * 32)
JUDGED = [case for case in cases() if case.is_judged]


def a_review(case: Case, fresh: Fresh | None = None) -> bytes:
    return case.template.fill((fresh or Fresh(KEYS.stamp)).values())


def a_request(case: Case, fresh: Fresh | None = None) -> AdmissionRequest:
    return read_review(a_review(case, fresh))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_each_review_is_well_formed_and_as_large_as_announced(case: Case) -> None:
    values = Fresh(KEYS.stamp).values()
    review = case.template.fill(values)
    request = read_review(review)
    assert (request.uid, request.user.username) == (values[Slot.UID], USERNAME)
    assert len(review) == case.template.size


@pytest.mark.parametrize("case", JUDGED, ids=lambda case: case.name)
def test_each_write_reaches_the_policies(case: Case) -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    registry = registry_of(mandate())
    step = prepare(a_request(case), registry=registry, change=CHANGE, now=now)
    assert isinstance(step, Question)


@pytest.mark.parametrize(
    ("name", "action"), [("allowed", Action.CREATE), ("updated", Action.UPDATE)]
)
def test_no_two_reviews_are_one_reservation(name: str, action: Action) -> None:
    fresh, registry = Fresh(KEYS.stamp), registry_of(mandate())
    opened = [
        open_case(a_request(BY_NAME[name], fresh), registry, keys=KEYS, made_at=1) for _ in range(2)
    ]
    assert all(isinstance(case.traced, Traced) for case in opened)
    entries = [entry_of(case, case.change or "") for case in opened]
    assert {entry.action for entry in entries} == {action}
    assert len({entry.key for entry in entries}) == 2
    assert all(entry.change and entry.uid and entry.digest for entry in entries)


def test_an_update_replaces_what_an_earlier_change_wrote() -> None:
    case = open_case(a_request(BY_NAME["updated"]), registry_of(mandate()), keys=KEYS, made_at=1)
    entry = entry_of(case, case.change or "")
    assert (entry.version, len(entry.old_change)) == (48151, 26)
    assert entry.old_change != entry.change


@pytest.mark.parametrize("name", ["allowed", "updated"])
def test_what_is_granted_says_that_it_is_the_agents(name: str) -> None:
    case = open_case(a_request(BY_NAME[name]), registry_of(mandate()), keys=KEYS, made_at=1)
    assert case.keeps_owner


def test_what_is_mutated_is_stamped_and_labelled_and_states_a_reason() -> None:
    request = a_request(BY_NAME["mutated"])
    mutation = plan_mutation(request, change=CHANGE, key=KEYS.stamp, owner="migrator")
    assert mutation.change == CHANGE
    assert [step["path"] for step in mutation.patch if "labels" in str(step["path"])]
    assert mutation.reason is not None


@pytest.mark.parametrize(
    ("name", "size", "containers"), [("allowed", 6750, 3), ("denied", 4050, 1)]
)
def test_the_pods_are_as_large_as_announced(name: str, size: int, containers: int) -> None:
    case = BY_NAME[name]
    obj = a_request(case).obj
    assert obj is not None
    spec = obj["spec"]
    assert isinstance(spec, dict)
    assert isinstance(spec["containers"], list)
    assert len(spec["containers"]) == containers
    assert case.template.size == pytest.approx(size, rel=0.05)


def test_the_spelling_is_gos() -> None:
    review = a_review(BY_NAME["allowed"])
    assert review.endswith(b"}\n")
    assert rb"\u0026\u0026" in review
    assert not set(b"<>&") & set(review)


def test_ten_rules_of_which_one_grants_pods() -> None:
    rules = mandate()["spec"]["rules"]
    assert len(rules) == 10
    assert sum("pods" in rule["resources"] for rule in rules) == 1


def test_a_template_fills_each_slot_wherever_it_stands() -> None:
    template = Template.of(f'{{"a":"{Slot.NAME}","b":"{Slot.UID}","c":"{Slot.NAME}"}}')
    filled = orjson.loads(template.fill({Slot.NAME: "n", Slot.UID: "u"}))
    assert filled == {"a": "n", "b": "u", "c": "n"}


def test_fresh_values_are_as_long_as_their_slots_and_no_two_alike() -> None:
    fresh = Fresh(KEYS.stamp)
    first, second = fresh.values(), fresh.values()
    assert set(first) == set(Slot)
    assert all(len(value) == len(slot) for slot, value in first.items())
    assert [slot for slot in Slot if first[slot] == second[slot]] == [Slot.OLD_STAMP]
