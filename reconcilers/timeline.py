"""Holds the versions of one kind as they come, and gives them out as a view.

It never forgets a version silently: `listed_at` says from when on nothing is missing. It
knows no clock; when something is old enough to be forgotten is its caller's to say.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

from controller.accounts.views import KindView, Version


class Timeline:
    """The versions of one kind: replaced by lists, grown by events, cut at the old end."""

    def __init__(self) -> None:
        self.listed_at = 0
        self.seen_to = 0
        self._objects: dict[str, tuple[Version, ...]] = {}
        self._events: deque[tuple[int, str]] = deque()
        self._view: KindView | None = None

    @property
    def length(self) -> int:
        """How many versions came as events and are kept."""
        return len(self._events)

    def relist(self, versions: Iterable[Version], *, at: int) -> None:
        """Begin anew with what there was at that resource version: a gap."""
        self._objects = {version.uid: (version,) for version in versions}
        self._events.clear()
        self.listed_at = self.seen_to = at
        self._view = None

    def add(self, version: Version) -> None:
        """Take in what one event brought."""
        known = self._objects.get(version.uid, ())
        kept = _sharing(version, known[-1]) if known else version
        self._objects[version.uid] = (*known, kept)
        self._events.append((version.version, version.uid))
        self.reach(version.version)

    def reach(self, version: int) -> None:
        """Every event up to this resource version was taken in."""
        self.seen_to = max(self.seen_to, version)
        self._view = None

    def cut(self, to: int) -> None:
        """Forget what was no longer current at that resource version."""
        to = min(to, self.seen_to)
        if to <= self.listed_at:
            return
        self.listed_at = to
        self._view = None
        while self._events and self._events[0][0] <= to:
            _, uid = self._events.popleft()
            self._cut(uid, to)

    def cut_half(self) -> None:
        """Forget the older half of the events."""
        if self._events:
            self.cut(self._events[len(self._events) // 2][0])

    def view(self) -> KindView:
        """What is known by now, as a value; shared until something changes."""
        if self._view is None:
            objects = MappingProxyType(dict(self._objects))
            self._view = KindView(self.listed_at, self.seen_to, objects)
        return self._view

    def _cut(self, uid: str, to: int) -> None:
        versions = self._objects.get(uid, ())
        older = [version for version in versions if version.version <= to]
        current = [version for version in older[-1:] if not version.is_deleted]
        kept = (*current, *versions[len(older) :])
        if kept:
            self._objects[uid] = kept
        else:
            self._objects.pop(uid, None)


def _sharing(version: Version, known: Version) -> Version:
    """The version, with everything that it says as the one before did: most of it, as a rule.

    Of a Pod or Node a dozen versions may be kept, which differ in their status.
    """
    same = version.fleet == known.fleet and version.scaling == known.scaling
    return replace(
        version,
        uid=known.uid,
        namespace=known.namespace,
        name=known.name,
        owner=known.owner if version.owner == known.owner else version.owner,
        controller=known.controller
        if version.controller == known.controller
        else version.controller,
        ask=known.ask if version.ask == known.ask else version.ask,
        fleet=known.fleet if same else version.fleet,
        scaling=known.scaling if same else version.scaling,
    )
