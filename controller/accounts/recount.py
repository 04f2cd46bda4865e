"""Counts what an agent holds from live objects: absolutely, each tree once, at its root.

Deployments make ReplicaSets, and those make Pods. While they differ, what lives and
what a controller may still make both count, the larger for each resource. So no
rollout, and no deletion that takes its time, is ever counted as less than it is.

The views must be of one moment (`controller.accounts.cuts`). Nothing here knows what
objects ask for, what is granted, or a limit.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from controller.accounts.account import COUNTED
from controller.accounts.charges import total
from controller.accounts.entries import WatchedKind
from controller.accounts.views import KindView, Version
from controller.apis.resources import NOTHING, PODS, Amounts

_Kind: TypeAlias = tuple[str, str]
"""Group and plural."""
_Name: TypeAlias = tuple[_Kind, str, str]
"""Kind, namespace and name."""

_PODS: Final[_Kind] = ("", "pods")
_NODES: Final[_Kind] = ("", "nodes")
_AUTOSCALERS: Final[_Kind] = ("autoscaling", "horizontalpodautoscalers")
_REPLICASETS: Final[_Kind] = ("apps", "replicasets")
_JOBS: Final[_Kind] = ("batch", "jobs")
_PATIENT: Final[frozenset[_Kind]] = frozenset({("apps", "statefulsets"), ("apps", "daemonsets")})
"""Their controllers make no Pod while the one in its place is still ending."""
_MAKERS: Final[Mapping[_Kind, frozenset[_Kind]]] = {
    _PODS: _PATIENT | {_REPLICASETS, ("", "replicationcontrollers"), _JOBS},
    _REPLICASETS: frozenset({("apps", "deployments")}),
    _JOBS: frozenset({("batch", "cronjobs")}),
}
"""Whose controllers make which objects, and count them among their own. A Pod that names a
Deployment as its controller is none that the Deployment's controller would make less of."""
_TREELESS: Final = frozenset({_NODES, _AUTOSCALERS})


@dataclass(frozen=True, slots=True)
class Holdings:
    """What one agent holds."""

    total: Amounts
    uids: frozenset[str]
    """Of everything that is counted, and of the autoscalers that raise it: news of them, or of
    what they control, may change the total."""


@dataclass(slots=True)
class _Node:
    """One object, living or deleted, in the tree of what made what.

    A deleted one holds nothing by itself, and lends its agent to what it has left behind.
    """

    version: Version
    kind: _Kind
    agent: str
    """Whose the root of its tree is; empty: nobody's."""
    children: "list[_Node]" = field(default_factory=list["_Node"])

    @property
    def name(self) -> _Name:
        """What an autoscaler calls it by."""
        return (self.kind, self.version.namespace, self.version.name)


@dataclass(frozen=True, slots=True)
class _Trees:
    roots: list[_Node] = field(default_factory=list[_Node])
    """Of the trees that are the agent's."""
    makers: dict[str, _Node] = field(default_factory=dict[str, _Node])
    """Everything that is no Pod, whosever it is, by uid."""


class _Autoscaler(NamedTuple):
    uid: str
    owner: str
    target: _Name
    most: int


@dataclass(frozen=True, slots=True)
class _Demand:
    """What makes a fleet larger than its own spec says."""

    most: Mapping[_Name, int]
    """The largest `maxReplicas` of a target's autoscalers: the agent's, and those of people. What
    another agent would raise is charged to that one."""
    nodes: int


def recount(agent: str, views: Mapping[WatchedKind, KindView]) -> Holdings:
    """What an agent holds by these views, of the counted kinds only.

    Args:
        agent: whose holdings.
        views: of one moment. Deleted objects that they still show say whose their orphans are.
    """
    by_kind = {(kind.group, kind.resource): views[kind] for kind in views.keys() & COUNTED}
    autoscalers = list(_autoscalers(by_kind))
    trees = _grow(agent, by_kind)
    nodes = sum(1 for _ in _living(by_kind, _NODES))
    counted = (one for one in autoscalers if one.owner in {"", agent})
    demand = _Demand(_most(counted), nodes)
    added = _added(agent, autoscalers, trees.makers.values())
    parts = [*(_hold(root, demand) for root in trees.roots), *added.values()]
    uids = frozenset(node.version.uid for node in _nodes(trees.roots))
    return Holdings(total(parts), uids | added.keys())


def _living(views: Mapping[_Kind, KindView], kind: _Kind) -> Iterator[Version]:
    return views[kind].living() if kind in views else iter(())


def _autoscalers(views: Mapping[_Kind, KindView]) -> Iterator[_Autoscaler]:
    for version in _living(views, _AUTOSCALERS):
        scaling = version.scaling
        if scaling is not None and scaling.resource:
            target = ((scaling.group, scaling.resource), version.namespace, scaling.name)
            yield _Autoscaler(version.uid, version.owner, target, scaling.most)


def _most(autoscalers: Iterable[_Autoscaler]) -> Mapping[_Name, int]:
    most: dict[_Name, int] = {}
    for one in autoscalers:
        most[one.target] = max(most.get(one.target, 0), one.most)
    return most


def _grow(agent: str, views: Mapping[_Kind, KindView]) -> _Trees:
    trees = _Trees()
    for kind in sorted(views.keys() - _TREELESS - {_PODS}, key=_depth):
        for versions in views[kind].objects.values():
            version = versions[-1]
            maker = _maker_of(version, kind, trees.makers)
            node = _Node(version, kind, version.owner if maker is None else maker.agent)
            trees.makers[version.uid] = node
            if maker is not None:
                maker.children.append(node)
            elif node.agent == agent:
                trees.roots.append(node)
    if _PODS in views:
        _hang(agent, views[_PODS], trees)
    return trees


def _hang(agent: str, pods: KindView, trees: _Trees) -> None:
    """Put the agent's Pods into its trees, and no others: there are many."""
    for versions in pods.objects.values():
        version = versions[-1]
        if not (version.controller in trees.makers or version.owner == agent):
            continue
        maker = _maker_of(version, _PODS, trees.makers)
        whose = version.owner if maker is None else maker.agent
        if whose == agent and not version.is_deleted:
            nodes = trees.roots if maker is None else maker.children
            nodes.append(_Node(version, _PODS, agent))


def _depth(kind: _Kind) -> int:
    """Makers come before what they make."""
    return int(kind in _MAKERS)


def _maker_of(version: Version, kind: _Kind, makers: Mapping[str, _Node]) -> _Node | None:
    """Within which object it is counted; None: it is a root. Nobody's tree hides another's."""
    if not version.controller:
        return None
    maker = makers.get(version.controller)
    if maker is None or maker.kind not in _MAKERS.get(kind, ()):
        return None
    return maker if version.owner in {"", maker.agent} else None


def _nodes(roots: Iterable[_Node]) -> Iterator[_Node]:
    for root in roots:
        yield root
        yield from _nodes(root.children)


def _added(
    agent: str, autoscalers: Collection[_Autoscaler], makers: Iterable[_Node]
) -> Mapping[str, Amounts]:
    """Per autoscaler that concerns the agent what it adds to its trees: to its own nothing.

    Who scales what is another's answers for all that it may come to.
    """
    if not autoscalers:
        return {}
    targets = {one.target for one in autoscalers}
    living = (node for node in makers if node.version.fleet and not node.version.is_deleted)
    scaled = {name: node for node in living if (name := node.name) in targets}
    added: dict[str, Amounts] = {}
    for one in autoscalers:
        node = scaled.get(one.target)
        if node is not None and node.agent == agent:
            added[one.uid] = NOTHING
        elif one.owner == agent:
            fleet = None if node is None else node.version.fleet
            added[one.uid] = NOTHING if fleet is None else fleet.total(one.most)
    return added


def _hold(node: _Node, demand: _Demand) -> Amounts:
    """What lives of a tree, and what its controllers may still make of it."""
    own = _own(node, demand)
    if not node.children:
        return own
    made = total(_hold(child, demand) for child in node.children)
    missing = own.get(PODS, 0) - sum(_standing(child, node.kind) for child in node.children)
    if missing > 0:
        unit = _largest_unit(node, own)
        made = total((made, {name: amount * missing for name, amount in unit.items()}))
    return _larger(total((own, _beside(node))), made)


def _beside(node: _Node) -> Amounts:
    """The Pods of a tree that live beside all that its makers make, until they have ended."""
    parts: list[Amounts] = []
    for child in node.children:
        if child.kind != _PODS:
            parts.append(_beside(child))
        elif not child.version.is_deleted and not _standing(child, node.kind):
            parts.append(child.version.ask)
    return total(parts)


def _own(node: _Node, demand: _Demand) -> Amounts:
    version, fleet = node.version, node.version.fleet
    if version.is_deleted:
        return NOTHING
    if fleet is None:
        return version.ask
    at_least = demand.most.get(node.name, 0)
    return fleet.total(max(at_least, demand.nodes) if fleet.is_per_node else at_least)


def _standing(child: _Node, maker: _Kind) -> int:
    """For how many Pods of a child its maker makes no others.

    Whatever is ending does not count for most makers: its successors live beside it. Nor does
    what an agent made itself, and hung into the tree: the maker may let go of it, and make
    all of its own.
    """
    version = child.version
    is_replaced = version.is_ending and maker not in _PATIENT
    is_hung_in = bool(version.owner)
    stands = not (version.is_deleted or is_replaced or is_hung_in)
    return version.ask.get(PODS, 0) if stands else 0


def _largest_unit(node: _Node, own: Amounts) -> Amounts:
    """The most that one Pod more may ask: who is scaled amid a rollout adds to each template."""
    fleet, pods = node.version.fleet, own[PODS]
    unit = fleet.unit if fleet else {name: -(-amount // pods) for name, amount in own.items()}
    for child in node.children:
        older = child.version.fleet
        if child.version.is_deleted:
            continue
        if older is None:
            # A StatefulSet makes Pods of its older revision, too, and no object tells which.
            unit = _larger(unit, child.version.ask)
        elif older.replicas:
            unit = _larger(unit, older.unit)
    return unit


def _larger(one: Amounts, other: Amounts) -> Amounts:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {*one, *other}}
