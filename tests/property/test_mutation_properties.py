"""`/mutate` on whatever an agent sends: it converges, and touches what is Governor's only."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation
from controller.asks.ownership import AGENT, label_after, owner_of
from controller.mutation.stamp import plan_mutation
from controller.records.stamps import CHANGE, REASON, needs_stamp, read_stamp, without_own
from tests.builders import CHANGE as CHANGE_ID
from tests.builders import a_request
from tests.jsonpatches import apply_patch
from tests.recorded import OTHER_CHANGE, STAMP_KEY
from tests.strategies import json_values, texts

AGENTS = ("migrator", "another-agent")
KEYS = st.one_of(st.sampled_from([CHANGE, REASON, AGENT, "app", "a/b~c"]), texts)
maps = st.one_of(
    st.none(),
    st.dictionaries(KEYS, st.one_of(st.sampled_from([*AGENTS, ""]), json_values), max_size=4),
)


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Json]:
    """An object with any annotations and labels, and few contents, so that some are equal."""
    metadata: dict[str, Json] = {"name": "web"}
    for name in ("annotations", "labels"):
        if draw(st.booleans()):
            entries = draw(maps)
            metadata[name] = None if entries is None else {**entries}
    spec: dict[str, Json] = {"a": draw(st.sampled_from([1, 2]))}
    return {"metadata": metadata, "spec": spec}


@st.composite
def writes(draw: st.DrawFn) -> AdmissionRequest:
    """A create, or an update of any object to any other."""
    obj = draw(objects())
    if draw(st.booleans()):
        return a_request(obj=obj)
    return a_request(Operation.UPDATE, obj=obj, old=draw(st.one_of(st.just(obj), objects())))


owners = st.sampled_from(["", *AGENTS])


def mutated(request: AdmissionRequest, owner: str, change: str = CHANGE_ID) -> dict[str, Json]:
    assert request.obj is not None
    mutation = plan_mutation(request, change=change, key=STAMP_KEY, owner=owner)
    return apply_patch(request.obj, mutation.patch)


def metadata_of(obj: dict[str, Json]) -> dict[str, Json]:
    metadata = obj["metadata"]
    assert isinstance(metadata, dict)
    return metadata


@pytest.mark.requirement("identity-carried.owner-label")
@given(writes(), owners)
def test_asked_again_it_puts_a_fresh_stamp_and_nothing_else(
    request: AdmissionRequest, owner: str
) -> None:
    once = mutated(request, owner, OTHER_CHANGE)
    again = replace(request, obj=once)

    assert mutated(again, owner, OTHER_CHANGE) == once
    assert needs_stamp(again) == needs_stamp(request)
    assert mutated(again, owner) == mutated(request, owner)


@given(writes(), owners)
def test_nothing_is_touched_that_is_not_governors(request: AdmissionRequest, owner: str) -> None:
    assert request.obj is not None
    found = mutated(request, owner)

    assert {**found, "metadata": {}} == {**request.obj, "metadata": {}}
    assert without_own(metadata_of(found)) == without_own(metadata_of(dict(request.obj)))


@pytest.mark.requirement("identity-carried.owner-label")
@given(writes(), owners)
def test_exactly_the_stamped_writes_say_whose_the_object_is(
    request: AdmissionRequest, owner: str
) -> None:
    found = mutated(request, owner)
    stays = owner if needs_stamp(request) else owner_of(request.old)
    labels = metadata_of(found).get("labels")

    assert (read_stamp(found, key=STAMP_KEY) == CHANGE_ID) == needs_stamp(request)
    assert owner_of(found) == stays
    label = labels.get(AGENT) if isinstance(labels, dict) else None
    assert label == label_after(request, owner=stays)
