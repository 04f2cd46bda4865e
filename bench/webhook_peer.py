"""The two servers that the webhook is compared with, both configured as it is (`webhooks.server`).

The floor: an application that reads the body and answers one constant. What
Governor costs beyond it is Governor's. With `--policies` the copy: the webhook's
path put together from its parts, each of them timed; `GET /tally` tells, and
begins anew. Only so are they timed as they run: between them the engine and the
server take turns on the processor and its caches.
"""

import argparse
import ssl
from pathlib import Path
from typing import Any, cast

import orjson
import uvloop
from starlette.types import Receive, Scope, Send

from bench.parts import UID, Bench, Tally, benchmark_registry
from controller.judging import running_child
from controller.logs import log_as_json
from controller.settings import EngineSettings
from webhooks.server import build_server, listen

ANSWER = orjson.dumps(
    {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": UID, "allowed": True},
    }
)
_JSON = (b"content-type", b"application/json")


class Peer:
    """The application; without a bench it only reads and answers."""

    def __init__(self, bench: Bench | None = None) -> None:
        self._bench = bench
        self._tally = Tally()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer whatever comes: a review, or the question for the tally."""
        if scope["type"] != "http":
            return
        message = await receive()
        chunks: list[bytes] = [message.get("body", b"")]
        while message.get("more_body", False):
            message = await receive()
            chunks.append(message.get("body", b""))
        answer = await self._answer(scope["path"], b"".join(chunks))
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [_JSON, length]})
        await send({"type": "http.response.body", "body": answer})

    async def _answer(self, path: str, body: bytes) -> bytes:
        if self._bench is None or path == "/":
            return ANSWER
        if path != "/tally":
            return await self._bench.review(body, self._tally)
        told, self._tally = orjson.dumps(self._tally), Tally()
        return told


async def serve(port: int, certificate: Path, policies: Path | None) -> None:
    """Serve on loopback until a signal ends the process."""
    if policies is None:
        await _serve(Peer(), port, certificate)
        return
    log_as_json()
    async with running_child(EngineSettings(policies=policies)) as engine:
        await _serve(Peer(Bench(engine, benchmark_registry())), port, certificate)


async def _serve(peer: Peer, port: int, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    # The server calls it as the ASGI application that it is, and no more.
    server = build_server(cast("Any", peer), context)
    await server.serve([listen("127.0.0.1", port)])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.webhook_peer", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", type=Path, required=True, help="with its key, PEM")
    parser.add_argument("--policies", type=Path, help="be the copy, and judge with these")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.certificate, arguments.policies))


if __name__ == "__main__":
    main()
