"""The benchmark's load: every answer is checked, and counted against what was asked."""

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from bench.load import Job, WrongAnswerError, quantile, run, what_is_wrong
from bench.load_process import HelperError, running
from bench.webhook_peer import Peer
from bench.webhook_reviews import cases
from controller.feeds.certificates import CertificateFeed, CertificatePolicy
from tests.builders import UID
from webhooks.server import build_server, listen

SOME_SECONDS = 0.2


def an_answer(*, uid: str = UID, code: str | None = None) -> bytes:
    response: dict[str, Any] = {"uid": uid, "allowed": code is None}
    if code is not None:
        response["status"] = {"message": f"governor: denied [{code}] no. change=1 {{}}"}
    return orjson.dumps({"response": response})


@pytest.mark.parametrize(
    ("body", "code", "problem"),
    [
        pytest.param(an_answer(), None, "", id="allowed as expected"),
        pytest.param(an_answer(code="a-b"), "a-b", "", id="denied as expected"),
        pytest.param(an_answer(), "a-b", "allowed is True", id="allowed, not denied"),
        pytest.param(an_answer(code="a-b"), None, "allowed is False", id="denied, not allowed"),
        pytest.param(an_answer(code="c"), "a-b", "another code", id="denied for another reason"),
        pytest.param(an_answer(uid="x"), None, "another uid", id="an answer to something else"),
        pytest.param(b"{}", None, "not an AdmissionReview", id="no response in it"),
        pytest.param(b"<html>", None, "not an AdmissionReview", id="no JSON"),
    ],
)
def test_an_answer_is_compared_with_the_expected_verdict(
    body: bytes, code: str | None, problem: str
) -> None:
    found = what_is_wrong(body, uid=UID, code=code)
    assert problem in found
    assert bool(found) is bool(problem)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 51.0), (0.99, 100.0), (1.0, 100.0)])
def test_a_quantile_is_one_of_the_values(share: float, value: float) -> None:
    assert quantile([float(n) for n in range(100, 0, -1)], share) == value


def tls(folder: Path) -> ssl.SSLContext:
    """A server's, with certificates made in the folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CertificateFeed(folder, CertificatePolicy(("127.0.0.1",))).serve_with(context)
    return context


@asynccontextmanager
async def served_peer(folder: Path) -> AsyncGenerator[Job]:
    server = build_server(cast("Any", Peer()), tls(folder))
    with listen("127.0.0.1", 0) as sock:
        task = asyncio.create_task(server.serve([sock]))
        case = cases()[0]
        yield Job(
            port=sock.getsockname()[1],
            authority=str(folder / "ca.pem"),
            head=case.head,
            tail=case.tail,
            code=None,
            echoes=False,
            connections=3,
            seconds=SOME_SECONDS,
            pids=(os.getpid(),),
        )
        server.should_exit = True
        await task


async def test_a_job_is_done_on_real_connections(tmp_path: Path) -> None:
    async with served_peer(tmp_path) as job:
        load = await run(job)
    assert load.wrong == ()
    assert load.reviews > job.connections
    assert load.seconds >= SOME_SECONDS
    assert 0 < load.p50 <= load.p99
    assert load.cpu[0] * load.reviews / 1e6 <= load.seconds * (os.cpu_count() or 1)


async def test_wrong_verdicts_are_told(tmp_path: Path) -> None:
    async with served_peer(tmp_path) as job:
        denied = await run(replace(job, code="namespace-not-granted"))
        echoed = await run(replace(job, echoes=True))
    assert "allowed is True" in denied.wrong[0]
    assert "another uid" in echoed.wrong[0]


async def test_an_http_error_is_no_answer(tmp_path: Path) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno")
        await writer.drain()

    case = cases()[0]
    async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls(tmp_path)) as server:
        port = server.sockets[0].getsockname()[1]
        job = Job(
            port=port,
            authority=str(tmp_path / "ca.pem"),
            head=case.head,
            tail=case.tail,
            code=None,
            echoes=True,
            connections=1,
            seconds=SOME_SECONDS,
            pids=(),
        )
        with pytest.raises(ExceptionGroup) as failed:
            await run(job)
    assert failed.group_contains(WrongAnswerError, match="HTTP 503")


def test_a_helper_that_ends_says_why(tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    log = tmp_path / "log"
    with (
        running("bench.load", cores=cores, log=log) as helper,
        pytest.raises(HelperError, match="unexpected keyword argument 'nonsense'"),
    ):
        helper.do({"nonsense": 1})
    assert os.sched_getaffinity(0) == cores
