"""By which prices an account is charged: never by older ones than the API server holds.

And what goes on while nobody knows them: everything but the money.
"""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from controller.accounts.account import ASKS_VERSION, COUNTED, Account
from controller.accounts.limits import Limits
from controller.accounts.reserve import Proposal, Reserved, Uncounted, reserve
from controller.accounts.settle import Spending, settle
from controller.accounts.views import KindView
from controller.accounts.windows import Window, WindowKey
from controller.apis.mandates import Budget
from controller.apis.pricebooks import UNKNOWN_PRICES, PriceBook
from controller.apis.resources import CHANGES, USD, Amounts
from controller.clients.kube.client import Object
from controller.clients.kube.errors import NotFoundError, UnreachableError
from controller.clients.kube.resources import PRICEBOOKS, Key, Resource
from reconcilers.prices import Pricing
from tests.accounts import NOON, an_account, an_entry

OLD = PriceBook("p-1:1", {"cpu": 10})
NEW = PriceBook("p-1:2", {"cpu": 40_000_000})


class Server:
    """One PriceBook, or none."""

    def __init__(self, body: Object | None) -> None:
        self.body = body
        self.asked = 0

    async def get(self, resource: Resource, key: Key) -> Object:
        """As it is."""
        assert (resource, key) == (PRICEBOOKS, Key("", "cluster"))
        self.asked += 1
        if self.body is None:
            raise NotFoundError("no PriceBook", status=404)
        return self.body


def a_book(generation: int, **spec: object) -> Object:
    prices = [{"resource": "cpu", "usdPerHour": "0.04"}]
    return {
        "apiVersion": PRICEBOOKS.api_version,
        "kind": PRICEBOOKS.kind,
        "metadata": {"name": "cluster", "uid": "p-1", "generation": generation},
        "spec": {"prices": prices, **spec},  # type: ignore[dict-item] # JSON as a test says it
    }


@pytest.mark.parametrize(
    ("shown", "stored", "prices"),
    [
        pytest.param(NEW, a_book(2), NEW, id="the watch shows the new ones"),
        pytest.param(OLD, a_book(2), NEW, id="the watch lags"),
        pytest.param(OLD, None, PriceBook(), id="there are none any more"),
        pytest.param(OLD, a_book(3, prices="free"), OLD, id="invalid: those before stay in force"),
    ],
)
@pytest.mark.requirement("never-oversold.windows")
async def test_an_account_is_charged_by_what_the_api_server_holds(
    shown: PriceBook, stored: Object | None, prices: PriceBook
) -> None:
    server = Server(stored)
    account = replace(an_account(), prices="p-0:9")
    assert await Pricing(server, lambda: shown).of(account) == prices
    assert server.asked == 1


@pytest.mark.requirement("never-oversold.windows")
async def test_a_watch_that_lags_never_turns_prices_back() -> None:
    account = replace(an_account(), prices=NEW.identity)
    assert await Pricing(Server(a_book(2)), lambda: OLD).of(account) == NEW


async def test_prices_that_are_right_cost_no_request() -> None:
    server = Server(None)
    account = replace(an_account(), prices=NEW.identity)
    assert await Pricing(server, lambda: NEW).of(account) == NEW
    assert server.asked == 0


async def test_prices_that_nobody_knows_yet_are_not_guessed() -> None:
    server = Server(a_book(1))
    pricing = Pricing(server, lambda: None)
    assert await pricing.of(an_account()) is UNKNOWN_PRICES
    assert server.asked == 0


async def test_prices_that_became_invalid_before_any_were_valid_are_not_guessed_either() -> None:
    shown = iter([NEW, None])
    account = replace(an_account(), prices="p-0:9")
    pricing = Pricing(Server(a_book(3, prices="free")), lambda: next(shown))
    assert await pricing.of(account) is UNKNOWN_PRICES


async def test_that_prices_are_unknown_is_told_once_until_they_are_known_again() -> None:
    shown: list[PriceBook | None] = [None]
    pricing = Pricing(Server(None), lambda: shown[-1])
    account = replace(an_account(), prices=NEW.identity)
    with capture_logs() as logs:
        for prices in (None, None, NEW, None, None):
            shown.append(prices)
            await pricing.of(account)
    assert [log["event"].partition(":")[0] for log in logs] == ["prices unknown"] * 2


async def test_an_api_server_that_does_not_answer_is_a_fault() -> None:
    class Down(Server):
        async def get(self, resource: Resource, key: Key) -> Object:
            raise UnreachableError("refused")

    account = replace(an_account(), prices="p-0:9")
    with pytest.raises(UnreachableError):
        await Pricing(Down(None), lambda: NEW).of(account)


HOUR_MS = 3_600_000
START = NOON - NOON % HOUR_MS
MONEY = WindowKey(USD, 3600)
RATE = WindowKey(CHANGES, 3600)


def charged(*, at: int = START, cpu: int = 1000) -> Account:
    """An account that holds a CPU, charged up to then by the old prices."""
    windows = {MONEY: Window(START, at, 5), RATE: Window(START, START, 3)}
    return replace(
        an_account(as_of=dict.fromkeys(COUNTED, 10)),
        settled={"cpu": cpu},
        asks_version=ASKS_VERSION,
        windows=windows,
        prices=OLD.identity,
    )


def settled_without_prices(account: Account, *, now: int, wanted: WindowKey = MONEY) -> Account:
    """By a settler that has seen nothing but the clock."""
    spending = Spending(now=now, windows={MONEY, RATE, wanted}, prices=UNKNOWN_PRICES)
    settled = settle(
        account,
        {kind: KindView(10, 10, {}) for kind in COUNTED},
        fence=account.fence,
        ledgered=(),
        overdue={},
        spending=spending,
    )
    assert isinstance(settled, Account)
    return settled


@pytest.mark.requirement("never-oversold.windows")
def test_time_that_passes_while_prices_are_unknown_is_charged_later() -> None:
    account = charged(at=START + 60_000)
    settled = settled_without_prices(account, now=START + HOUR_MS // 2)
    assert settled.windows[MONEY] == account.windows[MONEY]
    assert settled.windows[RATE] == account.windows[RATE]
    assert settled.prices == OLD.identity


@pytest.mark.requirement("never-oversold.windows")
def test_a_window_that_begins_while_prices_are_unknown_is_charged_from_its_beginning() -> None:
    now = START + HOUR_MS + 60_000
    settled = settled_without_prices(charged(), now=now)
    assert settled.windows[MONEY] == Window(START + HOUR_MS, START + HOUR_MS, 0)
    assert settled.windows[RATE] == Window(START + HOUR_MS, START + HOUR_MS, 0)


@pytest.mark.requirement("never-oversold.windows")
def test_windows_are_opened_while_prices_are_unknown() -> None:
    day = WindowKey(USD, 86_400)
    settled = settled_without_prices(charged(), now=START + 60_000, wanted=day)
    begin = START - START % 86_400_000
    assert settled.windows[day] == Window(begin, begin, 0)


BUDGET_IN_MONEY = Budget("hourly", USD, 10**12, 3600)
BUDGET_OF_CHANGES = Budget("rate", CHANGES, 100, 3600)
RAISE: Amounts = {"cpu": 500}


@pytest.mark.requirement("never-oversold.limits")
@pytest.mark.parametrize("known", [OLD.identity, ""], ids=["charged before", "never charged"])
@pytest.mark.parametrize(
    ("budgets", "after", "passes"),
    [
        pytest.param((BUDGET_IN_MONEY,), RAISE, False, id="a raise under a budget in money"),
        pytest.param((BUDGET_IN_MONEY,), {}, True, id="no raise"),
        pytest.param((BUDGET_OF_CHANGES,), RAISE, True, id="a raise under a budget of changes"),
        pytest.param((), RAISE, True, id="a raise under a quota"),
    ],
)
def test_only_a_raise_under_a_budget_in_money_waits_for_prices(
    budgets: tuple[Budget, ...], after: Amounts, *, passes: bool, known: str
) -> None:
    account = replace(charged(), prices=known)
    limits = Limits(quota={"cpu": 2000}, budgets=budgets, prices=UNKNOWN_PRICES)
    entry = replace(an_entry(), after=after)
    fence = account.fence
    tried = reserve(account, Proposal(entry, fence.mandate_uid, fence.generation, limits))
    assert isinstance(tried, Reserved if passes else Uncounted)
