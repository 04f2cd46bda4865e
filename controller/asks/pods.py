"""What one Pod asks: Kubernetes' own `PodRequests`, of a Pod and of a Pod's template alike.

The rules are those of `k8s.io/component-helpers/resource` with what the API server defaults
in a Pod (a limit is the request where there is none), which it does not do in templates.
Of a resize in place the largest of what is wanted, allocated and in force counts; unlike
there also while it is infeasible, for a node may grow. Init containers run one after the
other, sidecars beside everything that starts after them.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from controller.apis.json import Json
from controller.apis.resources import CPU, MEMORY, PODS, Amounts
from controller.asks.reading import Reader

_COUNTED: Final = (CPU, MEMORY)

Milli: TypeAlias = dict[str, int]
"""Thousandths of a CPU, or of a byte; a resource of which nobody spoke is absent."""


def pod_ask(reader: Reader, pod: Mapping[str, Json], path: str = "") -> Amounts:
    """What a Pod, or a template, asks for; without zeros, but for the Pod itself.

    Args:
        reader: that keeps what cannot be read.
        pod: with `spec` and, of a Pod, `status`.
        path: of it within its object.
    """
    where = f"{path}.spec" if path else "spec"
    spec = reader.mapping(pod, "spec", path)
    status = reader.mapping(pod, "status", path)
    requests = _of_containers(reader, spec, where, status)
    requests.update(_of_pod_level(reader, spec, where, status=status, beneath=requests))
    _add(requests, reader.amounts(spec, "overhead", where, wanted=_COUNTED))
    amounts = {CPU: requests.get(CPU, 0), MEMORY: -(-requests.get(MEMORY, 0) // 1000)}
    return {name: amount for name, amount in amounts.items() if amount} | {PODS: 1}


def is_finished(pod: Mapping[str, Json]) -> bool:
    """Whether a Pod has ended and holds nothing any more."""
    status = pod.get("status")
    return isinstance(status, dict) and status.get("phase") in {"Succeeded", "Failed"}


class _Container(NamedTuple):
    name: str
    wanted: Milli
    is_sidecar: bool


def _of_containers(
    reader: Reader, spec: Mapping[str, Json], path: str, status: Mapping[str, Json]
) -> Milli:
    """The largest of what the containers want, were allocated, and run with."""
    running = _containers(reader, spec, "containers", path)
    starting = _containers(reader, spec, "initContainers", path)
    largest = _sum(running, starting, told={})
    of_pod = _granted_to_pod(reader, status)
    for granted in of_pod:
        _raise(largest, granted)
    for told in () if of_pod else _granted(reader, status):
        _raise(largest, _sum(running, starting, told=told))
    return largest


def _containers(reader: Reader, spec: Mapping[str, Json], key: str, path: str) -> list[_Container]:
    read: list[_Container] = []
    for where, container in reader.items(spec, key, path):
        resources = reader.mapping(container, "resources", where)
        where_asked = f"{where}.resources"
        limits = reader.amounts(resources, "limits", where_asked, wanted=_COUNTED)
        requests = reader.amounts(resources, "requests", where_asked, wanted=_COUNTED)
        name, is_sidecar = container.get("name"), container.get("restartPolicy") == "Always"
        text = name if isinstance(name, str) else ""
        read.append(_Container(text, limits | requests, is_sidecar))
    return read


def _granted_to_pod(reader: Reader, status: Mapping[str, Json]) -> tuple[Milli, ...]:
    """What was allocated to all containers together, and what they run with, once both are told."""
    running = reader.mapping(status, "resources", "status")
    if status.get("allocatedResources") is None or running.get("requests") is None:
        return ()
    return (
        reader.amounts(status, "allocatedResources", "status", wanted=_COUNTED),
        reader.amounts(running, "requests", "status.resources", wanted=_COUNTED),
    )


def _granted(reader: Reader, status: Mapping[str, Json]) -> tuple[dict[str, Milli], ...]:
    """Per container what was allocated, and what it runs with; empty where no status says."""
    allocated: dict[str, Milli] = {}
    actuated: dict[str, Milli] = {}
    # Of two statuses of one name the first counts, and a container's before an init container's.
    for key in ("initContainerStatuses", "containerStatuses"):
        for where, container in reversed(list(reader.items(status, key, "status"))):
            name = container.get("name")
            if not isinstance(name, str):
                continue
            allocated.pop(name, None)
            actuated.pop(name, None)
            if container.get("allocatedResources") is not None:
                held = reader.amounts(container, "allocatedResources", where, wanted=_COUNTED)
                allocated[name] = actuated[name] = held
            resources = reader.mapping(container, "resources", where)
            if resources.get("requests") is not None:
                running = f"{where}.resources"
                held = reader.amounts(resources, "requests", running, wanted=_COUNTED)
                actuated[name] = held
    return tuple(granted for granted in (allocated, actuated) if granted)


def _sum(
    running: list[_Container], starting: list[_Container], *, told: Mapping[str, Milli]
) -> Milli:
    """All containers at once, or whatever is needed while they are being prepared.

    Args:
        running: the containers proper.
        starting: the init containers, in their order.
        told: what some of them hold in place of what they want, by name.
    """
    together: Milli = {}
    for container in running:
        _add(together, told.get(container.name, container.wanted))
    sidecars: Milli = {}
    most: Milli = {}
    for container in starting:
        asked = told.get(container.name, container.wanted)
        if container.is_sidecar:
            _add(together, asked)
            _add(sidecars, asked)
            _raise(most, sidecars)
        else:
            beside = dict(asked)
            _add(beside, sidecars)
            _raise(most, beside)
    _raise(together, most)
    return together


def _of_pod_level(
    reader: Reader,
    spec: Mapping[str, Json],
    path: str,
    *,
    status: Mapping[str, Json],
    beneath: Milli,
) -> Milli:
    """What the Pod itself asks, in place of its containers."""
    resources = reader.mapping(spec, "resources", path)
    where = f"{path}.resources"
    limits = reader.amounts(resources, "limits", where, wanted=_COUNTED)
    requests = reader.amounts(resources, "requests", where, wanted=_COUNTED)
    defaulted = {name: beneath.get(name, limit) for name, limit in limits.items()}
    asked = defaulted | requests
    if not asked:
        return {}
    if status.get("resources") is not None:
        running = reader.mapping(status, "resources", "status")
        _raise(asked, reader.amounts(running, "requests", "status.resources", wanted=_COUNTED))
        _raise(asked, reader.amounts(status, "allocatedResources", "status", wanted=_COUNTED))
    return asked


def _add(amounts: Milli, more: Milli) -> None:
    for name, amount in more.items():
        amounts[name] = amounts.get(name, 0) + amount


def _raise(amounts: Milli, least: Milli) -> None:
    for name, amount in least.items():
        amounts[name] = max(amounts.get(name, 0), amount)
