"""Wires the processes together: the one place where clients, feeds, loops and servers meet.

Each `run_*` is one process from start to end. It decides nothing: what is built
here, and in which order it starts and stops, is all there is to it.
"""

import asyncio
import signal
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NoReturn
from urllib.parse import urlsplit

import structlog

from controller.clients.kube.config import Kubeconfig, connect
from controller.feeds.certificates import CertificateFeed, CertificatePolicy
from controller.feeds.registry import RegistryFeed
from controller.judging import RunningEngine, build_reviewer, running_engine
from controller.registration.subject import Target, UrlEndpoint
from controller.settings import ReconcileSettings, WebhookSettings
from reconcilers.identity import own_username
from reconcilers.registration import RegistrationLoop, RegistrationSettings
from webhooks.app import WebhookApp
from webhooks.server import WebhookServer, build_server, listen

OWN_USERNAMES = frozenset({"system:serviceaccount:governor-system:governor"})
"""Governor's own identities in a cluster: never governed, and neither is who it runs as."""

_log = structlog.get_logger("governor.manager")


async def run_webhook(settings: WebhookSettings) -> None:
    """Serve the webhook until a signal ends it; requests in flight are answered first."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(Kubeconfig(settings.kubeconfig)))
        engine = await stack.enter_async_context(running_engine(settings))
        feed = RegistryFeed(client)
        certificates = CertificateFeed(
            settings.certificates, CertificatePolicy(settings.certificate_names())
        )
        app = WebhookApp(
            reviewer=build_reviewer(engine, settings),
            registries=feed,
            readiness=lambda: _what_is_missing(feed, engine),
        )
        server = build_server(app, _tls(certificates))
        socket = listen(settings.host, settings.port)
        _log.info("listening", host=settings.host, port=socket.getsockname()[1])
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(feed.run()), tasks.create_task(certificates.run())]
            _stop_on_signals(lambda: _stop(server))
            await server.serve([socket])
            for task in background:
                task.cancel()


async def run_reconcile(settings: ReconcileSettings) -> None:
    """Keep the registration and the mandates' status as they should be, until a signal."""
    async with connect(Kubeconfig(settings.kubeconfig)) as client:
        feed = RegistryFeed(client)
        name = urlsplit(settings.webhook_url).hostname or ""
        certificates = CertificateFeed(settings.certificates, CertificatePolicy((name,)))
        endpoint = UrlEndpoint(f"{settings.webhook_url.rstrip('/')}/validate")

        async def keep_registered() -> NoReturn:
            registration = RegistrationSettings(
                target=lambda: Target(
                    endpoint, certificates.current.bundle, settings.webhook_timeout_seconds
                ),
                own_usernames=OWN_USERNAMES | {await own_username(client)},
            )
            loop = RegistrationLoop(client, feed, registration)
            certificates.subscribe(lambda _renewed: loop.wake())
            await loop.run()

        stopped = asyncio.Event()
        _stop_on_signals(stopped.set)
        async with asyncio.TaskGroup() as tasks:
            parts = (feed.run(), certificates.run(), keep_registered())
            work = [tasks.create_task(part) for part in parts]
            await stopped.wait()
            for task in work:
                task.cancel()


def _what_is_missing(feed: RegistryFeed, engine: RunningEngine) -> tuple[str, ...]:
    return (*feed.missing(), *(() if engine.is_ready else ("engine: is not running",)))


def _tls(certificates: CertificateFeed) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.serve_with(context)
    return context


def _stop(server: WebhookServer) -> None:
    server.should_exit = True


def _stop_on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
