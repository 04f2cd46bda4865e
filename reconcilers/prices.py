"""Says by which prices an account is to be charged: the newest, whatever a watch still shows.

Where the watch and the account disagree, the API server is asked: a process that lags
would else turn prices back, and accounts be charged by turns. While prices are unknown,
everything but money goes on. It charges nothing.
"""

from collections.abc import Callable

import structlog

from controller.accounts.account import Account
from controller.apis.pricebooks import UNKNOWN_PRICES, PriceBook
from controller.clients.kube.errors import NotFoundError
from controller.clients.kube.resources import PRICEBOOKS
from controller.feeds.registry import PRICES, read_pricebook
from reconcilers.fences import Reads

log = structlog.get_logger("governor.reconcilers")


class Pricing:
    """Looks prices up."""

    def __init__(self, client: Reads, known: Callable[[], PriceBook | None]) -> None:
        """Ask nobody yet.

        Args:
            client: reads the PriceBook.
            known: the last valid one that the watch has shown; None: there was none yet.
        """
        self._client = client
        self._known = known
        self._is_told = False

    async def of(self, account: Account) -> PriceBook:
        """The prices of the moment; `UNKNOWN_PRICES` while nobody knows them.

        An invalid PriceBook leaves those in force that were valid before.

        Raises:
            KubeError: the API server could not be asked.
        """
        prices = await self._look_up(account)
        if not prices.is_known and not self._is_told:
            log.warning("prices unknown: what agents hold is charged later, for all of the time")
        self._is_told = not prices.is_known
        return prices

    async def _look_up(self, account: Account) -> PriceBook:
        known = self._last_valid()
        if not known.is_known or known.identity == account.prices:
            return known
        try:
            stored = read_pricebook(await self._client.get(PRICEBOOKS, PRICES))
        except NotFoundError:
            return PriceBook()
        return stored.content if isinstance(stored.content, PriceBook) else self._last_valid()

    def _last_valid(self) -> PriceBook:
        known = self._known()
        return UNKNOWN_PRICES if known is None else known
