"""What the swap adds to a write: the same write with and without, one after the other.

Times single writes over connections that are kept; what the times mean is for
`bench.race_verdict`.
"""

import ssl
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
import orjson

from bench.race_verdict import Quad


class PaceError(Exception):
    """A write that was to be timed was refused; says how."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Who writes the same objects side by side, each in a namespace of its own."""

    server: str
    """The API server's base URL."""
    authority: Path
    """The CA to trust."""
    agent: str
    """Name of the agent, and of its namespace."""
    agent_token: str
    person: str
    """Likewise, of an account that no mandate names."""
    person_token: str


async def measure(pair: Pair, *, quads: int, name: str) -> list[Quad]:
    """Time so many quadruples; the order within them changes from one to the next.

    Raises:
        PaceError: a write was refused.
    """
    context = ssl.create_default_context(cafile=pair.authority)
    async with (
        _session(context, pair.agent_token) as agent,
        _session(context, pair.person_token) as person,
    ):
        writers = (
            _Writer(agent, pair.server, pair.agent),
            _Writer(person, pair.server, pair.person),
        )
        for writer in writers:  # connects; not measured
            await writer.write(f"{name}-first", is_dry=False)
        return [
            await _quad(*writers, name=f"{name}-{number}", turn=number) for number in range(quads)
        ]


async def _quad(agent: "_Writer", person: "_Writer", *, name: str, turn: int) -> Quad:
    ways = [(writer, is_dry) for writer in (agent, person) for is_dry in (False, True)]
    first = turn % len(ways)
    taken = {
        (writer, is_dry): await writer.write(name, is_dry=is_dry)
        for writer, is_dry in ways[first:] + ways[:first]
    }
    return Quad(
        plain=taken[person, False],
        governed=taken[agent, False],
        plain_dry=taken[person, True],
        governed_dry=taken[agent, True],
    )


@dataclass(frozen=True, slots=True)
class _Writer:
    session: aiohttp.ClientSession
    server: str
    namespace: str

    async def write(self, name: str, *, is_dry: bool) -> float:
        """Create one ConfigMap; the seconds that it took."""
        url = f"{self.server}/api/v1/namespaces/{self.namespace}/configmaps"
        metadata = {"name": f"{name}-dry" if is_dry else name}
        body = orjson.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        sent = time.monotonic()
        async with self.session.post(f"{url}?dryRun=All" if is_dry else url, data=body) as answer:
            content = await answer.read()
        taken = time.monotonic() - sent
        if answer.status != HTTPStatus.CREATED:
            said = content.decode(errors="replace")[:500]
            raise PaceError(f"{url}: HTTP {answer.status}: {said}")
        return taken


def _session(context: ssl.SSLContext, token: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=1),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        timeout=aiohttp.ClientTimeout(total=60),
        trust_env=False,
    )
