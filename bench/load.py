"""Asks a webhook over TLS on keep-alive connections, and times every answer.

Each connection sends its next review when its last one is answered. Every
answer is read and its verdict compared with the expected one: a fast wrong
answer is no figure. Runs in a process of its own (`python -m bench.load`), so
that its CPU is not the measured one; jobs and loads are lines of JSON.
"""

import asyncio
import math
import ssl
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httptools
import orjson
import uvloop

from bench.cpu import Used, used
from bench.load_process import serve_lines
from bench.webhook_reviews import MUTATE
from bench.webhook_template import Fresh, Slot, Template
from controller.clients.keys import read_or_make_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

WARM_UP = 40
"""Reviews that are asked before it is timed, by all connections together."""
RETRY_SECONDS = 0.05
BACKLOG = b"LedgerBacklog"
"""In what is answered while the agent's Account is full."""
_HEAD = (
    b"POST %s?timeout=5s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"User-Agent: kube-apiserver-admission\r\nAccept: application/json\r\n"
    b"Content-Type: application/json\r\nContent-Length: "
)


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask, how long, and whose CPU to read meanwhile."""

    port: int
    certificates: str
    """The directory of the server's CA and of Governor's keys."""
    path: str
    """Whom to ask."""
    pieces: tuple[str, ...]
    """Of the review's template; each is sent with uids and a stamp of its own."""
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
    postponed: int = 0
    """Reviews that were to be asked again later; not among the others, but in their CPU."""


class WrongAnswerError(Exception):
    """The server answered something else than it should; says what."""


class PostponedError(Exception):
    """The server asks to be asked again later."""


@dataclass(slots=True)
class _Answers:
    """What came back, over all connections."""

    latencies: list[float] = field(default_factory=list[float])
    wrong: list[str] = field(default_factory=list[str])
    postponed: int = 0


async def run(job: Job) -> Load:
    """Ask for as long as the job says."""
    certificates = Path(job.certificates)
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    connections = [await _connect(job, context) for _ in range(job.connections)]
    fresh = Fresh(read_or_make_keys(certificates).stamp)
    try:
        await _ask_all(job, connections, fresh, rounds=math.ceil(WARM_UP / job.connections))
        before = [used(pid) for pid in job.pids]
        started = time.perf_counter()
        answers = await _ask_all(job, connections, fresh, until=started + job.seconds)
        seconds = time.perf_counter() - started
        spent = [used(pid) - earlier for pid, earlier in zip(job.pids, before, strict=True)]
    finally:
        for connection in connections:
            connection.close()
    return _load(answers, seconds=seconds, spent=spent)


def _load(answers: _Answers, *, seconds: float, spent: list[Used]) -> Load:
    latencies = answers.latencies
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
        wrong=tuple(answers.wrong[:3]),
        postponed=answers.postponed,
    )


def quantile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed; `values` must not be empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def _ask_all(
    job: Job,
    connections: "list[_Connection]",
    fresh: Fresh,
    *,
    rounds: int | None = None,
    until: float = float("inf"),
) -> _Answers:
    answers = _Answers()
    template = Template(tuple(job.pieces))

    async def keep_asking(connection: _Connection) -> None:
        for asked in count():
            if time.perf_counter() >= until or asked == rounds:
                return
            values = fresh.values()
            review = template.fill(values)
            sent = time.perf_counter()
            try:
                body = await connection.ask(review)
            except PostponedError:
                answers.postponed += 1
                await asyncio.sleep(RETRY_SECONDS)
                continue
            answers.latencies.append(time.perf_counter() - sent)
            uid = values[Slot.UID] if job.echoes else None
            if problem := what_is_wrong(body, uid=uid, code=job.code, path=job.path):
                answers.wrong.append(problem)

    async with asyncio.TaskGroup() as tasks:
        for connection in connections:
            tasks.create_task(keep_asking(connection))
    return answers


def what_is_wrong(body: bytes, *, uid: str | None, code: str | None, path: str) -> str:
    """Say how an answer differs from the expected verdict; empty if it does not.

    Without a uid only the form is looked at: the server answers a constant.
    """
    try:
        response: Mapping[str, Any] = orjson.loads(body)["response"]
    except (ValueError, KeyError, TypeError):
        return f"not an AdmissionReview: {body[:200]!r}"
    if uid is None:
        return ""
    if response.get("uid") != uid:
        return f"another uid than the review's: {response.get('uid')!r}"
    if response.get("allowed") is not (code is None):
        return f"allowed is {response.get('allowed')!r}, with {response.get('status')}"
    message = str(response.get("status", {}).get("message", ""))
    if code is not None and not message.startswith(f"governor: denied [{code}]"):
        return f"denied with another code than {code}: {message[:200]}"
    return "not stamped" if path == MUTATE and "patch" not in response else ""


async def _connect(job: Job, context: ssl.SSLContext) -> "_Connection":
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: _Connection(job.path),
        "127.0.0.1",
        job.port,
        ssl=context,
        server_hostname="127.0.0.1",
    )
    return connection


class _Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection with one review in flight."""

    def __init__(self, path: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._head = _HEAD % path.encode()
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: list[bytes] = []
        self._transport: asyncio.WriteTransport | None = None
        self._answer: asyncio.Future[bytes] | None = None

    def ask(self, body: bytes) -> asyncio.Future[bytes]:
        """Send one review; the future brings the answer's body."""
        if self._transport is None:
            raise WrongAnswerError("the server closed the connection")
        self._answer = self._loop.create_future()
        self._transport.write(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
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
        if status == HTTPStatus.OK:
            self._answer.set_result(body)
        elif status == HTTPStatus.SERVICE_UNAVAILABLE and BACKLOG in body:
            self._answer.set_exception(PostponedError)
        else:
            self._answer.set_exception(WrongAnswerError(f"HTTP {status}: {body[:200]!r}"))


def main() -> None:
    """Do the jobs that come in, one a line."""
    uvloop.run(serve_lines(lambda job: run(Job(**job))))


if __name__ == "__main__":
    main()
