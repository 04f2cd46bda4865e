"""Keeps the ledger's last head in the API, and reads whose ledger it is.

What is kept there is in another hand than the repository: a ledger that lost its end,
or was written anew, no longer leads to it. It decides nothing about what to keep, and
whoever writes must have read the version that is replaced.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from controller.apis.json import Json
from controller.clients.kube.client import Object
from controller.clients.kube.errors import ConflictError, KubeError, NotFoundError
from controller.clients.kube.resources import Key, Resource

NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
HEAD: Final = Key("governor-system", "governor-ledger")
_SYSTEM: Final = Key("", "kube-system")


class KeptHeadUnreadableError(KubeError):
    """The ConfigMap says what Governor never writes there; the message names the field."""


@dataclass(frozen=True, slots=True)
class KeptHead:
    """The head of a ledger, as of some flush."""

    ref: str
    seq: int
    """The number of the last record."""
    hash: str
    """The hash of the last record."""
    commit: str
    """The id of the commit that sealed it."""
    public_key: str
    """Whose signature the seal carries, hex."""
    resource_version: str = ""
    """Of the ConfigMap that says so; empty: it is not stored yet."""


class ReadsAndWrites(Protocol):
    """The part of `KubeClient` that is used."""

    async def get(self, resource: Resource, key: Key) -> Object:
        """Read one object."""
        ...

    async def create(self, resource: Resource, body: Object) -> Object:
        """Create one object; returns it as stored."""
        ...

    async def replace(self, resource: Resource, body: Object) -> Object:
        """Put one object in place of the stored one; returns it as stored."""
        ...


class HeadStore:
    """The ConfigMap `governor-system/governor-ledger`."""

    def __init__(self, client: ReadsAndWrites) -> None:
        self._client = client

    async def read(self) -> KeptHead | None:
        """What is kept; None: nothing yet.

        Raises:
            KeptHeadUnreadableError: it cannot be read.
            KubeError: any other failure.
        """
        try:
            return _read(await self._client.get(CONFIG_MAPS, HEAD))
        except NotFoundError:
            return None

    async def write(self, head: KeptHead, *, over: KeptHead | None) -> KeptHead:
        """Keep a head in place of the one that was read; returns it as stored.

        Args:
            head: the new one.
            over: what was read before; None: there was none.

        Raises:
            ConflictError: what is kept is something else by now, or was deleted.
            KubeError: any other failure.
        """
        body = _body(head, over.resource_version if over is not None else "")
        if over is not None:
            return await self._replace(body)
        try:
            return _read(await self._client.create(CONFIG_MAPS, body))
        except NotFoundError:  # its namespace
            await self._make_namespace()
        return _read(await self._client.create(CONFIG_MAPS, body))

    async def cluster(self) -> str:
        """The uid that names the cluster: that of the namespace `kube-system`.

        Raises:
            KubeError: it cannot be read.
        """
        metadata = (await self._client.get(NAMESPACES, _SYSTEM)).get("metadata")
        uid = metadata.get("uid") if isinstance(metadata, dict) else None
        if not isinstance(uid, str):
            raise KeptHeadUnreadableError("namespace kube-system: it has no uid")
        return uid

    async def _replace(self, body: Object) -> KeptHead:
        try:
            return _read(await self._client.replace(CONFIG_MAPS, body))
        except NotFoundError as error:  # put again, it would be refused for ever
            problem = f"configmap {HEAD.namespace}/{HEAD.name} was deleted since it was read"
            raise ConflictError(problem, status=error.status, reason=error.reason) from error

    async def _make_namespace(self) -> None:
        body: Object = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": HEAD.namespace},
        }
        try:
            await self._client.create(NAMESPACES, body)
        except ConflictError:
            return


def _body(head: KeptHead, resource_version: str) -> Object:
    metadata: dict[str, Json] = {"namespace": HEAD.namespace, "name": HEAD.name}
    if resource_version:
        metadata["resourceVersion"] = resource_version
    return {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.kind,
        "metadata": metadata,
        "data": {
            "ref": head.ref,
            "seq": str(head.seq),
            "hash": head.hash,
            "commit": head.commit,
            "publicKey": head.public_key,
        },
    }


def _read(body: Mapping[str, Json]) -> KeptHead:
    data, metadata = body.get("data"), body.get("metadata")
    if not isinstance(data, dict) or not isinstance(metadata, dict):
        raise KeptHeadUnreadableError(f"configmap {HEAD.namespace}/{HEAD.name}: it has no data")
    texts = {name: data.get(name) for name in ("ref", "seq", "hash", "commit", "publicKey")}
    for name, text in texts.items():
        is_fine = isinstance(text, str) and (name != "seq" or (text.isascii() and text.isdigit()))
        if not is_fine:
            problem = f"configmap {HEAD.namespace}/{HEAD.name}: data.{name} is {text!r}"
            raise KeptHeadUnreadableError(f"{problem}; delete it only if you know why")
    return KeptHead(
        ref=str(texts["ref"]),
        seq=int(str(texts["seq"])),
        hash=str(texts["hash"]),
        commit=str(texts["commit"]),
        public_key=str(texts["publicKey"]),
        resource_version=str(metadata.get("resourceVersion") or ""),
    )
