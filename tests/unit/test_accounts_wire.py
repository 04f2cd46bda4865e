"""Proposals and verdicts between processes: nothing is lost, and nothing odd is believed."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.accounts.account import Account, Fence
from controller.accounts.entries import Action, Attempt, Entry, Outcome, WatchedKind
from controller.accounts.limits import Limits
from controller.accounts.reserve import (
    AlreadySettled,
    Backlog,
    Exhausted,
    Proposal,
    Reservation,
    Reserved,
    StaleMandate,
    Suspended,
    Uncounted,
    Unopened,
)
from controller.accounts.windows import WindowKey
from controller.accounts.wire import (
    GarbledError,
    decode_proposal,
    decode_verdict,
    encode_proposal,
    encode_verdict,
)
from controller.apis.mandates import Budget
from controller.apis.pricebooks import PriceBook
from controller.prices.rates import Unpriced
from tests.accounts import an_account, an_entry
from tests.strategies import json_values

ACCOUNT = an_account()

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
filled = texts.filter(bool)
stored = st.integers(0, 2**63 - 1)
sums = st.integers(-(2**70), 2**70)
amounts = st.dictionaries(texts, stored, max_size=3)
budgets = st.builds(Budget, texts, texts, sums, stored)
limits = st.builds(
    Limits,
    quota=st.dictionaries(texts, sums, max_size=3),
    budgets=st.lists(budgets, max_size=3).map(tuple),
    prices=st.builds(PriceBook, texts, st.dictionaries(texts, sums, max_size=3)),
    are_relaxed=st.booleans(),
)
entries = st.builds(
    Entry,
    change=filled,
    attempt=st.builds(Attempt, texts, stored),
    action=st.sampled_from(Action),
    kind=st.just(WatchedKind("apps", "v1", "deployments")),
    namespace=texts,
    name=texts,
    uid=texts,
    version=stored,
    made_at=stored,
    digest=texts,
    old_change=texts,
    old_digest=texts,
    before=amounts,
    after=amounts,
    record=texts,
    outcome=st.none() | st.sampled_from(Outcome),
)
proposals = st.builds(Proposal, entries, texts, sums, limits, texts)
exhausted = st.builds(Exhausted, texts, sums, sums, sums, st.none() | budgets, sums)
verdicts: st.SearchStrategy[Reservation] = st.one_of(
    st.builds(
        Reserved, st.just(ACCOUNT), entries, st.none() | exhausted | st.builds(Unpriced, texts)
    ),
    exhausted,
    st.just(Suspended()),
    st.builds(StaleMandate, st.builds(Fence, texts, sums, st.booleans())),
    st.builds(AlreadySettled, entries),
    st.builds(Backlog, sums),
    st.builds(Uncounted, texts),
    st.builds(
        Unopened,
        st.just(ACCOUNT),
        st.lists(st.builds(WindowKey, texts, sums), max_size=3).map(tuple),
    ),
    st.builds(Unpriced, texts),
)


@pytest.mark.requirement("never-oversold.forwarded")
@given(agent=texts, proposal=proposals)
def test_a_proposal_is_read_as_it_was_written(agent: str, proposal: Proposal) -> None:
    assert decode_proposal(encode_proposal(agent, proposal)) == (agent, proposal)


@given(verdict=verdicts)
def test_a_verdict_is_read_as_it_was_written(verdict: Reservation) -> None:
    assert decode_verdict(encode_verdict(verdict), ACCOUNT) == verdict


def test_a_verdict_speaks_of_the_account_that_the_reader_knows() -> None:
    known: Account = replace(ACCOUNT, settled={"pods": 3})

    read = decode_verdict(encode_verdict(Reserved(ACCOUNT, an_entry())), known)

    assert read == Reserved(known, an_entry())


A_PROPOSAL: list[Any] = json.loads(
    encode_proposal("migrator", Proposal(an_entry(), "uid", 1, Limits(quota={"pods": 1})))
)


@pytest.mark.parametrize(
    ("position", "odd"),
    [
        pytest.param(0, 2, id="a form of a later Governor"),
        pytest.param(1, 7, id="an agent that is no text"),
        pytest.param(2, "[]", id="an entry that is none"),
        pytest.param(2, {}, id="an entry that is no text"),
        pytest.param(3, None, id="no uid of the mandate"),
        pytest.param(4, True, id="a generation that is no number"),
        pytest.param(5, [], id="an owner that is no text"),
        pytest.param(6, {"pods": "9"}, id="a quota in words"),
        pytest.param(6, {"pods": 1.0}, id="a quota that is not whole"),
        pytest.param(7, [["spend", "usd", 1]], id="a budget without its length"),
        pytest.param(8, 0, id="prices without a name"),
        pytest.param(9, [], id="rates that are no map"),
        pytest.param(10, 1, id="relaxed or not"),
    ],
)
def test_a_proposal_of_which_one_part_is_odd_is_not_read(position: int, odd: object) -> None:
    parts = [*A_PROPOSAL]
    parts[position] = odd

    with pytest.raises(GarbledError):
        decode_proposal(json.dumps(parts).encode())


@pytest.mark.parametrize("parts", [A_PROPOSAL[:-1], [*A_PROPOSAL, "more"]])
def test_a_proposal_with_a_part_less_or_more_is_not_read(parts: list[Any]) -> None:
    with pytest.raises(GarbledError):
        decode_proposal(json.dumps(parts).encode())


@given(content=st.one_of(st.binary(max_size=60), json_values.map(lambda v: json.dumps(v).encode())))
def test_garbage_is_refused_and_nothing_else_happens(content: bytes) -> None:
    with pytest.raises(GarbledError):
        decode_proposal(content)
    with pytest.raises(GarbledError):
        decode_verdict(content, ACCOUNT)


@given(
    verdict=verdicts.map(encode_verdict).map(bytearray), at=st.integers(0), byte=st.integers(0, 255)
)
def test_a_verdict_with_one_byte_changed_is_refused_or_another_verdict(
    verdict: bytearray, at: int, byte: int
) -> None:
    verdict[at % len(verdict)] = byte
    try:
        read = decode_verdict(bytes(verdict), ACCOUNT)
    except GarbledError:
        return
    assert decode_verdict(encode_verdict(read), ACCOUNT) == read


def test_what_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(GarbledError):
        decode_proposal(b"[" * 200_000)
