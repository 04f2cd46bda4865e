"""Wires the processes together: the one place where clients, feeds, loops and servers meet.

Each `run_*` is one process from start to end. It decides nothing: what is built
here, and in which order it starts and stops, is all there is to it. What a process does
while it leads is wired in `controller.leading`.
"""

import asyncio
import signal
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NoReturn, Protocol
from urllib.parse import urlsplit

import structlog
from ulid import ULID

from controller.admission.case import RecordKeys
from controller.clients.keys import Keys, read_or_make_keys
from controller.clients.kube.accounts import AccountStore
from controller.clients.kube.client import KubeClient
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.outbox.outbox import Outbox
from controller.clients.tokens import TokenFile
from controller.feeds.accounts import AccountFeed
from controller.feeds.certificates import CertificateFeed, CertificatePolicy
from controller.feeds.priority import PriorityFeed
from controller.feeds.registry import RegistryFeed
from controller.feeds.surroundings import SurroundingsFeed
from controller.judging import RunningEngine, build_reviewer, running_engine
from controller.leading import Leader
from controller.peering import Peering
from controller.registration.subject import Target, UrlEndpoint
from controller.settings import ReconcileSettings, WebhookSettings
from reconcilers.ground import Ground
from reconcilers.leader import Leadership
from reconcilers.patience import until_answered
from reconcilers.registration import RegistrationLoop, RegistrationSettings
from webhooks.admission import Admission
from webhooks.app import Readiness, WebhookApp
from webhooks.callers import Callers
from webhooks.credentials import ExpectedCaller
from webhooks.mutation import Mutator
from webhooks.reservations import Reservations
from webhooks.server import WebhookServer, build_server, listen, share

OWN_USERNAMES = frozenset({"system:serviceaccount:governor-system:governor"})
"""Governor's own identities in a cluster: never governed, and neither is who it runs as."""

_LOOKS = 400
_LOOK_SECONDS = 0.05

_log = structlog.get_logger("governor.manager")


async def run_webhook(settings: WebhookSettings) -> None:
    """Serve the webhook until a signal ends it; requests in flight are answered first."""
    async with AsyncExitStack() as stack:
        keys = read_or_make_keys(settings.certificates)
        outbox = stack.enter_context(Outbox.open(settings.outbox, clock_ms=_clock_ms, mint=_mint))
        client = await stack.enter_async_context(connect(Kubeconfig(settings.kubeconfig)))
        engine = await stack.enter_async_context(running_engine(settings))
        registry, accounts = RegistryFeed(client), AccountFeed(client)
        priority = PriorityFeed(client, lambda: _own_username(client))
        certificates = CertificateFeed(
            settings.certificates, CertificatePolicy(settings.certificate_names())
        )
        peering = Peering(client, settings, certificates, name=_mint(), clock_ms=_clock_ms)
        reservations = Reservations(AccountStore(client), accounts, forwards=peering.forwarding)
        callers, surroundings = Callers(registry), SurroundingsFeed(client)
        missing = _readiness(engine, registry, accounts, priority, surroundings)
        app = WebhookApp(
            admission=Admission(
                callers=callers,
                surroundings=surroundings,
                reviewer=build_reviewer(engine, settings, mint_change=_mint),
                outbox=outbox,
                reservations=reservations,
                keys=RecordKeys(stamp=keys.stamp, content=keys.content),
                clock_ms=_clock_ms,
                deadline_seconds=settings.deadline_seconds,
            ),
            mutator=Mutator(
                callers=callers,
                surroundings=surroundings,
                outbox=outbox,
                stamp_key=keys.stamp,
                mint_change=_mint,
                clock_ms=_clock_ms,
            ),
            readiness=lambda: (*missing(), *_server_missing(server)),
            expected=_expected_caller(settings),
        )
        server = build_server(app, _tls(certificates), linger_seconds=settings.linger_seconds)
        take_port = share if settings.reuse_port else listen
        listening = take_port(settings.host, settings.port)
        _log.info(
            "listening",
            host=settings.host,
            port=listening.getsockname()[1],
            outbox=outbox.replica,
        )
        async with asyncio.TaskGroup() as tasks:
            feeds = (registry.run(), accounts.run(), priority.run(), certificates.run())
            work = (*feeds, surroundings.run(), peering.run(reservations, accounts))
            background = [tasks.create_task(each) for each in work]
            _stop_on_signals(lambda: _stop(server, peering, tasks))
            if settings.reuse_port:
                await _until_ready(missing, server)
            await server.serve([listening])
            await peering.stop()
            for task in background:
                task.cancel()


async def run_reconcile(settings: ReconcileSettings) -> None:
    """Keep registration, accounts and ledger as they should be, until a signal."""
    keys = read_or_make_keys(settings.certificates)
    async with connect(Kubeconfig(settings.kubeconfig)) as client:
        stopped = asyncio.Event()
        _stop_on_signals(stopped.set)
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(_reconcile(client, settings, keys))
            await stopped.wait()
            work.cancel()


async def _reconcile(client: KubeClient, settings: ReconcileSettings, keys: Keys) -> NoReturn:
    registry, accounts = RegistryFeed(client), AccountFeed(client)
    name = urlsplit(settings.webhook_url).hostname or ""
    certificates = CertificateFeed(settings.certificates, CertificatePolicy((name,)))
    leader = Leader(client, registry=registry, accounts=accounts, keys=keys, settings=settings)
    async with asyncio.TaskGroup() as tasks:
        for feed in (registry.run(), accounts.run(), certificates.run()):
            tasks.create_task(feed)
        username = await _own_username(client)
        ground = Ground(client, {username})
        tasks.create_task(ground.run(), name="ground")
        # Before Governor has seats of its own, nobody's writes may wait for it.
        await ground.laid.wait()
        leadership = Leadership(client, identity=f"{socket.gethostname()}-{_mint()}")
        tasks.create_task(leadership.run_while_leading(leader.work), name="leadership")
        endpoint = UrlEndpoint(settings.webhook_url.rstrip("/"))
        registration = RegistrationSettings(
            target=lambda: Target(
                endpoint, certificates.current.bundle, settings.webhook_timeout_seconds
            ),
            own_usernames=OWN_USERNAMES | {username},
        )
        loop = RegistrationLoop(client, registry, accounts, registration)
        certificates.subscribe(lambda _renewed: loop.wake())
        await loop.run()
    raise AssertionError("the loops ended")


async def _own_username(client: KubeClient) -> str:
    return await until_answered(client.who_am_i, what="own username")


def _expected_caller(settings: WebhookSettings) -> ExpectedCaller:
    file = settings.api_server_token_file
    expected = ExpectedCaller(None if file is None else TokenFile(file).current)
    if expected.is_anybody:
        _log.warning("whoever reaches the port may ask; set --api-server-token-file")
    return expected


class _Feed(Protocol):
    def missing(self) -> tuple[str, ...]: ...


def _readiness(engine: RunningEngine, *feeds: _Feed) -> Readiness:
    return lambda: (
        *(reason for feed in feeds for reason in feed.missing()),
        *(() if engine.is_ready else ("engine: is not running",)),
    )


async def _until_ready(missing: Readiness, server: WebhookServer) -> None:
    """Leave the port to those who can answer; but not for long, for there may be nobody else."""
    for _ in range(_LOOKS):
        if not missing() or server.is_draining:
            return
        await asyncio.sleep(_LOOK_SECONDS)
    _log.warning("not ready, and serving all the same", missing=missing())


def _server_missing(server: WebhookServer) -> tuple[str, ...]:
    return ("server: is stopping",) if server.is_draining else ()


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


def _mint() -> str:
    return str(ULID())


def _tls(certificates: CertificateFeed) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.serve_with(context)
    return context


def _stop(server: WebhookServer, peering: Peering, tasks: asyncio.TaskGroup) -> None:
    if not server.is_draining:
        server.drain()
        tasks.create_task(peering.withdraw(), name="farewell to the peers")


def _stop_on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
