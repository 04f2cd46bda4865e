"""What one object asks for by itself: a Pod, or whatever makes Pods or scales what does.

One registry of kinds. It compares no two objects (`asked` does) and adds up no trees
(`controller.accounts.recount` does). Kinds that are not in it hold nothing: a PodTemplate
makes no Pods.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from controller.accounts.views import Fleet, Scaling
from controller.apis.json import Json, text_of
from controller.apis.resources import NOTHING, Amounts
from controller.asks.pods import is_finished, pod_ask
from controller.asks.reading import Reader
from controller.asks.values import AskProblem


class AskUnreadableError(ValueError):
    """What an object asks for cannot be counted."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Ask:
    """What one object asks for."""

    total: Amounts = field(default_factory=lambda: NOTHING)
    fleet: Fleet | None = None
    scaling: Scaling | None = None


class Read(NamedTuple):
    """What could be read of an ask, and what could not."""

    ask: Ask
    problems: tuple[AskProblem, ...]


_Object: TypeAlias = Mapping[str, Json]
Kind: TypeAlias = tuple[str, str]
"""Group and plural."""

_NOTHING_ASKED: Final = Ask()
_SCALABLE_KINDS: Final[Mapping[tuple[str, str], Kind]] = {
    ("apps", "Deployment"): ("apps", "deployments"),
    ("apps", "ReplicaSet"): ("apps", "replicasets"),
    ("apps", "StatefulSet"): ("apps", "statefulsets"),
    ("", "ReplicationController"): ("", "replicationcontrollers"),
}
SCALABLE: Final = frozenset(_SCALABLE_KINDS.values())
"""What is counted by its `spec.replicas`, which a scale and an autoscaler set."""
AUTOSCALER: Final = ("autoscaling", "horizontalpodautoscalers")
DEPLOYMENT: Final = ("apps", "deployments")
PER_NODE: Final = ("apps", "daemonsets")
CONTROLLERS: Final = ("", "replicationcontrollers")
JOBS: Final = ("batch", "jobs")
STATEFUL_SETS: Final = ("apps", "statefulsets")
CRON_JOBS: Final = ("batch", "cronjobs")
OLDER_SCALED: Final = AskProblem(
    "spec.replicas",
    "Pods of an older template would be scaled as well, and what they ask is not known: "
    "wait until the rollout is over, or resume it",
    is_passing=True,
)
MAKERS: Final = SCALABLE | {PER_NODE, JOBS, CRON_JOBS}
"""What makes Pods."""
_STRATEGIES: Final[Mapping[Kind, tuple[str, str, Json]]] = {
    DEPLOYMENT: ("strategy", "Recreate", "25%"),
    PER_NODE: ("updateStrategy", "OnDelete", 0),
}
"""Where a rollout is described, the type of it that makes no Pods early, and the default."""


def ask_of(group: str, resource: str, obj: _Object, *, nodes: int = 0) -> Ask:
    """What an object asks for by itself; nothing of a kind that holds nothing.

    Args:
        group: of the resource; empty for the core group.
        resource: plural.
        obj: as stored, or as it is to be.
        nodes: how many there are, for what makes a Pod on each.

    Raises:
        AskUnreadableError: something that decides it is not what it must be.
    """
    ask, problems = read_ask(group, resource, obj, nodes=nodes)
    if problems:
        raise AskUnreadableError(problems[0].field, problems[0].message)
    return ask


def read_ask(group: str, resource: str, obj: _Object, *, nodes: int = 0) -> Read:
    """What can be read of an object's ask, and what cannot, which counts as its default."""
    read = _KINDS.get((group, resource))
    if read is None:
        return Read(_NOTHING_ASKED, ())
    reader = Reader()
    ask = read(reader, obj, nodes)
    return Read(ask, tuple(reader.problems))


def _pod(reader: Reader, obj: _Object, _nodes: int) -> Ask:
    return _NOTHING_ASKED if is_finished(obj) else Ask(pod_ask(reader, obj))


def _deployment(reader: Reader, obj: _Object, _nodes: int) -> Ask:
    surge, percent = surge_of(reader, DEPLOYMENT, obj) if is_rolling(obj) else (0, 0)
    return _fleet(reader, obj, surge=surge, surge_percent=percent)


def _replicated(reader: Reader, obj: _Object, _nodes: int) -> Ask:
    return _fleet(reader, obj)


def _fleet(reader: Reader, obj: _Object, *, surge: int = 0, surge_percent: int = 0) -> Ask:
    spec = reader.mapping(obj, "spec", "")
    fleet = Fleet(
        unit=_template_ask(reader, spec, "spec"),
        replicas=reader.count(spec, "replicas", "spec", default=1),
        surge=surge,
        surge_percent=surge_percent,
    )
    return Ask(fleet.total(), fleet)


def _daemon_set(reader: Reader, obj: _Object, nodes: int) -> Ask:
    spec, status = reader.mapping(obj, "spec", ""), reader.mapping(obj, "status", "")
    surge, percent = surge_of(reader, PER_NODE, obj) if is_rolling(obj) else (0, 0)
    fleet = Fleet(
        unit=_template_ask(reader, spec, "spec"),
        replicas=reader.count(status, "desiredNumberScheduled", "status", default=0),
        surge=surge,
        surge_percent=percent,
        is_per_node=not _is_observed(obj),
    )
    return Ask(fleet.total(nodes if fleet.is_per_node else 0), fleet)


def _job(reader: Reader, obj: _Object, _nodes: int) -> Ask:
    return _NOTHING_ASKED if _is_job_finished(obj) else _one_job(reader, obj, "")


def _one_job(reader: Reader, job: _Object, path: str) -> Ask:
    where = f"{path}.spec" if path else "spec"
    spec, status = reader.mapping(job, "spec", path), reader.mapping(job, "status", path)
    unit = _template_ask(reader, spec, where)
    parallel = reader.count(spec, "parallelism", where, default=1)
    if spec.get("completions") is not None:
        succeeded = reader.count(status, "succeeded", "status", default=0)
        left = reader.count(spec, "completions", where, default=1) - succeeded
        parallel = min(parallel, max(0, left))
    fleet = Fleet(unit=unit, replicas=0 if spec.get("suspend") is True else parallel)
    return Ask(fleet.total(), fleet)


def _cron_job(reader: Reader, obj: _Object, _nodes: int) -> Ask:
    spec = reader.mapping(obj, "spec", "")
    ask = _one_job(reader, reader.mapping(spec, "jobTemplate", "spec"), "spec.jobTemplate")
    return _NOTHING_ASKED if spec.get("suspend") is True else Ask(ask.total, ask.fleet)


def _autoscaler(reader: Reader, obj: _Object, _nodes: int) -> Ask:
    spec = reader.mapping(obj, "spec", "")
    target = reader.mapping(spec, "scaleTargetRef", "spec")
    group = text_of(target.get("apiVersion")).rpartition("/")[0]
    _, resource = _SCALABLE_KINDS.get((group, text_of(target.get("kind"))), ("", ""))
    most = reader.count(spec, "maxReplicas", "spec", default=0)
    return Ask(scaling=Scaling(group, resource, text_of(target.get("name")), most))


_KINDS: Final[Mapping[Kind, Callable[[Reader, _Object, int], Ask]]] = {
    ("", "pods"): _pod,
    CONTROLLERS: _replicated,
    PER_NODE: _daemon_set,
    DEPLOYMENT: _deployment,
    ("apps", "replicasets"): _replicated,
    STATEFUL_SETS: _replicated,
    AUTOSCALER: _autoscaler,
    CRON_JOBS: _cron_job,
    JOBS: _job,
}


def is_rolling(obj: _Object) -> bool:
    """Whether a rollout is under way, or its controller has not looked at the object yet."""
    status = obj.get("status")
    seen = status if isinstance(status, dict) else {}
    generation = _generation(obj)
    if generation > 1 and _number(seen, "observedGeneration") < generation:
        return True
    if "desiredNumberScheduled" in seen:
        updated = _number(seen, "updatedNumberScheduled")
        return _number(seen, "desiredNumberScheduled") > updated
    return _number(seen, "replicas") > _number(seen, "updatedReplicas")


def may_scale_older(kind: Kind, obj: _Object) -> bool:
    """Whether more replicas may be Pods of an older template, of which nothing is known here.

    A Deployment scales what it is replacing in proportion, and while it is paused only that;
    a StatefulSet makes the Pods below its partition by its current revision.
    """
    spec, status = obj.get("spec"), obj.get("status")
    if kind == DEPLOYMENT:
        is_paused = isinstance(spec, dict) and spec.get("paused") is True
        return is_paused or _number(status, "replicas") > _number(status, "updatedReplicas")
    if kind != STATEFUL_SETS or not isinstance(status, dict):
        return False
    current, updated = status.get("currentRevision"), status.get("updateRevision")
    return bool(current) and bool(updated) and current != updated


def surge_of(reader: Reader, kind: Kind, obj: _Object) -> tuple[int, int]:
    """How many Pods more a rollout may make, and how many percent more."""
    if kind not in _STRATEGIES:
        return 0, 0
    key, without, default = _STRATEGIES[kind]
    strategy = reader.mapping(reader.mapping(obj, "spec", ""), key, "spec")
    if strategy.get("type") == without:
        return 0, 0
    path = f"spec.{key}"
    rolling = reader.mapping(strategy, "rollingUpdate", path)
    return reader.count_or_percent(rolling, "maxSurge", f"{path}.rollingUpdate", default=default)


def template_of(kind: Kind, obj: _Object) -> Json:
    """Of the Pods that an object makes: whenever it changes, they are replaced."""
    spec = obj.get("spec")
    if kind == CRON_JOBS:
        job = spec.get("jobTemplate") if isinstance(spec, dict) else None
        spec = job.get("spec") if isinstance(job, dict) else None
    return spec.get("template") if isinstance(spec, dict) else None


def _template_ask(reader: Reader, spec: _Object, path: str) -> Amounts:
    return pod_ask(reader, reader.mapping(spec, "template", path), f"{path}.template")


def _is_observed(obj: _Object) -> bool:
    """Whether the controller's status speaks of this spec."""
    status = obj.get("status")
    generation = _generation(obj)
    is_told = isinstance(status, dict) and "desiredNumberScheduled" in status
    return is_told and bool(generation) and _number(status, "observedGeneration") == generation


def _is_job_finished(obj: _Object) -> bool:
    status = obj.get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    return any(
        isinstance(one, dict)
        and one.get("type") in {"Complete", "Failed"}
        and one.get("status") == "True"
        for one in (conditions if isinstance(conditions, list) else ())
    )


def _generation(obj: _Object) -> int:
    metadata = obj.get("metadata")
    return _number(metadata, "generation")


def _number(parent: Json, key: str) -> int:
    found = parent.get(key) if isinstance(parent, dict) else None
    return found if type(found) is int else 0
