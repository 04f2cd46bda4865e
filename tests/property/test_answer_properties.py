"""Whatever was decided and whoever chose the words: an answer of bounded size, for that request."""

import json
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.admission.answer import write_answer
from controller.admission.judge import Denied, Granted
from controller.apis.mandates import Enforcement
from controller.policy.denials import Denial
from tests.builders import CHANGE, DIGEST
from tests.strategies import AWKWARD_TEXTS, scalars

T = TypeVar("T")


def repeated(text: str, times: int) -> str:
    return text * times


def repeated_all(found: list[T], times: int) -> tuple[T, ...]:
    return (*found,) * times


words = st.builds(
    repeated, st.sampled_from(AWKWARD_TEXTS) | st.text(max_size=6), st.sampled_from([1, 1, 1000])
)
values = st.one_of(
    scalars, words, st.lists(words, max_size=2), st.dictionaries(words, scalars, max_size=2)
)
codes = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,3}", fullmatch=True)
denials = st.builds(
    Denial,
    code=codes,
    message=words,
    rule=words,
    field=st.none() | words,
    asked=values,
    limit=values,
    remaining=values,
    passes=values,
    retry=st.booleans(),
)
some_denials = st.builds(
    repeated_all,
    st.lists(denials, min_size=1, max_size=3),
    st.sampled_from([1, 1, 30]),
)
uids = st.text(min_size=1, max_size=128)
refusals = st.builds(
    Denied,
    st.just(CHANGE),
    words,
    some_denials,
    st.sampled_from(["", DIGEST]),
)
grants = st.builds(
    Granted,
    st.just(CHANGE),
    mandate=st.none() | words,
    warnings=st.builds(repeated_all, st.lists(words, max_size=3), st.just(8)),
    relaxed=st.just(()) | some_denials,
    enforcement=st.sampled_from(Enforcement),
    digest=st.just(DIGEST),
)


def response_of(answer: bytes) -> dict[str, Any]:
    assert len(answer) < 32 * 1024
    return cast("dict[str, Any]", json.loads(answer)["response"])


@pytest.mark.requirement("explains-itself.contract")
@given(uids, refusals)
def test_a_refusal_always_refuses_under_its_uid_and_its_message_parses(
    uid: str, refusal: Denied
) -> None:
    response = response_of(write_answer(uid, refusal))
    assert (response["uid"], response["allowed"]) == (uid, False)
    assert response["status"]["code"] == 403
    message: str = response["status"]["message"]
    assert message.isprintable()
    change, _, document = message.partition(" change=")[2].partition(" ")
    told = json.loads(document)
    first = refusal.denials[0]
    assert (change, told["change"]) == (CHANGE, CHANGE)
    assert (told["code"], told["retry"]) == (first.code, first.retry)


@pytest.mark.requirement("explains-itself.safe-text")
@given(uids, grants)
def test_a_grant_always_grants_under_its_uid_and_its_warnings_arrive(
    uid: str, grant: Granted
) -> None:
    response = response_of(write_answer(uid, grant))
    assert (response["uid"], response["allowed"]) == (uid, True)
    warnings: list[str] = response.get("warnings", [])
    assert all(text.isprintable() and len(text) <= 240 for text in warnings)
    assert len(set(warnings)) == len(warnings)
    assert ("auditAnnotations" in response) == (grant.mandate is not None)


@pytest.mark.requirement("explains-itself.safe-text")
@given(refusals)
def test_no_callers_text_reaches_the_audit_annotations(refusal: Denied) -> None:
    annotations: dict[str, str] = response_of(write_answer("u", refusal))["auditAnnotations"]
    known = {"denied", CHANGE, DIGEST, ",".join(dict.fromkeys(d.code for d in refusal.denials[:8]))}
    allowed = {annotations.pop("mandate")} | known
    listed = {*annotations.pop("codes").split(",")}
    assert listed <= {denial.code for denial in refusal.denials}
    assert set(annotations.values()) <= allowed
