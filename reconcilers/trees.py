"""Knows which objects bear on what one agent holds, and whose holdings a new version concerns.

An index over the counted kinds, kept by their news: without it each swap of each account
would go through every Pod of the cluster. It decides nothing about amounts: what an agent
holds is `controller.accounts.recount`'s to say, of the objects that are named here. A name
too many costs time, one too few would be a wrong sum. So it follows every relation that a
recount follows (controllers, what they have made, autoscalers), in every version that a
view may still show: holdings are counted as they were at a moment that has passed.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from enum import Enum
from typing import TypeAlias

from controller.accounts.entries import WatchedKind
from controller.accounts.views import KindView, Version

NODES = WatchedKind("", "v1", "nodes")
"""What decides how many Pods a DaemonSet has."""


class _Relation(Enum):
    KIND = "is of a kind"
    OWNER = "belongs to an agent"
    CONTROLLER = "was made by the controller of an object"
    NAME = "is what an autoscaler may name"
    TARGET = "may raise what is so named"
    PER_NODE = "has a Pod on each node"


_Key: TypeAlias = tuple[_Relation, object]


class Trees:
    """The objects of the counted kinds: whose, made by what, scaled by what."""

    def __init__(self) -> None:
        self._newest: dict[str, Version] = {}
        self._kinds: dict[str, WatchedKind] = {}
        self._relations: dict[str, tuple[_Key, ...]] = {}
        self._index: defaultdict[_Key, set[str]] = defaultdict(set)
        self._ended: defaultdict[WatchedKind, set[str]] = defaultdict(set)

    def replace(self, kind: WatchedKind, versions: Iterable[Version]) -> None:
        """Take all that there is of one kind anew; it may concern everybody."""
        for uid in tuple(self._by(_Relation.KIND, kind)):
            self._remove(uid)
        self._ended[kind].clear()
        for version in versions:
            self._add(kind, version)

    def take(self, kind: WatchedKind, version: Version) -> frozenset[str]:
        """Take one version of one object; returns the agents whose holdings it may change."""
        newest = self._newest.get(version.uid)
        if newest is not None and _holding(newest) == _holding(version):
            # Most versions of Pods and Nodes say only how they are.
            return frozenset()
        self._add(kind, version)
        return self._concerned(kind, version.uid)

    def forget_ended(self, kind: WatchedKind, *, known: Container[str]) -> None:
        """Forget what has ended, but for those that a view still knows."""
        gone = [uid for uid in self._ended[kind] if uid not in known]
        for uid in gone:
            self._remove(uid)
        self._ended[kind].difference_update(gone)

    def about(self, agent: str) -> Mapping[WatchedKind, Collection[str]]:
        """The uids of all that a recount for an agent has to look at, by kind."""
        found: set[str] = set()
        for uid in self._by(_Relation.OWNER, agent):
            if uid not in found:
                self._add_trees(uid, found)
        for uid in tuple(found):
            for scaled in self._scaled(uid):
                found |= self._above(scaled)
        if not self._by(_Relation.PER_NODE, "").isdisjoint(found):
            found |= self._by(_Relation.KIND, NODES)
        sorted_out: defaultdict[WatchedKind, list[str]] = defaultdict(list)
        for uid in found:
            sorted_out[self._kinds[uid]].append(uid)
        return sorted_out

    def _add_trees(self, uid: str, found: set[str]) -> None:
        """All that has a root in common with it, and whatever may raise a part of that."""
        todo = list(self._above(uid))
        while todo:
            one = todo.pop()
            if one not in found:
                found.add(one)
                todo.extend(self._by(_Relation.CONTROLLER, one))
                todo.extend(self._scalers(one))

    def _concerned(self, kind: WatchedKind, uid: str) -> frozenset[str]:
        """Whose holdings depend on an object."""
        touched = self._above(uid) | self._below(uid)
        for scaled in self._scaled(uid):
            touched |= self._above(scaled)
        if kind == NODES:
            for one in self._by(_Relation.PER_NODE, ""):
                touched |= self._above(one)
        for one in tuple(touched):
            touched.update(self._scalers(one))
        return frozenset(
            str(agent) for one in touched for agent in self._values(one, _Relation.OWNER)
        )

    def _above(self, uid: str) -> set[str]:
        """The object, its controllers, theirs, up to the roots."""
        return _reached(uid, self._makers)

    def _below(self, uid: str) -> set[str]:
        """The object and all that was made by it, and by that: it is theirs to lose."""
        return _reached(uid, lambda one: self._by(_Relation.CONTROLLER, one))

    def _makers(self, uid: str) -> Iterator[str]:
        controllers = self._values(uid, _Relation.CONTROLLER)
        return (str(maker) for maker in controllers if maker in self._newest)

    def _scalers(self, uid: str) -> Iterator[str]:
        for name in self._values(uid, _Relation.NAME):
            yield from self._by(_Relation.TARGET, name)

    def _scaled(self, uid: str) -> Iterator[str]:
        for target in self._values(uid, _Relation.TARGET):
            yield from self._by(_Relation.NAME, target)

    def _by(self, relation: _Relation, value: object) -> set[str]:
        return self._index.get((relation, value), set())

    def _values(self, uid: str, relation: _Relation) -> Iterator[object]:
        return (value for found, value in self._relations.get(uid, ()) if found is relation)

    def _add(self, kind: WatchedKind, version: Version) -> None:
        uid = version.uid
        self._newest[uid], self._kinds[uid] = version, kind
        known = self._relations.get(uid, ())
        new = [key for key in _relations(kind, version) if key not in known]
        self._relations[uid] = (*known, *new)
        for key in new:
            self._index[key].add(uid)
        if version.is_deleted:
            self._ended[kind].add(uid)

    def _remove(self, uid: str) -> None:
        self._newest.pop(uid, None)
        self._kinds.pop(uid, None)
        for key in self._relations.pop(uid, ()):
            self._index[key].discard(uid)
            if not self._index[key]:
                del self._index[key]


def reduced(view: KindView, uids: Iterable[str]) -> KindView:
    """The view of these objects alone: that another is absent in it means nothing."""
    known = view.objects
    return KindView(view.listed_at, view.seen_to, {uid: known[uid] for uid in uids if uid in known})


def _reached(start: str, following: Callable[[str], Iterable[str]]) -> set[str]:
    reached, todo = {start}, [start]
    while todo:
        new = [one for one in following(todo.pop()) if one not in reached]
        reached.update(new)
        todo.extend(new)
    return reached


def _relations(kind: WatchedKind, version: Version) -> Iterator[_Key]:
    """What an object is found by, in one version."""
    fleet, scaling = version.fleet, version.scaling
    yield _Relation.KIND, kind
    if version.owner:
        yield _Relation.OWNER, version.owner
    if version.controller:
        yield _Relation.CONTROLLER, version.controller
    if fleet is not None:
        yield _Relation.NAME, (version.namespace, kind.group, kind.resource, version.name)
    if fleet is not None and fleet.is_per_node:
        yield _Relation.PER_NODE, ""
    if scaling is not None:
        target = (version.namespace, scaling.group, scaling.resource, scaling.name)
        yield _Relation.TARGET, target


def _holding(version: Version) -> tuple[object, ...]:
    """All of a version that a recount depends on."""
    return (
        version.is_deleted,
        version.owner,
        version.controller,
        version.ask,
        version.fleet,
        version.scaling,
    )
