"""Recounts what the agent holds and has spent, from what others say, and compares the Account.

What it holds is counted from lists of its objects, what it spent from the witness's
watch; how much was held at once at most, from the same watch. Nothing of Governor's own
counting has a say in it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.kill_witness import Seen
from bench.ledger import Record

AGENT_LABEL = "governor.dev/agent"
_MEBIBYTE = 2**20
_NO_CHANGE = frozenset({"lost", "no-op"})
"""Outcomes of writes that took no effect; any other did, or may have."""

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """What the Account says, and what it should say."""

    held: Mapping[str, int]
    """By the Account: milli-CPU, bytes, Pods."""
    counted: Mapping[str, int]
    """Recounted."""
    spent: int
    """Changes, by the Account's window."""
    seen: int
    """Changes, by the witness: it cannot see by whom an object was deleted, or scaled in vain."""
    recorded: int
    """Changes, by the ledger, those that may have been one included."""
    most: int
    """Pods that were held at the same time, by the witness."""
    limit: int
    """Of Pods."""

    @property
    def holds(self) -> bool:
        """Whether it is as it should be."""
        return (
            dict(self.held) == dict(self.counted)
            and self.seen <= self.spent == self.recorded
            and self.most <= self.limit
        )

    def __str__(self) -> str:
        sign = "=" if self.holds else "IS NOT"
        return (
            f"usage {sign} recount: held {_text(self.held)} (recount {_text(self.counted)}), "
            f"changes {self.spent} (seen {self.seen}, may have been {self.recorded - self.seen}), "
            f"most Pods at once {self.most} of {self.limit}"
        )


def _text(amounts: Mapping[str, int]) -> str:
    return "/".join(f"{name} {amounts[name]}" for name in sorted(amounts)) or "nothing"


def recount(
    agent: str,
    *,
    deployments: Iterable[Object],
    replica_sets: Iterable[Object],
    pods: Iterable[Object],
) -> Mapping[str, int]:
    """What an agent holds: its Pods, and of its Deployments the larger of spec and Pods."""
    makers = {one["metadata"]["uid"]: _controller(one) for one in replica_sets}
    made: dict[str, Counter[str]] = {}
    held = Counter[str]()
    for pod in pods:
        if pod["status"].get("phase") in {"Succeeded", "Failed"}:
            continue
        root = makers.get(_controller(pod), "")
        if root:
            made.setdefault(root, Counter()).update(_asked(pod["spec"]))
        elif _agent(pod) == agent:
            held.update(_asked(pod["spec"]))
    for one in deployments:
        if _agent(one) == agent:
            wanted = _times(_asked(one["spec"]["template"]["spec"]), one["spec"]["replicas"])
            held.update(wanted | made.get(one["metadata"]["uid"], Counter()))
    return {name: amount for name, amount in held.items() if amount}


def _controller(obj: Object) -> str:
    owners = obj["metadata"].get("ownerReferences", [])
    return next((str(one["uid"]) for one in owners if one.get("controller")), "")


def _agent(obj: Object) -> str:
    return str(obj["metadata"].get("labels", {}).get(AGENT_LABEL, ""))


def _asked(spec: Object) -> Counter[str]:
    """What one Pod of the load asks: it writes milli-CPU and MiB."""
    asked = Counter({"pods": 1})
    for container in spec["containers"]:
        requests = container["resources"]["requests"]
        asked["cpu"] += int(requests["cpu"].removesuffix("m"))
        asked["memory"] += int(requests["memory"].removesuffix("Mi")) * _MEBIBYTE
    return asked


def _times(unit: Mapping[str, int], number: int) -> Counter[str]:
    return Counter({name: amount * number for name, amount in unit.items()})


def changes_seen(events: Sequence[Seen], stored: int, deleted: int) -> int:
    """How many changes the witness is certain of: stored ones, deletions, and scales.

    Nobody but the agent scales, and a scale has no stamp: it is seen by the replicas.
    """
    replicas: dict[str, tuple[int | None, str]] = {}
    scales = 0
    for seen in events:
        before, stamp = replicas.get(seen.uid, (seen.replicas, seen.change))
        scales += seen.replicas != before and seen.change == stamp and not seen.is_deleted
        replicas[seen.uid] = seen.replicas, seen.change
    return stored + deleted + scales


def changes_recorded(records: Iterable[Record]) -> int:
    """How many changes the ledger tells of, those that may have been one included."""
    writes = (one for one in records if one["type"] == "write")
    return sum(1 for one in writes if one["outcome"] not in _NO_CHANGE)


def most_pods(events: Iterable[Seen]) -> int:
    """How many Pods were held at the same time at most, by the versions of the watch.

    Those of the agent's own, and of its one Deployment its replicas or its Pods,
    whichever were more.
    """
    own, made = set[str](), set[str]()
    replicas = most = 0
    for seen in sorted(events, key=lambda seen: seen.version):
        if seen.plural == "pods":
            alive = own if seen.change else made
            (alive.discard if seen.is_deleted else alive.add)(seen.uid)
        elif seen.plural == "deployments":
            replicas = 0 if seen.is_deleted else seen.replicas or 0
        most = max(most, len(own) + max(replicas, len(made)))
    return most
