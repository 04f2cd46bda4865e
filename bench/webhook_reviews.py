"""What the benchmark asks: writes of one agent, as the API server sends them.

Objects as they are after defaulting, with managed fields and a bound token's
user, in the API server's spelling of JSON; for `/validate` with Governor's stamp and the
owner's label, as `/mutate` leaves them. Data only; the verdicts that each must get are
part of it, and checked on every answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bench.webhook_template import Slot, Template

NAMESPACE = "team-data"
AGENT = "migrator"
USERNAME = f"system:serviceaccount:{NAMESPACE}:{AGENT}"
_WHEN = "2026-11-20T08:15:30Z"

VALIDATE, MUTATE = "/validate", "/mutate"
_STAMP, _REASON = "governor.dev/change", "governor.dev/reason"
_OWNER = "governor.dev/agent"
_WHY = "re-run the failed partition of the nightly load"

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One write, and the verdict that it must get."""

    name: str
    what: str
    path: str
    """Of the webhook: who is asked."""
    template: Template
    code: str | None
    """Of the denial; None: it must be allowed."""
    is_reserved: bool
    """Whether its agent's Account takes it in."""

    @property
    def is_judged(self) -> bool:
        """Whether the policies are asked."""
        return self.path == VALIDATE


def mandate() -> dict[str, Any]:
    """A Mandate of ten rules, one of which grants Pods; as an administrator applies it."""
    workloads = ["get", "list", "watch", "create", "update", "patch", "delete"]
    rules: list[dict[str, Any]] = [
        _rule("apps", ["deployments", "deployments/scale", "statefulsets"], workloads),
        _rule("batch", ["jobs", "cronjobs"], workloads),
        _rule("", ["services"], ["get", "list", "create", "update", "patch"]),
        {
            **_rule("", ["configmaps"], ["get", "update", "patch"]),
            "resourceNames": ["settings-*"],
            "fields": ["data", "metadata.labels"],
        },
        _rule("autoscaling", ["horizontalpodautoscalers"], workloads),
        _rule("policy", ["poddisruptionbudgets"], ["get", "list", "create", "delete"]),
        _rule("", ["pods"], ["get", "list", "watch", "create", "delete"]),
        _rule("networking.k8s.io", ["ingresses"], ["get", "list", "update", "patch"]),
        _rule("data.example.com", ["databases", "migrations"], workloads),
        {**_rule("", ["events"], ["create", "patch"]), "resourceNames": ["migrat*"]},
    ]
    subject = {"kind": "ServiceAccount", "namespace": NAMESPACE, "name": AGENT}
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {"name": AGENT},
        "spec": {"subjects": [subject], "rules": rules},
    }


def _rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {
        "apiGroups": [group],
        "resources": resources,
        "verbs": verbs,
        "namespaces": [NAMESPACE, "scratch-*"],
    }


def cases() -> tuple[Case, ...]:
    """The writes that are measured."""
    three = _containers("batch", count=3, variables=2)
    stamped = {_STAMP: Slot.STAMP.value}
    allowed = _pod(NAMESPACE, three, stamped)
    denied = _pod("prod", _containers("batch", count=1, variables=3), stamped)
    old = _config_map({f"feature-{n}": f"stage-{n}" for n in range(40)}, Slot.OLD_STAMP)
    new = _config_map(
        {f"feature-{n}": f"stage-{n if n % 8 else 'next'}" for n in range(40)}, Slot.STAMP
    )
    unstamped = _pod(NAMESPACE, three, {_REASON: _WHY})
    for later in ("uid", "creationTimestamp"):  # what a create is given after `/mutate`
        del unstamped["metadata"][later]
    del unstamped["metadata"]["labels"][_OWNER]
    return (
        _case("allowed", "Pod of 3 containers, created", _created("pods", "Pod", allowed)),
        _case(
            "denied",
            "Pod of 1 container, in a namespace that is not granted",
            _created("pods", "Pod", denied),
            code="namespace-not-granted",
        ),
        _case(
            "updated",
            "ConfigMap, 5 of 40 granted fields changed",
            _updated("configmaps", "ConfigMap", old=old, new=new),
        ),
        _case(
            "mutated",
            "the first Pod before that, to be stamped; it states a reason",
            _created("pods", "Pod", unstamped),
            path=MUTATE,
        ),
    )


def _case(
    name: str, what: str, request: Object, *, code: str | None = None, path: str = VALIDATE
) -> Case:
    review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
    template = Template.of(_as_go_writes(review))
    return Case(name, what, path, template, code, is_reserved=path == VALIDATE and code is None)


def _as_go_writes(value: object) -> str:
    """Compact JSON in which, as in all of Go's, no character could end an HTML script."""
    text = orjson.dumps(value).decode()
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text + "\n"


def _created(resource: str, kind: str, obj: Object) -> Object:
    options = {
        "kind": "CreateOptions",
        "apiVersion": "meta.k8s.io/v1",
        "fieldManager": "migrator",
        "fieldValidation": "Strict",
    }
    return _request(resource, kind, obj=obj, old=None, operation="CREATE", options=options)


def _updated(resource: str, kind: str, *, old: Object, new: Object) -> Object:
    options = {"kind": "PatchOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "migrator"}
    return _request(resource, kind, obj=new, old=old, operation="UPDATE", options=options)


def _request(
    resource: str, kind: str, *, obj: Object, old: Object | None, operation: str, options: Object
) -> Object:
    what = {"group": "", "version": "v1", "kind": kind}
    where = {"group": "", "version": "v1", "resource": resource}
    return {
        "uid": Slot.UID.value,
        "kind": what,
        "resource": where,
        "requestKind": what,
        "requestResource": where,
        "name": obj["metadata"]["name"],
        "namespace": obj["metadata"]["namespace"],
        "operation": operation,
        "userInfo": _user(),
        "object": obj,
        "oldObject": old,
        "dryRun": False,
        "options": options,
    }


def _user() -> Object:
    extra = {
        "authentication.kubernetes.io/credential-id": ["JTI=7f0a6d52-0c4b-4f0e-9a43-0f1d2c3b4a59"],
        "authentication.kubernetes.io/node-name": ["worker-3"],
        "authentication.kubernetes.io/node-uid": ["b3c0a7de-52b1-4a0e-8c55-2d1f0b9a8e77"],
        "authentication.kubernetes.io/pod-name": ["migrator-5d8f7c9b6-x2k4q"],
        "authentication.kubernetes.io/pod-uid": ["1c9e6f2a-8d3b-4e75-a0b1-6f5d4c3b2a19"],
    }
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}"]
    return {
        "username": USERNAME,
        "uid": "5f6f2a1c-5a3d-4a62-93a7-c8d24f10a9e7",
        "groups": [*groups, "system:authenticated"],
        "extra": extra,
    }


def _metadata(
    name: str, namespace: str, fields: Object, *, uid: str, annotations: Object
) -> dict[str, Any]:
    managed = {
        "manager": "migrator",
        "operation": "Update",
        "apiVersion": "v1",
        "time": _WHEN,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    labels = {
        "app.kubernetes.io/name": "batch",
        "app.kubernetes.io/component": "worker",
        "app.kubernetes.io/part-of": "warehouse",
        _OWNER: AGENT,
    }
    return {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "creationTimestamp": _WHEN,
        "labels": labels,
        "annotations": annotations,
        "managedFields": [managed],
    }


def _pod(namespace: str, containers: list[Object], annotations: Object) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "f:metadata": {"f:labels": {".": {}, "f:app.kubernetes.io/name": {}}},
        "f:spec": {
            "f:containers": {
                f'k:{{"name":"{container["name"]}"}}': {
                    ".": {},
                    **{f"f:{key}": {} for key in container},
                }
                for container in containers
            },
            "f:restartPolicy": {},
            "f:serviceAccountName": {},
        },
    }
    spec = {
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": "2Gi"}},
            {"name": "settings", "configMap": {"name": "settings-batch", "defaultMode": 420}},
        ],
        "containers": containers,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "batch",
        "serviceAccount": "batch",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "schedulerName": "default-scheduler",
        "tolerations": [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
        ],
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    }
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": _metadata(
            Slot.NAME, namespace, fields, uid=Slot.OBJECT_UID, annotations=annotations
        ),
        "spec": spec,
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    }


def _containers(name: str, *, count: int, variables: int) -> list[Object]:
    return [_container(f"{name}-{number}", variables=variables) for number in range(count)]


def _container(name: str, *, variables: int) -> Object:
    environment: list[Object] = [
        {"name": f"BATCH_OPTION_{number}", "value": f"value-of-option-{number}"}
        for number in range(variables)
    ]
    secret = {"secretKeyRef": {"name": "batch-database", "key": "password"}}
    probe = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    return {
        "name": name,
        "image": f"registry.example.com/data/{name}@sha256:{'5e8f1c0b' * 8}",
        "command": ["/bin/sh", "-c"],
        "args": ["prepare --all && exec load --partition=17"],
        "ports": [{"name": "metrics", "containerPort": 9090, "protocol": "TCP"}],
        "env": [*environment, {"name": "DATABASE_PASSWORD", "valueFrom": secret}],
        "resources": {
            "limits": {"cpu": "2", "memory": "4Gi"},
            "requests": {"cpu": "500m", "memory": "1Gi"},
        },
        "volumeMounts": [
            {"name": "scratch", "mountPath": "/scratch"},
            {"name": "settings", "readOnly": True, "mountPath": "/etc/batch"},
        ],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 9090, "scheme": "HTTP"}, **probe},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
        },
    }


def _config_map(data: Object, stamp: Slot) -> Object:
    fields: dict[str, Any] = {"f:data": {".": {}, **{f"f:{key}": {} for key in data}}}
    metadata = _metadata(
        "settings-batch",
        NAMESPACE,
        fields,
        uid="d3b07384-d113-4ec6-a7c5-0f9f0e2a1b3c",
        annotations={_STAMP: stamp.value, "example.com/runbook": "wiki/nightly-load"},
    )
    # Of the version that is replaced: the API server writes the next one only later.
    metadata["resourceVersion"] = "48151"
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": data}
