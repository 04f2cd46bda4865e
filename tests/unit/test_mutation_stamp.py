"""What `/mutate` does: a fresh stamp, no reason left behind, nothing for nothing."""

import base64
from dataclasses import replace

import orjson
import pytest

from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.mutation.stamp import MAX_REASON, Mutation, plan_mutation, write_mutation_answer
from controller.records.stamps import CHANGE, REASON, annotation_of, read_stamp
from tests.builders import CHANGE as CHANGE_ID
from tests.builders import DEPLOYMENTS, a_request, an_object
from tests.jsonpatches import apply_patch
from tests.recorded import OTHER_CHANGE, STAMP_KEY, annotated, stamped, with_metadata

OBJECT = an_object()
SCALED = an_object(spec={"replicas": 3})
WHY = {REASON: "the queue is full"}


def planned(request: AdmissionRequest, change: str = CHANGE_ID, owner: str = "") -> Mutation:
    return plan_mutation(request, change=change, key=STAMP_KEY, owner=owner)


def mutated(
    request: AdmissionRequest, change: str = CHANGE_ID, *, owner: str = ""
) -> dict[str, Json]:
    """The object after the patch; unless a test says so, it is nobody's."""
    assert request.obj is not None
    return apply_patch(request.obj, planned(request, change, owner).patch)


def update(old: dict[str, Json], new: dict[str, Json], subresource: str = "") -> AdmissionRequest:
    target = replace(DEPLOYMENTS, subresource=subresource)
    return a_request(Operation.UPDATE, target=target, old=old, obj=new)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_request(), id="an object without annotations"),
        pytest.param(a_request(obj=annotated(OBJECT, a="b")), id="one with some"),
        pytest.param(a_request(obj=with_metadata(OBJECT, annotations=None)), id="null annotations"),
        pytest.param(a_request(obj=stamped(OBJECT, OTHER_CHANGE)), id="one with another stamp"),
        pytest.param(a_request(obj=annotated(OBJECT, **{CHANGE: "mine"})), id="one with a forgery"),
        pytest.param(update(stamped(OBJECT, OTHER_CHANGE), SCALED), id="an update"),
        pytest.param(
            update(stamped(OBJECT, OTHER_CHANGE), stamped(SCALED, OTHER_CHANGE)),
            id="an update that carries the old stamp",
        ),
    ],
)
@pytest.mark.requirement("record-before-effect.stamped")
def test_a_changed_object_gets_a_fresh_stamp(request_: AdmissionRequest) -> None:
    assert read_stamp(mutated(request_), key=STAMP_KEY) == CHANGE_ID
    assert planned(request_).change == CHANGE_ID


@pytest.mark.requirement("record-before-effect.stamped")
def test_a_second_call_puts_its_own_stamp_in_place_of_the_first() -> None:
    once = mutated(a_request(obj=annotated(OBJECT, **WHY, a="b")), OTHER_CHANGE)

    twice = mutated(a_request(obj=once))

    assert twice == stamped(annotated(OBJECT, a="b"))


def test_only_annotations_of_governor_are_touched() -> None:
    obj = annotated(OBJECT, **{"example.com/a~b": "c", **WHY})

    assert mutated(a_request(obj=obj)) == stamped(annotated(OBJECT, **{"example.com/a~b": "c"}))


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_request(obj=annotated(OBJECT, **WHY)), id="a create"),
        pytest.param(update(OBJECT, annotated(SCALED, **WHY)), id="an update"),
        pytest.param(update(OBJECT, annotated(OBJECT, **WHY)), id="a reason for no change"),
        pytest.param(
            a_request(
                target=Target("", "v1", "Binding", "pods", "binding"),
                obj=annotated(OBJECT, **WHY),
            ),
            id="a binding, whose annotations would land on the Pod",
        ),
    ],
)
@pytest.mark.requirement("record-before-effect.stamped")
def test_the_reason_is_taken_off_and_kept(request_: AdmissionRequest) -> None:
    assert annotation_of(mutated(request_), REASON) is None
    assert planned(request_).reason == "the queue is full"


def test_a_reason_for_no_change_leaves_the_object_as_it_was_stored() -> None:
    assert mutated(update(OBJECT, annotated(OBJECT, **WHY))) == OBJECT


def test_a_persons_reason_that_was_stored_is_no_reason_of_the_agent() -> None:
    stored = annotated(OBJECT, **WHY)

    assert planned(update(stored, stored)) == Mutation()
    assert planned(update(stored, annotated(SCALED, **WHY))).reason is None


@pytest.mark.parametrize("stored", [OBJECT, stamped(OBJECT)], ids=["without", "with a stamp"])
@pytest.mark.parametrize("sent", [OBJECT, stamped(OBJECT, OTHER_CHANGE)], ids=["bare", "planted"])
@pytest.mark.requirement("record-before-effect.stamped")
def test_a_write_that_changes_nothing_keeps_the_stored_stamp(
    stored: dict[str, Json], sent: dict[str, Json]
) -> None:
    assert mutated(update(stored, sent)) == stored
    assert planned(update(stored, sent)).change is None


def test_a_scale_is_given_no_stamp_but_its_reason_is_kept() -> None:
    found = planned(update(OBJECT, annotated(SCALED, **WHY), "scale"))

    assert (found.change, found.reason) == (None, "the queue is full")


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_request(obj=annotated(OBJECT, **WHY), dry_run=True), id="a dry run"),
        pytest.param(a_request(Operation.DELETE), id="a delete"),
        pytest.param(a_request(Operation.CONNECT, obj=annotated(OBJECT, **WHY)), id="a connection"),
        pytest.param(a_request(obj={"spec": {}}), id="an object without metadata"),
    ],
)
@pytest.mark.requirement("dry-run-clean.no-trace")
def test_what_stores_no_object_is_left_alone(request_: AdmissionRequest) -> None:
    assert planned(request_) == Mutation()


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        pytest.param("x" * 5_000, "x" * MAX_REASON, id="endless"),
        pytest.param(" \n", None, id="blank"),
        pytest.param(7, None, id="no text"),
    ],
)
def test_a_reason_is_a_bounded_text(annotation: Json, expected: str | None) -> None:
    request = a_request(obj=annotated(OBJECT, **{REASON: annotation}))

    assert planned(request).reason == expected
    assert annotation_of(mutated(request), REASON) is None


def test_the_answer_holds_the_patch_as_base64() -> None:
    answer = orjson.loads(write_mutation_answer("u", planned(a_request())))

    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response = answer["response"]
    assert (response["uid"], response["allowed"]) == ("u", True)
    assert response["patchType"] == "JSONPatch"
    assert orjson.loads(base64.b64decode(response["patch"]))[0]["op"] == "add"


def test_without_a_patch_the_answer_names_no_patch_type() -> None:
    answer = orjson.loads(write_mutation_answer("u", Mutation()))

    assert answer["response"] == {"uid": "u", "allowed": True}
