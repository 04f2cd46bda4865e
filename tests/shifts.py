"""Work that notes when it ran: for tests of who may work when. It judges only overlaps."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Shift:
    """One stretch of work, on the monotonic clock."""

    worker: str
    begin: float
    end: float


@dataclass
class Shifts:
    """The work of several contenders."""

    done: list[Shift] = field(default_factory=list[Shift])
    working: list[str] = field(default_factory=list[str])
    """Who works now: one at most, if all is well."""

    def of(self, worker: str, *, winding_up: float = 0.0) -> Callable[[], Awaitable[None]]:
        """Work that lasts until it is cancelled, and then takes a while to end."""

        async def work() -> None:
            self.working.append(worker)
            begin = time.monotonic()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(winding_up)
                self.working.remove(worker)
                self.done.append(Shift(worker, begin, time.monotonic()))

        return work

    async def begun_by(self, worker: str, *, within_seconds: float = 20.0) -> float:
        """Wait until it works; gives when that was seen."""
        await until(lambda: worker in self.working, within_seconds=within_seconds)
        return time.monotonic()

    def overlaps(self) -> list[tuple[Shift, Shift]]:
        """Shifts of two that ran at the same time."""
        ordered = sorted(self.done, key=lambda shift: shift.begin)
        return [
            (earlier, later) for earlier, later in pairwise(ordered) if later.begin < earlier.end
        ]


async def until(holds: Callable[[], bool], *, within_seconds: float = 20.0) -> None:
    """Wait for a condition; a `TimeoutError` after that time."""
    async with asyncio.timeout(within_seconds):
        while True:
            if holds():
                return
            await asyncio.sleep(0.005)
