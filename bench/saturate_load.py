"""Many writers at once against one API server, as one identity, each over its own connection.

Counts and times; what a figure means is for whoever asks. A write is tried once: who
tries again hides what it is about.
"""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import cast

import aiohttp
import orjson

_LONGEST_MESSAGE = 200


@dataclass(frozen=True, slots=True)
class Job:
    """What to write."""

    url: str
    """Of the collection that objects are created in."""
    authority: Path
    """The CA to trust."""
    token: str
    name: str
    """What the objects' names begin with."""
    writers: int
    """At the same time, one connection each."""
    writes: int
    """Altogether."""
    timeout_seconds: float = 60.0
    """For one write: long after all deadlines that are looked at."""


@dataclass(frozen=True, slots=True)
class Load:
    """How it came out."""

    seconds: tuple[float, ...]
    """Of each write that was answered 201, in ascending order."""
    failures: Mapping[str, int]
    """What else was answered, how often."""
    elapsed_seconds: float
    longest_failure_seconds: float = 0.0

    @property
    def failed(self) -> int:
        """Writes that did not."""
        return sum(self.failures.values())

    @property
    def answered(self) -> int:
        """Writes that took effect."""
        return len(self.seconds)

    @property
    def slowest_seconds(self) -> float:
        """Of all writes, failed ones too."""
        return max([*self.seconds, self.longest_failure_seconds], default=0.0)

    def lines(self) -> list[str]:
        """The figures beside the figure."""
        if not self.seconds:
            return ["nothing was answered"]
        middle, late = (self.seconds[int(part * (self.answered - 1))] for part in (0.5, 0.99))
        return [
            f"{self.answered / self.elapsed_seconds:.0f} writes/s; of one write "
            f"p50 {middle * 1000:.0f} ms, p99 {late * 1000:.0f} ms"
        ]


async def run(job: Job) -> Load:
    """Write all of it."""
    names = islice((f"{job.name}-{number}" for number in count()), job.writes)
    tallies = [_Tally() for _ in range(job.writers)]
    connector = aiohttp.TCPConnector(
        ssl=ssl.create_default_context(cafile=job.authority), limit=job.writers
    )
    begun = time.monotonic()
    async with aiohttp.ClientSession(
        connector=connector,
        headers={"Authorization": f"Bearer {job.token}", "Content-Type": "application/json"},
        timeout=aiohttp.ClientTimeout(total=job.timeout_seconds),
        trust_env=False,
    ) as session:
        await asyncio.gather(*(_write(session, job.url, names, tally) for tally in tallies))
    elapsed = time.monotonic() - begun
    failures: Counter[str] = Counter()
    for tally in tallies:
        failures.update(tally.failures)
    return Load(
        seconds=tuple(sorted(each for tally in tallies for each in tally.seconds)),
        failures=dict(failures),
        elapsed_seconds=elapsed,
        longest_failure_seconds=max((tally.longest_failure for tally in tallies), default=0.0),
    )


class _Tally:
    """What one writer counted."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failures: Counter[str] = Counter()
        self.longest_failure = 0.0

    def add(self, failure: str, seconds: float) -> None:
        """Count one write."""
        if not failure:
            self.seconds.append(seconds)
            return
        self.failures[failure] += 1
        self.longest_failure = max(self.longest_failure, seconds)


async def _write(
    session: aiohttp.ClientSession, url: str, names: Iterator[str], tally: _Tally
) -> None:
    """One writer: it takes the next name when its last write was answered."""
    for name in names:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        sent = time.monotonic()
        try:
            async with session.post(url, data=orjson.dumps(body)) as answer:
                content = await answer.read()
                failure = "" if answer.status == 201 else _failure(answer.status, content, name)
        except (aiohttp.ClientError, TimeoutError) as broken:
            failure = type(broken).__name__
        tally.add(failure, time.monotonic() - sent)


def _failure(status: int, content: bytes, name: str) -> str:
    """What was answered, in words that are the same for all writes that met it."""
    try:
        answer: object = orjson.loads(content)
    except orjson.JSONDecodeError:
        answer = None
    message = content.decode(errors="replace").strip()
    if isinstance(answer, dict):
        message = str(cast("dict[str, object]", answer).get("message"))
    return f"HTTP {status}: {message.replace(name, 'NAME')[:_LONGEST_MESSAGE]}"
