"""One agent and one person who write to a governed cluster over raw HTTP, and what is recorded.

`kubectl` hides retries, field managers and stamps; here every request is the one that the
test says. It asserts nothing by itself.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from native.api import Answer, Api
from tests.governed import Cluster, TestAgent
from tests.ledgerfiles import LedgerFiles, Record, wait_for
from tests.waiting import eventually

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
STAMP = "governor.dev/change"
EVERYTHING: dict[str, Any] = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
NAMED: tuple[dict[str, Any], ...] = (
    {"apiGroups": [""], "resources": ["configmaps", "pods", "secrets"], "verbs": ["*"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]},
)
"""Without being named, a kind is watched from an agent's first write to it on; what that write
was made against has then not been seen."""
WATCHED = frozenset({"configmaps.v1.", "pods.v1.", "secrets.v1.", "deployments.v1.apps"})

PATHS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
}
CONTAINER = {"name": "main", "image": "example.com/none:1"}
POD_SPEC: dict[str, Any] = {"containers": [CONTAINER]}


def a_manifest(kind: str, name: str, **fields: object) -> dict[str, Any]:
    """An object of that kind, without a namespace."""
    version = "apps/v1" if kind == "Deployment" else "v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}


def a_configmap(name: str, **data: str) -> dict[str, Any]:
    """With that data."""
    return a_manifest("ConfigMap", name, data=data)


def a_pod(name: str) -> dict[str, Any]:
    """Of one container that no kubelet will ever run."""
    return a_manifest("Pod", name, spec=POD_SPEC)


def a_deployment(name: str, replicas: int = 0) -> dict[str, Any]:
    """Of that many replicas."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": POD_SPEC}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return a_manifest("Deployment", name, spec=spec)


def ok(answer: Answer) -> dict[str, Any]:
    """What a write that passed came back with."""
    assert answer.ok, answer.text
    found: dict[str, Any] = answer.json
    return found


def changes_of(record: Record) -> dict[str, Any]:
    """Path → what is there afterwards; None where nothing is."""
    return {one["path"]: one.get("after") for one in record["changes"]}


def stamp_of(obj: Mapping[str, Any]) -> str:
    """The change id in an object's stamp; empty without one."""
    annotations: dict[str, str] = obj["metadata"].get("annotations") or {}
    return annotations.get(STAMP, "").partition(".")[0]


def version_of(obj: Mapping[str, Any]) -> str:
    """Its resource version."""
    return str(obj["metadata"]["resourceVersion"])


@dataclass(frozen=True, slots=True)
class Hand:
    """Writes to one namespace as one identity."""

    api: Api
    namespace: str

    def path(self, kind: str, name: str = "") -> str:
        """Of one object, or of all of its kind."""
        return PATHS[kind].format(self.namespace) + (f"/{name}" if name else "")

    def create(self, body: Mapping[str, Any], *, query: str = "") -> Answer:
        """POST it."""
        return self.api.call("POST", self.path(body["kind"]) + query, body)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Read one that is there."""
        answer = self.api.call("GET", self.path(kind, name))
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json
        return found

    def put(self, body: Mapping[str, Any], *, query: str = "") -> Answer:
        """Replace one by this."""
        path = self.path(body["kind"], body["metadata"]["name"])
        return self.api.call("PUT", path + query, body)

    def merge(
        self, kind: str, name: str, patch: Mapping[str, Any], *, under: str = "", query: str = ""
    ) -> Answer:
        """Merge this into one, or into a subresource of it."""
        path = self.path(kind, name) + (f"/{under}" if under else "") + query
        return self.api.call("PATCH", path, patch, content_type=MERGE)

    def apply(self, body: Mapping[str, Any], *, manager: str = "tests") -> Answer:
        """Apply it server-side."""
        query = f"?fieldManager={manager}&force=true"
        path = self.path(body["kind"], body["metadata"]["name"]) + query
        return self.api.call("PATCH", path, body, content_type=APPLY)

    def delete(self, kind: str, name: str, *, query: str = "") -> Answer:
        """Delete one."""
        return self.api.call("DELETE", self.path(kind, name) + query)


@dataclass(frozen=True, slots=True)
class Scene:
    """An agent that may do everything in its namespace, a person, and the ledger of both."""

    cluster: Cluster
    agent: TestAgent
    ours: Hand
    theirs: Hand
    ledger: LedgerFiles = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ledger", LedgerFiles(self.cluster.governor.site.ledger))

    def records(self, name: str, *, count: int = 1, within_seconds: float = 30.0) -> list[Record]:
        """The records about the objects of that name, once there are so many; in order."""
        return wait_for(
            self.ledger,
            lambda record: self._is_of(record, name),
            count=count,
            within_seconds=within_seconds,
        )

    def record(self, name: str, *, count: int = 1) -> Record:
        """The only record about them, or the last of so many."""
        found = self.records(name, count=count)
        assert len(found) == count, [(one["type"], one["outcome"]) for one in found]
        return found[-1]

    def settled_records(self, name: str) -> list[Record]:
        """The records of writes to that object once nothing of the agent's is under way."""
        eventually(lambda: not self.pending(), "nothing is pending", within_seconds=90)
        return [one for one in self.records(name) if one["type"] == "write"]

    def all_of_agent(self) -> list[Record]:
        """Every record of this agent's writes until now."""
        return self.ledger.where(lambda record: record["agent"] == self.agent.name)

    def account(self) -> dict[str, Any]:
        """The agent's Account, as it is stored."""
        answer = self.cluster.plane.admin.call(
            "GET", f"/apis/governor.dev/v1alpha1/accounts/{self.agent.name}"
        )
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json
        return found

    def watched(self) -> frozenset[str]:
        """Those of `WATCHED` that the account is counted from."""
        return WATCHED & frozenset(self.account()["status"].get("asOf", {}))

    def pending(self) -> list[Any]:
        """The entries of the agent's Account."""
        found: list[Any] = self.account()["status"].get("pending") or []
        return found

    def outbox_rows(self) -> list[tuple[str, str, int]]:
        """Kind, key and count of every row that waits in the outboxes and is of this agent."""
        found: list[tuple[str, str, int]] = []
        for file in sorted(self.cluster.governor.site.outbox.glob("*.sqlite")):
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
                query = "SELECT kind, key, count FROM rows WHERE instr(body, ?) ORDER BY number"
                found += database.execute(query, (self.agent.name.encode(),)).fetchall()
        return found

    def is_here(self, record: Record) -> bool:
        """Whether it is about something in the agent's namespace."""
        return bool(record["request"]["namespace"] == self.agent.name)

    def _is_of(self, record: Record, name: str) -> bool:
        names = {record["request"]["name"], entry_name(record)}
        return record["agent"] == self.agent.name and self.is_here(record) and name in names


def entry_name(record: Record) -> str:
    """The name in the entry; of a denial there is none."""
    return str(record.get("entry", {}).get("name", ""))


def set_scene(cluster: Cluster, agent: TestAgent, **spec: object) -> Scene:
    """The agent's rules are wide open and judged by, and what they name is watched."""
    rules = [{**rule, "namespaces": [agent.name]} for rule in (*NAMED, EVERYTHING)]
    agent.set_mandate(**{"rules": rules, **spec})
    agent.eventually_answers(None, "create", "configmap", "probe")
    plane = cluster.plane
    scene = Scene(
        cluster,
        agent,
        Hand(plane.api_for_service_account(agent.name, agent.name), agent.name),
        Hand(plane.admin, agent.name),
    )
    eventually(lambda: len(scene.watched()) == len(WATCHED), "what the rules name is watched")
    return scene


def a_quiet_pod(scene: Scene, name: str) -> dict[str, Any]:
    """A person's Pod that the scheduler has looked at, and will not write to again."""
    ok(scene.theirs.create(a_pod(name)))
    return wait_quiet(scene, name)


def wait_quiet(scene: Scene, name: str) -> dict[str, Any]:
    """Wait until the scheduler has written its finding to that Pod."""

    def is_seen() -> bool:
        return bool(scene.theirs.get("Pod", name)["status"].get("conditions"))

    eventually(is_seen, f"the scheduler has seen {name}")
    return scene.theirs.get("Pod", name)


def a_scheduled_pod(scene: Scene, name: str) -> None:
    """A person's Pod on a Node, which therefore ends with a grace period."""
    scene.cluster.plane.add_node(f"node-{scene.agent.name}")
    ok(scene.theirs.create(a_pod(name)))

    def is_scheduled() -> bool:
        return bool(scene.theirs.get("Pod", name)["spec"].get("nodeName"))

    eventually(is_scheduled, f"{name} is scheduled")
