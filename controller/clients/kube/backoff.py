"""How long to wait before trying again: exponential, capped, with full jitter. No sleeping here."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """A growing delay, in seconds."""

    first: float = 0.2
    factor: float = 2.0
    longest: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.longest or self.factor < 1:
            raise ValueError(f"{self}: expected 0 < first <= longest and factor >= 1")

    def delay(self, failures: int, *, random: Callable[[], float]) -> float:
        """Seconds to wait after that many failures in a row, counted from 1.

        Half of the delay is fixed and half is drawn by `random` (in [0, 1)), so that
        replicas that fail together do not come back together, and none comes back at once.
        """
        # The exponent is bounded first: 2.0 ** 2000 overflows.
        exponent = min(max(failures - 1, 0), 64)
        delay: float = min(self.longest, self.first * self.factor**exponent)
        return delay / 2 + delay / 2 * random()
