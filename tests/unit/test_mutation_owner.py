"""The label that says whose an object is: what `/mutate` makes of it, whatever an agent sends."""

from dataclasses import replace

import pytest

from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.asks.ownership import AGENT, owner_of
from controller.mutation.stamp import Mutation, plan_mutation
from controller.records.stamps import CHANGE, REASON, Traced, needs_stamp, trace_of
from tests.builders import CHANGE as CHANGE_ID
from tests.builders import DEPLOYMENTS, a_request, an_object
from tests.jsonpatches import apply_patch
from tests.recorded import STAMP_KEY, annotated, stamped, with_metadata

US, THEM, NOBODY = "migrator", "another-agent", ""
OBJECT = an_object()
SCALED = an_object(spec={"replicas": 3})


def labelled(obj: dict[str, Json], **labels: Json) -> dict[str, Json]:
    return with_metadata(obj, labels={**labels})


def owned(obj: dict[str, Json], owner: str = US, **labels: Json) -> dict[str, Json]:
    return labelled(obj, **{AGENT: owner, **labels})


def update(old: dict[str, Json], new: dict[str, Json], subresource: str = "") -> AdmissionRequest:
    target = replace(DEPLOYMENTS, subresource=subresource)
    return a_request(Operation.UPDATE, target=target, old=old, obj=new)


def planned(request: AdmissionRequest, *, owner: str) -> Mutation:
    return plan_mutation(request, change=CHANGE_ID, key=STAMP_KEY, owner=owner)


def mutated(request: AdmissionRequest, *, owner: str) -> dict[str, Json]:
    """The object after the patch."""
    assert request.obj is not None
    return apply_patch(request.obj, planned(request, owner=owner).patch)


def metadata_of(obj: dict[str, Json]) -> dict[str, Json]:
    metadata = obj["metadata"]
    assert isinstance(metadata, dict)
    return metadata


def labels_of(obj: dict[str, Json]) -> dict[str, Json]:
    """Of an object without any, nothing."""
    labels = metadata_of(obj).get("labels")
    return labels if isinstance(labels, dict) else {}


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        pytest.param({"labels": {"app": "web"}}, {"app": "web"}, id="beside labels of its own"),
        pytest.param({}, {}, id="without labels"),
        pytest.param({"labels": None}, {}, id="with null for labels"),
        pytest.param({"labels": {}}, {}, id="with an empty map"),
        pytest.param({"labels": ["app"]}, {}, id="with a list, which cannot be stored"),
        pytest.param({"labels": {AGENT: THEM}}, {}, id="said to be another's"),
        pytest.param({"labels": {AGENT: ""}}, {}, id="said to be nobody's"),
        pytest.param({"labels": {AGENT: None}}, {}, id="said to be null's"),
        pytest.param({"labels": {AGENT: US, "a/b~c": "d"}}, {"a/b~c": "d"}, id="said already"),
    ],
)
def test_what_an_agent_creates_is_labelled_as_its_own(
    labels: dict[str, Json], kept: dict[str, Json]
) -> None:
    found = mutated(a_request(obj=with_metadata(OBJECT, **labels)), owner=US)

    assert labels_of(found) == {AGENT: US, **kept}


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize("owner", [US, THEM], ids=["the agent's own", "another agent's"])
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(owned(SCALED, "somebody-else", app="web"), id="renamed"),
        pytest.param(owned(SCALED, "", app="web"), id="emptied"),
        pytest.param(labelled(SCALED, app="web"), id="taken off"),
        pytest.param(labelled(SCALED), id="taken off with all others"),
        pytest.param(SCALED, id="taken off with the map"),
        pytest.param(with_metadata(SCALED, labels=None), id="taken off by a null"),
    ],
)
def test_an_agent_can_neither_rename_the_owner_nor_take_it_off(
    owner: str, sent: dict[str, Json]
) -> None:
    found = mutated(update(owned(OBJECT, owner, app="web"), sent), owner=owner)

    assert owner_of(found) == owner
    assert labels_of(found) == {**labels_of(sent), AGENT: owner}


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(labelled(OBJECT, app="web"), id="with other labels"),
        pytest.param(OBJECT, id="without labels"),
        pytest.param(labelled(OBJECT), id="with an empty map"),
    ],
)
def test_an_agent_cannot_claim_what_is_nobodys(stored: dict[str, Json]) -> None:
    claimed = owned({**stored, "spec": {"paused": True}}, US, **labels_of(stored))

    found = mutated(update(stored, claimed), owner=NOBODY)

    assert metadata_of(found).get("labels") == metadata_of(stored).get("labels")


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize(
    "stored",
    [OBJECT, labelled(OBJECT, app="web"), owned(OBJECT, THEM)],
    ids=["of nobody", "of nobody, with labels", "of another agent"],
)
def test_an_object_that_the_agent_raises_becomes_its_own(stored: dict[str, Json]) -> None:
    raised: dict[str, Json] = {**stored, "spec": {"replicas": 3}}

    found = mutated(update(stored, raised), owner=US)

    assert labels_of(found) == {**labels_of(stored), AGENT: US}


def test_the_empty_label_of_a_person_stays_as_it_is_stored() -> None:
    stored = owned(OBJECT, "", app="web")

    assert labels_of(mutated(update(stored, labelled(SCALED, app="web")), owner=NOBODY)) == {
        AGENT: "",
        "app": "web",
    }


STORED = [
    pytest.param(OBJECT, id="without labels"),
    pytest.param(labelled(OBJECT, app="web"), id="with labels"),
    pytest.param(owned(OBJECT, US), id="of the agent"),
    pytest.param(owned(OBJECT, THEM, app="web"), id="of another agent"),
    pytest.param(stamped(owned(OBJECT, US)), id="of the agent, and stamped"),
]


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.requirement("record-before-effect.stamped")
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize(
    "label",
    [
        pytest.param({AGENT: US}, id="its own name"),
        pytest.param({AGENT: THEM}, id="another name"),
        pytest.param({AGENT: ""}, id="no name"),
        pytest.param({}, id="no label"),
    ],
)
def test_who_changes_the_label_alone_writes_nothing(
    stored: dict[str, Json], label: dict[str, Json]
) -> None:
    others = {name: text for name, text in labels_of(stored).items() if name != AGENT}
    rest = {name: it for name, it in metadata_of(stored).items() if name != "labels"}
    labels = {**others, **label}
    sent: dict[str, Json] = {**rest, "labels": labels} if labels else rest
    request = update(stored, {**stored, "metadata": sent})

    assert not needs_stamp(request)
    assert planned(request, owner=US).change is None
    assert mutated(request, owner=US) == stored


def test_with_the_label_put_back_the_write_is_known_to_be_none() -> None:
    stored = stamped(owned(OBJECT, US))
    request = update(stored, stamped(OBJECT))

    final = update(stored, mutated(request, owner=US))

    found = trace_of(final, key=STAMP_KEY)
    assert isinstance(found, Traced)
    assert found.action == "nothing"


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_request(obj=annotated(OBJECT, **{REASON: "why"})), id="a create"),
        pytest.param(update(owned(OBJECT, THEM), SCALED), id="an adoption"),
        pytest.param(update(owned(OBJECT, US), SCALED), id="an update that takes it off"),
        pytest.param(update(owned(OBJECT, US), OBJECT), id="no change"),
    ],
)
def test_asked_again_it_changes_nothing_more(request_: AdmissionRequest) -> None:
    once = mutated(request_, owner=US)

    assert planned(replace(request_, obj=once), owner=US).patch == ()


def test_on_the_second_call_only_the_stamp_is_a_fresh_one() -> None:
    once = mutated(a_request(), owner=US)

    again = plan_mutation(
        a_request(obj=once), change="01JD8Z6V5M3Q2W1X0Y9Z8A7B6D", key=STAMP_KEY, owner=US
    )

    (only,) = again.patch
    assert only["path"] == f"/metadata/annotations/{CHANGE.replace('/', '~1')}"


def test_a_status_keeps_whose_its_object_is() -> None:
    stored = owned(OBJECT, THEM)
    sent: dict[str, Json] = {**OBJECT, "status": {"replicas": 1}}

    assert owner_of(mutated(update(stored, sent, "status"), owner=THEM)) == THEM


def test_a_binding_takes_no_owner_to_the_pod_that_is_not_its_own() -> None:
    """The API server copies labels of a Binding onto the Pod."""
    binding = Target("", "v1", "Binding", "pods", "binding")

    found = mutated(a_request(target=binding, obj=owned(an_object(binding), THEM)), owner=US)

    assert "labels" not in metadata_of(found)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_request(obj=owned(OBJECT, THEM), dry_run=True), id="a create, tried dry"),
        pytest.param(
            replace(update(owned(OBJECT, US), SCALED), dry_run=True), id="an update, tried dry"
        ),
        pytest.param(a_request(Operation.DELETE, old=owned(OBJECT, THEM)), id="a delete"),
        pytest.param(a_request(Operation.CONNECT, obj=owned(OBJECT, THEM)), id="a connection"),
        pytest.param(a_request(obj={"spec": {}}), id="an object without metadata"),
    ],
)
@pytest.mark.requirement("dry-run-clean.no-trace")
def test_what_stores_no_object_is_labelled_nowhere(request_: AdmissionRequest) -> None:
    assert planned(request_, owner=US) == Mutation()
