"""What goes wrong between Governor and the API server, on demand: cut cables, forgotten versions.

Nothing here judges how Governor takes it.
"""

import asyncio
import contextlib
import json
import ssl
import urllib.request
from typing import cast

from native.components import Site


class Gate:
    """A relay to the API server that can be closed: then connections break and none is made."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open = True
        self._frozen = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._relays: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; returns the port."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        """Break every connection, and take none."""
        self._open = False
        for writer in self._writers:
            writer.transport.abort()

    def open(self) -> None:
        """Take connections again."""
        self._open = True
        self._frozen = False

    def freeze(self) -> None:
        """Keep every connection, but pass nothing on: a cable that was cut."""
        self._frozen = True

    async def stop(self) -> None:
        """End for good."""
        self.close()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*self._relays)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._relays.add(cast("asyncio.Task[None]", asyncio.current_task()))
        if not self._open:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        for end in (writer, far_writer):
            with contextlib.suppress(OSError):
                await end.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self._frozen:
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()


def compact(site: Site) -> None:
    """Make etcd forget every revision but the last, through its HTTP gateway."""
    context = ssl.create_default_context(cafile=str(site.certificate("etcd-ca")))
    context.load_cert_chain(site.certificate("etcd-client"), site.key("etcd-client"))

    def call(path: str, body: dict[str, object]) -> dict[str, dict[str, str]]:
        request = urllib.request.Request(
            f"https://127.0.0.1:{site.ports.etcd}/v3/kv/{path}", json.dumps(body).encode()
        )
        with urllib.request.urlopen(request, context=context) as answer:  # noqa: S310 - likewise
            decoded: dict[str, dict[str, str]] = json.load(answer)
            return decoded

    revision = call("range", {"key": "AA=="})["header"]["revision"]
    call("compaction", {"revision": revision, "physical": True})
