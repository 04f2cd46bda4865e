"""A namespace of a real cluster under a quota, and the workloads that are charged to it.

Nothing runs there: there is no kubelet. Controllers make the Pods, the quota counts them, and
`make_ready` says what a kubelet would.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from controller.accounts.charges import total
from controller.apis.json import Json
from controller.apis.quantities import milli, whole
from controller.apis.requests import Target
from controller.apis.resources import Amounts
from controller.asks.workloads import ask_of
from native.api import Answer
from native.controlplane import ControlPlane
from tests.asking import CONTROLLERS, JOBS, PODS, Object, a_container
from tests.waiting import eventually

LABELS: Final[Json] = {"app": "web"}
QUOTAS: Final = Target("", "v1", "ResourceQuota", "resourcequotas")
HARD: Final[Json] = {"cpu": "1000", "memory": "1000Gi", "pods": "1000"}


def with_image(container: Object) -> Object:
    """One that the API server takes."""
    return {**container, "image": "registry.invalid/web:1"}


def pod_spec(*containers: Object, **more: Json) -> Object:
    """Of one ordinary container where none is given."""
    spec: Object = {"containers": [with_image(one) for one in containers or (a_container(),)]}
    inits = more.pop("initContainers", None)
    if isinstance(inits, list):
        spec["initContainers"] = [with_image(one) for one in inits if isinstance(one, dict)]
    return {**spec, **more}


def workload(target: Target, pod: Object, **spec: Json) -> Object:
    """Whatever makes Pods of that spec."""
    template: Object = {"metadata": {"labels": LABELS}, "spec": pod}
    selector: Object = {"matchLabels": LABELS}
    if target == CONTROLLERS:
        selector = {"app": "web"}
    if target == JOBS:
        pod["restartPolicy"] = "Never"
    inner: Object = {"template": template, **spec}
    if target != JOBS:
        inner["selector"] = selector
    return bare(target, inner)


def bare(target: Target, spec: Object) -> Object:
    """An object named `web` of that spec."""
    api_version = f"{target.group}/{target.version}" if target.group else target.version
    metadata: Object = {"name": "web", "labels": LABELS}
    return {"apiVersion": api_version, "kind": target.kind, "metadata": metadata, "spec": spec}


class Cluster:
    """One namespace of the control plane, under a quota."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane = plane
        self._namespace = namespace

    def path(self, target: Target, name: str = "") -> str:
        """Of one object, or of all of its kind."""
        group = f"/apis/{target.group}" if target.group else "/api"
        base = f"{group}/{target.version}/namespaces/{self._namespace}/{target.resource}"
        return f"{base}/{name}" if name else base

    def create(self, target: Target, obj: Mapping[str, Json]) -> Object:
        """As it is stored."""
        created = self._plane.admin.call("POST", self.path(target), obj)
        assert created.status == 201, created.text
        return cast("Object", created.json)

    def dry_run(self, obj: Mapping[str, Json]) -> Object | None:
        """The Pod as the API server would store it; None: it refuses it."""
        answer = self._plane.admin.call("POST", f"{self.path(PODS)}?dryRun=All", obj)
        return answer.json if answer.status == 201 else None

    def get(self, target: Target, name: str = "web") -> Object:
        """As it is stored now."""
        return cast("Object", self._plane.admin.call("GET", self.path(target, name)).json)

    def delete(self, target: Target, options: Object | None) -> None:
        """With these options, or without any."""
        deleted = self._plane.admin.call("DELETE", self.path(target, "web"), options)
        assert deleted.ok, deleted.text

    def put(self, target: Target, obj: Mapping[str, Any]) -> Answer:
        """Whatever the API server says to it."""
        path = self.path(target, obj["metadata"]["name"])
        return self._plane.admin.call("PUT", path, obj)

    def replace(self, target: Target, obj: Mapping[str, Any]) -> Object:
        """As it is stored then."""
        replaced = self.put(target, obj)
        assert replaced.ok, replaced.text
        return cast("Object", replaced.json)

    def used(self) -> Amounts | None:
        """What the quota says is held; None before it has counted."""
        quota = self._plane.admin.call("GET", self.path(QUOTAS, "all")).json
        used = quota.get("status", {}).get("used")
        if not used:
            return None
        amounts = {"cpu": milli(used["cpu"]), "memory": whole(used["memory"])}
        return total([amounts | {"pods": whole(used["pods"])}])

    def pods(self) -> dict[str, Any]:
        """All Pods, as a list with its resource version."""
        return cast("dict[str, Any]", self._plane.admin.call("GET", self.path(PODS)).json)

    def make_ready(self, pod: str) -> None:
        """What a kubelet would report."""
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self._plane.admin.call(
            "PATCH",
            f"{self.path(PODS, pod)}/status",
            {"status": status},
            content_type="application/merge-patch+json",
        )

    def events_since(self, version: str) -> Iterator[dict[str, Any]]:
        """Whatever became of Pods from that resource version on."""
        query = f"watch=1&resourceVersion={version}&timeoutSeconds=2"
        lines = self._plane.admin.call("GET", f"{self.path(PODS)}?{query}").text.splitlines()
        return (json.loads(line) for line in lines)


def under_a_quota(plane: ControlPlane, namespace: str) -> Cluster:
    """A namespace whose quota counts already."""
    cluster = Cluster(plane, namespace)
    quota = bare(QUOTAS, {"hard": HARD})
    metadata: Json = {"name": "all"}
    cluster.create(QUOTAS, {**quota, "metadata": metadata})
    eventually(lambda: cluster.used() is not None, "the quota counts")
    return cluster


def is_settled(place: Cluster, target: Target) -> bool:
    """Whether there are as many Pods as the object asks for."""
    stored = place.get(target)
    ask = ask_of(target.group, target.resource, stored)
    if ask.fleet is not None and ask.fleet.is_per_node:
        return False
    return len(place.pods()["items"]) == ask.total.get("pods", 0)
