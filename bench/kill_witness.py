"""What truly happened: an independent watch, and the API server's blocking audit log.

Shares nothing with Governor's own ledger, feeds or histories. A watch that could not be
resumed is an error, not a gap to be passed over: the witness must have seen everything.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from controller.clients.kube.client import KubeClient, key_of
from controller.clients.kube.errors import ExpiredError, KubeError, error_from_status
from controller.clients.kube.lines import lines
from controller.clients.kube.resources import Resource

STAMP = "governor.dev/change"
_RETRY_SECONDS = 0.2
_POLL_SECONDS = 0.01


class BlindError(Exception):
    """The witness missed something: the run proves nothing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One event of the watch."""

    plural: str
    uid: str
    version: int
    change: str
    """Of its stamp, unverified; empty without one."""
    is_deleted: bool
    replicas: int | None


@dataclass(slots=True)
class Witness:
    """Everything that was stored in one namespace, in order."""

    client: KubeClient
    namespace: str
    events: list[Seen] = field(default_factory=list[Seen])
    positions: dict[str, int] = field(default_factory=dict[str, int])
    """Per resource, how far it was seen."""

    async def watch(self, resource: Resource) -> NoReturn:
        """Follow a resource from an empty list on.

        Raises:
            BlindError: the API server forgot what was seen last.
        """
        page = await self.client.list_page(resource, namespace=self.namespace)
        if any(key_of(item).name != "kube-root-ca.crt" for item in page.items):
            raise BlindError(f"{resource.plural}: something was there before the witness")
        self.positions[resource.plural] = int(page.resource_version)
        while True:
            try:
                await self._follow(resource)
            except ExpiredError as error:
                raise BlindError(f"{resource.plural}: {error}") from error
            except KubeError:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self, resource: Resource) -> None:
        async with self.client.watch(
            resource,
            resource_version=str(self.positions[resource.plural]),
            lasting=10,
            silence=30,
            namespace=self.namespace,
        ) as pieces:
            async for line in lines(pieces):
                self._note(resource, json.loads(line))

    def _note(self, resource: Resource, event: dict[str, Any]) -> None:
        body: dict[str, Any] = event["object"]
        if event["type"] == "ERROR":
            raise error_from_status(
                body.get("code", 500), reason="", message=str(body), doing="watch"
            )
        metadata = body["metadata"]
        version = int(metadata["resourceVersion"])
        if event["type"] != "BOOKMARK":
            self.events.append(
                Seen(
                    resource.plural,
                    metadata["uid"],
                    version,
                    stamp_of(metadata),
                    event["type"] == "DELETED",
                    body.get("spec", {}).get("replicas"),
                )
            )
        self.positions[resource.plural] = version

    async def wait_until(self, version: int) -> None:
        """Wait until everything up to a resource version was seen."""
        await until(lambda: min(self.positions.values()) >= version)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what other tasks bring about."""
    while True:
        if condition():
            return
        await asyncio.sleep(_POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class Audited:
    """One write of the agent that the API server answered with success."""

    verb: str
    subresource: str
    uid: str
    change: str
    completed: str
    """RFC 3339."""
    version: str = ""
    """The resource version that was answered."""
    replicas: int | None = None
    """Of a scale, what was asked for."""

    @property
    def lacks_stamp(self) -> bool:
        """Whether what it stored should carry a stamp, and does not."""
        return not self.change and not self.subresource and self.verb != "delete"


def audited_writes(log: Path, username: str) -> Iterator[Audited]:
    """The writes of one user that took effect, by the audit log."""
    with log.open() as lines:
        for line in lines:
            event = json.loads(line)
            if event["user"]["username"] != username or event["stage"] != "ResponseComplete":
                continue
            status = event.get("responseStatus", {}).get("code", 0)
            is_write = event["verb"] in {"create", "update", "patch", "delete"}
            if not is_write or not 200 <= status < 300:
                continue
            answer = part_of(event, "responseObject")
            metadata, details = part_of(answer, "metadata"), part_of(answer, "details")
            yield Audited(
                event["verb"],
                part_of(event, "objectRef").get("subresource", ""),
                metadata.get("uid") or details.get("uid") or "",
                stamp_of(metadata),
                event["stageTimestamp"],
                metadata.get("resourceVersion", ""),
                part_of(part_of(event, "requestObject"), "spec").get("replicas"),
            )


def stamp_of(metadata: dict[str, Any]) -> str:
    """The change id on an object; empty without a stamp."""
    return str(part_of(metadata, "annotations").get(STAMP, "")).partition(".")[0]


def part_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    """An object within another; empty where there is none."""
    part: dict[str, Any] | None = document.get(name)
    return part or {}
