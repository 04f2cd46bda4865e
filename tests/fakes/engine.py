"""A policy engine at the port whose answers a test writes down beforehand.

It judges nothing and knows no Rego: what policies mean is tested with the real
engine only.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from controller.apis.json import Json
from controller.policy.engine import Evaluation

Answer: TypeAlias = Evaluation | Exception


@dataclass(frozen=True, slots=True)
class Asked:
    """One question that reached the engine."""

    document: Mapping[str, Json]
    now_ns: int
    timeout_seconds: float


@dataclass(slots=True)
class ScriptedEngine:
    """Gives its answers in turn, the last one for ever; an exception is raised."""

    answers: list[Answer]
    asked: list[Asked] = field(default_factory=list[Asked])
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set as soon as something was asked."""
    open: asyncio.Event | None = None
    """Where there is one, every answer waits until it is set."""

    @staticmethod
    def answering(*answers: Answer) -> "ScriptedEngine":
        """Build an engine that gives these answers."""
        return ScriptedEngine([*answers])

    async def evaluate(
        self, document: Mapping[str, Json], *, now_ns: int, timeout_seconds: float
    ) -> Evaluation:
        """Answer as scripted; without an answer the test asked too much."""
        self.asked.append(Asked(document, now_ns, timeout_seconds))
        self.arrived.set()
        if self.open is not None:
            await self.open.wait()
        if not self.answers:
            raise AssertionError("the engine was asked, and this test gave it no answer")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer
