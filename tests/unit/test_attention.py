"""What is remembered between two looks: who follows which object, and what is overdue."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reconcilers.attention import Attention, Memory, Overdue
from tests.accounts import DEPLOYMENTS, an_account, an_entry

AGENTS = st.sampled_from(["a", "b", "c"])
UIDS = st.frozensets(st.sampled_from(["u", "v", "w"]))


@given(followed=st.lists(st.tuples(AGENTS, UIDS)))
def test_whoever_followed_an_object_last_is_told_of_it_and_nobody_else(
    followed: list[tuple[str, frozenset[str]]],
) -> None:
    attention = Attention()
    last: dict[str, frozenset[str]] = {}
    for agent, uids in followed:
        attention.follow(agent, uids)
        last[agent] = uids
    for uid in ("u", "v", "w"):
        expected = {agent for agent, uids in last.items() if uid in uids}
        assert set(attention.followers(uid)) == expected
    assert set(attention) == last.keys()


def test_an_agent_that_is_forgotten_is_told_of_nothing() -> None:
    attention = Attention()
    attention.follow("a", frozenset({"u"}))
    attention.follow("b", frozenset({"u"}))
    attention.of("a").as_of_since = 5.0
    attention.forget("a")
    assert list(attention.followers("u")) == ["b"]
    assert list(attention) == ["b"]
    assert attention.of("a") == Memory()


def test_forgetting_whom_nobody_knew_is_no_fault() -> None:
    attention = Attention()
    attention.forget("a")
    assert list(attention) == []


def test_as_of_is_as_old_as_its_first_sight() -> None:
    memory = Memory()
    memory.note(an_account(as_of={DEPLOYMENTS: 5}), now=10.0)
    memory.note(an_account(as_of={DEPLOYMENTS: 5}), now=20.0)
    assert memory.as_of_since == 10.0
    memory.note(an_account(as_of={DEPLOYMENTS: 6}), now=30.0)
    assert memory.as_of_since == 30.0


def test_what_was_read_past_a_deadline_is_kept_for_that_very_call_only() -> None:
    memory = Memory()
    entry, other = an_entry(1), an_entry(2)
    memory.overdue = {e.key: Overdue(e.made_at, 40) for e in (entry, other)}
    memory.retain([entry])
    assert memory.overdue == {entry.key: Overdue(entry.made_at, 40)}
    memory.retain([replace(entry, made_at=entry.made_at + 1)])
    assert memory.overdue == {}
