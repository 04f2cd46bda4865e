"""The benchmark's load: every answer is checked, and counted against what was asked."""

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from bench.load import WARM_UP, Job, WrongAnswerError, quantile, run, what_is_wrong
from bench.load_process import HelperError, running
from bench.webhook_peer import ANSWER, Peer
from bench.webhook_reviews import MUTATE, VALIDATE, cases
from controller.feeds.certificates import CertificateFeed, CertificatePolicy
from tests.builders import UID
from webhooks.server import build_server, listen

SOME_SECONDS = 0.2


def an_answer(*, uid: str = UID, code: str | None = None, patch: str = "") -> bytes:
    response: dict[str, Any] = {"uid": uid, "allowed": code is None}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": patch}
    if code is not None:
        response["status"] = {"message": f"governor: denied [{code}] no. change=1 {{}}"}
    return orjson.dumps({"response": response})


@pytest.mark.parametrize(
    ("body", "code", "path", "problem"),
    [
        pytest.param(an_answer(), None, VALIDATE, "", id="allowed as expected"),
        pytest.param(an_answer(code="a-b"), "a-b", VALIDATE, "", id="denied as expected"),
        pytest.param(an_answer(), "a-b", VALIDATE, "allowed is True", id="allowed, not denied"),
        pytest.param(
            an_answer(code="a-b"), None, VALIDATE, "allowed is False", id="denied, not allowed"
        ),
        pytest.param(
            an_answer(code="c"), "a-b", VALIDATE, "another code", id="denied for another reason"
        ),
        pytest.param(
            an_answer(uid="x"), None, VALIDATE, "another uid", id="an answer to something else"
        ),
        pytest.param(b"{}", None, VALIDATE, "not an AdmissionReview", id="no response in it"),
        pytest.param(b"<html>", None, VALIDATE, "not an AdmissionReview", id="no JSON"),
        pytest.param(an_answer(), None, MUTATE, "not stamped", id="a mutation without a patch"),
        pytest.param(an_answer(patch="W10="), None, MUTATE, "", id="a mutation with one"),
    ],
)
def test_an_answer_is_compared_with_the_expected_verdict(
    body: bytes, code: str | None, path: str, problem: str
) -> None:
    found = what_is_wrong(body, uid=UID, code=code, path=path)
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


def a_job(folder: Path, port: int) -> Job:
    case = cases()[0]
    return Job(
        port=port,
        certificates=str(folder),
        path=case.path,
        pieces=case.template.pieces,
        code=None,
        echoes=True,
        connections=1,
        seconds=SOME_SECONDS,
        pids=(os.getpid(),),
    )


@asynccontextmanager
async def served_peer(folder: Path) -> AsyncGenerator[Job]:
    server = build_server(cast("Any", Peer()), tls(folder))
    with listen("127.0.0.1", 0) as sock:
        task = asyncio.create_task(server.serve([sock]))
        yield replace(a_job(folder, sock.getsockname()[1]), echoes=False, connections=3)
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
        echoed = await run(replace(job, echoes=True))
    assert "another uid" in echoed.wrong[0]


def serving(*answers: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    """Answers one request after the other with these; from then on with the last one."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in chain(answers, repeat(answers[-1])):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            await reader.readexactly(int(head.rpartition(b"Content-Length: ")[2]))
            writer.write(answer)
            await writer.drain()

    return handle


def http(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


async def test_an_http_error_is_no_answer(tmp_path: Path) -> None:
    handle, context = serving(http("503 Busy", b"no")), tls(tmp_path)
    async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context) as server:
        with pytest.raises(ExceptionGroup) as failed:
            await run(a_job(tmp_path, server.sockets[0].getsockname()[1]))
    assert failed.group_contains(WrongAnswerError, match="HTTP 503")


async def test_what_finds_the_account_full_is_asked_again_and_counted(tmp_path: Path) -> None:
    full = http("503 Service Unavailable", b'{"error":"LedgerBacklog: 200 writes wait"}')
    answers = [http("200 OK", ANSWER)] * WARM_UP + [full, http("200 OK", ANSWER)]
    async with await asyncio.start_server(
        serving(*answers), "127.0.0.1", 0, ssl=tls(tmp_path)
    ) as server:
        job = replace(a_job(tmp_path, server.sockets[0].getsockname()[1]), echoes=False)
        load = await run(job)
    assert (load.postponed, load.wrong) == (1, ())
    assert load.reviews > 1


def test_a_helper_that_ends_says_why(tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    log = tmp_path / "log"
    with (
        running("bench.load", cores=cores, log=log) as helper,
        pytest.raises(HelperError, match="unexpected keyword argument 'nonsense'"),
    ):
        helper.do({"nonsense": 1})
    assert os.sched_getaffinity(0) == cores
