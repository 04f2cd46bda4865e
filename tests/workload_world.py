"""A simulated Deployment with its ReplicaSets and Pods, moved by what Kubernetes' controllers do.

The Deployment's controller makes a ReplicaSet for each template, moves replicas from the
old ones to the newest within the surge, and adds to each in proportion when it is scaled
amid a rollout. The ReplicaSets' controller makes and deletes Pods, which end later. The
order is the test's. Nothing here knows how holdings are counted.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from controller.accounts.entries import WatchedKind
from controller.accounts.views import KindView, Version
from controller.apis.resources import Amounts
from tests.recount_builders import a_fleet, a_pod, a_replicaset, ended, ending, seen


@dataclass(frozen=True)
class Pod:
    """One that lives, perhaps not for long."""

    number: int
    template: int
    is_ending: bool = False


@dataclass(frozen=True)
class Rollout:
    """Everything at one moment."""

    units: tuple[Amounts, ...]
    """What one Pod of each template asks."""
    template: int = 0
    replicas: int = 0
    surge: int = 1
    is_there: bool = True
    """The Deployment; what it has left behind is collected bit by bit."""
    sets: Mapping[int, int] = field(default_factory=dict[int, int])
    """Template → replicas of its ReplicaSet."""
    pods: tuple[Pod, ...] = ()
    made: int = 0

    def wanted(self) -> int:
        """How many Pods the ReplicaSets are to have, all together."""
        return sum(self.sets.values())

    @property
    def is_rolling(self) -> bool:
        """Whether its controller has something left to replace."""
        return any(count for template, count in self.sets.items() if template != self.template)

    def held(self, *, but: Collection[int] = ()) -> Amounts:
        """What really lives, but for the Pods with these numbers."""
        sums: dict[str, int] = {}
        for pod in self.pods:
            if pod.number in but:
                continue
            for name, amount in self.units[pod.template].items():
                sums[name] = sums.get(name, 0) + amount
        return sums

    def leaving(self) -> frozenset[int]:
        """The Pods that are being deleted, or about to be: their successors need not wait."""
        gone = [pod for pod in self.pods if pod.is_ending]
        for template, count in self.sets.items():
            active = [p for p in self.pods if p.template == template and not p.is_ending]
            gone += active[: max(0, len(active) - count)]
        return frozenset(pod.number for pod in gone)

    def views(self) -> Mapping[WatchedKind, KindView]:
        """What a settler sees of it."""
        surge = self.surge if self.is_rolling else 0
        root = a_fleet("d", self.replicas, unit=self.units[self.template], surge=surge)
        sets = [
            a_replicaset(f"r{template}", count, unit=self.units[template])
            for template, count in self.sets.items()
        ]
        return seen(
            deployments=[root if self.is_there else ended(root)],
            replicasets=sets,
            pods=[self._seen(pod) for pod in self.pods],
        )

    def _seen(self, pod: Pod) -> Version:
        by = f"r{pod.template}"
        version = a_pod(f"p{pod.number}", by=by, unit=self.units[pod.template])
        return ending(version) if pod.is_ending else version


def controllers(world: Rollout) -> Iterator[Rollout]:
    """All that the controllers may do next, without anybody's write."""
    if world.is_there:
        yield from _deployment(world)
    yield from _replicasets(world)
    for index, pod in enumerate(world.pods):
        if pod.is_ending or (not world.is_there and pod.template not in world.sets):
            yield replace(world, pods=(*world.pods[:index], *world.pods[index + 1 :]))


def _deployment(world: Rollout) -> Iterator[Rollout]:
    newest = world.sets.get(world.template, 0)
    if world.template not in world.sets:
        yield _with_set(world, world.template, 0)
        return
    most = world.replicas + (world.surge if world.is_rolling else 0)
    if world.wanted() < most and newest < world.replicas:
        yield _with_set(world, world.template, newest + 1)
    for template, count in world.sets.items():
        is_old = template != world.template
        if count and (is_old or world.wanted() > most):
            yield _with_set(world, template, count - 1)
        # Scaled amid a rollout, each ReplicaSet that has replicas gets its part.
        if is_old and count and world.wanted() < world.replicas:
            yield _with_set(world, template, count + 1)


def _replicasets(world: Rollout) -> Iterator[Rollout]:
    for template, count in world.sets.items():
        active = [p for p in world.pods if p.template == template and not p.is_ending]
        if len(active) < count:
            pod = Pod(world.made, template)
            yield replace(world, pods=(*world.pods, pod), made=world.made + 1)
        if len(active) > count:
            yield end_pod(world, world.pods.index(active[0]))


def end_pod(world: Rollout, index: int) -> Rollout:
    """Somebody deletes a Pod, which takes its time."""
    pod = replace(world.pods[index], is_ending=True)
    return replace(world, pods=(*world.pods[:index], pod, *world.pods[index + 1 :]))


def _with_set(world: Rollout, template: int, count: int) -> Rollout:
    return replace(world, sets={**world.sets, template: count})
