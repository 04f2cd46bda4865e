"""What the owner's label must be after a write, and whether the final object says so."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation
from controller.asks.asked import Asked
from controller.asks.ownership import AGENT, label_after, owner_is_kept
from tests.builders import DEPLOYMENTS, a_request, an_object
from tests.recorded import with_metadata

US, THEM = "migrator", "another-agent"
SAME = Asked()
RAISED = Asked(before=MappingProxyType({"cpu": 1}), after=MappingProxyType({"cpu": 2}))
LOWERED = Asked(before=MappingProxyType({"cpu": 2}), after=MappingProxyType({"cpu": 1}))


def of(owner: str | None) -> dict[str, Json]:
    """An object whose label says so; None: it has no label."""
    return an_object() if owner is None else with_metadata(an_object(), labels={AGENT: owner})


def update(old: str | None, new: str | None, subresource: str = "") -> AdmissionRequest:
    target = replace(DEPLOYMENTS, subresource=subresource)
    return a_request(Operation.UPDATE, target=target, old=of(old), obj=of(new))


@pytest.mark.parametrize(
    ("stored", "owner", "expected"),
    [
        pytest.param(None, "", None, id="nobody's stays without"),
        pytest.param("", "", "", id="a person's empty one stays"),
        pytest.param(THEM, THEM, THEM, id="another's stays"),
        pytest.param(THEM, US, US, id="an adopted one changes"),
        pytest.param(None, US, US, id="an adopted one comes"),
        pytest.param("", US, US, id="an adopted one is filled in"),
        pytest.param(US, "", None, id="one that becomes nobody's goes"),
    ],
)
def test_the_label_after_a_write(stored: str | None, owner: str, expected: str | None) -> None:
    assert label_after(update(stored, stored), owner=owner) == expected


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize(
    ("request_", "asked"),
    [
        pytest.param(a_request(obj=of(US)), SAME, id="its own create"),
        pytest.param(update(US, US), SAME, id="its own object"),
        pytest.param(update(THEM, THEM), LOWERED, id="another's, asking less"),
        pytest.param(update(None, None), SAME, id="nobody's"),
        pytest.param(update("", ""), SAME, id="nobody's, with an empty label"),
        pytest.param(update(THEM, US), RAISED, id="another's, raised and adopted"),
        pytest.param(update(None, US), RAISED, id="nobody's, raised and adopted"),
        pytest.param(update(THEM, THEM, "status"), RAISED, id="a status, which adopts nothing"),
        pytest.param(a_request(Operation.DELETE, old=of(THEM)), SAME, id="a delete"),
    ],
)
def test_kept(request_: AdmissionRequest, asked: Asked) -> None:
    assert owner_is_kept(request_, agent=US, asked=asked)


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize(
    ("request_", "asked"),
    [
        pytest.param(a_request(obj=of(None)), SAME, id="a create without it"),
        pytest.param(a_request(obj=of("")), SAME, id="a create with an empty one"),
        pytest.param(a_request(obj=of(THEM)), SAME, id="a create in another's name"),
        pytest.param(update(US, None), SAME, id="taken off"),
        pytest.param(update(US, ""), SAME, id="emptied"),
        pytest.param(update(US, THEM), SAME, id="given away"),
        pytest.param(update(US, THEM), LOWERED, id="given away, asking less"),
        pytest.param(update(THEM, US), SAME, id="claimed without asking more"),
        pytest.param(update(None, US), LOWERED, id="claimed, asking less"),
        pytest.param(update(None, ""), SAME, id="an empty one that was planted"),
        pytest.param(update(THEM, THEM), RAISED, id="raised, and left with another"),
        pytest.param(update(None, None), RAISED, id="raised, and left with nobody"),
        pytest.param(update(THEM, US, "status"), RAISED, id="adopted through its status"),
    ],
)
def test_not_kept(request_: AdmissionRequest, asked: Asked) -> None:
    assert not owner_is_kept(request_, agent=US, asked=asked)


@pytest.mark.parametrize("label", [7, None, [US], {US: US}, True])
def test_a_label_that_is_no_text_names_nobody(label: Json) -> None:
    obj = with_metadata(an_object(), labels={AGENT: label})

    assert not owner_is_kept(a_request(obj=obj), agent=US, asked=SAME)
