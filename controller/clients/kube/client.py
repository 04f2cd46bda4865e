"""Reads and writes single objects, and opens lists and watches, as plain JSON.

Thin: one method, one request. It caches nothing, decides nothing, and never
repeats a request; a caller's loop does, with a bounded rate. Every failure is a
`KubeError`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeAlias, cast

from controller.apis.decoding import decoded
from controller.apis.json import Json
from controller.clients.kube.errors import UnreachableError
from controller.clients.kube.resources import SELF_REVIEWS, Key, Resource
from controller.clients.kube.transport import APPLY, MERGE, Query, Transport

FIELD_MANAGER = "governor"

Object: TypeAlias = dict[str, Json]
"""A Kubernetes object as it is on the wire."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    items: tuple[Object, ...]
    """As the server sent them: custom resources carry `kind` and `apiVersion`, others do not."""
    resource_version: str
    """Of the whole list; a watch can start here."""
    continue_token: str
    """Empty on the last page."""


class KubeClient:
    """One identity's requests to one API server."""

    def __init__(self, transport: Transport, *, field_manager: str = FIELD_MANAGER) -> None:
        self._transport = transport
        self._field_manager = field_manager

    async def who_am_i(self) -> str:
        """The username that the API server knows us by, whatever the credentials say.

        Raises:
            KubeError: it refused to say, or could not be asked.
        """
        asked: Object = {"apiVersion": SELF_REVIEWS.api_version, "kind": SELF_REVIEWS.kind}
        return _username(await self.create(SELF_REVIEWS, asked))

    async def discover(self, path: str) -> Object:
        """Read a document of discovery: `/apis/apps` (a group) or `/apis/apps/v1` (its resources).

        Raises:
            NotFoundError: the API server serves no such group or version.
            KubeError: any other failure.
        """
        return _object(await self._transport.request("GET", path))

    async def get(self, resource: Resource, key: Key) -> Object:
        """Read one object, up to date (a quorum read).

        Raises:
            NotFoundError: there is none.
            KubeError: any other failure.
        """
        return _object(await self._transport.request("GET", resource.path(key)))

    async def create(self, resource: Resource, body: Object) -> Object:
        """Create one object; returns it as stored.

        Raises:
            ConflictError: it exists already.
            KubeError: any other failure.
        """
        return _object(
            await self._transport.request(
                "POST",
                resource.collection_path(key_of(body).namespace),
                query=[("fieldManager", self._field_manager), ("fieldValidation", "Strict")],
                body=cast("Json", body),
            )
        )

    async def replace(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        """Put one object in place of the stored one; returns it as stored.

        With `metadata.resourceVersion`, only in place of that very version.

        Raises:
            ConflictError: it changed since it was read.
            KubeError: any other failure.
        """
        return _object(
            await self._transport.request(
                "PUT",
                resource.path(key_of(body), subresource),
                query=[("fieldManager", self._field_manager), ("fieldValidation", "Strict")],
                body=cast("Json", body),
            )
        )

    async def apply(
        self,
        resource: Resource,
        body: Object,
        *,
        field_manager: str | None = None,
        subresource: str = "",
        force: bool = True,
        dry_run: bool = False,
    ) -> Object:
        """Server-side apply: own exactly the fields of `body`; returns the object as stored.

        Creates what is not there. With `metadata.resourceVersion` it applies to that
        version only, with `metadata.uid` to that very object.

        Args:
            resource: the object's resource.
            body: the fields to own, with `apiVersion`, `kind` and `metadata.name`.
            field_manager: who owns them; `governor` if not given.
            subresource: e.g. `status`; the object must exist then.
            force: take fields that another manager owns.
            dry_run: judge and answer, but store nothing.

        Raises:
            ConflictError: `force` is off and another manager owns a field, or the
                version is another one.
            InvalidError: the uid is another one, or the object is not valid.
            KubeError: any other failure.
        """
        query = [
            ("fieldManager", field_manager or self._field_manager),
            ("force", "true" if force else "false"),
            ("fieldValidation", "Strict"),
        ]
        if dry_run:
            query.append(("dryRun", "All"))
        path = resource.path(key_of(body), subresource)
        return _object(
            await self._transport.request(
                "PATCH", path, query=query, body=cast("Json", body), content_type=APPLY
            )
        )

    async def patch_status(
        self,
        resource: Resource,
        key: Key,
        status: Mapping[str, Json],
        *,
        resource_version: str | None = None,
    ) -> Object:
        """Merge into `status`: maps are merged, lists replaced, null removes.

        Args:
            resource: the object's resource.
            key: the object's name.
            status: what to merge.
            resource_version: only into that very version.

        Raises:
            ConflictError: it changed since it was read.
            KubeError: any other failure.
        """
        body: Object = {"status": dict(status)}
        if resource_version is not None:
            body["metadata"] = {"resourceVersion": resource_version}
        return _object(
            await self._transport.request(
                "PATCH",
                resource.path(key, "status"),
                query=[("fieldManager", self._field_manager), ("fieldValidation", "Strict")],
                body=cast("Json", body),
                content_type=MERGE,
            )
        )

    async def delete(
        self,
        resource: Resource,
        key: Key,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        """Delete one object, or ask for it where finalizers hold it.

        Args:
            resource: the object's resource.
            key: its name.
            uid: only that very object.
            resource_version: only that very version.

        Raises:
            NotFoundError: there is none.
            ConflictError: the uid or the version is another one.
            KubeError: any other failure.
        """
        bound = {"uid": uid, "resourceVersion": resource_version}
        preconditions: Object = {name: value for name, value in bound.items() if value is not None}
        options: Json = {"preconditions": preconditions} if preconditions else None
        await self._transport.request("DELETE", resource.path(key), body=options)

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
        """One page of a consistent list.

        Args:
            resource: what to list.
            namespace: empty for all of them.
            limit: most objects per page.
            continue_token: where the page before ended.
            selectors: `labelSelector` and `fieldSelector`.
            exactly: the resource version to list at; empty for the newest (a quorum read).

        Raises:
            ExpiredError: the continue token, or the version, is too old.
            KubeError: any other failure.
        """
        query = [("limit", str(limit)), *selectors]
        if continue_token:
            # The token says the version too, and the API server takes no second word on it.
            query.append(("continue", continue_token))
        elif exactly:
            query += [("resourceVersion", exactly), ("resourceVersionMatch", "Exact")]
        path = resource.collection_path(namespace)
        answer = _object(await self._transport.request("GET", path, query=query))
        metadata = cast("dict[str, Json]", answer.get("metadata") or {})
        return Page(
            items=tuple(cast("list[Object]", answer.get("items") or [])),
            resource_version=str(metadata.get("resourceVersion") or ""),
            continue_token=str(metadata.get("continue") or ""),
        )

    def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        lasting: int,
        silence: float,
        namespace: str = "",
        selectors: Query = (),
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a watch, bookmarks included; yields the raw stream of JSON lines.

        Args:
            resource: what to watch.
            resource_version: what was seen last.
            lasting: seconds after which the server ends it.
            silence: seconds without a byte after which the connection counts as dead.
            namespace: empty for all of them.
            selectors: `labelSelector` and `fieldSelector`.
        """
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version),
            ("timeoutSeconds", str(lasting)),
            *selectors,
        ]
        path = resource.collection_path(namespace)
        return self._transport.stream(path, query=query, silence=silence)


def key_of(body: Mapping[str, Json]) -> Key:
    """The key that an object's metadata gives it."""
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        return Key("", "")
    namespace, name = metadata.get("namespace"), metadata.get("name")
    # To write down anything else may fail: it can be nested deeply.
    return Key(
        namespace if isinstance(namespace, str) else "", name if isinstance(name, str) else ""
    )


def _username(review: Object) -> str:
    status = review.get("status")
    user = status.get("userInfo") if isinstance(status, dict) else None
    username = user.get("username") if isinstance(user, dict) else None
    if not isinstance(username, str) or not username:
        raise UnreachableError(f"{SELF_REVIEWS.kind}: the answer names no user")
    return username


def _object(content: bytes) -> Object:
    try:
        answer = decoded(content)
    except ValueError as garbled:
        # A proxy's page, or an answer that was cut: the request may well have been carried out.
        raise UnreachableError(f"the answer is not JSON: {garbled}") from garbled
    if not isinstance(answer, dict):
        raise UnreachableError("the answer is JSON, but no object")
    return answer
