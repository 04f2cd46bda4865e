"""What one settler has seen of one kind: a list, and every event after it.

A view is a value: evidence is judged within it, and `settled` counted from it, so
that both are of one moment. It says nothing about who wrote a version.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controller.accounts.entries import NOTHING, Amounts


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
