"""What the measurements amount to: tables, the one figure, and what is wrong with them.

Pure: from values to lines. The parts must add up to the whole, else one of them
is not what it says: that is a problem, as is a wrong verdict.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from statistics import median
from typing import NamedTuple

from bench.load import Load
from bench.parts import Tally
from bench.webhook_reviews import Case

TOLERANCE = 0.15
"""By how much the sum of the parts may differ from the whole."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One round of one case at one number of connections."""

    case: str
    connections: int
    governor: Load
    """CPU of the webhook, then of its engine."""
    peer: Load
    copy: Load
    parts: "Parts"

    @property
    def whole(self) -> float:
        """CPU of one review, of both processes, in microseconds."""
        return sum(self.governor.cpu)

    @property
    def floor(self) -> float:
        """What a server that decides nothing needs for a review."""
        return sum(self.peer.cpu)


@dataclass(frozen=True, slots=True)
class Parts:
    """CPU of each part of one review, in microseconds."""

    http: float
    """TLS, HTTP and the event loop."""
    parse: float
    extract: float
    """Identify the agent, check the guards, list changes, build the document."""
    rego: float
    """Of Python: send the document, wait in the event loop, read what comes back."""
    engine: float
    """Of the engine's process."""
    answer: float
    """Read the findings, decide, write the AdmissionReview."""
    log: float


def part_costs(copy: Load, tally: Tally, *, asking: float) -> Parts:
    """Share the copy's CPU out: what no part is timed for, and asking does not explain, is HTTP."""
    server, engine = copy.cpu
    share = 1 / tally.reviews / 1e3
    return Parts(
        http=server - tally.timed_ns * share - asking,
        parse=tally.parse_ns * share,
        extract=tally.extract_ns * share,
        rego=asking,
        engine=engine,
        answer=tally.answer_ns * share,
        log=tally.log_ns * share,
    )


class _Cell(NamedTuple):
    case: str
    connections: int


@dataclass(frozen=True, slots=True)
class Report:
    """All rounds of a run."""

    measured: tuple[Measured, ...]
    cases: tuple[Case, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Why these figures must not be believed; empty: they may."""
        wrong = [
            f"{one.case}: {answer}"
            for one in self.measured
            for answer in (*one.governor.wrong, *one.peer.wrong, *one.copy.wrong)
        ]
        off = [
            f"{cell.case} at {cell.connections}: the parts are {ratio:.2f} of the whole"
            for cell in self._cells()
            if abs((ratio := self.parts_to_whole(*cell)) - 1) > TOLERANCE
        ]
        return (*dict.fromkeys(wrong), *off)

    def parts_to_whole(self, case: str, connections: int) -> float:
        """The sum of the parts over the whole, of medians."""
        cell = _Cell(case, connections)
        parts = [self._median(cell, get) for get in _parts().values()]
        return sum(parts) / self._median(cell, _whole)

    def lines(self) -> list[str]:
        """Everything to print; the figure last."""
        return [
            *(f"{case.name}: {case.what}, {case.size} B" for case in self.cases),
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
        costs: list[str] = []
        for case in self.cases:
            cell = _Cell(case.name, most)
            webhook, engine = (self._median(cell, _cpu(i)) for i in (0, 1))
            whole = self._median(cell, _whole)
            costs.append(
                f"{case.name} {whole:.0f} µs (webhook {webhook:.0f} + engine {engine:.0f})"
            )
        tails = [f"{self._median(_Cell(case.name, most), _p99) / 1e3:.1f}" for case in self.cases]
        ratios = [f"{self.parts_to_whole(case.name, most):.2f}" for case in self.cases]
        return (
            f"CPU per review at {most} connections: {', '.join(costs)}; "
            f"p99 {' / '.join(tails)} ms; parts / whole = {' / '.join(ratios)}"
        )

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
        head = ("", "at", "reviews/s", "webhook", "engine", "peer", "whole / peer", "p50", "p99")
        yield _row(head)
        for cell in self._cells():
            times = [self._both(cell, get, digits=2) for get in (_p50_ms, _p99_ms)]
            rate = self._median(cell, _rate)
            ratio = self._median(cell, lambda one: one.whole / one.floor)
            yield _row(
                (
                    cell.case,
                    str(cell.connections),
                    f"{rate:.0f}",
                    *(self._both(cell, get) for get in (_cpu(0), _cpu(1), _floor)),
                    f"{ratio:.1f}",
                    *times,
                )
            )

    def _parts(self) -> Iterable[str]:
        yield "CPU of the parts, µs per review, medians"
        yield _row(("", "at", *_parts(), "sum", "whole", "sum / whole"))
        for cell in self._cells():
            costs = [self._median(cell, get) for get in _parts().values()]
            shown = [f"{cost:.1f}" for cost in (*costs, sum(costs), self._median(cell, _whole))]
            ratio = f"{self.parts_to_whole(*cell):.2f}"
            yield _row((cell.case, str(cell.connections), *shown, ratio))

    def _checks(self) -> Iterable[str]:
        reviews = sum(one.governor.reviews for one in self.measured)
        ticked = sum(one.governor.ticked * one.governor.reviews for one in self.measured)
        exact = sum(one.whole * one.governor.reviews for one in self.measured)
        yield (
            f"{reviews} answers of Governor, each with its verdict checked; "
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


def _p99(one: Measured) -> float:
    return one.governor.p99


def _row(cells: Iterable[str]) -> str:
    first, second, *others = cells
    return f"{first:<9}{second:>3} " + "".join(f"{cell:>14}" for cell in others)
