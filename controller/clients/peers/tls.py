"""Who is a peer: whoever shows a certificate that Governor's own CA issued for peers.

Both ends show one and both verify the other's. The name in it is that of the role, not
of a host, so that processes may move. It issues nothing (`controller.feeds.certificates`).
"""

import ssl
from pathlib import Path
from typing import Final

PEER_NAME: Final = "governor-peer"
"""The DNS name in every peer's certificate."""


def context_to_accept(file: Path, bundle: bytes) -> ssl.SSLContext:
    """For the end that is connected to: nobody without a certificate gets in.

    Args:
        file: certificate and key, PEM.
        bundle: the CAs, PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return _for_peers(context, file, bundle)


def context_to_connect(file: Path, bundle: bytes) -> ssl.SSLContext:
    """For the end that connects, under the name `PEER_NAME`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _for_peers(context, file, bundle)


def is_peer(tls: ssl.SSLObject | ssl.SSLSocket | None) -> bool:
    """Whether the other end of this verified connection may speak as a peer.

    The CA also issues the certificate that the API server is shown, and may one day
    issue others: only those for peers count.
    """
    certificate = None if tls is None else tls.getpeercert()
    names = () if certificate is None else certificate.get("subjectAltName", ())
    return ("DNS", PEER_NAME) in tuple(names)


def _for_peers(context: ssl.SSLContext, file: Path, bundle: bytes) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(file)
    context.load_verify_locations(cadata=bundle.decode("ascii"))
    return context
