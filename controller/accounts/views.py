"""What one settler has seen of one kind: a list, and every event after it.

A view is a value: evidence is judged within it, and `settled` counted from it, so
that both are of one moment. It says nothing about who wrote a version.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controller.apis.resources import NOTHING, Amounts


@dataclass(frozen=True, slots=True)
class Fleet:
    """Equal Pods that one object has made: how many, and how much each of them asks."""

    unit: Amounts
    """Of one Pod, `pods: 1` included."""
    replicas: int
    """As its spec says; of one Pod for each node, how many nodes it is known to want."""
    surge: int = 0
    """So many more while they are replaced; 0 where no rollout is under way."""
    surge_percent: int = 0
    """Likewise, in percent of the replicas, rounded up."""
    is_per_node: bool = False
    """Its number is not known yet: at most one for each node."""

    def total(self, at_least: int = 0) -> Amounts:
        """What all of them ask at most.

        Args:
            at_least: how many an autoscaler, or the number of nodes, may raise them to.
        """
        replicas = max(self.replicas, at_least)
        surging = self.surge + -(-replicas * self.surge_percent // 100)
        return {name: amount * (replicas + surging) for name, amount in self.unit.items()}


@dataclass(frozen=True, slots=True)
class Scaling:
    """What an autoscaler may raise."""

    group: str
    resource: str
    """Plural; empty: of a kind that nobody can count."""
    name: str
    most: int
    """Its `maxReplicas`."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one object, reduced to what evidence and recount need."""

    uid: str
    version: int
    """Its resource version; of a deletion the deletion's own."""
    namespace: str
    name: str
    change: str = ""
    """The change id of an authentic stamp; empty without one."""
    digest: str = ""
    """Of its content (`controller.records.content`); of a deletion that of the last content."""
    value: str = ""
    """What a write without a stamp is compared by: `replicas:3`; empty where there is nothing."""
    is_deleted: bool = False
    """The object ended with this version."""
    is_ending: bool = False
    """It carries a deletionTimestamp: finalizers or a grace period hold it."""
    owner: str = ""
    """The agent that it belongs to; empty: nobody's."""
    ask: Amounts = field(default_factory=lambda: NOTHING)
    """What it asks by itself; of a fleet `fleet.total()`."""
    controller: str = ""
    """The uid of the object whose controller made it; empty: nobody's."""
    fleet: Fleet | None = None
    """Of whatever makes equal Pods and can be scaled."""
    scaling: Scaling | None = None
    """Of an autoscaler."""


@dataclass(frozen=True, slots=True)
class KindView:
    """One kind, listed at one resource version and watched from there without a gap."""

    listed_at: int
    seen_to: int
    """Every event up to this resource version was seen."""
    objects: Mapping[str, tuple[Version, ...]]
    """Per uid its versions, ascending: at most one that was current at `listed_at`, then every
    later one. A uid that is absent did not exist at `listed_at`, nor since."""

    def versions_of(self, uid: str) -> tuple[Version, ...]:
        """What was seen of one object, ascending; nothing if it did not exist."""
        return self.objects.get(uid, ())

    def living(self) -> Iterator[Version]:
        """The newest version of each object that has not ended."""
        newest = (versions[-1] for versions in self.objects.values() if versions)
        return (version for version in newest if not version.is_deleted)
