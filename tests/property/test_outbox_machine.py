"""Processes, a leader, kills and time against a simple model of what an outbox holds.

Nothing that a caller was answered is lost, numbers have no gap, and each denial is
counted exactly once.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from controller.accounts.entries import Attempt
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.reader import Outboxes
from controller.clients.outbox.rows import FOLD_WINDOW_MS, Position, Row, RowKind
from tests.outboxes import Clock, names

MAX_PROCESSES = 3
FOLDS = st.sampled_from(["one", "two"])
BODIES = st.binary(max_size=20)


@dataclass
class Window:
    """When a denial was first made, and the rows of it."""

    first: int
    start: int
    repeats: int | None = None


@dataclass
class Replica:
    """What one replica's file must hold."""

    name: str
    rows: dict[int, Row] = field(default_factory=dict[int, Row])
    highest: int = 0
    acknowledged: set[int] = field(default_factory=set[int])
    windows: dict[str, Window] = field(default_factory=dict[str, Window])
    denials: int = 0
    counted: int = 0
    """Denials in rows that were told and acknowledged."""

    def add(self, row: Row) -> Attempt:
        """The next number."""
        self.highest += 1
        attempt = Attempt(self.name, self.highest)
        self.rows[self.highest] = replace(row, attempt=attempt)
        return attempt

    def deny(self, body: bytes, fold: str, now: int) -> Attempt:
        """Store, or count."""
        self.denials += 1
        attempt = Attempt(self.name, 0)
        window = self.windows.get(fold)
        if window is None or now >= window.start + FOLD_WINDOW_MS:
            return self._first(body, fold, now)
        if window.repeats is None:
            end = window.start + FOLD_WINDOW_MS
            row = Row(
                attempt, RowKind.REPEATS, fold, now, end, body, window.first, last=now, final=False
            )
            added = self.add(row)
            window.repeats = added.number
            return added
        counting = self.rows.get(window.repeats)
        if counting is None or counting.final:
            return self._first(body, fold, now)
        self.rows[window.repeats] = replace(counting, count=counting.count + 1, last=now)
        return counting.attempt

    def _first(self, body: bytes, fold: str, now: int) -> Attempt:
        added = self.add(Row(Attempt(self.name, 0), RowKind.DENIAL, fold, now, now, body, last=now))
        self.windows[fold] = Window(added.number, now)
        return added

    def finish(self, number: int, now: int) -> Row | None:
        """What a reader is told now."""
        row = self.rows.get(number)
        if row is not None and row.ready_at <= now:
            self.rows[number] = row = replace(row, final=True)
        return row

    @property
    def position(self) -> Position:
        """How far it has come."""
        up_to = 0
        while up_to + 1 in self.acknowledged:
            up_to += 1
        return Position(self.highest, up_to)


def denials_in(rows: Iterable[Row]) -> int:
    """How many denials these rows stand for."""
    return sum(row.count for row in rows if row.kind in (RowKind.DENIAL, RowKind.REPEATS))


class OutboxMachine(RuleBasedStateMachine):
    """One host: up to three processes that append, and a leader."""

    @initialize()
    def start_host(self) -> None:
        """Nothing is there."""
        self.base = Path(tempfile.mkdtemp(prefix="outbox-"))
        self.generation = 0
        self.clock = Clock()
        self.mint = names()
        self.runner = asyncio.Runner()
        self.open: list[Outbox] = []
        self.model: dict[str, Replica] = {}

    @property
    def directory(self) -> Path:
        """Where the files are."""
        return self.base / str(self.generation)

    @property
    def reader(self) -> Outboxes:
        """The leader's."""
        return Outboxes(self.directory, clock_ms=self.clock)

    def some(self, data: st.DataObject) -> tuple[Outbox, Replica]:
        """A living process and its model."""
        outbox = data.draw(st.sampled_from(sorted(self.open, key=lambda one: one.replica)))
        return outbox, self.model[outbox.replica]

    @precondition(lambda self: len(self.open) < MAX_PROCESSES)
    @rule()
    def start(self) -> None:
        """It takes over the oldest file that nobody has."""
        free = sorted(set(self.model) - {outbox.replica for outbox in self.open})
        outbox = Outbox.open(self.directory, clock_ms=self.clock, mint=self.mint)
        self.open.append(outbox)
        if free:
            assert outbox.replica == free[0]
        else:
            assert outbox.replica not in self.model
            self.model[outbox.replica] = Replica(outbox.replica)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        """In order."""
        outbox, _ = self.some(data)
        self.open.remove(outbox)
        outbox.close()

    @precondition(lambda self: self.open)
    @rule()
    def kill_all(self) -> None:
        """What the files hold at this moment is all that is left."""
        before = self.directory
        self.generation += 1
        self.directory.mkdir()
        for path in before.iterdir():
            if not path.name.endswith("-shm"):
                shutil.copyfile(path, self.directory / path.name)
        for outbox in self.open:
            outbox.close()
        self.open.clear()
        shutil.rmtree(before)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), bodies=st.lists(BODIES, min_size=1, max_size=5))
    def append(self, data: st.DataObject, bodies: list[bytes]) -> None:
        """By several callers at once."""
        outbox, model = self.some(data)
        kind = data.draw(st.sampled_from([RowKind.BODY, RowKind.REASON]))
        now = self.clock.now

        async def all_at_once() -> list[Attempt]:
            return await asyncio.gather(
                *(self.append_one(outbox, body, kind, now) for body in bodies)
            )

        told = self.runner.run(all_at_once())

        assert told == [
            model.add(Row(Attempt(model.name, 0), kind, "key", now, now, body, last=now))
            for body in bodies
        ]

    @staticmethod
    async def append_one(outbox: Outbox, body: bytes, kind: RowKind, now: int) -> Attempt:
        """A body or a reason."""
        if kind is RowKind.BODY:
            return await outbox.append(body, kind=RowKind.BODY, key="key", made_at=now)
        return await outbox.append(body, kind=RowKind.REASON, key="key", made_at=now)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), body=BODIES)
    def withdraw(self, data: st.DataObject, body: bytes) -> None:
        """A body of which nothing came, maybe one that the leader has acknowledged meanwhile."""
        outbox, model = self.some(data)
        now = self.clock.now
        attempt = self.runner.run(self.append_one(outbox, body, RowKind.BODY, now))
        model.add(Row(Attempt(model.name, 0), RowKind.BODY, "key", now, now, body, last=now))
        if data.draw(st.booleans()):
            self.reader.acknowledge([attempt])
        self.runner.run(outbox.withdraw(attempt))

        model.rows.pop(attempt.number)
        model.acknowledged.add(attempt.number)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), body=BODIES, fold=FOLDS, times=st.integers(1, 4))
    def deny(self, data: st.DataObject, body: bytes, fold: str, times: int) -> None:
        """By several callers at once."""
        outbox, model = self.some(data)
        now = self.clock.now

        async def all_at_once() -> list[Attempt]:
            denials = (outbox.append_denial(body, fold=fold, made_at=now) for _ in range(times))
            return await asyncio.gather(*denials)

        told = self.runner.run(all_at_once())

        assert told == [model.deny(body, fold, now) for _ in range(times)]

    @rule(milliseconds=st.sampled_from([1, 1000, FOLD_WINDOW_MS - 1, FOLD_WINDOW_MS]))
    def wait(self, milliseconds: int) -> None:
        """Time goes on."""
        self.clock.now += milliseconds

    @precondition(lambda self: self.model)
    @rule(data=st.data(), after=st.integers(0, 20), limit=st.integers(1, 20))
    def pull(self, data: st.DataObject, after: int, limit: int) -> None:
        """What is told is what the model holds, in order."""
        model = self.model[data.draw(st.sampled_from(sorted(self.model)))]
        told = self.reader.pull(model.name, after=after, limit=limit)

        numbers = sorted(number for number in model.rows if number > after)[:limit]
        assert list(told) == [model.finish(number, self.clock.now) for number in numbers]

    @precondition(lambda self: any(model.highest for model in self.model.values()))
    @rule(data=st.data())
    def find(self, data: st.DataObject) -> None:
        """One row, stored or not."""
        model = self.model[data.draw(st.sampled_from(sorted(self.model)))]
        number = data.draw(st.integers(1, model.highest + 1))
        told = self.reader.find(Attempt(model.name, number))

        assert told == model.finish(number, self.clock.now)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """Any numbers, also ones that are not there."""
        model = self.model[data.draw(st.sampled_from(sorted(self.model)))]
        numbers = data.draw(st.sets(st.integers(1, model.highest + 2), max_size=15))
        attempts = [Attempt(model.name, number) for number in numbers]
        told = [row for row in map(self.reader.find, attempts) if row is not None]
        for number in numbers:
            model.finish(number, self.clock.now)
        if not all(row.final for row in told):
            with pytest.raises(ValueError, match="may still count"):
                self.reader.acknowledge(attempts)
            return
        self.reader.acknowledge(attempts)
        model.acknowledged |= {number for number in numbers if number <= model.highest}
        model.counted += denials_in(told)
        for number in numbers:
            model.rows.pop(number, None)

    @rule(is_recorded=st.booleans())
    def sweep(self, is_recorded: bool) -> None:  # noqa: FBT001 -- drawn by Hypothesis
        """Drained files of dead processes, and no others."""
        living = {outbox.replica for outbox in self.open}
        expected = {
            name: model.position
            for name, model in self.model.items()
            if name not in living and model.position.is_drained
        }
        drained = self.reader.drained()
        assert drained == expected

        swept = self.reader.sweep(drained if is_recorded else {})

        assert set(swept) == (set(expected) if is_recorded else set())
        for name in swept:
            model = self.model.pop(name)
            assert model.counted == model.denials

    @invariant()
    def positions_agree(self) -> None:
        """Contiguous, and nothing is missing."""
        reader = self.reader
        assert set(reader.replicas()) == set(self.model)
        for name, model in self.model.items():
            assert reader.position(name) == model.position
            assert reader.missing(name) == ()
        for outbox in self.open:
            assert self.runner.run(outbox.waiting()) == len(self.model[outbox.replica].rows)

    def teardown(self) -> None:
        """All that was promised is there after all processes ended."""
        for outbox in self.open:
            outbox.close()
        for name, model in self.model.items():
            told = self.reader.pull(name, after=0, limit=100_000)
            assert list(told) == [
                model.finish(number, self.clock.now) for number in sorted(model.rows)
            ]
            assert model.counted + denials_in(told) == model.denials
        self.runner.close()
        shutil.rmtree(self.base)


OutboxMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
test_outboxes_hold_what_they_answered = OutboxMachine.TestCase
