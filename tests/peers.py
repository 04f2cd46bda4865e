"""Webhook processes as one test has them: certificates of one CA, and peers on loopback."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from controller.clients.peers.connection import Address
from controller.clients.peers.server import Answers, PeerServer
from controller.clients.peers.tls import context_to_accept, context_to_connect
from controller.feeds.certificates import CertificatePolicy, ServingCertificate, ensure_certificates
from webhooks.server import listen


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of certificates that the processes of one Governor share."""

    certificates: ServingCertificate

    @classmethod
    def at(cls, path: Path) -> "Folder":
        """With a CA of its own."""
        now = datetime.now(UTC)
        return cls(ensure_certificates(path, CertificatePolicy(("127.0.0.1",)), now=now))

    def to_accept(self) -> ssl.SSLContext:
        """Of the end that peers connect to."""
        return context_to_accept(self.certificates.peer_file, self.certificates.bundle)

    def to_connect(self) -> ssl.SSLContext:
        """Of the end that connects."""
        return context_to_connect(self.certificates.peer_file, self.certificates.bundle)


@asynccontextmanager
async def answering(answers: Answers, folder: Folder) -> AsyncGenerator[Address]:
    """A peer that answers for as long as the block lasts."""
    listening = listen("127.0.0.1", 0)
    address = Address("127.0.0.1", listening.getsockname()[1])
    server = PeerServer(answers)
    await server.start(listening, folder.to_accept())
    try:
        yield address
    finally:
        await server.stop()


@asynccontextmanager
async def silent() -> AsyncGenerator[Address]:
    """Somebody who takes connections and says nothing, not even hello."""
    server = await asyncio.start_server(lambda _, writer: _HELD.add(writer), "127.0.0.1", 0)
    try:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        for writer in _HELD:
            writer.close()
        _HELD.clear()
        server.close()


_HELD: set[asyncio.StreamWriter] = set()
