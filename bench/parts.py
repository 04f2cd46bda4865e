"""The parts of a review, timed: the webhook's own functions, in its order, one by one.

`bench.webhook_peer` serves them as the webhook would. As a process of its own
(`python -m bench.parts`, jobs and costs are lines of JSON) this runs them without
a server, to tell what asking the engine costs Python.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from ulid import ULID

from bench.load_process import serve_lines
from bench.webhook_reviews import mandate
from controller.admission.answer import write_answer
from controller.admission.judge import Denied, Granted, Outcome, Question, conclude, prepare
from controller.admission.review import read_review
from controller.agents.registry import Registry
from controller.apis.governance import Governance
from controller.apis.requests import AdmissionRequest
from controller.apis.v1alpha1.conversion import mandate_from_object
from controller.judging import running_child
from controller.logs import log_as_json
from controller.policy.engine import Engine, Evaluation
from controller.settings import EngineSettings
from webhooks.app import log_outcome

UID = "00000000-0000-4000-8000-000000000000"
TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class PartsJob:
    """What to measure, and for how many seconds."""

    head: str
    tail: str
    connections: int
    """How many reviews are under way at once."""
    seconds: float


class Bench:
    """An engine, and the registry of the benchmark's one agent."""

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self._engine = engine
        self._registry = registry

    async def cost_of_asking(self, job: PartsJob) -> float:
        """Microseconds of Python for one evaluation: send, wait in the event loop, read.

        With as many reviews under way as there are connections, and no server.
        """
        await self._review_for(job.seconds / 4, job)
        before = time.process_time_ns()
        tally = await self._review_for(job.seconds, job)
        rest = time.process_time_ns() - before - tally.timed_ns
        return rest / tally.reviews / 1e3

    async def _review_for(self, seconds: float, job: PartsJob) -> "Tally":
        tally = Tally()
        body = f"{job.head}{UID}{job.tail}".encode()
        deadline = time.monotonic() + seconds

        async def keep_reviewing() -> None:
            while time.monotonic() < deadline:
                await self.review(body, tally)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(job.connections):
                tasks.create_task(keep_reviewing())
        return tally

    async def review(self, body: bytes, tally: "Tally") -> bytes:
        """Answer one review, part by part, in the order and with the functions of the webhook."""
        clock = time.thread_time_ns
        began = clock()
        request = read_review(body)
        parsed = clock()
        question = self._extract(request)
        extracted = clock()
        evaluation = await self._evaluate(question)
        evaluated = clock()
        outcome = conclude(question, evaluation)
        written = _written(request, outcome)
        answered = clock()
        log_outcome(request, outcome)
        tally.reviews += 1
        tally.parse_ns += parsed - began
        tally.extract_ns += extracted - parsed
        tally.answer_ns += answered - evaluated
        tally.log_ns += clock() - answered
        return written

    def _extract(self, request: AdmissionRequest) -> Question:
        change, now = str(ULID()), datetime.now(UTC)
        step = prepare(request, registry=self._registry, change=change, now=now)
        if not isinstance(step, Question):
            raise TypeError(f"this write never reaches the policies: {step}")
        return step

    async def _evaluate(self, question: Question) -> Evaluation:
        return await self._engine.evaluate(
            question.document, now_ns=time.time_ns(), timeout_seconds=TIMEOUT_SECONDS
        )


@dataclass(slots=True)
class Tally:
    """What was counted so far, in nanoseconds of this thread's CPU."""

    reviews: int = 0
    parse_ns: int = 0
    extract_ns: int = 0
    answer_ns: int = 0
    log_ns: int = 0

    @property
    def timed_ns(self) -> int:
        """All of it."""
        return self.parse_ns + self.extract_ns + self.answer_ns + self.log_ns


def _written(request: AdmissionRequest, outcome: Outcome) -> bytes:
    if not isinstance(outcome, Granted | Denied):
        raise TypeError(f"this write was not judged: {outcome}")
    return write_answer(request.uid, outcome)


def benchmark_registry() -> Registry:
    """What the webhook has read from the API server: the one mandate."""
    return Registry.build([mandate_from_object(mandate())], (), Governance())


async def _serve(policies: Path) -> None:
    async with running_child(EngineSettings(policies=policies)) as engine:
        bench = Bench(engine, benchmark_registry())
        await serve_lines(lambda job: bench.cost_of_asking(PartsJob(**job)))


def main(argv: Sequence[str] | None = None) -> None:
    """Do the jobs that come in, one a line."""
    parser = argparse.ArgumentParser(prog="python -m bench.parts", description=__doc__)
    parser.add_argument("--policies", type=Path, required=True)
    arguments = parser.parse_args(argv)
    log_as_json()
    uvloop.run(_serve(arguments.policies))


if __name__ == "__main__":
    main()
