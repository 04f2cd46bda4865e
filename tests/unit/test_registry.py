"""The index of mandates by subject keeps every claim; refusing a conflict is `identify`'s."""

import pytest

from controller.agents.registry import Claim, Registry
from controller.apis.governance import Governance
from controller.apis.mandates import Subject
from tests.builders import AGENT, a_mandate, a_registry, an_invalid_mandate

OTHER = "system:serviceaccount:team-data:other"


def test_a_mandate_is_found_by_each_of_its_subjects() -> None:
    mandate = a_mandate(subjects=(AGENT, OTHER))
    registry = a_registry(mandate)
    assert registry.claims == {AGENT: (mandate,), OTHER: (mandate,)}


def by_name(claim: Claim) -> str:
    return claim.name


def test_a_username_in_two_mandates_keeps_both() -> None:
    first, second = a_mandate("first"), a_mandate("second")
    claims = a_registry(first, second).claims[AGENT]
    assert sorted(claims, key=by_name) == [first, second]


def test_a_username_listed_twice_in_one_mandate_is_one_claim() -> None:
    mandate = a_mandate(subjects=(Subject(AGENT, "uid-1"), Subject(AGENT, "uid-2")))
    assert a_registry(mandate).claims[AGENT] == (mandate,)


def test_an_invalid_mandate_claims_the_subjects_that_could_be_read() -> None:
    broken = an_invalid_mandate(usernames=(AGENT, OTHER))
    assert a_registry(invalid=(broken,)).claims == {AGENT: (broken,), OTHER: (broken,)}


def test_an_invalid_mandate_contests_a_valid_one() -> None:
    mandate, broken = a_mandate(), an_invalid_mandate()
    claims = a_registry(mandate, invalid=(broken,)).claims[AGENT]
    assert sorted(claims, key=by_name) == [broken, mandate]


def test_without_a_governance_nothing_is_dedicated_or_protected() -> None:
    assert Registry.build(()).governance == Governance()


def test_a_registry_cannot_be_changed() -> None:
    claims = a_registry(a_mandate()).claims
    with pytest.raises(TypeError):
        claims["anyone"] = ()  # type: ignore[index]  # that is what is tested
