"""What the measurements amount to: tables, the one figure, and what is wrong with them.

Pure: from values to lines. The parts must add up to the whole, else one of them
is not what it says: that is a problem, as is a wrong verdict.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from statistics import median
from typing import NamedTuple

from bench.load import Load
from bench.parts import Depth, Tally
from bench.webhook_reviews import Case

_PROCESSES = ("webhook", "engine", "API server", "etcd")
_MOST_POSTPONED = 0.02

TOLERANCE = 0.15
"""By how much the sum of the parts may differ from the whole."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A round of the copy, reviews taken to one depth."""

    load: Load
    """CPU of the copy, then of its engine."""
    tally: Tally

    @property
    def untimed(self) -> float:
        """CPU of its own process for one review that no part was timed for, microseconds."""
        return self.load.cpu[0] - self.tally.timed_ns / self.tally.reviews / 1e3


@dataclass(frozen=True, slots=True)
class Measured:
    """One round of one case at one number of connections."""

    case: str
    connections: int
    governor: Load
    """CPU of the webhook, its engine, the API server and etcd."""
    pending: float
    """Entries that the settler found in the Account, on average."""
    peer: Load
    copies: tuple[Copied, ...]
    """By depth, the last one to that of the webhook."""
    parts: "Parts"

    @property
    def whole(self) -> float:
        """CPU of one review, of webhook and engine, in microseconds."""
        return sum(self.governor.cpu[:2])

    @property
    def floor(self) -> float:
        """What a server that decides nothing needs for a review."""
        return sum(self.peer.cpu)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Answers of any server that were not as expected."""
        copies = (answer for copy in self.copies for answer in copy.load.wrong)
        return (*self.governor.wrong, *self.peer.wrong, *copies)


@dataclass(frozen=True, slots=True)
class Parts:
    """CPU of each part of one review, in microseconds."""

    http: float
    """TLS, HTTP and the event loop."""
    parse: float
    case: float
    """Replace secrets, read the stamp, take the digests; of a mutation: plan the patch."""
    extract: float
    """Identify the agent, check the guards, list changes, build the document."""
    rego: float
    """Of Python: send the document, wait in the event loop, read what comes back."""
    engine: float
    """Of the engine's process."""
    body: float
    """Write the body of the record, its digest, and the entry."""
    outbox: float
    """Have it stored: the writer's thread, the waiting in the event loop."""
    reserve: float
    """Swap the Account, and follow what the watch says of it."""
    answer: float
    """Read the findings, decide, write the AdmissionReview."""
    log: float

    @property
    def total(self) -> float:
        """All of them."""
        return sum(float(getattr(self, part.name)) for part in fields(self))


def part_costs(copies: Mapping[Depth, Copied], *, asking: float) -> Parts:
    """Share the copy's CPU out.

    A depth costs what the one before does not. What no part is timed for, and neither
    asking nor a depth explains, is HTTP.
    """
    shallow, kept = copies[Depth.JUDGED], copies[Depth.RECORDED]
    full = copies.get(Depth.RESERVED, kept)
    tally = full.tally
    share = 1 / tally.reviews / 1e3
    return Parts(
        http=shallow.untimed - asking,
        parse=tally.parse_ns * share,
        case=tally.case_ns * share,
        extract=tally.extract_ns * share,
        rego=asking,
        engine=full.load.cpu[1],
        body=tally.body_ns * share,
        outbox=kept.untimed - shallow.untimed,
        reserve=full.untimed - kept.untimed,
        answer=tally.answer_ns * share,
        log=tally.log_ns * share,
    )


class _Cell(NamedTuple):
    case: str
    connections: int

    @property
    def texts(self) -> tuple[str, str]:
        """How a row begins."""
        return self.case, str(self.connections)


@dataclass(frozen=True, slots=True)
class Report:
    """All rounds of a run."""

    measured: tuple[Measured, ...]
    cases: tuple[Case, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Why these figures must not be believed; empty: they may."""
        wrong = [f"{one.case}: {answer}" for one in self.measured for answer in one.wrong]
        off = [
            f"{cell.case} at {cell.connections}: the parts are {ratio:.2f} of the whole"
            for cell in self._cells()
            if abs((ratio := self.parts_to_whole(*cell)) - 1) > TOLERANCE
        ]
        full = [
            f"{one.case} at {one.connections}: {one.governor.postponed} reviews found the Account "
            f"full beside {one.governor.reviews} that were judged"
            for one in self.measured
            if one.governor.postponed > one.governor.reviews * _MOST_POSTPONED
        ]
        return (*dict.fromkeys(wrong), *full, *off)

    def parts_to_whole(self, case: str, connections: int) -> float:
        """The sum of the parts over the whole, of medians.

        Of each round's sum: the medians of parts that vary add up to less.
        """
        cell = _Cell(case, connections)
        return self._median(cell, _total) / self._median(cell, _whole)

    def lines(self) -> list[str]:
        """Everything to print; the figure last."""
        return [
            *(f"{case.name}: {case.what}, {case.template.size} B" for case in self.cases),
            "",
            *self._loads(),
            "",
            *self._parts(),
            "",
            *self._checks(),
            *(f"PROBLEM: {problem}" for problem in self.problems),
            self.figure(),
        ]

    def figure(self) -> str:
        """What a review costs, in one line."""
        most = max(one.connections for one in self.measured)
        cells = [_Cell(case.name, most) for case in self.cases]
        costs = [f"{cell.case} {self._cost(cell)}" for cell in cells]
        halves = " / ".join(f"{self._median(cell, _p50_ms):.1f}" for cell in cells)
        tails = " / ".join(f"{self._median(cell, _p99_ms):.1f}" for cell in cells)
        ratios = " / ".join(f"{self.parts_to_whole(*cell):.2f}" for cell in cells)
        return (
            f"CPU per review at {most} connections: {', '.join(costs)}; "
            f"p50 {halves} ms; p99 {tails} ms; parts / whole = {ratios}"
        )

    def _cost(self, cell: _Cell) -> str:
        webhook, engine = (self._median(cell, _cpu(i)) for i in (0, 1))
        whole = self._median(cell, _whole)
        shared = f"webhook {webhook:.0f} + engine {engine:.0f}"
        return f"{whole:.0f} µs ({shared})"

    def _cells(self) -> list[_Cell]:
        return sorted(dict.fromkeys(_Cell(one.case, one.connections) for one in self.measured))

    def _rounds(self, cell: _Cell) -> list[Measured]:
        return [one for one in self.measured if _Cell(one.case, one.connections) == cell]

    def _median(self, cell: _Cell, get: "Getter") -> float:
        return median(map(get, self._rounds(cell)))

    def _both(self, cell: _Cell, get: "Getter", *, digits: int = 0) -> str:
        """Median, and the least in parentheses: what an undisturbed round gave."""
        found = [get(one) for one in self._rounds(cell)]
        return f"{median(found):.{digits}f} ({min(found):.{digits}f})"

    def _loads(self) -> Iterable[str]:
        yield "medians (and minima) of all rounds; CPU in µs per review, times in ms"
        yield _row(("", "at", "reviews/s", *_PROCESSES, "peer", "whole / peer", "p50", "p99"))
        for cell in self._cells():
            processes = [self._both(cell, _cpu(number)) for number in range(len(_PROCESSES))]
            times = [self._both(cell, get, digits=2) for get in (_p50_ms, _p99_ms)]
            rate, ratio = self._median(cell, _rate), self._median(cell, _to_floor)
            peer = self._both(cell, _floor)
            yield _row((*cell.texts, f"{rate:.0f}", *processes, peer, f"{ratio:.1f}", *times))
        yield "whole: webhook + engine; API server and etcd work for the settler, too"
        pending = [f"{self._median(cell, _pending):.0f}" for cell in self._cells()]
        yield f"entries that the settler found in the Account, row by row: {', '.join(pending)}"

    def _parts(self) -> Iterable[str]:
        yield "CPU of the parts, µs per review, medians"
        yield _row(("", "at", *_parts(), "sum", "whole", "sum / whole"))
        for cell in self._cells():
            costs = [self._median(cell, get) for get in _parts().values()]
            sums = [self._median(cell, get) for get in (_total, _whole)]
            shown = [f"{cost:.1f}" for cost in (*costs, *sums)]
            ratio = f"{self.parts_to_whole(*cell):.2f}"
            yield _row((*cell.texts, *shown, ratio))

    def _checks(self) -> Iterable[str]:
        postponed = sum(one.governor.postponed for one in self.measured)
        reviews = sum(one.governor.reviews for one in self.measured)
        ticked = sum(one.governor.ticked * one.governor.reviews for one in self.measured)
        exact = sum(sum(one.governor.cpu) * one.governor.reviews for one in self.measured)
        yield (
            f"{reviews} answers of Governor, each with its verdict checked, and {postponed} that "
            "found the Account full; "
            f"utime + stime of the same time / schedstat = {ticked / exact:.2f}"
        )


Getter = Callable[[Measured], float]


def _parts() -> dict[str, Getter]:
    """Every part by name; what reads it from a round."""
    return {part.name: _part(part.name) for part in fields(Parts)}


def _part(name: str) -> Getter:
    return lambda one: float(getattr(one.parts, name))


def _cpu(process: int) -> Getter:
    return lambda one: one.governor.cpu[process]


def _total(one: Measured) -> float:
    return one.parts.total


def _whole(one: Measured) -> float:
    return one.whole


def _floor(one: Measured) -> float:
    return one.floor


def _rate(one: Measured) -> float:
    return one.governor.reviews / one.governor.seconds


def _p50_ms(one: Measured) -> float:
    return one.governor.p50 / 1e3


def _p99_ms(one: Measured) -> float:
    return one.governor.p99 / 1e3


def _pending(one: Measured) -> float:
    return one.pending


def _to_floor(one: Measured) -> float:
    return one.whole / one.floor


def _row(cells: Iterable[str]) -> str:
    first, second, *others = cells
    return f"{first:<9}{second:>3} " + "".join(f"{cell:>14}" for cell in others)
