"""Reviews one write: the one place where the two halves of the judgement meet the engine.

Shared by every shell. It awaits the engine and nothing else; a fault of the
engine becomes an outcome, any other fault is the shell's to refuse.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from controller.admission.judge import Outcome, Question, conclude, prepare
from controller.agents.registry import Registry
from controller.apis.requests import AdmissionRequest
from controller.apis.resources import NOTHING, Amounts
from controller.asks.asked import NOTHING_ASKED, Asked
from controller.policy.engine import Engine, EngineError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Judges writes with one engine, against the mandates of the moment."""

    engine: Engine
    clock_ns: Callable[[], int]
    """Nanoseconds since the epoch."""
    mint_change: Callable[[], str]
    """A fresh change id."""
    timeout_seconds: float
    """For the engine; shorter than the timeout of the registration."""

    async def review(
        self,
        request: AdmissionRequest,
        registry: Registry,
        *,
        change: str | None = None,
        asked: Asked = NOTHING_ASKED,
        usage: Amounts = NOTHING,
    ) -> Outcome:
        """Judge one write as of now.

        Args:
            request: the write, its secrets already replaced.
            registry: the mandates of the moment.
            change: its id, where a stamp carries one; otherwise a fresh one.
            asked: what it asks, of the request as it came.
            usage: what its agent is known to hold.
        """
        micros = self.clock_ns() // 1000
        now = _EPOCH + timedelta(microseconds=micros)
        step = prepare(
            request,
            registry=registry,
            change=change or self.mint_change(),
            now=now,
            asked=asked,
            usage=usage,
        )
        if not isinstance(step, Question):
            return step
        try:
            answer = await self.engine.evaluate(
                step.document, now_ns=micros * 1000, timeout_seconds=self.timeout_seconds
            )
        except EngineError as error:
            return conclude(step, error)
        return conclude(step, answer)
