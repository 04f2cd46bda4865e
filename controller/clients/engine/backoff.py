"""How long to wait before an engine is started again. Pure: no clock, no sleeping."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubles from `first` to `cap` seconds; starts over after a life of `stable` seconds."""

    first: float = 0.05
    cap: float = 5.0
    stable: float = 30.0

    def next_delay(self, previous: float, *, lived: float) -> float:
        """Give the seconds to wait; `previous` is the delay before the life that ended, or 0."""
        if previous <= 0 or lived >= self.stable:
            return self.first
        return min(self.cap, previous * 2)
