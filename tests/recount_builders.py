"""Builds the objects that holdings are counted from: Deployments, what they make, autoscalers.

Every one is alive and of one agent's Deployment `web`, unless a test says otherwise.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from controller.accounts.account import COUNTED
from controller.accounts.entries import WatchedKind
from controller.accounts.views import Fleet, KindView, Scaling, Version
from controller.apis.resources import NOTHING, Amounts

AGENT: Final = "migrator"
KINDS: Final = {kind.resource: kind for kind in COUNTED}
SMALL: Final[Amounts] = {"cpu": 100, "pods": 1}
LARGE: Final[Amounts] = {"cpu": 1000, "pods": 1}


def amounts(cpu: int, pods: int) -> dict[str, int]:
    """So many milli-CPU in so many Pods."""
    return {name: amount for name, amount in (("cpu", cpu), ("pods", pods)) if amount}


def a_fleet(
    uid: str = "d",
    replicas: int = 3,
    *,
    unit: Amounts = SMALL,
    surge: int = 0,
    per_node: bool = False,
    owner: str = AGENT,
    by: str = "",
    name: str = "web",
) -> Version:
    """Whatever makes so many equal Pods."""
    fleet = Fleet(unit, replicas, surge, is_per_node=per_node)
    return _a_version(uid, name=name, owner=owner, by=by, ask=fleet.total(), fleet=fleet)


def a_replicaset(
    uid: str = "r", replicas: int = 3, *, unit: Amounts = SMALL, by: str = "d"
) -> Version:
    """Of the Deployment, without a label of its own."""
    return a_fleet(uid, replicas, unit=unit, owner="", by=by, name=uid)


def a_pod(uid: str, *, by: str = "r", unit: Amounts = SMALL, owner: str = "") -> Version:
    """Of the ReplicaSet, without a label of its own."""
    return _a_version(uid, name=uid, owner=owner, by=by, ask=unit)


def an_autoscaler(
    most: int, *, of: str = "web", resource: str = "deployments", owner: str = AGENT
) -> Version:
    """Of the Deployment."""
    scaling = Scaling("apps", resource, of, most)
    return replace(_a_version("h", name="scaler", owner=owner, by=""), scaling=scaling)


def a_node(number: int) -> Version:
    """One of the cluster."""
    return _a_version(f"node-{number}", name=f"node-{number}", owner="", by="")


def an_object(uid: str, ask: Amounts, *, by: str = "", owner: str = AGENT) -> Version:
    """That is no fleet: a Job, a CronJob."""
    return _a_version(uid, name=uid, owner=owner, by=by, ask=ask)


def ended(version: Version) -> Version:
    """It is deleted."""
    return replace(version, is_deleted=True, version=version.version + 10)


def ending(version: Version) -> Version:
    """It is being deleted."""
    return replace(version, is_ending=True)


def seen(**objects: list[Version]) -> Mapping[WatchedKind, KindView]:
    """Views of one moment, by plural; in all other counted kinds there is nothing."""
    return {
        kind: KindView(1, 100, {v.uid: (v,) for v in objects.get(plural, [])})
        for plural, kind in KINDS.items()
    }


def _a_version(
    uid: str,
    *,
    name: str,
    owner: str,
    by: str,
    ask: Amounts = NOTHING,
    fleet: Fleet | None = None,
) -> Version:
    return Version(uid, 10, "team-data", name, owner=owner, controller=by, ask=ask, fleet=fleet)
