"""Races many writes for what only some may have: is exactly the limit sold, by all processes?

`python -m bench.race --rounds N`: what `make race` runs. Several webhooks share one port.
In each round an agent creates 200 objects at the same moment under a limit of 50, once
for a budget of changes, once for a quota of pods, without a ResourceQuota. Afterwards
four witnesses must agree: the writers, `kubectl get`, the Account, and the ledger as
bare Git holds it. Between the races single writes are timed with and without Governor.
The last line is the figure; status 0 only if nothing was off, 2 if nothing could be run.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import orjson
import uvloop

from bench.ledger import Record, records_of, waiting_in
from bench.race_load import Answers, Patience, Target, Wanted, create_at_once
from bench.race_pace import PaceError, measure
from bench.race_stage import Stage, StageError, agent_of, set_stage
from bench.race_verdict import (
    CHANGES,
    LEAST_DECIDED,
    PODS,
    WRITES,
    Contest,
    Quad,
    Race,
    figure,
    ledgered,
    problems_of,
)
from controller.accounts.account import Account, is_counted
from controller.accounts.charges import open_changes
from controller.clients.kube.accounts import AccountStore
from controller.clients.kube.config import Kubeconfig, connect
from native.controlplane import ControlPlaneError
from native.kubectl import KubectlError
from native.processes import ProcessError

_QUADS = 8
"""Timed in each round."""
_SETTLED_SECONDS = 120.0
_POLL_SECONDS = 0.1
_MORE_WRITES = 40
_MORE_TIMES = 5


@dataclass(slots=True)
class Season:
    """All races, and what has been read of the ledger so far."""

    stage: Stage
    store: AccountStore
    chance: random.Random
    records: list[Record] = field(default_factory=list[Record])

    async def race(self, contest: Contest, number: int) -> Race:
        """Run one race; its objects are being deleted when it ends."""
        agent = agent_of(contest, number)
        await self._until(agent, partial(_can_begin, contest), "can hold its limit")
        answers = await self._create(contest, agent, range(WRITES))
        await self._settle(agent, WRITES)
        writes = WRITES
        for _ in range(_MORE_TIMES):
            if not self._is_somebody_idle(agent):
                break
            more = range(writes, writes + _MORE_WRITES)
            answers.add(await self._create(contest, agent, more))
            writes += _MORE_WRITES
            await self._settle(agent, writes)
        account = (await self.store.read(agent)).account
        objects = await asyncio.to_thread(self.stage.objects, contest, agent)
        await asyncio.to_thread(self.stage.delete_all, contest, agent)
        return Race(
            name=agent,
            contest=contest,
            writes=writes,
            processes=len(self.stage.governor.webhooks),
            answers=answers,
            objects=objects,
            account=_used(contest, account),
            ledger=ledgered(self.records, agent),
        )

    async def finish(self, races: Sequence[Race]) -> list[Race]:
        """The same races, with all that the ledger has of them, and what is held afterwards."""

        async def is_all_recorded() -> bool:
            return await asyncio.to_thread(waiting_in, self.stage.site.outbox) == 0

        await _until(is_all_recorded, "the ledger has every record")
        await self._read_ledger()
        return [
            replace(
                race,
                ledger=ledgered(self.records, race.name),
                left=await self._left(race.contest, race.name),
            )
            for race in races
        ]

    async def _create(self, contest: Contest, agent: str, numbers: range) -> Answers:
        target = Target(
            server=self.stage.plane.url,
            path=f"/api/v1/namespaces/{agent}/{contest.plural}",
            authority=self.stage.plane.authority,
            token=await asyncio.to_thread(self.stage.token, agent),
        )
        wanted = [_wanted(contest, f"w-{number}") for number in numbers]
        return await create_at_once(target, wanted, patience=Patience(), chance=self.chance)

    async def _settle(self, agent: str, writes: int) -> None:
        """Wait until every write has its outcome and its record."""
        await self._until(agent, lambda account: not account.pending, "has nothing pending")

        async def are_recorded() -> bool:
            await self._read_ledger()
            return ledgered(self.records, agent).final >= writes

        await _until(are_recorded, f"the ledger has what became of {writes} writes of {agent}")

    async def _read_ledger(self) -> None:
        ledger = self.stage.site.ledger
        self.records += await asyncio.to_thread(records_of, ledger, skip=len(self.records))

    def _is_somebody_idle(self, agent: str) -> bool:
        decided = ledgered(self.records, agent).decided
        is_everybody_there = len(decided) == len(self.stage.governor.webhooks)
        return not is_everybody_there or min(decided.values()) < LEAST_DECIDED

    async def _left(self, contest: Contest, agent: str) -> int:
        """What is held once all was deleted; waits for nothing to be held, within a bound."""
        if contest is not PODS:
            return 0
        try:
            await self._until(agent, lambda one: _used(PODS, one) == 0, "holds nothing")
        except StageError:
            return _used(PODS, (await self.store.read(agent)).account)
        return 0

    async def _until(self, agent: str, holds: Callable[[Account], bool], what: str) -> None:
        async def look() -> bool:
            return holds((await self.store.read(agent)).account)

        await _until(look, f"the account of {agent} {what}")


def _used(contest: Contest, account: Account) -> int:
    """What an account says of this contest's limit."""
    if contest is PODS:
        return account.settled.get(PODS.resource, 0)
    windows = account.windows.items()
    spent = sum(window.spent for key, window in windows if key.resource == CHANGES.resource)
    return spent + open_changes(account)


def _can_begin(contest: Contest, account: Account) -> bool:
    """Whether its limit can be held already; the first writes would only wait for that."""
    return bool(account.windows) if contest is CHANGES else is_counted(account)


def _wanted(contest: Contest, name: str) -> Wanted:
    body: dict[str, object] = {"apiVersion": "v1", "metadata": {"name": name}}
    if contest is PODS:
        container = {"name": "main", "image": "registry.k8s.io/pause:3.10"}
        body |= {"kind": "Pod", "spec": {"containers": [container]}}
    else:
        body |= {"kind": "ConfigMap", "data": {"name": name}}
    return Wanted(name, orjson.dumps(body))


async def _until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for what Governor brings about.

    Raises:
        StageError: it did not come about in time.
    """
    deadline = time.monotonic() + _SETTLED_SECONDS
    while not await holds():
        if time.monotonic() > deadline:
            raise StageError(f"not within {_SETTLED_SECONDS:.0f} s: {what}")
        await asyncio.sleep(_POLL_SECONDS)


async def _run(stage: Stage, rounds: int, *, seed: int) -> tuple[list[Race], list[Quad]]:
    races: list[Race] = []
    quads: list[Quad] = []
    async with connect(Kubeconfig(stage.plane.admin_kubeconfig)) as admin:
        season = Season(stage, AccountStore(admin), random.Random(seed))  # noqa: S311 -- pauses
        pair = stage.pair()
        for number in range(rounds):
            began = time.monotonic()
            for contest in (CHANGES, PODS):
                races.append(await season.race(contest, number))
                _tell(races[-1])
            quads += await measure(pair, quads=_QUADS, name=f"pace-{number}")
            print(f"  round {number + 1} of {rounds}: {time.monotonic() - began:.1f} s", flush=True)
        return await season.finish(races), quads


def _tell(race: Race) -> None:
    told = race.answers
    decided = "/".join(str(count) for count in sorted(race.ledger.decided.values()))
    print(
        f"  {race.name}: {len(race.objects)} objects, denied {told.denied.total()}, sent again "
        f"{told.repeated.total()}, decided by each process {decided}",
        *(f"    sent again {count} times: {fault}" for fault, count in told.repeated.items()),
        sep="\n",
        flush=True,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.race", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, metavar="N")
    parser.add_argument("--processes", type=int, default=4, metavar="N", help="of the webhook")
    parser.add_argument("--seed", type=int, default=1, help="of the writers' pauses")
    arguments = parser.parse_args(argv)
    print(f"booting a control plane and {arguments.processes} webhooks on one port", flush=True)
    try:
        with ExitStack() as stack:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="governor-race-"))
            stage = stack.enter_context(
                set_stage(Path(name), processes=arguments.processes, rounds=arguments.rounds)
            )
            races, quads = uvloop.run(_run(stage, arguments.rounds, seed=arguments.seed))
    except (ControlPlaneError, KubectlError, PaceError, ProcessError, StageError) as error:
        print(error, file=sys.stderr)
        return 2
    problems = problems_of(races)
    print("\n".join([*(f"PROBLEM {problem}" for problem in problems[:20]), ""]), end="")
    print(figure(races, quads, rounds=arguments.rounds))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
