"""Tries a policy set in a process of its own, which may hang or die.

Compiling ignores deadlines, so this is where a policy that would take the serving
engine down is found. It must not touch the serving engine.
"""

from dataclasses import dataclass, field
from pathlib import Path

from controller.clients.engine.child import Child, ChildLimits
from controller.clients.engine.policyset import PolicySet
from controller.policy.engine import (
    EngineTimeoutError,
    EngineUnavailableError,
    PolicyProblem,
    PolicyRejectedError,
)


@dataclass(frozen=True, slots=True)
class VettingLimits:
    """What compiling a policy set may take."""

    seconds: float = 10.0
    child: ChildLimits = field(default_factory=lambda: ChildLimits(memory_bytes=512 << 20))


async def vet(policy_set: PolicySet, *, binary: Path, limits: VettingLimits) -> None:
    """Compile the set in a throwaway process.

    Raises:
        PolicyRejectedError: it does not compile, or not within the limits.
        EngineUnavailableError: the engine itself cannot be run.
    """
    child = await Child.start(binary, limits.child)
    died: int | None = None
    try:
        await child.load(policy_set, timeout_seconds=limits.seconds)
    except EngineTimeoutError as error:
        raise _rejected("too_slow", f"it does not compile within {limits.seconds:g} s") from error
    except EngineUnavailableError as error:
        died = await child.kill()
        raise _rejected(
            "too_heavy",
            f"compiling it ends the engine (status {died}: {child.last_words or error}); "
            f"it may use {limits.child.memory_bytes >> 20} MiB",
        ) from error
    finally:
        if died is None:
            await child.kill()


def _rejected(code: str, message: str) -> PolicyRejectedError:
    problem = PolicyProblem(unit="", file="", row=0, column=0, code=code, message=message)
    return PolicyRejectedError((problem,))
