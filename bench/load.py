"""Asks a webhook over TLS on keep-alive connections, and times every answer.

Each connection sends its next review when its last one is answered. Every
answer is read and its verdict compared with the expected one: a fast wrong
answer is no figure. Runs in a process of its own (`python -m bench.load`), so
that its CPU is not the measured one; jobs and loads are lines of JSON.
"""

import asyncio
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, cast

import httptools
import orjson
import uvloop

from bench.cpu import Used, used
from bench.load_process import serve_lines

WARM_UP = 40
"""Reviews that each connection asks before it is timed."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask, how long, and whose CPU to read meanwhile."""

    port: int
    authority: str
    """The CA that signed the server's certificate: a path."""
    head: str
    """The review's text up to its uid; each one is sent with a uid of its own."""
    tail: str
    code: str | None
    """Of the expected denial; None: allowed."""
    echoes: bool
    """Whether an answer must repeat the uid; a server that answers a constant cannot."""
    connections: int
    seconds: float
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a job. Times in microseconds."""

    reviews: int
    seconds: float
    p50: float
    p99: float
    cpu: tuple[float, ...]
    """Per review, of each process of the job."""
    ticked: float
    """The same, of all of them, by the coarse count that knows ended threads too."""
    wrong: tuple[str, ...]
    """The first few answers that were not as expected."""


class WrongAnswerError(Exception):
    """The server answered something else than it should; says what."""


async def run(job: Job) -> Load:
    """Ask for as long as the job says."""
    context = ssl.create_default_context(cafile=job.authority)
    connections = [await _connect(job, context) for _ in range(job.connections)]
    uids = _uids()
    try:
        await _ask_all(job, connections, uids, rounds=WARM_UP)
        before = [used(pid) for pid in job.pids]
        started = time.perf_counter()
        latencies, wrong = await _ask_all(job, connections, uids, until=started + job.seconds)
        seconds = time.perf_counter() - started
        spent = [used(pid) - earlier for pid, earlier in zip(job.pids, before, strict=True)]
    finally:
        for connection in connections:
            connection.close()
    return _load(latencies, wrong, seconds=seconds, spent=spent)


def _load(latencies: list[float], wrong: list[str], *, seconds: float, spent: list[Used]) -> Load:
    if not latencies:
        raise WrongAnswerError("no review was answered in time: give it more --seconds")
    total = len(latencies)
    return Load(
        reviews=total,
        seconds=seconds,
        p50=quantile(latencies, 0.50) * 1e6,
        p99=quantile(latencies, 0.99) * 1e6,
        cpu=tuple(one.scheduled_ns / total / 1e3 for one in spent),
        ticked=sum(one.ticked_ns for one in spent) / total / 1e3,
        wrong=tuple(wrong[:3]),
    )


def quantile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed; `values` must not be empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def _ask_all(
    job: Job,
    connections: "list[_Connection]",
    uids: Iterator[str],
    *,
    rounds: int | None = None,
    until: float = float("inf"),
) -> tuple[list[float], list[str]]:
    latencies: list[float] = []
    wrong: list[str] = []

    async def keep_asking(connection: _Connection) -> None:
        for asked in count():
            sent = time.perf_counter()
            if sent >= until or asked == rounds:
                return
            uid = next(uids)
            body = await connection.ask(f"{job.head}{uid}{job.tail}".encode())
            latencies.append(time.perf_counter() - sent)
            if problem := what_is_wrong(body, uid=uid if job.echoes else None, code=job.code):
                wrong.append(problem)

    async with asyncio.TaskGroup() as tasks:
        for connection in connections:
            tasks.create_task(keep_asking(connection))
    return latencies, wrong


def what_is_wrong(body: bytes, *, uid: str | None, code: str | None) -> str:
    """Say how an answer differs from the expected verdict; empty if it does not."""
    try:
        response: Mapping[str, Any] = orjson.loads(body)["response"]
    except (ValueError, KeyError, TypeError):
        return f"not an AdmissionReview: {body[:200]!r}"
    if uid is not None and response.get("uid") != uid:
        return f"another uid than the review's: {response.get('uid')!r}"
    if response.get("allowed") is not (code is None):
        return f"allowed is {response.get('allowed')!r}, with {response.get('status')}"
    message = str(response.get("status", {}).get("message", ""))
    if code is not None and not message.startswith(f"governor: denied [{code}]"):
        return f"denied with another code than {code}: {message[:200]}"
    return ""


def _uids() -> Iterator[str]:
    return (f"0a9f3c86-1b1f-4f3e-9d0e-{number:012x}" for number in count())


async def _connect(job: Job, context: ssl.SSLContext) -> "_Connection":
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        _Connection, "127.0.0.1", job.port, ssl=context, server_hostname="127.0.0.1"
    )
    return connection


class _Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection with one review in flight."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: list[bytes] = []
        self._transport: asyncio.WriteTransport | None = None
        self._answer: asyncio.Future[bytes] | None = None

    def ask(self, body: bytes) -> asyncio.Future[bytes]:
        """Send one review; the future brings the answer's body."""
        if self._transport is None:
            raise WrongAnswerError("the server closed the connection")
        self._answer = self._loop.create_future()
        head = (
            b"POST /validate?timeout=5s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"User-Agent: kube-apiserver-admission\r\nAccept: application/json\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        )
        self._transport.write(head % len(body) + body)
        return self._answer

    def close(self) -> None:
        """Ask nothing more."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked at run time: uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(WrongAnswerError(f"the server went away: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Keep a piece (called by httptools)."""
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """Deliver the answer (called by httptools)."""
        body, self._chunks = b"".join(self._chunks), []
        if self._answer is None or self._answer.done():
            return
        status = self._parser.get_status_code()
        if status == 200:
            self._answer.set_result(body)
        else:
            self._answer.set_exception(WrongAnswerError(f"HTTP {status}: {body[:200]!r}"))


def main() -> None:
    """Do the jobs that come in, one a line."""
    uvloop.run(serve_lines(lambda job: run(Job(**job))))


if __name__ == "__main__":
    main()
