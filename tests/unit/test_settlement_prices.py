"""By which prices an account is charged: never by older ones than the API server holds."""

from dataclasses import replace

import pytest

from controller.apis.pricebooks import PriceBook
from controller.clients.kube.client import Object
from controller.clients.kube.errors import NotFoundError, UnreachableError
from controller.clients.kube.resources import PRICEBOOKS, Key, Resource
from reconcilers.prices import Pricing
from tests.accounts import an_account

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
    server = Server(None)
    assert await Pricing(server, lambda: None).of(an_account()) is None
    assert server.asked == 0


async def test_an_api_server_that_does_not_answer_is_a_fault() -> None:
    class Down(Server):
        async def get(self, resource: Resource, key: Key) -> Object:
            raise UnreachableError("refused")

    account = replace(an_account(), prices="p-0:9")
    with pytest.raises(UnreachableError):
        await Pricing(Down(None), lambda: NEW).of(account)
