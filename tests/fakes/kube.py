"""One watched resource of an API server that a test scripts: lists, events, faults, discovery.

The real one is `controller.clients.kube.client.KubeClient`; what it says of exact lists,
bookmarks and absent kinds is held against it in tests/integration/test_histories.py.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import orjson

from controller.apis.json import Json
from controller.clients.kube.client import Object, Page
from controller.clients.kube.errors import ExpiredError, KubeError, NotFoundError
from controller.clients.kube.resources import Resource
from controller.clients.kube.transport import Query


class FakeCollection:
    """Objects of one resource, every version of them, and the watches that are open.

    Attributes:
        at: the resource version of the collection.
        forgotten: exact lists at versions up to this are refused as expired.
        fault: what every request is answered with, if anything.
        lists: at which version each list was asked for; empty for the newest.
    """

    def __init__(self, *, at: int = 10) -> None:
        self.at = at
        self.forgotten = 0
        self.fault: KubeError | None = None
        self.lists: list[str] = []
        self._log: list[tuple[str, Object]] = []
        self._news = asyncio.Event()
        self._broken: KubeError | None = None

    def write(self, uid: str, **spec: int) -> int:
        """One more version of an object; gives its resource version."""
        self.at += 1
        self._note("MODIFIED", self._body(uid, spec))
        return self.at

    def put(self, uid: str, *, labels: dict[str, Json], spec: Object) -> int:
        """One more version of an object with labels; gives its resource version."""
        self.at += 1
        body = self._body(uid, {})
        metadata: Object = {**_metadata(body), "labels": labels}
        self._note("MODIFIED", {**body, "metadata": metadata, "spec": spec})
        return self.at

    def delete(self, uid: str) -> int:
        """The end of an object."""
        self.at += 1
        self._note("DELETED", self._body(uid, {}))
        return self.at

    def bookmark(self, *, further: int = 1) -> int:
        """Something happened elsewhere, and watches are told how far it is."""
        self.at += further
        self._note("BOOKMARK", {"metadata": {"resourceVersion": str(self.at)}})
        return self.at

    def expire(self) -> None:
        """Forget all versions, and break the watch with that word before it says anything more."""
        self.forgotten = self.at
        self._broken = ExpiredError("the version is too old", status=410)
        self._news.set()

    def fail(self, fault: KubeError) -> None:
        """Answer everything with this from now on."""
        self.fault = self._broken = fault
        self._news.set()

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        limit: int = 500,
        continue_token: str = "",
        selectors: Query = (),
        exactly: str = "",
    ) -> Page:
        """All at once, as it was at that version."""
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        if limit > 1:
            self.lists.append(exactly)
        if exactly and int(exactly) <= self.forgotten:
            raise ExpiredError("the version is too old", status=410)
        at = int(exactly) if exactly else self.at
        return Page(tuple(self._current(at).values()), str(at), "")

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
        """Every event after that version."""
        if self.fault is not None:
            raise self.fault
        yield self._events(int(resource_version))

    async def discover(self, path: str) -> Object:
        """Nothing is served."""
        raise NotFoundError(f"GET {path}", status=404)

    async def _events(self, after: int) -> AsyncIterator[bytes]:
        while True:
            if self._broken is not None:
                fault, self._broken = self._broken, None
                raise fault
            for kind, body in self._log:
                version = _version(body)
                if version > after:
                    after = version
                    yield orjson.dumps({"type": kind, "object": body}) + b"\n"
            self._news.clear()
            await self._news.wait()

    def _current(self, at: int) -> dict[str, Object]:
        current: dict[str, Object] = {}
        for kind, body in self._log:
            if kind == "BOOKMARK" or _version(body) > at:
                continue
            current[_uid(body)] = body
            if kind == "DELETED":
                del current[_uid(body)]
        return current

    def _body(self, uid: str, spec: dict[str, int]) -> Object:
        metadata: Object = {
            "name": uid,
            "namespace": "team-data",
            "uid": uid,
            "resourceVersion": str(self.at),
        }
        return {"metadata": metadata, "spec": {**spec}}

    def _note(self, kind: str, body: Object) -> None:
        self._log.append((kind, body))
        self._news.set()


def _version(body: Object) -> int:
    return int(str(_metadata(body)["resourceVersion"]))


def _uid(body: Object) -> str:
    return str(_metadata(body)["uid"])


def _metadata(body: Object) -> Object:
    metadata = body["metadata"]
    assert isinstance(metadata, dict)
    return metadata
