"""Builds what asks for resources: Pods, whatever makes them, scales and autoscalers.

Every builder gives something valid and ordinary: containers of 100 milli-CPU and 1 Gi in
`team-data`; a test names only what it is about.
"""

from dataclasses import replace
from typing import cast

from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.apis.resources import Amounts
from controller.asks.ownership import AGENT
from controller.asks.values import Asked, Surroundings
from tests.builders import a_request

Object = dict[str, Json]

GI = 2**30
PODS = Target("", "v1", "Pod", "pods")
DEPLOYMENTS = Target("apps", "v1", "Deployment", "deployments")
REPLICA_SETS = Target("apps", "v1", "ReplicaSet", "replicasets")
STATEFUL_SETS = Target("apps", "v1", "StatefulSet", "statefulsets")
CONTROLLERS = Target("", "v1", "ReplicationController", "replicationcontrollers")
DAEMON_SETS = Target("apps", "v1", "DaemonSet", "daemonsets")
JOBS = Target("batch", "v1", "Job", "jobs")
CRON_JOBS = Target("batch", "v1", "CronJob", "cronjobs")
AUTOSCALERS = Target("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")

ROLLED: Object = {"observedGeneration": 1, "replicas": 4, "updatedReplicas": 4}
ROLLING: Object = {"observedGeneration": 1, "replicas": 5, "updatedReplicas": 1}

SCALABLE = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, CONTROLLERS)


def a_container(
    cpu: Json = "100m", memory: Json = "1Gi", *, name: str = "main", **more: Json
) -> Object:
    """One container by its requests; None leaves one out."""
    asked = (("cpu", cpu), ("memory", memory))
    requests: Object = {key: value for key, value in asked if value is not None}
    return {"name": name, "resources": {"requests": requests}, **more}


def a_pod(*containers: Object, owner: str = "", **more: Json) -> Object:
    """A Pod: `more` are fields beside `metadata` and `spec`, or `spec` fields by `spec=`."""
    spec = cast("Object", more.pop("spec", {}))
    pod: Object = {"metadata": metadata("web", owner=owner), "spec": pod_spec(*containers, **spec)}
    return {**pod, **more}


def a_workload(
    target: Target = DEPLOYMENTS,
    *containers: Object,
    replicas: Json = 2,
    generation: int = 1,
    owner: str = "",
    status: Object | None = None,
    spec: Object | None = None,
) -> Object:
    """Whatever makes Pods by a template; of a CronJob `spec` is that of its Job."""
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod_spec(*containers)}
    inner: Object = {"template": cast("Json", template), **(spec or {})}
    if target in SCALABLE and replicas is not None:
        inner["replicas"] = replicas
    outer: Object = {"jobTemplate": {"spec": inner}} if target == CRON_JOBS else inner
    return {
        "apiVersion": f"{target.group}/v1" if target.group else "v1",
        "kind": target.kind,
        "metadata": {**metadata("web", owner=owner), "generation": generation},
        "spec": outer,
        **({} if status is None else {"status": status}),
    }


def at_rest(
    *containers: Object,
    replicas: Json = 4,
    target: Target = DEPLOYMENTS,
    generation: int = 1,
    owner: str = "",
    status: Object | None = ROLLED,
    spec: Object | None = None,
) -> Object:
    """Four Pods of which none is being replaced."""
    return a_workload(
        target,
        *containers,
        replicas=replicas,
        generation=generation,
        owner=owner,
        status=status,
        spec=spec,
    )


def an_autoscaler(
    most: Json = 10, *, target: Target = DEPLOYMENTS, name: str = "web", owner: str = ""
) -> Object:
    """One that raises the workload `web`."""
    api_version = f"{target.group}/v1" if target.group else "v1"
    reference: Object = {"apiVersion": api_version, "kind": target.kind, "name": name}
    spec: Object = {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": most}
    return {"metadata": metadata("raiser", owner=owner), "spec": spec}


def a_scale(replicas: Json = None) -> Object:
    """As the API server shows it: without its replicas where there are none."""
    spec: Object = {} if replicas is None else {"replicas": replicas}
    return {"metadata": metadata("web"), "spec": spec}


def with_metadata(obj: Object, **changes: Json) -> Object:
    """The same object with some of its metadata otherwise."""
    found = obj["metadata"]
    assert isinstance(found, dict)
    return {**obj, "metadata": {**found, **changes}}


def made_by(uid: str) -> Json:
    """`ownerReferences` of what the controller of that object made."""
    return [{"kind": "ReplicaSet", "name": "web", "uid": uid, "controller": True}]


def metadata(name: str, *, owner: str = "") -> Object:
    """Of an object that belongs to that agent."""
    labels: Object = {AGENT: owner} if owner else {}
    return {
        "name": name,
        "namespace": "team-data",
        "uid": f"uid-of-{name}",
        "resourceVersion": "7",
        "labels": labels,
    }


def pod_spec(*containers: Object, **more: Json) -> Object:
    """Of one ordinary container where none is given."""
    return {"containers": cast("Json", list(containers) or [a_container()]), **more}


def creating(obj: Object, target: Target = DEPLOYMENTS) -> AdmissionRequest:
    """A create of it."""
    return a_request(Operation.CREATE, target=target, obj=obj)


def updating(
    old: Object, new: Object, target: Target = DEPLOYMENTS, *, under: str = ""
) -> AdmissionRequest:
    """An update of it, or of its subresource."""
    return a_request(Operation.UPDATE, target=replace(target, subresource=under), old=old, obj=new)


def deleting(
    old: Object, target: Target = DEPLOYMENTS, *, options: Object | None = None
) -> AdmissionRequest:
    """A delete of it."""
    request = a_request(Operation.DELETE, target=target, old=old)
    return replace(request, options=options)


def scaling(old: Json, new: Json, target: Target = DEPLOYMENTS) -> AdmissionRequest:
    """A write of the `/scale` of the workload `web`."""
    scale = Target(target.group, "v1", "Scale", target.resource, "scale", target.version)
    return a_request(Operation.UPDATE, target=scale, old=a_scale(old), obj=a_scale(new))


def around(
    *, nodes: int = 0, autoscalers: tuple[Object, ...] = (), scaled: Object | None = None
) -> Surroundings:
    """What is known beside the write."""
    return Surroundings(nodes, autoscalers, scaled)


def units(count: int, *, cpu: int = 100, memory: int = GI) -> Amounts:
    """What so many Pods of that size ask."""
    amounts = {"cpu": cpu * count, "memory": memory * count, "pods": count}
    return {name: amount for name, amount in amounts.items() if amount}


def sides(asked: Asked) -> tuple[Amounts, Amounts]:
    """Before and after, of a write whose asks can be read; zeros are nothing."""
    assert asked.problem is None, asked.problem
    before, after = (
        {name: amount for name, amount in side.items() if amount}
        for side in (asked.before, asked.after)
    )
    return before, after
