"""What processes use of the CPU, read from `/proc`; and which cores a measurement gets.

Counts only; what a figure means is for whoever asks. Linux only.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Used:
    """CPU time since a process began, user and system together."""

    scheduled_ns: int
    """Of its present threads, as the scheduler counts: exact."""
    ticked_ns: int
    """`utime` + `stime`: of ended threads too, in steps of a clock tick (10 ms)."""

    def __sub__(self, earlier: "Used") -> "Used":
        return Used(self.scheduled_ns - earlier.scheduled_ns, self.ticked_ns - earlier.ticked_ns)

    def __add__(self, other: "Used") -> "Used":
        return Used(self.scheduled_ns + other.scheduled_ns, self.ticked_ns + other.ticked_ns)


def used(pid: int, *, proc: Path = _PROC) -> Used:
    """Read what a process has used so far.

    Raises:
        FileNotFoundError: it has ended, or this kernel counts no `schedstat`.
    """
    fields = _stat_fields(proc / str(pid))
    ticks = int(fields[11]) + int(fields[12])
    threads = (proc / str(pid) / "task").iterdir()
    scheduled = sum(_scheduled(thread) for thread in threads)
    return Used(scheduled, ticks * 1_000_000_000 // _TICKS_PER_SECOND)


def children(pid: int, *, proc: Path = _PROC) -> tuple[int, ...]:
    """The processes whose parent is `pid`, in the order of their ids."""
    found = [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]
    return tuple(sorted(child for child in found if _parent(proc / str(child)) == pid))


def _scheduled(thread: Path) -> int:
    return int((thread / "schedstat").read_text(encoding="ascii").split()[0])


def _parent(process: Path) -> int | None:
    try:
        return int(_stat_fields(process)[1])
    except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
        return None


def _stat_fields(process: Path) -> list[str]:
    """What follows the name in `stat`; the name may hold spaces and parentheses."""
    return (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the measured processes run, and where the generator of their load."""

    server: frozenset[int]
    generator: frozenset[int]
    cluster: frozenset[int]
    """Where the API server and its store run: never with the server, if that can be helped."""

    @property
    def are_apart(self) -> bool:
        """Whether the generator takes nothing from what it measures."""
        return not self.server & self.generator

    def __str__(self) -> str:
        """Say both, for the report."""
        if not self.are_apart:
            return "server and generator share the only core: latencies include the generator's"
        return (
            f"webhook and engine pinned to core {_listed(self.server)}, the load's generator to "
            f"{_listed(self.generator)}, API server and etcd to {_listed(self.cluster)}"
        )


def choose_cores(available: Collection[int]) -> Cores:
    """Put the server on the first core and the generator on the last, where there are two.

    The cluster gets what lies between; with two cores it is the generator's.
    """
    first, last = min(available), max(available)
    between = frozenset(available) - {first, last}
    return Cores(frozenset({first}), frozenset({last}), between or frozenset({last}))


def _listed(cores: Collection[int]) -> str:
    return ", ".join(map(str, sorted(cores)))
