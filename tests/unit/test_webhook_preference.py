"""Who writes which account: one answer for all who know the same, and little moves."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from webhooks.preference import preferred_writer

names = st.text(st.characters(categories=["L", "N"], include_characters="-"), max_size=12)
groups = st.sets(names, min_size=1, max_size=8)


@given(agent=names, replicas=groups, order=st.randoms())
def test_everybody_who_knows_the_same_prefers_the_same(
    agent: str, replicas: set[str], order: Random
) -> None:
    shuffled = sorted(replicas)
    order.shuffle(shuffled)

    assert preferred_writer(agent, shuffled) == preferred_writer(agent, replicas)
    assert preferred_writer(agent, shuffled) in replicas


@given(agent=names, replicas=groups, newcomer=names)
def test_an_account_only_moves_to_who_comes_or_from_who_goes(
    agent: str, replicas: set[str], newcomer: str
) -> None:
    before, after = (preferred_writer(agent, some) for some in (replicas, {*replicas, newcomer}))

    assert after in (before, newcomer)


def test_the_accounts_are_spread() -> None:
    replicas = [f"governor-webhook-{number}" for number in range(4)]
    shares = Counter(preferred_writer(f"agent-{number}", replicas) for number in range(2000))

    assert all(400 < shares[replica] < 600 for replica in replicas), shares


def test_where_nobody_is_known_nobody_is_preferred() -> None:
    assert preferred_writer("migrator", ()) is None
