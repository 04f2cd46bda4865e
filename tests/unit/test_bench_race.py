"""What `make race` counts and tells; its writers run against a server of the test's own."""

import asyncio
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from aiohttp import web

from bench.race_load import Answers, Patience, Target, Wanted, create_at_once
from bench.race_verdict import (
    CHANGES,
    LIMIT,
    PODS,
    WRITES,
    Ledgered,
    Quad,
    Race,
    figure,
    ledgered,
    problems_of,
)
from controller.feeds.certificates import CertificateFeed, CertificatePolicy

NAMES = frozenset(f"w-{number}" for number in range(LIMIT))
REFUSED = WRITES - LIMIT
CODE = CHANGES.code
CHANCE = random.Random(0)  # noqa: S311 -- the writers' pauses
DECIDED = {"a": 60, "b": 55, "c": 45, "d": 40}


def answers(*, created: frozenset[str] = NAMES, **denied: int) -> Answers:
    """What the writers were told; by default what is right under a budget."""
    told = {code.replace("_", "-"): number for code, number in denied.items()}
    return Answers(created=set(created), denied=Counter(told or {CODE: REFUSED}))


def race(**different: object) -> Race:
    """A race of which nothing is off, apart from what is given."""
    right: dict[str, Any] = {
        "name": "changes-0",
        "contest": CHANGES,
        "writes": WRITES,
        "processes": 4,
        "answers": answers(),
        "objects": NAMES,
        "account": LIMIT,
        "ledger": ledger(),
    }
    right.update(different)
    return Race(**right)


def ledger(**different: object) -> Ledgered:
    """What the ledger says where it is right, apart from what is given."""
    right: dict[str, Any] = {
        "persisted": LIMIT,
        "denied": {CODE: REFUSED},
        "decided": DECIDED,
    }
    right.update(different)
    return Ledgered(**right)


def test_a_race_in_which_all_witnesses_agree_has_no_problem() -> None:
    assert race().problems() == []
    pods = replace(race(), contest=PODS, answers=answers(quota_exceeded=REFUSED))
    assert replace(pods, ledger=ledger(denied={PODS.code: REFUSED})).problems() == []


MORE = NAMES | {"w-199"}
LESS = NAMES - {"w-0"}


@pytest.mark.parametrize(
    ("different", "problems"),
    [
        pytest.param(
            {"objects": MORE},
            ["51 objects of 50", "kubectl and the writers differ about 1 objects"],
            id="one object too many, which no writer was told of",
        ),
        pytest.param(
            {"objects": LESS, "answers": answers(created=LESS, budget_exceeded=REFUSED + 1)},
            ["49 objects of 50", f"denied {{'{CODE}': 151}} in place of {{'{CODE}': 150}}"],
            id="one object too few",
        ),
        pytest.param(
            {"answers": answers(budget_exceeded=REFUSED - 1, quota_exceeded=1)},
            [f"denied {{'{CODE}': 149, 'quota-exceeded': 1}} in place of {{'{CODE}': 150}}"],
            id="a denial with another code",
        ),
        pytest.param(
            {"answers": replace(answers(), errors=Counter({"HTTP 500: oh": 2}))},
            ["errors {'HTTP 500: oh': 2}"],
            id="another error",
        ),
        pytest.param({"account": 49}, ["the Account says 49 of 50"], id="the Account lags"),
        pytest.param(
            {"ledger": ledger(persisted=51)},
            ["the ledger has 51 persisted of 50"],
            id="a record too many",
        ),
        pytest.param(
            {"ledger": ledger(denied={CODE: 149})},
            [f"the ledger has denied {{'{CODE}': 149}} in place of {{'{CODE}': 150}}"],
            id="a denial without a record",
        ),
        pytest.param(
            {"ledger": ledger(other={"write unknown": 1})},
            ["the ledger also has {'write unknown': 1}"],
            id="a record of something else",
        ),
        pytest.param(
            {"ledger": ledger(decided={**DECIDED, "d": 19})},
            [f"of 4 processes only these decided: { ({**DECIDED, 'd': 19}) }"],
            id="a process that decided too little",
        ),
        pytest.param(
            {"processes": 5},
            [f"of 5 processes only these decided: {DECIDED}"],
            id="a process that decided nothing",
        ),
        pytest.param({"left": 3}, ["3 changes are held by nothing"], id="something is left"),
    ],
)
def test_whatever_is_off_is_told(different: dict[str, Any], problems: list[str]) -> None:
    assert race(**different).problems() == [f"changes-0: {problem}" for problem in problems]


def test_no_race_at_all_is_a_problem() -> None:
    assert problems_of([]) == ["no race was run"]
    assert problems_of([race()]) == []


def test_the_figure_tells_all_of_it_in_one_line() -> None:
    quads = [Quad(0.010, 0.030, 0.004, 0.014), Quad(0.010, 0.030, 0.004, 0.014)]
    more = race(writes=WRITES + 40, account=49, objects=MORE)
    assert figure([race(), more], quads, rounds=1) == (
        "rounds 1: in each of 2 races 50/51 objects of 50, oversold 1, denied 300 (300 with the "
        "right code), other errors 0 (sent again 0), Account = 50 in 1 of 2, ledger 100 persisted "
        "+ 300 denied (and 0 attempts that were postponed and made again), least decided by one "
        "of 4 processes 40 (writes added for that 40), pods held after deletion 0; a write takes "
        "3.00 times the same write without webhooks, of "
        "which outbox and swap 1.00 (median of 2 pairs)"
    )


def test_an_agents_records_are_counted_by_outcome_code_and_process() -> None:
    def record(type_: str, outcome: str, replica: str, **more: object) -> dict[str, Any]:
        return {
            "agent": "a",
            "type": type_,
            "outcome": outcome,
            "attempt": {"replica": replica, "number": 1},
            **more,
        }

    denials = {"decision": {"denials": [{"code": CODE}, {"code": "other"}]}}
    records = [
        record("write", "persisted", "one"),
        record("denial", "denied", "two", **denials),
        record("denial", "denied", "one", **denials),
        record("repeats", "denied", "one", **denials),
        record("write", "lost", "one"),
        record("attempt", "attempted", "two"),
        {**record("write", "persisted", "one"), "agent": "b"},
    ]
    assert ledgered(records, "a") == Ledgered(
        persisted=1,
        denied={CODE: 2},
        other={"repeats denied": 1, "write lost": 1},
        decided={"one": 2, "two": 1},
        attempts=1,
    )


Reply: TypeAlias = Callable[[], web.Response]


class Server:
    """Stands for an API server: answers each name as it is told, else creates it."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Reply]] = {}
        self.asked: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self.connections: set[object] = set()

    async def create(self, request: web.Request) -> web.Response:
        """Create, or answer what is next for this name."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        name = (await request.json())["name"]
        self.asked[name] += 1
        self.connections.add(request.transport)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        queued = self.answers.get(name, [])
        return queued.pop(0)() if queued else web.json_response({}, status=201)


def status(code: int, message: str, *, reason: str = "", wait: str = "") -> Reply:
    """A Status as the API server answers it."""
    headers = {"Retry-After": wait} if wait else {}
    body = {"reason": reason, "message": message}
    return lambda: web.json_response(body, status=code, headers=headers)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Server, Target]]:
    certificates = CertificateFeed(tmp_path, CertificatePolicy(("127.0.0.1",)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.serve_with(context)
    server, app = Server(), web.Application()
    app.router.add_post("/objects", server.create)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    host, port, *_ = runner.addresses[0]
    yield server, Target(f"https://{host}:{port}", "/objects", tmp_path / "ca.pem", "a-token")
    await runner.cleanup()


async def write(target: Target, *names: str, altogether: float = 60) -> Answers:
    wanted = [Wanted(name, b'{"name": "%s"}' % name.encode()) for name in names]
    patience = Patience(answer=10, altogether=altogether)
    return await create_at_once(target, wanted, patience=patience, chance=CHANCE)


async def test_all_are_sent_at_the_same_moment_each_over_a_connection_of_its_own(
    server: tuple[Server, Target],
) -> None:
    stand_in, target = server
    told = await write(target, *(f"w-{number}" for number in range(20)))
    assert told == Answers(created={f"w-{number}" for number in range(20)})
    assert len(stand_in.connections) == 20
    assert stand_in.most_at_once > 10


NAME = "an-object"
DENIED = 'admission webhook "x" denied the request: governor: denied [quota-exceeded] spec: no'


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        pytest.param(
            [status(403, DENIED)], Answers(denied=Counter({"quota-exceeded": 1})), id="a denial"
        ),
        pytest.param(
            [status(403, f"{NAME} is forbidden")],
            Answers(errors=Counter({"HTTP 403: NAME is forbidden": 1})),
            id="another refusal is an error, at once",
        ),
        pytest.param(
            [status(500, "failed calling webhook")],
            Answers(created={NAME}, repeated=Counter({"HTTP 500: failed calling webhook": 1})),
            id="a fault is tried again",
        ),
        pytest.param(
            [status(429, "too many", wait="0"), status(403, DENIED)],
            Answers(
                denied=Counter({"quota-exceeded": 1}),
                repeated=Counter({"HTTP 429: too many": 1}),
            ),
            id="and can end in a denial",
        ),
        pytest.param(
            [status(504, "timeout"), status(409, f"{NAME} exists", reason="AlreadyExists")],
            Answers(created={NAME}, repeated=Counter({"HTTP 504: timeout": 1})),
            id="what is there after a fault was created by the first try",
        ),
        pytest.param(
            [status(409, f"{NAME} exists", reason="AlreadyExists")],
            Answers(errors=Counter({"HTTP 409: NAME exists": 1})),
            id="what is there at the first try is somebody else's",
        ),
        pytest.param(
            [lambda: web.Response(status=502, text="<html>")],
            Answers(created={NAME}, repeated=Counter({"HTTP 502: <html>": 1})),
            id="an answer that is no Status",
        ),
    ],
)
async def test_the_last_word_counts(
    server: tuple[Server, Target], replies: list[Reply], expected: Answers
) -> None:
    stand_in, target = server
    stand_in.answers[NAME] = [*replies]
    assert await write(target, NAME) == expected


async def test_a_fault_that_stays_is_an_error_when_patience_ends(
    server: tuple[Server, Target],
) -> None:
    stand_in, target = server
    stand_in.answers["w"] = [status(503, "not yet", wait="0") for _ in range(10_000)]
    told = await write(target, "w", altogether=0.05)
    assert told.errors == {"HTTP 503: not yet": 1}
    assert told.repeated["HTTP 503: not yet"] == stand_in.asked["w"] - 1


async def test_a_server_that_is_not_there_is_an_error_too(server: tuple[Server, Target]) -> None:
    _, target = server
    nowhere = replace(target, server="https://127.0.0.1:9")
    told = await write(nowhere, "w", altogether=0)
    assert told.errors == {"ClientConnectorError": 1}


def test_what_two_bursts_were_told_adds_up() -> None:
    first = Answers({"a"}, Counter(x=1), Counter(y=1), Counter(z=1))
    first.add(Answers({"b"}, Counter(x=2), Counter(), Counter(z=1)))
    assert first == Answers({"a", "b"}, Counter(x=3), Counter(y=1), Counter(z=2))
