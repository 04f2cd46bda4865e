"""Wires what one webhook process has to do with the others: told of them, heard and asked.

Decides nothing but the order of things: who is announced can answer already, and who
stops is first taken off the others' lists.
"""

import ssl
from collections.abc import Callable
from typing import NoReturn

import structlog

from controller.clients.kube.client import KubeClient
from controller.clients.peers.connection import Address
from controller.clients.peers.server import PeerServer
from controller.clients.peers.tls import context_to_accept, context_to_connect
from controller.feeds.accounts import AccountFeed
from controller.feeds.certificates import CertificateFeed, ServingCertificate
from controller.feeds.peers import PeerFeed
from controller.settings import WebhookSettings
from webhooks.forwarding import Enters, Forwarding, answer_peers
from webhooks.server import listen

_log = structlog.get_logger("governor.manager")


class Peering:
    """The other webhook processes, as far as one of them is concerned.

    Attributes:
        forwarding: what to forward proposals by.
    """

    def __init__(
        self,
        client: KubeClient,
        settings: WebhookSettings,
        certificates: CertificateFeed,
        *,
        name: str,
        clock_ms: Callable[[], int],
    ) -> None:
        """Take a port for peers; nobody is told of it before `run`.

        Args:
            client: whom to tell, and to ask.
            settings: of this process.
            certificates: what to show, and to believe.
            name: of this process, and of none before or after it.
            clock_ms: milliseconds since the epoch.

        Raises:
            OSError: the port cannot be taken.
        """
        host = settings.peer_address()
        self._listening = None if host is None else listen(host, settings.peer_port)
        if host is None or self._listening is None:
            _log.warning("other webhook processes are not told of this one; set --peer-host")
            address = None
        else:
            address = Address(host, self._listening.getsockname()[1])
        self._certificates = certificates
        self._clock_ms = clock_ms
        self._feed = PeerFeed(client, replica=name, address=address)
        self._server: PeerServer | None = None
        _log.info("peering", name=self._feed.own, address=address)
        self.forwarding = Forwarding(self._feed.own, self._feed.peers, self._to_connect)

    async def run(self, entering: Enters, accounts: AccountFeed) -> NoReturn:
        """Follow who lives, answer what they forward, and tell them of us once we can."""
        if self._listening is not None:
            self._server = PeerServer(answer_peers(entering, clock_ms=self._clock_ms))
            await self._server.start(self._listening, self._to_accept())
        await self._feed.run(accounts.wait_synced)

    async def withdraw(self) -> None:
        """Be taken off the others' lists; what they have forwarded is still answered."""
        await self._feed.withdraw()

    async def stop(self) -> None:
        """Answer what is forwarded already, and hang up."""
        if self._server is not None:
            await self._server.stop()
        self.forwarding.close()

    def _to_connect(self) -> ssl.SSLContext:
        current = self._certificates.current
        return context_to_connect(current.peer_file, current.bundle)

    def _to_accept(self) -> ssl.SSLContext:
        current = self._certificates.current
        context = context_to_accept(current.peer_file, current.bundle)

        def follow(renewed: ServingCertificate) -> None:
            # What was believed before stays believed until it expires or this process ends.
            context.load_verify_locations(cadata=renewed.bundle.decode("ascii"))
            context.load_cert_chain(renewed.peer_file)

        self._certificates.subscribe(follow)
        return context
