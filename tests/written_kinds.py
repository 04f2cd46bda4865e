"""Writes to every common kind, as data: what is created, how it is edited, what that leaves.

For tests that compare what a webhook sees with what is stored. Nothing here writes.
"""

from dataclasses import dataclass, field
from typing import Any

from controller.accounts.entries import Action, WatchedKind

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
NAMESPACE = "<namespace>"
"""Stands for the test's own."""
ANNOTATE = {"metadata": {"annotations": {"example.com/note": "é\u2028 \U0001f600"}}}


@dataclass(frozen=True, slots=True)
class Edit:
    """One further write to an object."""

    body: Any
    content_type: str = MERGE
    subresource: str = ""
    method: str = "PATCH"
    action: Action = Action.UPDATE


@dataclass(frozen=True, slots=True)
class Case:
    """One object, and what is done to it."""

    group_version: str
    resource: str
    body: dict[str, Any]
    edits: tuple[Edit, ...] = field(default=(Edit(ANNOTATE),))

    @property
    def kind(self) -> WatchedKind:
        """What is watched to see it."""
        group, _, version = self.group_version.rpartition("/")
        return WatchedKind(group, version, self.resource)

    def path(self, namespace: str) -> str:
        """Of its collection."""
        root = "/apis/" if "/" in self.group_version else "/api/"
        return f"{root}{self.group_version}/namespaces/{namespace}/{self.resource}"


CONTAINER: dict[str, Any] = {
    "name": "web",
    "image": "example.com/none:1",
    "resources": {"limits": {"cpu": "0.5"}},
}
POD_SPEC: dict[str, Any] = {"containers": [CONTAINER]}
TEMPLATE: dict[str, Any] = {"metadata": {"labels": {"app": "web"}}, "spec": POD_SPEC}
SELECTOR = {"matchLabels": {"app": "web"}}
IMAGE = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "x:2"}]
ENVIRONMENT = {
    "spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "A"}]}]}}}
}

TOLERATE = [
    {"op": "add", "path": "/spec/tolerations/-", "value": {"key": "a", "operator": "Exists"}}
]
UNREADY = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}

CASES = {
    "deployment": Case(
        "apps/v1",
        "deployments",
        {"spec": {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE}},
        (
            Edit(IMAGE, JSON_PATCH),
            Edit(ENVIRONMENT, STRATEGIC),
            Edit({"status": {"observedGeneration": 7}}, MERGE, "status"),
            Edit({"spec": {"replicas": 5}}, MERGE, "scale", action=Action.VALUE),
            Edit({"spec": {"replicas": 0}}, MERGE, "scale", action=Action.VALUE),
            Edit(ANNOTATE),
            Edit({}, action=Action.NOTHING),
        ),
    ),
    "statefulset": Case(
        "apps/v1",
        "statefulsets",
        {"spec": {"serviceName": "web", "selector": SELECTOR, "template": TEMPLATE}},
        (Edit({"spec": {"replicas": 3}}), Edit(ENVIRONMENT, STRATEGIC)),
    ),
    "daemonset": Case(
        "apps/v1", "daemonsets", {"spec": {"selector": SELECTOR, "template": TEMPLATE}}
    ),
    "job": Case(
        "batch/v1",
        "jobs",
        {"spec": {"suspend": True, "template": {"spec": {**POD_SPEC, "restartPolicy": "Never"}}}},
    ),
    "cronjob": Case(
        "batch/v1",
        "cronjobs",
        {
            "spec": {
                "schedule": "0 0 1 1 *",
                "jobTemplate": {
                    "spec": {"template": {"spec": {**POD_SPEC, "restartPolicy": "Never"}}}
                },
            }
        },
        (Edit({"spec": {"suspend": True}}),),
    ),
    "service": Case(
        "v1",
        "services",
        {"spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}},
        (
            Edit({"spec": {"type": "NodePort"}}),
            Edit([{"op": "add", "path": "/spec/ports/0/name", "value": "http"}], JSON_PATCH),
        ),
    ),
    "headless service": Case("v1", "services", {"spec": {"clusterIP": "None"}}),
    "load balancer": Case(
        "v1", "services", {"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}
    ),
    "configmap": Case(
        "v1",
        "configmaps",
        {"data": {"a": "é\u2028<&>\U0001f600", "b": ""}, "binaryData": {"c": "AAEC"}},
        (Edit({"data": {"a": None}}), Edit(ANNOTATE)),
    ),
    "secret with stringData": Case(
        "v1",
        "secrets",
        {"stringData": {"password": "hunter22"}, "data": {"user": "bWU="}},
        (Edit({"stringData": {"password": "changed"}}),),
    ),
    "pod": Case(
        "v1",
        "pods",
        {"spec": POD_SPEC},
        (
            Edit(
                [
                    {
                        "op": "add",
                        "path": "/spec/tolerations/-",
                        "value": {"key": "a", "operator": "Exists"},
                    }
                ],
                JSON_PATCH,
            ),
            Edit(
                {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, MERGE, "status"
            ),
            Edit(
                {"spec": {"ephemeralContainers": [{"name": "debug", "image": "x"}]}},
                STRATEGIC,
                "ephemeralcontainers",
                action=Action.VALUE,
            ),
        ),
    ),
    "autoscaler of version 1": Case(
        "autoscaling/v1",
        "horizontalpodautoscalers",
        {
            "spec": {
                "maxReplicas": 3,
                "targetCPUUtilizationPercentage": 50,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "no"},
            }
        },
    ),
    "autoscaler of version 2": Case(
        "autoscaling/v2",
        "horizontalpodautoscalers",
        {
            "spec": {
                "maxReplicas": 3,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "no"},
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 7}},
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 60},
                        },
                    }
                ],
            }
        },
    ),
    "ingress": Case(
        "networking.k8s.io/v1",
        "ingresses",
        {"spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}},
    ),
    "network policy": Case(
        "networking.k8s.io/v1",
        "networkpolicies",
        {"spec": {"podSelector": {}, "ingress": [{"ports": [{"port": "http"}]}]}},
    ),
    "volume claim": Case(
        "v1",
        "persistentvolumeclaims",
        {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1.5Gi"}},
            }
        },
    ),
    "disruption budget": Case(
        "policy/v1",
        "poddisruptionbudgets",
        {"spec": {"maxUnavailable": "50%", "selector": SELECTOR}},
    ),
    "service account": Case("v1", "serviceaccounts", {"secrets": [{"name": "some"}]}),
    "role": Case(
        "rbac.authorization.k8s.io/v1",
        "roles",
        {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        (Edit({"rules": []}), Edit({"rules": None}, action=Action.NOTHING)),
    ),
    "lease": Case(
        "coordination.k8s.io/v1",
        "leases",
        {"spec": {"holderIdentity": "me", "renewTime": "2026-01-02T03:04:05.000006Z"}},
    ),
    "quota": Case("v1", "resourcequotas", {"spec": {"hard": {"pods": "1k", "memory": "0.5Gi"}}}),
    "event": Case(
        "v1",
        "events",
        {
            "involvedObject": {"kind": "Pod", "name": "web", "namespace": NAMESPACE},
            "reason": "Test",
            "count": 1,
        },
    ),
    "endpoint slice": Case(
        "discovery.k8s.io/v1",
        "endpointslices",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.9"]}], "ports": []},
    ),
    "replication controller": Case(
        "v1",
        "replicationcontrollers",
        {"spec": {"replicas": 0, "selector": {"app": "web"}, "template": TEMPLATE}},
        (Edit({"spec": {"replicas": 1}}, MERGE, "scale", action=Action.VALUE),),
    ),
}

WIDGET: dict[str, Any] = {
    "spec": {
        "whole": 1,
        "float": 1.0,
        "small": 1e-7,
        "large": 1e21,
        "third": 0.1,
        "negative": -0.0,
        "huge": 9223372036854775807,
        "nothing": None,
        "true": True,
        "text": "é\u2028<&>\u0000\U0001f600",
        "list": [1, 1.5, None, {}, []],
        "map": {},
        "z": {"b": 1, "a": 2, "é": 3, "\U0001f600": 4, "\uffff": 5},
    },
    "status": {"ignored": True},
}
WIDGET_EDITS = (
    Edit({"spec": {"float": 2.50, "nothing": {"a": None, "b": 1}}}),
    Edit([{"op": "replace", "path": "/spec/list/1", "value": 1e2}], JSON_PATCH),
    Edit({"spec": {"applied": 1.10}}, APPLY),
    Edit({"spec": {"applied": 1.10}}, APPLY, action=Action.NOTHING),
    # A custom resource's metadata is copied from the old object: the stamp is lost.
    Edit({"status": {"replicas": 3}}, MERGE, "status", action=Action.VALUE),
    Edit({"spec": {"replicas": 4}}, MERGE, "scale", action=Action.UNTRACED),
    Edit(ANNOTATE),
)
