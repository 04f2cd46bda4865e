"""What `make saturate` counts and tells; the load runs against a server of the test's own."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from bench.saturate import Outcome
from bench.saturate_audit import go_seconds, slowest_review
from bench.saturate_load import Job, Load, run
from controller.feeds.certificates import CertificateFeed, CertificatePolicy

GONE = "503 priority level: there is no PriorityLevelConfiguration governor"
LENT = "503 priority level: governor lends its seats"
GOOD = Outcome(
    load=Load((0.1, 0.2, 0.9), {}, elapsed_seconds=1.5),
    slowest_review_seconds=0.4,
    lent=LENT,
    gone=GONE,
)


def test_what_is_as_it_should_be_is_told_in_one_line() -> None:
    assert GOOD.problems() == []
    assert GOOD.figure() == (
        "answered 3 of 3, failed 0, slowest 0.9 s, slowest review 0.4 s (deadline 5 s); without "
        "the priority level: not ready: priority level: there is no PriorityLevelConfiguration "
        "governor"
    )


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        pytest.param(
            replace(GOOD, load=replace(GOOD.load, failures={"HTTP 429: too many": 2})),
            "2 times: HTTP 429: too many",
            id="a write failed",
        ),
        pytest.param(
            replace(GOOD, slowest_review_seconds=5.1),
            "the slowest review took 5.1 s",
            id="a review was too slow",
        ),
        pytest.param(
            replace(GOOD, load=Load((), {}, elapsed_seconds=1.0)),
            "nothing was written",
            id="nothing was written",
        ),
        pytest.param(
            replace(GOOD, lent="200"),
            "with a level that lends its seats the webhook says: 200",
            id="ready while seats are lent",
        ),
        pytest.param(
            replace(GOOD, gone="503 engine: is not running"),
            "with no level the webhook says: 503 engine: is not running",
            id="not ready for another reason",
        ),
    ],
)
def test_what_is_not_as_it_should_be_is_a_problem(outcome: Outcome, problem: str) -> None:
    assert outcome.problems() == [problem]


def test_a_webhook_that_stays_ready_is_told_as_that() -> None:
    assert replace(GOOD, gone="200").figure().endswith("READY: 200")


def test_failures_count_as_slow_writes_too() -> None:
    load = Load((0.1,), {"TimeoutError": 1}, elapsed_seconds=9.0, longest_failure_seconds=8.0)
    assert (load.answered, load.failed, load.slowest_seconds) == (1, 1, 8.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1m2.5s", 62.5), ("730.1ms", 0.7301), ("12µs", 12e-6), ("1h0m0s", 3600.0), ("0s", 0.0)],
)
def test_a_duration_is_read_as_go_writes_it(text: str, seconds: float) -> None:
    assert go_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "5 s", "s", "1m-2s", "1x"])
def test_what_is_no_duration_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        go_seconds(text)


def test_the_slowest_review_is_the_longest_wait_for_webhooks_of_that_user(tmp_path: Path) -> None:
    def event(user: str, **latencies: str) -> dict[str, Any]:
        names = {
            f"apiserver.latency.k8s.io/{key.replace('_', '-')}": latencies[key] for key in latencies
        }
        return {"user": {"username": user}, "annotations": names}

    log = tmp_path / "audit.jsonl"
    events = [
        {"user": {"username": "agent"}},
        event("agent", total="9s", validating_webhook="600ms", mutating_webhook="1.5s"),
        event("agent", total="3s", etcd="2s"),
        event("somebody", validating_webhook="4s"),
    ]
    log.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in events))
    assert slowest_review(log, user="agent") == 1.5
    assert slowest_review(log, user="nobody") == 0.0


class Collection:
    """Stands for an API server: notes what it was sent, and answers as it is told."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.tokens: set[str | None] = set()
        self.connections: set[object] = set()
        self.at_once = self.most_at_once = 0
        self.refused: set[str] = set()

    async def create(self, request: web.Request) -> web.Response:
        """Create, or refuse by name."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        name = (await request.json())["metadata"]["name"]
        await asyncio.sleep(0.01)
        self.at_once -= 1
        self.names.append(name)
        self.tokens.add(request.headers.get("Authorization"))
        self.connections.add(request.transport)
        if name in self.refused:
            return web.json_response({"message": f"configmap {name}: too many"}, status=429)
        return web.json_response({}, status=201)


@pytest.fixture
async def collection(tmp_path: Path) -> AsyncIterator[tuple[Collection, Job]]:
    """A running one, and a job of twenty writes by five."""
    certificates = CertificateFeed(tmp_path, CertificatePolicy(("127.0.0.1",)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.serve_with(context)
    collection, app = Collection(), web.Application()
    app.router.add_post("/configmaps", collection.create)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    host, port, *_ = runner.addresses[0]
    url = f"https://{host}:{port}/configmaps"
    yield collection, Job(url, tmp_path / "ca.pem", "a-token", "write", writers=5, writes=20)
    await runner.cleanup()


async def test_all_is_written_once_by_so_many_at_a_time(
    collection: tuple[Collection, Job],
) -> None:
    server, job = collection
    load = await run(job)
    assert (load.answered, load.failed) == (20, 0)
    assert sorted(server.names) == sorted(f"write-{number}" for number in range(20))
    assert server.most_at_once == 5
    assert len(server.connections) == 5, "connections are kept"
    assert server.tokens == {"Bearer a-token"}
    assert list(load.seconds) == sorted(load.seconds)
    assert load.seconds[0] >= 0.01


async def test_refusals_are_counted_by_what_they_say_and_not_tried_again(
    collection: tuple[Collection, Job],
) -> None:
    server, job = collection
    server.refused = {"write-3", "write-17"}
    load = await run(job)
    assert load.answered == 18
    assert load.failures == {"HTTP 429: configmap NAME: too many": 2}
    assert len(server.names) == 20
    assert load.longest_failure_seconds > 0


async def test_a_server_that_is_not_there_fails_every_write(
    collection: tuple[Collection, Job],
) -> None:
    _, job = collection
    load = await run(replace(job, url="https://127.0.0.1:9/configmaps"))
    assert load.answered == 0
    assert load.failures == {"ClientConnectorError": 20}
    assert load.lines() == ["nothing was answered"]
