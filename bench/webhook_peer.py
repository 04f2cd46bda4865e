"""The two servers that the webhook is compared with, both configured as it is (`webhooks.server`).

The floor: an application that reads the body and answers one constant. What
Governor costs beyond it is Governor's. With `--kubeconfig` the copy: the webhook's
path put together from its parts, each of them timed, with an outbox of its own and the
webhook's Account. `GET /begin/DEPTH` says how far reviews are to be taken, `GET /tally`
tells what was counted since. Only so are they timed as they run: between them the
engine and the server take turns on the processor and its caches.
"""

import argparse
import asyncio
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
import uvloop
from starlette.types import Receive, Scope, Send
from ulid import ULID

from bench.parts import Bench, Depth, Keeping, Tally, record_keys, registry_of
from bench.webhook_reviews import AGENT
from bench.webhook_template import Slot
from controller.clients.kube.accounts import AccountStore
from controller.clients.kube.client import KubeClient
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.resources import MANDATES, Key
from controller.clients.outbox.outbox import Outbox
from controller.feeds.accounts import AccountFeed
from controller.judging import running_child
from controller.logs import log_as_json
from controller.settings import EngineSettings
from webhooks.intake import Intake
from webhooks.reservations import Reservations
from webhooks.server import build_server, listen

ANSWER = orjson.dumps(
    {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": Slot.UID, "allowed": True},
    }
)
_JSON = (b"content-type", b"application/json")
_BEGIN = "/begin/"


class Copy:
    """The webhook's path, with what it needs to keep writes."""

    def __init__(self, bench: Bench, client: KubeClient, outbox: Outbox) -> None:
        self._bench = bench
        self._client = client
        self._outbox = outbox
        self._tally = Tally()
        self._keeping: Keeping | None = None
        self._following: asyncio.Task[None] | None = None

    async def answer(self, path: str, body: bytes) -> bytes:
        """Answer a review, or do what the benchmark asks for."""
        if path.startswith(_BEGIN):
            return await self._begin(Depth(path.removeprefix(_BEGIN)))
        if path == "/tally":
            return await self._end()
        if self._keeping is None:
            return ANSWER
        return await self._bench.answer(path, body, self._tally, self._keeping)

    async def _begin(self, depth: Depth) -> bytes:
        accounts = AccountFeed(self._client)
        if depth is Depth.RESERVED:
            # Otherwise it would follow, and pay for, what the webhook itself writes.
            self._following = asyncio.create_task(accounts.run())
            await accounts.wait_synced()
        reservations = Reservations(AccountStore(self._client), accounts)
        self._keeping, self._tally = Keeping(depth, self._outbox, reservations), Tally()
        return ANSWER

    async def _end(self) -> bytes:
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        self._keeping = self._following = None
        return orjson.dumps(self._tally)


class Peer:
    """The application; without a copy it only reads and answers."""

    def __init__(self, copy: Copy | None = None) -> None:
        self._copy = copy
        self._read = _read if copy is None else Intake().read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer whatever comes."""
        if scope["type"] != "http":
            return
        copy, body = self._copy, await self._read(receive)
        answer = ANSWER if copy is None else await copy.answer(scope["path"], body)
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [_JSON, length]})
        await send({"type": "http.response.body", "body": answer})


async def _read(receive: Receive) -> bytes:
    message = await receive()
    chunks: list[bytes] = [message.get("body", b"")]
    while message.get("more_body", False):
        message = await receive()
        chunks.append(message.get("body", b""))
    return b"".join(chunks)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the copy finds what the webhook finds."""

    kubeconfig: Path
    certificates: Path
    outbox: Path
    policies: Path


async def serve(port: int, certificates: Path, place: Place | None) -> None:
    """Serve on loopback until a signal ends the process."""
    if place is None:
        await _serve(Peer(), port, certificates)
        return
    async with _copied(place) as copy:
        await _serve(Peer(copy), port, certificates)


@asynccontextmanager
async def _copied(place: Place) -> AsyncGenerator[Copy, None]:
    with Outbox.open(place.outbox, clock_ms=_now_ms, mint=lambda: str(ULID())) as outbox:
        async with (
            connect(Kubeconfig(place.kubeconfig)) as client,
            running_child(EngineSettings(policies=place.policies)) as engine,
        ):
            stored = await client.get(MANDATES, Key("", AGENT))
            keys = record_keys(place.certificates)
            yield Copy(Bench(engine, registry_of(dict(stored)), keys), client, outbox)


async def _serve(peer: Peer, port: int, certificates: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    # The server calls it as the ASGI application that it is, and no more.
    server = build_server(cast("Any", peer), context)
    await server.serve([listen("127.0.0.1", port)])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.webhook_peer", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificates", type=Path, required=True, help="and keys")
    parser.add_argument("--kubeconfig", type=Path, help="be the copy")
    parser.add_argument("--outbox", type=Path, help="of the copy")
    parser.add_argument("--policies", type=Path, help="of the copy")
    arguments = parser.parse_args()
    place = None
    if arguments.kubeconfig is not None:
        place = Place(
            arguments.kubeconfig, arguments.certificates, arguments.outbox, arguments.policies
        )
    log_as_json()
    uvloop.run(serve(arguments.port, arguments.certificates, place))


if __name__ == "__main__":
    main()
