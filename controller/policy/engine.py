"""The engine's port: what Governor asks of whatever evaluates Rego.

Adapters live in `controller.clients.engine`. Nothing of OPA may leak past them:
documents and results are plain JSON values. An adapter never decides a verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from controller.apis.json import Json


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


class EngineInputError(EngineError):
    """The document cannot be evaluated: too large, too deep, or not JSON."""

    retryable = False


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One reason why a policy set is refused, with its position where there is one."""

    unit: str
    file: str
    row: int
    """1-based; 0: the problem has no position."""
    column: int
    code: str
    message: str

    def __str__(self) -> str:
        """Give `file:row:column: code: message`, as editors and people read it."""
        place = f"{self.file}:{self.row}:{self.column}" if self.row else self.unit or "policy set"
        return f"{place}: {self.code}: {self.message}"


class PolicyRejectedError(EngineError):
    """The policy set was not taken. The one loaded before still answers."""

    retryable = False

    def __init__(self, problems: tuple[PolicyProblem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


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
