"""Says of each race whether exactly what the limit allows came of it, and what is off if not.

Compares what four witnesses say: the writers, `kubectl get`, the Account, and the ledger
as bare Git holds it. Pure; it asks nobody.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.race_load import Answers

LIMIT = 50
WRITES = 200
LEAST_DECIDED = 20
"""By each process, in each race."""

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Contest:
    """What is raced for."""

    resource: str
    """As limits name it: `changes` is a budget, `pods` a quota."""
    plural: str
    """Of the objects that are created."""
    code: str
    """Of the only denial that is right."""


CHANGES = Contest("changes", "configmaps", "budget-exceeded")
PODS = Contest("pods", "pods", "quota-exceeded")


@dataclass(frozen=True, slots=True)
class Ledgered:
    """What the ledger says of one agent."""

    persisted: int = 0
    denied: Mapping[str, int] = field(default_factory=Counter[str])
    """By the first code."""
    decided: Mapping[str, int] = field(default_factory=Counter[str])
    """Of these two, by the process that wrote the body: the one that judged the write."""
    attempts: int = 0
    """Records of grants that were never reserved: their writes were postponed, and sent again."""
    other: Mapping[str, int] = field(default_factory=Counter[str])
    """Records of anything else, by type and outcome."""

    @property
    def final(self) -> int:
        """Records that say what became of a write for good."""
        return sum(self.decided.values())


def ledgered(records: Iterable[Record], agent: str) -> Ledgered:
    """Count an agent's records."""
    persisted = attempts = 0
    denied, other, decided = Counter[str](), Counter[str](), Counter[str]()
    for record in records:
        if record.get("agent") != agent:
            continue
        match record["type"], record["outcome"]:
            case "write", "persisted":
                persisted += 1
            case "denial", _:
                denied[record["decision"]["denials"][0]["code"]] += 1
            case "attempt", _:
                attempts += 1
                continue
            case kind, outcome:
                other[f"{kind} {outcome}"] += 1
                continue
        decided[record["attempt"]["replica"]] += 1
    return Ledgered(persisted, denied, decided, attempts, other)


@dataclass(frozen=True, slots=True)
class Race:
    """One race, as its witnesses saw it."""

    name: str
    """The agent's."""
    contest: Contest
    writes: int
    """How many the writers tried: `WRITES`, and those that were added for idle processes."""
    processes: int
    """How many webhooks shared the port."""
    answers: Answers
    objects: frozenset[str]
    """Names, by `kubectl get`."""
    account: int
    """What the Account said when nothing was pending any more."""
    ledger: Ledgered
    left: int = 0
    """Of `pods`, what the Account still said after all objects were deleted."""

    @property
    def oversold(self) -> int:
        """Objects beyond the limit."""
        return max(0, len(self.objects) - LIMIT)

    @property
    def least_decided(self) -> int:
        """By the process that decided least."""
        decided = self.ledger.decided
        return min(decided.values()) if len(decided) == self.processes else 0

    @property
    def right_denials(self) -> int:
        """What the writers were told with the right code."""
        return self.answers.denied[self.contest.code]

    def problems(self) -> list[str]:
        """What is off; empty if nothing is."""
        told, stored = self.answers, len(self.objects)
        right = {self.contest.code: self.writes - LIMIT}
        differing = len(self.objects.symmetric_difference(told.created))
        checks = (
            (stored == LIMIT, f"{stored} objects of {LIMIT}"),
            (not differing, f"kubectl and the writers differ about {differing} objects"),
            (told.denied == right, f"denied {dict(told.denied)} in place of {right}"),
            (not told.errors, f"errors {dict(told.errors)}"),
            (self.account == LIMIT, f"the Account says {self.account} of {LIMIT}"),
            *self._ledger_checks(right),
            (self.left == 0, f"{self.left} {self.contest.resource} are held by nothing"),
        )
        return [f"{self.name}: {problem}" for holds, problem in checks if not holds]

    def _ledger_checks(self, right: Mapping[str, int]) -> tuple[tuple[bool, str], ...]:
        says, denied = self.ledger, dict(self.ledger.denied)
        return (
            (says.persisted == LIMIT, f"the ledger has {says.persisted} persisted of {LIMIT}"),
            (denied == right, f"the ledger has denied {denied} in place of {right}"),
            (not says.other, f"the ledger also has {dict(says.other)}"),
            (
                self.least_decided >= LEAST_DECIDED,
                f"of {self.processes} processes only these decided: {dict(says.decided)}",
            ),
        )


@dataclass(frozen=True, slots=True)
class Quad:
    """The same write four ways, one after the other. Seconds each."""

    plain: float
    """By somebody whom no webhook is asked about."""
    governed: float
    """By an agent: both webhooks, the policies, the outbox and the swap."""
    plain_dry: float
    """As `plain`, but a dry run: nothing is stored."""
    governed_dry: float
    """As `governed`, but a dry run: judged alike, but neither stored, nor recorded, nor swapped."""

    @property
    def ratio(self) -> float:
        """The governed write, by the plain one."""
        return self.governed / self.plain

    @property
    def remembering(self) -> float:
        """What outbox and swap add, by the plain write: what judging adds is in both runs."""
        judging = self.governed_dry - self.plain_dry
        return (self.governed - self.plain - judging) / self.plain


def problems_of(races: Sequence[Race]) -> list[str]:
    """What is off in any of them."""
    found = [problem for race in races for problem in race.problems()]
    return found if races else ["no race was run"]


def figure(races: Sequence[Race], quads: Sequence[Quad], *, rounds: int) -> str:
    """One line."""
    right = sum(race.right_denials for race in races)
    denied = sum(race.answers.denied.total() for race in races)
    objects = sorted({len(race.objects) for race in races})
    accounts = sum(race.account == LIMIT for race in races)
    persisted = sum(race.ledger.persisted for race in races)
    recorded = sum(sum(race.ledger.denied.values()) for race in races)
    return (
        f"rounds {rounds}: in each of {len(races)} races {'/'.join(map(str, objects))} objects of "
        f"{LIMIT}, oversold {sum(race.oversold for race in races)}, denied {denied} "
        f"({right} with the right code), other errors "
        f"{sum(race.answers.errors.total() for race in races)} "
        f"(sent again {sum(race.answers.repeated.total() for race in races)}), "
        f"Account = {LIMIT} in {accounts} of {len(races)}, ledger {persisted} persisted + "
        f"{recorded} denied (and {sum(race.ledger.attempts for race in races)} attempts that were "
        f"postponed and made again), least decided by one of "
        f"{max((race.processes for race in races), default=0)} processes "
        f"{min((race.least_decided for race in races), default=0)} "
        f"(writes added for that {sum(race.writes - WRITES for race in races)}), "
        f"pods held after deletion {sum(race.left for race in races)}; {_price(quads)}"
    )


def _price(quads: Sequence[Quad]) -> str:
    if not quads:
        return "no ratio was measured"
    ratio, adds = median(one.ratio for one in quads), median(one.remembering for one in quads)
    return (
        f"a write takes {ratio:.2f} times the same write without webhooks, of which outbox and "
        f"swap {adds:.2f} (median of {len(quads)} pairs)"
    )
