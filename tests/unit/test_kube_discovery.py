"""Discovery from documents as the API server gives them, and when it asks again."""

from dataclasses import dataclass, field

import pytest

from controller.apis.json import Json
from controller.clients.kube.client import Object
from controller.clients.kube.discovery import Discovery
from controller.clients.kube.errors import KubeError, NotFoundError, UnreachableError
from controller.clients.kube.resources import Resource

ALL_VERBS: list[Json] = ["create", "delete", "get", "list", "patch", "update", "watch"]
DEPLOYMENT: Object = {
    "name": "deployments",
    "kind": "Deployment",
    "namespaced": True,
    "verbs": ALL_VERBS,
}
SCALE: Object = {"name": "deployments/scale", "kind": "Scale", "namespaced": True, "verbs": ["get"]}
STATUS: Object = {
    "name": "deployments/status",
    "kind": "Deployment",
    "namespaced": True,
    "verbs": ["get"],
}
NODE: Object = {"name": "nodes", "kind": "Node", "namespaced": False, "verbs": ALL_VERBS}
BINDING: Object = {"name": "bindings", "kind": "Binding", "namespaced": True, "verbs": ["create"]}


def resources(*listed: Json) -> Object:
    return {"kind": "APIResourceList", "resources": list(listed)}


def group(*versions: str, preferred: str = "") -> Object:
    listed: list[Json] = [{"version": version} for version in versions]
    return {"versions": listed, "preferredVersion": {"version": preferred or versions[0]}}


@dataclass
class Documents:
    """What the API server serves, by path."""

    served: dict[str, Object | KubeError]
    asked: list[str] = field(default_factory=list[str])

    async def discover(self, path: str) -> Object:
        """One of them."""
        self.asked.append(path)
        answer = self.served.get(path) or NotFoundError(path, status=404)
        if isinstance(answer, KubeError):
            raise answer
        return answer


@dataclass
class Clock:
    """Seconds, moved by hand."""

    now: float = 50.0

    def __call__(self) -> float:
        """Read it."""
        return self.now


APPS = "/apis/apps/v1"


async def test_a_resource_is_found_with_its_scope_its_verbs_and_its_subresources() -> None:
    documents = Documents({APPS: resources(DEPLOYMENT, SCALE, STATUS)})
    found = await Discovery(documents).find("apps", "v1", "deployments")
    assert found is not None
    assert found.resource == Resource("apps", "v1", "deployments", "Deployment", namespaced=True)
    assert found.subresources == {"scale", "status"}
    assert found.is_watchable
    assert documents.asked == [APPS]


async def test_the_core_group_is_asked_for_at_its_own_path() -> None:
    documents = Documents({"/api/v1": resources(NODE, BINDING)})
    discovery = Discovery(documents)
    node, binding = await discovery.find("", "v1", "nodes"), await discovery.prefer("", "bindings")
    assert node is not None
    assert not node.resource.namespaced
    assert binding is not None
    assert not binding.is_watchable
    assert documents.asked == ["/api/v1"]


async def test_a_subresource_is_no_resource() -> None:
    documents = Documents({APPS: resources(DEPLOYMENT, SCALE)})
    assert await Discovery(documents).find("apps", "v1", "deployments/scale") is None


async def test_what_is_not_there_is_asked_for_again_but_not_at_every_look() -> None:
    clock = Clock()
    documents = Documents({APPS: resources(DEPLOYMENT)})
    discovery = Discovery(documents, clock=clock, ask_again_seconds=10.0)
    for _ in range(5):
        assert await discovery.find("apps", "v1", "widgets") is None
        assert await discovery.find("example.com", "v1", "widgets") is None
    assert documents.asked == [APPS, "/apis/example.com/v1"]
    documents.served["/apis/example.com/v1"] = resources({**DEPLOYMENT, "name": "widgets"})
    clock.now += 10
    assert await discovery.find("example.com", "v1", "widgets") is not None
    clock.now += 1000
    # What was found stays found.
    assert await discovery.find("example.com", "v1", "widgets") is not None
    assert len(documents.asked) == 3


async def test_what_is_forgotten_is_asked_for_at_the_next_look() -> None:
    documents = Documents({APPS: resources(DEPLOYMENT)})
    discovery = Discovery(documents)
    assert await discovery.find("apps", "v1", "deployments") is not None
    documents.served.clear()
    assert await discovery.find("apps", "v1", "deployments") is not None
    discovery.forget("apps", "v1")
    assert await discovery.find("apps", "v1", "deployments") is None


async def test_a_fault_is_no_absence_and_is_not_remembered() -> None:
    documents = Documents({APPS: UnreachableError("starting", status=503)})
    discovery = Discovery(documents)
    with pytest.raises(UnreachableError):
        await discovery.find("apps", "v1", "deployments")
    documents.served[APPS] = resources(DEPLOYMENT)
    assert await discovery.find("apps", "v1", "deployments") is not None


async def test_the_preferred_version_that_has_the_resource_is_taken() -> None:
    documents = Documents(
        {
            "/apis/autoscaling": group("v1", "v2", preferred="v2"),
            "/apis/autoscaling/v1": resources({**DEPLOYMENT, "name": "old"}),
            "/apis/autoscaling/v2": resources({**DEPLOYMENT, "name": "new"}),
        }
    )
    discovery = Discovery(documents)
    new, old = (
        await discovery.prefer("autoscaling", "new"),
        await discovery.prefer("autoscaling", "old"),
    )
    assert new is not None
    assert new.resource.version == "v2"
    assert old is not None
    assert old.resource.version == "v1"
    assert await discovery.prefer("autoscaling", "none") is None


async def test_a_group_that_is_not_served_is_asked_for_once_in_a_while() -> None:
    clock = Clock()
    documents = Documents({})
    discovery = Discovery(documents, clock=clock)
    for _ in range(5):
        assert await discovery.prefer("example.com", "widgets") is None
    assert documents.asked == ["/apis/example.com"]
    clock.now += 10
    assert await discovery.prefer("example.com", "widgets") is None
    assert len(documents.asked) == 2


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({}, id="empty"),
        pytest.param({"resources": "many"}, id="no list"),
        pytest.param({"resources": ["deployments", {}, {"name": 3}]}, id="odd items"),
    ],
)
async def test_an_odd_document_serves_nothing(document: Object) -> None:
    assert await Discovery(Documents({APPS: document})).find("apps", "v1", "deployments") is None
    odd_group = Documents({"/apis/apps": {"versions": "v1", "preferredVersion": ["v1"]}})
    assert await Discovery(odd_group).prefer("apps", "deployments") is None
