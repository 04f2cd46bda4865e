"""The registration loop against a fake cluster: what one failed write does to the others."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, cast

import orjson
import pytest

from controller.clients.kube.client import Object, Page, key_of
from controller.clients.kube.errors import ForbiddenError, KubeError, UnreachableError
from controller.clients.kube.resources import (
    GOVERNANCES,
    MANDATES,
    VALIDATING_WEBHOOKS,
    Resource,
)
from controller.clients.kube.transport import Query
from controller.feeds.registry import RegistryFeed
from controller.registration.subject import SUBJECT_CONFIGURATION, Target, UrlEndpoint
from reconcilers.registration import RegistrationLoop, RegistrationSettings

OWN = "admin"
TARGET = Target(UrlEndpoint("https://127.0.0.1:8443/validate"), b"CA")
REFUSED = ForbiddenError("denied the request", status=403)
HOOK_FAILED = UnreachableError("failed calling webhook", status=500)
NO_ANSWER = UnreachableError("connection refused")


class FakeCluster:
    """Stores what is written, unless told to fail that name; lists it, and tells who watches."""

    def __init__(self, *mandates: Object) -> None:
        self.stored: dict[tuple[Resource, str], Object] = {
            (MANDATES, key_of(body).name): body for body in mandates
        }
        self._version = 100
        self._events = {
            resource: asyncio.Queue[bytes]()
            for resource in (MANDATES, GOVERNANCES, VALIDATING_WEBHOOKS)
        }
        self.faults: dict[str, KubeError] = {}
        """By the name of the object whose writes fail."""
        self.written: list[str] = []
        """The names in order, failed ones too."""

    def ready(self, name: str) -> str:
        """The Ready condition as `status reason`; empty if none is written."""
        status = cast("dict[str, Any]", self.stored[MANDATES, name].get("status") or {})
        found = {c["type"]: f"{c['status']} {c['reason']}" for c in status.get("conditions", [])}
        return found.get("Ready", "")

    async def create(self, resource: Resource, body: Object) -> Object:
        """Store, or fail."""
        return self._write(resource, body)

    async def replace(self, resource: Resource, body: Object) -> Object:
        """Store, or fail."""
        return self._write(resource, body)

    async def apply(
        self, resource: Resource, body: Object, *, field_manager: str | None, subresource: str
    ) -> Object:
        """Store the status, or fail."""
        assert subresource == "status"
        held = self.stored[resource, key_of(body).name]
        return self._write(resource, {**held, "status": body["status"]})

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        limit: int = 500,
        continue_token: str = "",
        selectors: Query = (),
    ) -> Page:
        """All at once."""
        items = tuple(body for (kind, _), body in self.stored.items() if kind is resource)
        return Page(items, str(self._version), "")

    @contextlib.asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        lasting: int,
        silence: float,
        namespace: str = "",
        selectors: Query = (),
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """For good."""
        yield self._follow(self._events[resource])

    async def _follow(self, events: "asyncio.Queue[bytes]") -> AsyncIterator[bytes]:
        while True:
            yield await events.get()

    def _write(self, resource: Resource, body: Object) -> Object:
        name = key_of(body).name
        self.written.append(name)
        if name in self.faults:
            raise self.faults[name]
        self._version += 1
        metadata = cast("Object", body["metadata"])
        stored: Object = {
            **body,
            "metadata": {**metadata, "resourceVersion": str(self._version)},
        }
        self.stored[resource, name] = stored
        event = orjson.dumps({"type": "MODIFIED", "object": stored}) + b"\n"
        self._events[resource].put_nowait(event)
        return stored


def mandate(name: str, *, user: str = "", suspend: bool = False) -> Object:
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {
            "name": name,
            "uid": f"uid-of-{name}",
            "generation": 1,
            "resourceVersion": "1",
        },
        "spec": {
            "subjects": [{"kind": "User", "name": user or f"agent-{name}"}],
            "suspend": suspend,
        },
    }


@contextlib.asynccontextmanager
async def governing(cluster: FakeCluster) -> AsyncGenerator[RegistrationLoop]:
    """The feed and the loop, running."""
    feed = RegistryFeed(cluster)
    settings = RegistrationSettings(target=lambda: TARGET, own_usernames=frozenset({OWN}))
    loop = RegistrationLoop(cluster, feed, settings)
    tasks = [asyncio.create_task(feed.run()), asyncio.create_task(loop.run())]
    try:
        yield loop
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "not within 10 s"
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(REFUSED, id="refused by a webhook"),
        pytest.param(HOOK_FAILED, id="a webhook that cannot be reached"),
    ],
)
async def test_a_status_that_cannot_be_written_keeps_no_other_from_its_own(
    fault: KubeError,
) -> None:
    cluster = FakeCluster(mandate("a"), mandate("b"), mandate("c"))
    cluster.faults = {"a": fault, "b": fault}
    async with governing(cluster) as loop:
        await until(lambda: cluster.ready("c") == "True Registered")
        assert cluster.written[:4] == [SUBJECT_CONFIGURATION, "a", "b", "c"]
        assert loop.stored.is_set()
        assert (cluster.ready("a"), cluster.ready("b")) == ("", "")
        cluster.faults.clear()
        await until(lambda: cluster.ready("a") == cluster.ready("b") == "True Registered")
    assert cluster.written.count("c") == 1


async def test_a_registration_that_fails_lets_only_statuses_pass_that_do_not_rely_on_it() -> None:
    cluster = FakeCluster(
        mandate("fine"),
        mandate("own", user=OWN),
        mandate("suspended", user=OWN, suspend=True),
    )
    cluster.faults = {SUBJECT_CONFIGURATION: HOOK_FAILED}
    async with governing(cluster) as loop:
        # Twice: what relies on it is left out by every attempt.
        await until(lambda: cluster.written.count(SUBJECT_CONFIGURATION) > 1)
        assert set(cluster.written) == {SUBJECT_CONFIGURATION, "own"}
        assert cluster.ready("own") == "False Invalid"
        assert not loop.stored.is_set()
        cluster.faults.clear()
        await asyncio.wait_for(loop.stored.wait(), 10)
        await until(lambda: cluster.ready("fine") == "True Registered")
        await until(lambda: cluster.ready("suspended") == "False Invalid")


async def test_an_api_server_that_does_not_answer_is_not_asked_for_every_object() -> None:
    cluster = FakeCluster(mandate("a"), mandate("b"))
    cluster.faults = {"a": NO_ANSWER}
    async with governing(cluster):
        await until(lambda: cluster.written.count("a") > 1)
        assert "b" not in cluster.written
        cluster.faults.clear()
        await until(lambda: cluster.ready("a") == cluster.ready("b") == "True Registered")
