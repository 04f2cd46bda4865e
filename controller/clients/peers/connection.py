"""The asking end of the one connection to a peer, on which all questions travel.

It connects, asks and gives up in time. What is asked, of whom, and what is done where a
peer does not answer, is the caller's business.
"""

import asyncio
import ssl
import struct
from typing import Final, NamedTuple

from controller.clients.frames import Asker, Faults, Payload, Reply
from controller.clients.peers.errors import (
    PeerError,
    PeerProtocolError,
    PeerRefusedError,
    PeerTimeoutError,
    PeerUnavailableError,
)
from controller.clients.peers.tls import PEER_NAME, is_peer

ASK: Final = 0x01
ANSWER: Final = 0x81
REFUSAL: Final = 0x8E
"""Nothing was done."""
FAILURE: Final = 0x8F
"""It is not known what was done."""
ALLOWED: Final = struct.Struct(">I")
"""What a question begins with: for how many milliseconds it may be worked on."""
MAX_QUESTION: Final = 256 * 1024
MAX_ANSWER: Final = 256 * 1024

_FAULTS: Final[Faults[PeerError]] = Faults(
    who="the peer",
    what="questions",
    unavailable=PeerUnavailableError,
    late=PeerTimeoutError,
    garbled=PeerProtocolError,
)


class Address(NamedTuple):
    """Where a peer listens."""

    host: str
    port: int


class PeerConnection(Asker[PeerError]):
    """One connection to one peer."""

    def __init__(self) -> None:
        super().__init__(_FAULTS, max_payload=MAX_ANSWER, replies=(ANSWER, REFUSAL, FAILURE))

    async def question(self, content: bytes, *, timeout_seconds: float) -> Payload:
        """The peer's answer to one question.

        Raises:
            PeerRefusedError: it did nothing.
            PeerError: it may have done what was asked, or may still.
        """
        allowed = ALLOWED.pack(max(1, int(timeout_seconds * 1000)))
        reply = await self.ask(ASK, allowed + content, timeout_seconds=timeout_seconds)
        return _answer(reply)


def _answer(reply: Reply) -> Payload:
    if reply.kind == ANSWER:
        return reply.payload
    reason = bytes(reply.payload[:500]).decode(errors="replace")
    raise PeerRefusedError(reason) if reply.kind == REFUSAL else PeerUnavailableError(reason)


async def connect(address: Address, tls: ssl.SSLContext) -> PeerConnection:
    """Connect to a peer, and see that it is one.

    Raises:
        PeerUnavailableError: nobody answers there, or not a peer.
    """
    loop = asyncio.get_running_loop()
    try:
        transport, connection = await loop.create_connection(
            PeerConnection, address.host, address.port, ssl=tls, server_hostname=PEER_NAME
        )
    except (OSError, ssl.SSLError) as error:  # an SSLError can be a ValueError, too
        raise PeerUnavailableError(f"{address.host}:{address.port}: {error}") from error
    if not is_peer(transport.get_extra_info("ssl_object")):
        connection.close(PeerUnavailableError("it shows no certificate of a peer"))
        raise PeerUnavailableError(f"{address.host}:{address.port} is no peer")
    return connection
