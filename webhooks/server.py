"""Runs the webhook application on TLS, and stops it without dropping a request.

Decides transport only: HTTP/1.1 (all that kube-apiserver speaks to webhooks),
TLS 1.3, connections kept longer than the API server keeps them. Signals are the
manager's business, not the server's, and so is the event loop that it runs on.
"""

import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn

from webhooks.app import WebhookApp

KEEP_ALIVE_SECONDS = 120
"""Longer than the API server's 90 s, so that it never meets a closing connection."""
DRAIN_SECONDS = 10


class WebhookServer(uvicorn.Server):
    """A uvicorn server that leaves the process's signals alone."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave them to the manager."""
        yield


def build_server(app: WebhookApp, tls: ssl.SSLContext) -> WebhookServer:
    """A server for `app`; serve it on a socket from `listen`, end it with `should_exit`.

    Raises the context's lowest TLS version to 1.3.
    """
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ssl_context_factory=lambda _config, _default: tls,
    )
    return WebhookServer(config)


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one."""
    listening = socket.create_server((host, port), backlog=2048, reuse_port=False)
    # Connections inherit it. Without it the second packet of an answer waits for the asker's
    # delayed acknowledgement (40 ms); asyncio sets it only on sockets of an explicit protocol.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
