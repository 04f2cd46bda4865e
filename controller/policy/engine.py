"""The engine's port: what Governor asks of whatever evaluates Rego.

Adapters live in `controller.clients.engine`. Nothing of OPA may leak past them:
documents and results are plain JSON values. An adapter never decides a verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from controller.policy.json import Json


@dataclass(frozen=True, slots=True)
class UnitResult:
    """What one policy unit answered: a value, or why there is none."""

    unit: str
    value: Json = None
    error: str | None = None
    """Set when this unit could not be evaluated; the other units still stand."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The answers of every unit of one policy set to one input document."""

    digest: str
    """SHA-256 of the policy set that answered, hex."""
    results: tuple[UnitResult, ...]


class EngineError(Exception):
    """The engine gave no answer. The write in question is refused."""

    retryable = True
    """Whether asking again soon may help."""


class EngineUnavailableError(EngineError):
    """No engine is running, or it went away with the request."""


class EngineTimeoutError(EngineError):
    """The evaluation did not end within its deadline."""

    retryable = False


class EngineProtocolError(EngineError):
    """The engine answered something that is not what was promised."""


class Engine(Protocol):
    """Evaluates every unit of the loaded policy set against one input document."""

    async def evaluate(
        self, document: Mapping[str, Json], *, now_ns: int, timeout_seconds: float
    ) -> Evaluation:
        """Answer for every unit, or raise an `EngineError`.

        `now_ns` is the time that `time.now_ns()` shows to policies, in
        nanoseconds since the epoch. Never returns later than the timeout plus
        the adapter's grace.
        """
        ...
