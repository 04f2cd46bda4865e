"""What an agent is told of a limit that it exceeds: which, what is left, and what would pass."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.accounts.account import ASKS_VERSION, COUNTED, Account
from controller.accounts.limits import Limits
from controller.accounts.reserve import Exhausted, Proposal, Reserved, reserve
from controller.accounts.windows import Window, WindowKey
from controller.admission.excess import tell_excess
from controller.admission.explain import word_denial
from controller.admission.judge import Denied, Granted
from controller.apis.mandates import Budget
from controller.apis.quantities import amount_of
from controller.apis.resources import NANO_USD, NOTHING
from controller.asks.asked import NOTHING_ASKED, Asked
from controller.policy.denials import Code, Denial
from controller.prices.rates import Unpriced
from tests.accounts import an_account, an_entry
from tests.builders import CHANGE, DIGEST
from tests.limiting import GI, HOUR_MS, PRICES, RATE, SPEND, a_cap, asking

GRANTED = Granted(CHANGE, "migrator", digest=DIGEST)
MIDNIGHT = 1_795_564_800_000
"""2026-11-25T00:00:00Z."""


def told(found: Exhausted, asked: Asked = NOTHING_ASKED, *, granted: Granted = GRANTED) -> Denial:
    return tell_excess(granted, found, asked)


def numbers(denial: Denial) -> tuple[object, ...]:
    return denial.asked, denial.limit, denial.remaining, denial.passes


@pytest.mark.requirement("explains-itself.remaining")
def test_a_quota_is_told_in_one_sentence_that_an_agent_can_act_on() -> None:
    denial = told(Exhausted("pods", 10, 5, 3), asking(10))
    assert word_denial(Denied(CHANGE, "migrator", (denial,))).startswith(
        "governor: denied [quota-exceeded] spec.replicas: asks 10 pods for migrator; limit 5; "
        "remaining 2; would pass: 2. Final: do not retry unchanged. change="
    )


@pytest.mark.requirement("explains-itself.remaining")
def test_a_raise_of_what_is_the_agents_already_is_told_as_so_much_more() -> None:
    raised = replace(asking(10), before={"pods": 3}, owner="migrator")
    assert told(Exhausted("pods", 7, 5, 3), raised).message == "asks 7 pods more for migrator"
    adopted = replace(raised, owner="")
    assert told(Exhausted("pods", 10, 5, 3), adopted).message == "asks 10 pods for migrator"


@pytest.mark.requirement("explains-itself.remaining")
@pytest.mark.parametrize(
    ("found", "asked", "shown"),
    [
        pytest.param(
            Exhausted("cpu", 5000, 8000, 6800),
            asking(10),
            ("5", "8", "1200m", "1"),
            id="whole Pods of 500m",
        ),
        pytest.param(
            Exhausted("memory", 10 * GI, 32 * GI, 29 * GI),
            asking(10),
            ("10Gi", "32Gi", "3Gi", "3Gi"),
            id="memory",
        ),
        pytest.param(
            Exhausted("cpu", 5000, 8000, 7600),
            asking(10),
            ("5", "8", "400m", None),
            id="not even one Pod",
        ),
        pytest.param(
            Exhausted("pods", 10, 5, 5), asking(10), ("10", "5", "0", None), id="nothing is left"
        ),
        pytest.param(
            Exhausted("pods", 1, 4, 7),
            asking(1),
            ("1", "4", "0", None),
            id="more is held than the limit, which was lowered",
        ),
        pytest.param(
            Exhausted("pods", 7, 5, 3),
            asking(10, before=3, owner="migrator"),
            ("7", "5", "2", "2"),
            id="a raise of what is its own",
        ),
        pytest.param(
            Exhausted("pods", 10, 5, 1),
            asking(10, before=3),
            ("10", "5", "4", "4"),
            id="adopted, all of it counts",
        ),
        pytest.param(
            Exhausted("pods", 10, 5, 2),
            asking(10, before=3),
            ("10", "5", "3", None),
            id="adopted, and no more fits than is there already",
        ),
        pytest.param(
            Exhausted("cpu", 3000, 8000, 7000),
            asking(1, cpu=3000, field="spec.containers"),
            ("3", "8", "1", "1"),
            id="one Pod, which could be smaller",
        ),
        pytest.param(
            Exhausted("pods", 1, 5, 5),
            asking(1, field="spec.containers"),
            ("1", "5", "0", None),
            id="one Pod, which cannot be fewer",
        ),
        pytest.param(
            Exhausted("cpu", 3000, 8000, 6999),
            replace(
                asking(3, cpu=2000, field="spec.template.spec.containers", owner="migrator"),
                before={"cpu": 3000, "pods": 3},
            ),
            ("3", "8", "1001m", "999m"),
            id="three Pods that grow, each by the same",
        ),
        pytest.param(
            Exhausted("cpu", 3000, 8000, 7900),
            replace(
                asking(4, cpu=1500, field="spec.template.spec.containers", owner="migrator"),
                before={"cpu": 3000, "pods": 3},
            ),
            ("3", "8", "100m", None),
            id="no room to replace them even as they are",
        ),
        pytest.param(
            Exhausted("pods", 10, 5, 3), NOTHING_ASKED, ("10", "5", "2", None), id="no unit known"
        ),
    ],
)
def test_amounts_are_in_the_notation_of_mandates(
    found: Exhausted, asked: Asked, shown: tuple[str | None, ...]
) -> None:
    denial = told(found, asked)
    assert numbers(denial) == shown
    assert (denial.code, denial.field, denial.retry) == (
        Code.QUOTA_EXCEEDED,
        asked.field or None,
        found.asked <= found.limit,
    )


@pytest.mark.requirement("explains-itself.remaining")
def test_of_what_is_not_counted_in_pods_the_message_says_how_many_pods_pass() -> None:
    assert told(Exhausted("cpu", 5000, 8000, 6800), asking(10)).message == (
        "asks 5 cpu for migrator; there is room for 2 of these Pods"
    )


CONTAINERS = "spec.template.spec.containers"
SURGE = "spec.strategy.rollingUpdate.maxSurge"
GROWN = replace(asking(2, cpu=2500, field=CONTAINERS, owner="migrator"), count_field=SURGE)
"""One Pod of 300m that is replaced by a larger one of as much memory, beside it."""
REPLACED = replace(GROWN, before={"cpu": 300, "memory": GI, "pods": 1})


@pytest.mark.requirement("explains-itself.remaining")
def test_of_pods_that_grow_together_the_message_says_how_much_each_may_ask() -> None:
    denial = told(Exhausted("cpu", 4700, 8000, 6300), REPLACED)
    assert (denial.field, *numbers(denial)) == (CONTAINERS, "4700m", "8", "1700m", "1700m")
    assert denial.message == (
        "asks 4700m cpu more for migrator; each of its 2 Pods (surge included) may ask 1 cpu"
    )


@pytest.mark.requirement("explains-itself.remaining")
def test_one_pod_is_not_told_what_each_may_ask() -> None:
    alone = asking(1, cpu=3000, field="spec.containers")
    assert told(Exhausted("cpu", 3000, 8000, 7000), alone).message == "asks 3 cpu for migrator"


@pytest.mark.requirement("explains-itself.remaining")
@pytest.mark.parametrize(
    ("found", "asked", "field"),
    [
        pytest.param(Exhausted("pods", 1, 1, 1), REPLACED, SURGE, id="pods, though each grows"),
        pytest.param(
            Exhausted("memory", GI, GI, GI), REPLACED, SURGE, id="memory, of which none grows"
        ),
        pytest.param(
            Exhausted("cpu", 500, 500, 500),
            asking(2, before=1, field=SURGE, owner="migrator"),
            SURGE,
            id="as large as they are",
        ),
        pytest.param(
            Exhausted("usd", 60 * NANO_USD, SPEND.limit, 4 * NANO_USD, SPEND),
            asking(2, before=1, field=SURGE, owner="migrator"),
            SURGE,
            id="what the surge costs",
        ),
        pytest.param(
            Exhausted("cpu", 4700, 8000, 6300), REPLACED, CONTAINERS, id="cpu, of which each grows"
        ),
        pytest.param(
            Exhausted("usd", 60 * NANO_USD, SPEND.limit, 4 * NANO_USD, SPEND),
            REPLACED,
            CONTAINERS,
            id="what larger Pods cost",
        ),
        pytest.param(
            Exhausted("pods", 4, 5, 3),
            replace(REPLACED, count_field="spec.replicas"),
            "spec.replicas",
            id="more of them, too",
        ),
        pytest.param(
            Exhausted("cpu", 10_000, 8000, 6300),
            replace(GROWN, before={}),
            CONTAINERS,
            id="there were none, so nothing grew",
        ),
    ],
)
def test_the_field_is_what_raises_the_resource_and_a_surge_is_told_as_one(
    found: Exhausted, asked: Asked, field: str
) -> None:
    denial = told(found, asked)
    assert denial.field == field
    assert ("its surge counts while a rollout runs" in denial.message) == (field == SURGE)


@pytest.mark.requirement("explains-itself.remaining")
def test_no_surge_is_blamed_for_an_adoption_that_is_too_much_without_it() -> None:
    adopted = asking(5, before=4, field=SURGE)
    denial = told(Exhausted("pods", 5, 3, 0), adopted)
    assert (denial.field, denial.message) == (None, "asks 5 pods for migrator")
    assert told(Exhausted("pods", 5, 4, 0), adopted).field == SURGE


@pytest.mark.requirement("explains-itself.remaining")
def test_a_surge_that_fits_partly_is_told_how_far() -> None:
    larger = asking(10, before=8, field=SURGE, owner="migrator")
    denial = told(Exhausted("pods", 2, 9, 8), larger)
    assert (denial.passes, denial.message) == (
        "1",
        "asks 2 pods more for migrator; its surge counts while a rollout runs",
    )


@pytest.mark.requirement("explains-itself.remaining")
def test_a_budget_that_the_next_window_renews_is_worth_waiting_for() -> None:
    found = Exhausted("usd", 2 * NANO_USD, SPEND.limit, 39 * NANO_USD, SPEND, MIDNIGHT)
    denial = told(found, asking(10))
    assert (denial.code, denial.retry, denial.field) == (
        Code.BUDGET_EXCEEDED,
        True,
        "spec.replicas",
    )
    assert denial.message == (
        "costs 2 usd more until 2026-11-25T00:00:00Z, when the window of migrator's budget spend "
        "ends; there is room for 4 of these Pods"
    )
    assert numbers(denial) == ("2", "40", "1", "0.8")


@pytest.mark.requirement("explains-itself.final-or-retry")
def test_what_no_window_can_pay_is_final() -> None:
    found = Exhausted("usd", 60 * NANO_USD, SPEND.limit, 4 * NANO_USD, SPEND, ends_at=0)
    denial = told(found, asking(10))
    assert (denial.retry, denial.passes, denial.remaining) == (False, None, "36")
    assert denial.message == "costs 60 usd more in every window of migrator's budget spend"


@pytest.mark.requirement("explains-itself.remaining")
def test_a_change_too_many_is_worth_repeating_in_the_next_window() -> None:
    denial = told(Exhausted("changes", 1, 200, 200, RATE, MIDNIGHT), asking(1))
    assert denial.message == (
        "this write is one change more than migrator's budget rate allows until "
        "2026-11-25T00:00:00Z"
    )
    assert (denial.retry, denial.field, *numbers(denial)) == (True, None, "1", "200", "0", None)


@pytest.mark.requirement("explains-itself.final-or-retry")
def test_no_window_of_a_budget_of_nothing_allows_a_change() -> None:
    none = replace(RATE, limit=0)
    denial = told(Exhausted("changes", 1, 0, 0, none, MIDNIGHT))
    assert denial.retry is False
    assert denial.message == (
        "this write is one change more than migrator's budget rate allows in any window"
    )


@pytest.mark.requirement("explains-itself.remaining")
def test_a_window_that_ends_within_a_second_is_told_as_the_next_whole_one() -> None:
    """Who comes back then comes back after it."""
    denial = told(Exhausted("changes", 1, 200, 200, RATE, MIDNIGHT + 1))
    assert "2026-11-25T00:00:01Z" in denial.message


CAPPED = replace(GRANTED, caps=(a_cap("cpu", 1, None), a_cap("pods", 5, None), a_cap("usd", 7)))


@pytest.mark.requirement("explains-itself.remaining")
@pytest.mark.parametrize(
    "found",
    [
        pytest.param(Exhausted("pods", 10, 5, 3), id="a cap on what is held"),
        pytest.param(
            Exhausted("usd", 10, 7, 3, Budget("after-hours", "usd", 7, 3600), MIDNIGHT),
            id="a cap on what is spent",
        ),
    ],
)
def test_a_cap_is_told_as_its_policy_names_it(found: Exhausted) -> None:
    denial, plain = told(found, asking(10), granted=CAPPED), told(found, asking(10))
    assert (denial.code, denial.rule) == ("after-hours", "Outside office hours")
    assert denial.message == f"Outside office hours an agent spends little: {plain.message}"
    assert (numbers(denial), denial.retry) == (numbers(plain), plain.retry)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(Exhausted("pods", 10, 4, 3), id="a smaller quota"),
        pytest.param(Exhausted("memory", 10, 5, 3), id="a quota of something else"),
        pytest.param(Exhausted("usd", 10, 7, 3, SPEND, MIDNIGHT), id="a budget of another name"),
    ],
)
def test_the_mandates_own_limit_is_not_taken_for_a_cap(found: Exhausted) -> None:
    assert told(found, asking(10), granted=CAPPED).code in {
        Code.QUOTA_EXCEEDED,
        Code.BUDGET_EXCEEDED,
    }


@pytest.mark.requirement("explains-itself.remaining")
def test_a_missing_price_names_the_book_and_the_resource() -> None:
    denial = tell_excess(GRANTED, Unpriced("memory"), asking(1))
    assert (denial.code, denial.retry, denial.asked) == (Code.PRICE_UNKNOWN, False, "memory")
    assert "the PriceBook cluster has no price of memory" in denial.message


@pytest.mark.parametrize(
    ("field", "told_field"),
    [
        ("spec.replicas", None),
        ("spec.maxReplicas", None),
        ("", None),
        ("spec.containers", "spec.containers"),
        ("spec.template.spec.containers", "spec.template.spec.containers"),
    ],
)
def test_no_number_of_pods_is_blamed_for_a_missing_price(
    field: str, told_field: str | None
) -> None:
    assert tell_excess(GRANTED, Unpriced("cpu"), asking(1, field=field)).field == told_field


# What is said to pass passes.


def an_account_with(
    limits: Limits, *, settled: Mapping[str, int], spent: int, rest: int
) -> Account:
    keys = (WindowKey(one.resource, one.window_seconds) for one in limits.budgets)
    window = Window(started_at=0, accrued_at=24 * HOUR_MS - rest, spent=spent)
    return replace(
        an_account(),
        agent="migrator",
        settled={name: amount for name, amount in settled.items() if amount},
        as_of=dict.fromkeys(COUNTED, 1),
        asks_version=ASKS_VERSION,
        windows=dict.fromkeys(keys, window),
        prices=limits.prices.identity,
    )


def tried(account: Account, asked: Asked, limits: Limits) -> object:
    entry = an_entry(before=asked.before, after=asked.after)
    fence = account.fence
    proposal = Proposal(entry, fence.mandate_uid, fence.generation, limits, owner=asked.owner)
    return reserve(account, proposal)


SIZES = st.integers(1, 5000)
FEW = st.integers(0, 30)


@pytest.mark.requirement("explains-itself.passing-value")
@given(
    before=FEW,
    more=st.integers(1, 30),
    cpu=SIZES,
    memory=st.integers(1, 4 * GI),
    is_own=st.booleans(),
    quota=st.fixed_dictionaries(
        {},
        optional={
            "pods": st.integers(0, 40),
            "cpu": st.integers(0, 100_000),
            "memory": st.integers(0, 90 * GI),
        },
    ),
)
def test_as_many_pods_as_are_said_to_pass_do_and_one_more_does_not(
    *, before: int, more: int, cpu: int, memory: int, is_own: bool, quota: dict[str, int]
) -> None:
    owner = "migrator" if is_own else ""
    asked = asking(before + more, before=before, cpu=cpu, memory=memory, owner=owner)
    limits = Limits(quota)
    settled = asked.before if is_own else NOTHING
    account = an_account_with(limits, settled=settled, spent=0, rest=HOUR_MS)
    verdict = tried(account, asked, limits)
    if not isinstance(verdict, Exhausted):
        return
    passes = told(verdict, asked).passes
    unit, held = asked.unit[verdict.resource], settled.get(verdict.resource, 0)
    total = (held + amount_of(verdict.resource, passes)) // unit if passes is not None else before
    fewer = asking(total, before=before, cpu=cpu, memory=memory, owner=owner)
    larger = asking(total + 1, before=before, cpu=cpu, memory=memory, owner=owner)
    if passes is not None:
        assert total > before
        assert isinstance(tried(account, fewer, limits), Reserved)
    assert isinstance(tried(account, larger, limits), Exhausted)


@pytest.mark.requirement("explains-itself.passing-value")
@given(
    held=FEW,
    more=st.integers(1, 40),
    cpu=st.integers(1, 1000),
    limit=st.integers(20 * NANO_USD, 200 * NANO_USD),
    left=st.integers(0, 20 * NANO_USD),  # so that most windows could pay, but this one cannot
    rest=st.integers(1, 24 * HOUR_MS),
)
def test_as_many_pods_as_a_budget_is_said_to_pay_it_pays(
    *, held: int, more: int, cpu: int, limit: int, left: int, rest: int
) -> None:
    limits = Limits(budgets=(replace(SPEND, limit=limit),), prices=PRICES)
    asked = asking(more, cpu=cpu)
    settled = {"cpu": held * 700, "memory": held * GI, "pods": held}
    account = an_account_with(limits, settled=settled, spent=limit - left, rest=rest)
    verdict = tried(account, asked, limits)
    if not isinstance(verdict, Exhausted):
        return
    denial = told(verdict, asked)
    if denial.passes is not None:
        pods = int(denial.message.partition("room for ")[2].partition(" ")[0])
        assert 0 < pods < more
        assert isinstance(tried(account, asking(pods, cpu=cpu), limits), Reserved)
    if denial.retry:
        renewed = an_account_with(limits, settled=settled, spent=0, rest=24 * HOUR_MS)
        assert isinstance(tried(renewed, asked, limits), Reserved)


@pytest.mark.requirement("explains-itself.passing-value")
@given(
    stored=FEW,
    more=st.integers(0, 10),
    small=st.integers(1, 3000),
    grown=st.integers(1, 3000),
    is_own=st.booleans(),
    quota=st.integers(0, 100_000),
)
def test_pods_of_the_size_that_each_may_ask_pass_and_larger_ones_do_not(
    *, stored: int, more: int, small: int, grown: int, is_own: bool, quota: int
) -> None:
    owner = "migrator" if is_own else ""
    before = {"cpu": small * stored, "pods": stored} if stored else {}

    def each_asking(cpu: int) -> Asked:
        wanted = asking(stored + more, cpu=cpu, field=CONTAINERS, owner=owner)
        return replace(wanted, before=before, count_field=SURGE if stored else "")

    limits = Limits({"cpu": quota})
    settled = before if is_own else NOTHING
    account = an_account_with(limits, settled=settled, spent=0, rest=HOUR_MS)
    asked = each_asking(small + grown)
    verdict = tried(account, asked, limits)
    if not isinstance(verdict, Exhausted):
        return
    message = told(verdict, asked).message
    _, _, hint = message.partition(f"; each of its {stored + more} Pods (surge included) may ask ")
    if not hint:
        assert stored + more == 1 or told(verdict, asked).passes is None
        return
    size = amount_of("cpu", hint.removesuffix(" cpu"))
    assert small * bool(stored) <= size < small + grown
    assert isinstance(tried(account, each_asking(size), limits), Reserved)
    assert isinstance(tried(account, each_asking(size + 1), limits), Exhausted)
