"""Says by which prices an account is to be charged: the newest, whatever a watch still shows.

Where the watch and the account disagree, the API server is asked: a process that lags
would else turn prices back, and accounts be charged by turns. It charges nothing.
"""

from collections.abc import Callable

from controller.accounts.account import Account
from controller.apis.pricebooks import PriceBook
from controller.clients.kube.errors import NotFoundError
from controller.clients.kube.resources import PRICEBOOKS
from controller.feeds.registry import PRICES, read_pricebook
from reconcilers.fences import Reads


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

    async def of(self, account: Account) -> PriceBook | None:
        """The prices of the moment; None: they are not known.

        An invalid PriceBook leaves those in force that were valid before.

        Raises:
            KubeError: the API server could not be asked.
        """
        known = self._known()
        if known is None or known.identity == account.prices:
            return known
        try:
            stored = read_pricebook(await self._client.get(PRICEBOOKS, PRICES))
        except NotFoundError:
            return PriceBook()
        return stored.content if isinstance(stored.content, PriceBook) else self._known()
