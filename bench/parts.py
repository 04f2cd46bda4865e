"""The parts of a review, timed: the webhook's own functions, in its order, one by one.

`bench.webhook_peer` serves them as the webhook would. As a process of its own
(`python -m bench.parts`, jobs and costs are lines of JSON) this runs them without
a server, to tell what asking the engine costs Python.
"""

import argparse
import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import uvloop
from ulid import ULID

from bench.load_process import serve_lines
from bench.webhook_reviews import MUTATE, mandate
from bench.webhook_template import Fresh, Template
from controller.accounts.reserve import Proposal, StaleMandate
from controller.admission.answer import write_answer
from controller.admission.case import Case, RecordKeys, body_of, entry_of, fold_of, open_case
from controller.admission.judge import Denied, Granted, Outcome, Question, conclude, prepare
from controller.admission.reservation import conclude_reservation
from controller.admission.review import read_review
from controller.agents.identify import Agent, identify
from controller.agents.registry import Registry
from controller.apis.governance import Governance
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest
from controller.apis.v1alpha1.conversion import mandate_from_object
from controller.asks.asked import NOTHING_ASKED
from controller.asks.ownership import owner_after
from controller.clients.keys import read_or_make_keys
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.rows import RowKind
from controller.judging import running_child
from controller.logs import log_as_json
from controller.mutation.stamp import plan_mutation, write_mutation_answer
from controller.policy.engine import Engine, Evaluation
from controller.settings import EngineSettings
from webhooks.app import log_outcome
from webhooks.reservations import Reservations

TIMEOUT_SECONDS = 2.0


class Depth(StrEnum):
    """How far a review is taken: what one costs more than the one before is that step."""

    JUDGED = "judged"
    """Nothing is kept."""
    RECORDED = "recorded"
    """Its body is in the outbox, durably."""
    RESERVED = "reserved"
    """Its entry is in the Account, too: all that the webhook does."""


@dataclass(frozen=True, slots=True)
class PartsJob:
    """What to measure, and for how many seconds."""

    certificates: str
    pieces: tuple[str, ...]
    connections: int
    """How many reviews are under way at once."""
    seconds: float


@dataclass(slots=True)
class Tally:
    """What was counted so far, in nanoseconds of this thread's CPU."""

    reviews: int = 0
    parse_ns: int = 0
    case_ns: int = 0
    extract_ns: int = 0
    body_ns: int = 0
    answer_ns: int = 0
    log_ns: int = 0

    @property
    def timed_ns(self) -> int:
        """All of it."""
        parts = (self.parse_ns, self.case_ns, self.extract_ns, self.body_ns, self.answer_ns)
        return sum(parts) + self.log_ns


class _Stopwatch:
    """Of this thread's CPU. What is awaited runs between a lap and a restart."""

    def __init__(self) -> None:
        self._at = time.thread_time_ns()

    def restart(self) -> None:
        self._at = time.thread_time_ns()

    def lap(self) -> int:
        before, self._at = self._at, time.thread_time_ns()
        return self._at - before


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where writes are recorded and reserved, as far as they are."""

    depth: Depth
    outbox: Outbox
    reservations: Reservations


class Bench:
    """The webhook's path for the benchmark's one agent."""

    def __init__(self, engine: Engine, registry: Registry, keys: RecordKeys) -> None:
        self._engine = engine
        self._registry = registry
        self._keys = keys

    async def cost_of_asking(self, job: PartsJob) -> float:
        """Microseconds of Python for one evaluation: send, wait in the event loop, read.

        With as many reviews under way as there are connections, and no server.
        """
        await self._review_for(job.seconds / 4, job)
        before = time.process_time_ns()
        tally = await self._review_for(job.seconds, job)
        rest = time.process_time_ns() - before - tally.timed_ns
        return rest / tally.reviews / 1e3

    async def _review_for(self, seconds: float, job: PartsJob) -> Tally:
        tally = Tally()
        body = Template(tuple(job.pieces)).fill(Fresh(self._keys.stamp).values())
        deadline = time.monotonic() + seconds

        async def keep_reviewing() -> None:
            while time.monotonic() < deadline:
                await self.review(body, tally, None)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(job.connections):
                tasks.create_task(keep_reviewing())
        return tally

    async def answer(self, path: str, body: bytes, tally: Tally, keeping: Keeping) -> bytes:
        """Answer one review, of either kind."""
        if path == MUTATE:
            return await self.mutate(body, tally, keeping)
        return await self.review(body, tally, keeping)

    async def review(self, body: bytes, tally: Tally, keeping: Keeping | None) -> bytes:
        """Judge one write, part by part, in the order and with the functions of the webhook."""
        watch = _Stopwatch()
        request = read_review(body)
        tally.parse_ns += watch.lap()
        case = open_case(request, self._registry, keys=self._keys, made_at=_now_ms())
        tally.case_ns += watch.lap()
        question = self._extract(case)
        tally.extract_ns += watch.lap()
        evaluation = await self._evaluate(question)
        watch.restart()
        outcome = conclude(question, evaluation)
        tally.answer_ns += watch.lap()
        if keeping is not None and keeping.depth is not Depth.JUDGED:
            outcome = await _keep(keeping, case, outcome, tally)
        watch.restart()
        written = _written(request, outcome)
        tally.answer_ns += watch.lap()
        log_outcome(request, outcome)
        tally.log_ns += watch.lap()
        tally.reviews += 1
        return written

    async def mutate(self, body: bytes, tally: Tally, keeping: Keeping) -> bytes:
        """Stamp one write, likewise."""
        watch = _Stopwatch()
        request = read_review(body)
        tally.parse_ns += watch.lap()
        agent = identify(request.user, self._registry)
        if not isinstance(agent, Agent):
            raise TypeError("this write is no agent's")
        owner = owner_after(request, agent=agent.mandate.name, asked=NOTHING_ASKED)
        mutation = plan_mutation(request, change=str(ULID()), key=self._keys.stamp, owner=owner)
        tally.case_ns += watch.lap()
        if mutation.reason is None or mutation.change is None:
            raise TypeError("this write states no reason")
        if keeping.depth is not Depth.JUDGED:
            reason, key = mutation.reason.encode(), mutation.change
            await keeping.outbox.append(reason, kind=RowKind.REASON, key=key, made_at=_now_ms())
        watch.restart()
        written = write_mutation_answer(request.uid, mutation)
        tally.answer_ns += watch.lap()
        tally.reviews += 1
        return written

    def _extract(self, case: Case) -> Question:
        change, now = case.change or str(ULID()), datetime.now(UTC)
        step = prepare(case.request, registry=self._registry, change=change, now=now)
        if not isinstance(step, Question):
            raise TypeError(f"this write never reaches the policies: {step}")
        return step

    async def _evaluate(self, question: Question) -> Evaluation:
        return await self._engine.evaluate(
            question.document, now_ns=time.time_ns(), timeout_seconds=TIMEOUT_SECONDS
        )


async def _keep(keeping: Keeping, case: Case, outcome: Outcome, tally: Tally) -> Outcome:
    """Record, and reserve where it was granted."""
    if isinstance(outcome, Granted):
        return await _reserve(keeping, case, outcome, tally)
    if isinstance(outcome, Denied):
        watch = _Stopwatch()
        body, fold = body_of(case, outcome), fold_of(case, outcome)
        tally.body_ns += watch.lap()
        await keeping.outbox.append_denial(body, fold=fold, made_at=case.made_at)
    return outcome


async def _reserve(keeping: Keeping, case: Case, granted: Granted, tally: Tally) -> Outcome:
    watch = _Stopwatch()
    body = body_of(case, granted)
    key = str(entry_of(case, granted.change).key)
    tally.body_ns += watch.lap()
    outbox = keeping.outbox
    attempt = await outbox.append(body, kind=RowKind.BODY, key=key, made_at=case.made_at)
    watch.restart()
    record = hashlib.sha256(body).hexdigest()
    entry = entry_of(case, granted.change, attempt=attempt, record=record)
    tally.body_ns += watch.lap()
    if keeping.depth is not Depth.RESERVED or case.agent is None:
        return granted
    agent = case.agent.mandate
    proposal = Proposal(entry, mandate_uid=agent.uid, mandate_generation=agent.generation)
    tried = await keeping.reservations.reserve(agent.name, proposal)
    if isinstance(tried, StaleMandate):
        raise TypeError("the account speaks of another mandate")
    return conclude_reservation(granted, tried)


def _written(request: AdmissionRequest, outcome: Outcome) -> bytes:
    if not isinstance(outcome, Granted | Denied):
        raise TypeError(f"this write was not judged: {outcome}")
    return write_answer(request.uid, outcome)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def registry_of(stored: dict[str, Json]) -> Registry:
    """What the webhook has read from the API server: the one mandate."""
    return Registry.build([mandate_from_object(stored)], (), Governance())


def record_keys(certificates: Path) -> RecordKeys:
    """Those of the Governor that is measured."""
    keys = read_or_make_keys(certificates)
    return RecordKeys(stamp=keys.stamp, content=keys.content)


async def _serve(policies: Path, certificates: Path) -> None:
    async with running_child(EngineSettings(policies=policies)) as engine:
        bench = Bench(engine, registry_of(mandate()), record_keys(certificates))
        await serve_lines(lambda job: bench.cost_of_asking(PartsJob(**job)))


def main(argv: Sequence[str] | None = None) -> None:
    """Do the jobs that come in, one a line."""
    parser = argparse.ArgumentParser(prog="python -m bench.parts", description=__doc__)
    parser.add_argument("--policies", type=Path, required=True)
    parser.add_argument("--certificates", type=Path, required=True)
    arguments = parser.parse_args(argv)
    log_as_json()
    uvloop.run(_serve(arguments.policies, arguments.certificates))


if __name__ == "__main__":
    main()
