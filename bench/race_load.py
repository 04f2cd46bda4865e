"""Many creates at the same moment, as one identity; each is tried again as Kubernetes' clients do.

Counts what the writers were told in the end. Whether that is right is for whoever asks
(`bench.race_verdict`): a write that was answered is not a write that was stored.
"""

import asyncio
import random
import re
import ssl
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import cast

import aiohttp
import orjson

_DENIAL = re.compile(r"governor: denied \[([a-z0-9-]+)\]")
_LONGEST_MESSAGE = 200
_PAUSE_SECONDS = 0.5
"""Before a write is sent again, where the server does not say how long to wait."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to create, and as whom."""

    server: str
    """The API server's base URL."""
    path: str
    """Of the collection."""
    authority: Path
    """The CA to trust."""
    token: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object to create."""

    name: str
    body: bytes
    """JSON."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a writer keeps trying, in seconds."""

    answer: float = 30.0
    """For one answer."""
    altogether: float = 120.0
    """From the first try on."""


@dataclass(slots=True)
class Answers:
    """What the writers were told in the end."""

    created: set[str] = field(default_factory=set[str])
    """Names. Also of what was there already when a write was sent again whose first answer was
    a fault: it had taken effect."""
    denied: Counter[str] = field(default_factory=Counter[str])
    """By the code of the denial."""
    errors: Counter[str] = field(default_factory=Counter[str])
    """Whatever else was the last word."""
    repeated: Counter[str] = field(default_factory=Counter[str])
    """Faults after which a write was sent again."""

    def add(self, other: "Answers") -> None:
        """Take in those of further writes."""
        self.created |= other.created
        self.denied += other.denied
        self.errors += other.errors
        self.repeated += other.repeated


@dataclass(frozen=True, slots=True)
class _Fault:
    """An answer that says nothing about whether the write may take effect; or none at all."""

    what: str
    wait_seconds: float


async def create_at_once(
    target: Target, wanted: Sequence[Wanted], *, patience: Patience, chance: random.Random
) -> Answers:
    """Create all of it at the same moment, each over a connection of its own."""
    answers = Answers()
    gate = asyncio.Barrier(len(wanted))
    context = ssl.create_default_context(cafile=target.authority)
    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(_session(target, context, patience)) for _ in wanted
        ]
        async with asyncio.TaskGroup() as tasks:
            for session, one in zip(sessions, wanted, strict=True):
                writer = _Writer(session, target, patience, chance, answers)
                tasks.create_task(writer.write(one, gate))
    return answers


def _session(target: Target, context: ssl.SSLContext, patience: Patience) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=1),
        headers={"Authorization": f"Bearer {target.token}", "Content-Type": "application/json"},
        timeout=aiohttp.ClientTimeout(total=patience.answer),
        trust_env=False,
    )


@dataclass(frozen=True, slots=True)
class _Writer:
    session: aiohttp.ClientSession
    target: Target
    patience: Patience
    chance: random.Random
    answers: Answers

    async def write(self, one: Wanted, gate: asyncio.Barrier) -> None:
        """Connect, wait for the others, write until there is a last word."""
        await self._connect()
        await gate.wait()
        give_up = asyncio.get_running_loop().time() + self.patience.altogether
        is_again = False
        while (fault := await self._try(one, is_again=is_again)) is not None:
            if asyncio.get_running_loop().time() > give_up:
                self.answers.errors[fault.what] += 1
                return
            self.answers.repeated[fault.what] += 1
            is_again = True
            await asyncio.sleep(fault.wait_seconds * self.chance.uniform(0.8, 1.2))

    async def _connect(self) -> None:
        """Have a connection before the race begins; a write makes one if this does not."""
        try:
            async with self.session.get(f"{self.target.server}/version") as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return

    async def _try(self, one: Wanted, *, is_again: bool) -> _Fault | None:
        """Send it once; note the answer if it is a last word."""
        url = f"{self.target.server}{self.target.path}"
        try:
            async with self.session.post(url, data=one.body) as answer:
                content = await answer.read()
                status, wait = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError) as broken:
            return _Fault(type(broken).__name__, _PAUSE_SECONDS)
        reason, message = _status_of(content)
        if status == HTTPStatus.CREATED or (is_again and reason == "AlreadyExists"):
            self.answers.created.add(one.name)
        elif denial := _DENIAL.search(message):
            self.answers.denied[denial[1]] += 1
        else:
            what = f"HTTP {status}: {message.replace(one.name, 'NAME')[:_LONGEST_MESSAGE]}"
            if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return _Fault(what, float(wait) if wait.isdecimal() else _PAUSE_SECONDS)
            self.answers.errors[what] += 1
        return None


def _status_of(content: bytes) -> tuple[str, str]:
    """Reason and message of a Status; of anything else what it says."""
    try:
        answer: object = orjson.loads(content)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        return "", content.decode(errors="replace").strip()
    status = cast("dict[str, object]", answer)
    return str(status.get("reason")), str(status.get("message"))
