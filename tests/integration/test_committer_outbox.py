"""From a webhook's outbox on disk to a verified ledger: only the API server is a fake."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from controller.accounts.entries import Outcome
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.reader import Outboxes
from controller.clients.outbox.rows import FOLD_WINDOW_MS, RowKind
from reconcilers.committer import Committer
from reconcilers.inbox import Inbox
from tests.committing import World, replace_attempt, rounds
from tests.ledgers import a_body, a_change, an_entry
from tests.outboxes import names

pytestmark = pytest.mark.integration


def a_leader(world: World, outboxes: Outboxes) -> Committer:
    """That reads these outboxes."""
    ports = replace(world.ports(world.repository()), inbox=Inbox(outboxes))
    clock = world.clock
    return Committer(ports, clock_ms=clock, monotonic=lambda: clock.now / 1000)


async def judge_some(outbox: Outbox, world: World) -> None:
    """One granted write with a reason, one denial with two repeats, one lone body."""
    now = world.clock.now
    await outbox.append(b"a release", kind=RowKind.REASON, key=a_change(1), made_at=now)
    entry = an_entry(1, made_at=now)
    body = await outbox.append(a_body(1), kind=RowKind.BODY, key=str(entry.key), made_at=now)
    world.accounts.put(replace_attempt(entry, body).decided(Outcome.PERSISTED))
    for number in (2, 3, 4):
        denied = a_body(number, verdict="denied")
        await outbox.append_denial(denied, fold="same", made_at=now + number)
    lone = str(an_entry(5).key)
    await outbox.append(a_body(5), kind=RowKind.BODY, key=lone, made_at=now)


@pytest.mark.requirement("record-before-effect.committed-once")
def test_everything_that_was_judged_is_in_the_ledger_and_the_outboxes_are_empty(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "ledger.git")
    directory = tmp_path / "outboxes"
    outboxes = Outboxes(directory, clock_ms=world.clock)
    with Outbox.open(directory, clock_ms=world.clock, mint=names()) as outbox:
        asyncio.run(judge_some(outbox, world))
    world.accounts.watch()
    world.clock.now += 10
    rounds(a_leader(world, outboxes))
    world.clock.now += 3 * FOLD_WINDOW_MS
    world.accounts.remove(list(world.accounts.truth))
    world.accounts.watch()
    leader = a_leader(world, outboxes)
    rounds(leader, 2)
    told = [(r["type"], r["change"], r.get("count")) for r in world.records()]
    assert told == [
        ("write", a_change(1), None),
        ("denial", a_change(2), None),
        ("attempt", a_change(5), None),
        ("repeats", a_change(2), 2),
    ]
    assert world.records()[0]["reason"] == "a release"
    assert world.findings() == []
    replica = outboxes.replicas()[0]
    assert outboxes.position(replica).is_drained
    world.clock.now += 60_000
    last = a_leader(world, outboxes)
    rounds(last)
    assert leader.missing() == last.missing() == ()
