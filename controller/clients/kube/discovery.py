"""Which resources the API server serves, asked group by group and remembered.

What was found stays found until it is forgotten. What was not is asked for again, at
most once in a while: a CustomResourceDefinition may have come. That something is *not*
served is said only where the API server itself says so: while it starts, it answers
503, never 404, for what it does not know yet.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from controller.apis.json import Json
from controller.clients.kube.client import Object
from controller.clients.kube.errors import NotFoundError
from controller.clients.kube.resources import Resource

ASK_AGAIN_SECONDS = 10.0
_NOT_SERVED: "Mapping[str, Served]" = MappingProxyType({})


class Discovers(Protocol):
    """The part of `KubeClient` that discovery uses."""

    async def discover(self, path: str) -> Object:
        """Read a document of discovery."""
        ...


@dataclass(frozen=True, slots=True)
class Served:
    """One resource as it is served in one version."""

    resource: Resource
    verbs: frozenset[str]
    """`list`, `watch`, `create`, …"""
    subresources: frozenset[str]
    """`status`, `scale`, …"""

    @property
    def is_watchable(self) -> bool:
        """Whether all of it can be listed and watched."""
        return {"list", "watch"} <= self.verbs


@dataclass(frozen=True, slots=True)
class _Answer:
    asked_at: float
    served: Mapping[str, Served]
    """By plural; empty: the version is not served."""


class Discovery:
    """The resources of one API server; safe for concurrent use within one event loop."""

    def __init__(
        self,
        client: Discovers,
        *,
        clock: Callable[[], float] = time.monotonic,
        ask_again_seconds: float = ASK_AGAIN_SECONDS,
    ) -> None:
        """Ask nothing yet.

        Args:
            client: whom to ask.
            clock: seconds, of any origin.
            ask_again_seconds: how long an answer that lacks what was looked for is believed.
        """
        self._client = client
        self._clock = clock
        self._ask_again_seconds = ask_again_seconds
        self._versions: dict[tuple[str, str], _Answer] = {}
        self._preferences: dict[str, tuple[float, tuple[str, ...]]] = {}

    async def find(self, group: str, version: str, plural: str) -> Served | None:
        """One resource in one version; None: the API server does not serve it.

        Args:
            group: empty for the core group.
            version: e.g. `v1`.
            plural: of a resource itself, not of a subresource.

        Raises:
            KubeError: the API server could not be asked, or refused.
        """
        answer = self._versions.get((group, version))
        if answer is None or (plural not in answer.served and self._is_old(answer.asked_at)):
            answer = await self._ask(group, version)
        return answer.served.get(plural)

    async def prefer(self, group: str, plural: str) -> Served | None:
        """One resource in the first of its group's versions that has it; None: none has.

        Raises:
            KubeError: the API server could not be asked, or refused.
        """
        for version in await self._versions_of(group):
            found = await self.find(group, version, plural)
            if found is not None:
                return found
        return None

    def forget(self, group: str, version: str) -> None:
        """Ask anew for this version at the next look: something contradicts what is known."""
        self._versions.pop((group, version), None)
        self._preferences.pop(group, None)

    async def _ask(self, group: str, version: str) -> _Answer:
        asked_at = self._clock()
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            document = await self._client.discover(path)
        except NotFoundError:
            answer = _Answer(asked_at, _NOT_SERVED)
        else:
            answer = _Answer(asked_at, _served(document, group=group, version=version))
        self._versions[group, version] = answer
        return answer

    async def _versions_of(self, group: str) -> tuple[str, ...]:
        if not group:
            return ("v1",)
        known = self._preferences.get(group)
        if known is not None and not self._is_old(known[0]):
            return known[1]
        asked_at = self._clock()
        try:
            versions = _versions(await self._client.discover(f"/apis/{group}"))
        except NotFoundError:
            versions = ()
        self._preferences[group] = asked_at, versions
        return versions

    def _is_old(self, asked_at: float) -> bool:
        return self._clock() - asked_at >= self._ask_again_seconds


def _versions(document: Object) -> tuple[str, ...]:
    """The versions that an APIGroup lists, the preferred one first."""
    preferred = document.get("preferredVersion")
    listed = document.get("versions")
    entries = [preferred, *(listed if isinstance(listed, list) else [])]
    found = [entry.get("version") for entry in entries if isinstance(entry, dict)]
    return tuple(dict.fromkeys(version for version in found if isinstance(version, str)))


def _served(document: Object, *, group: str, version: str) -> Mapping[str, Served]:
    listed = document.get("resources")
    entries = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
    names = [str(entry.get("name") or "") for entry in entries]
    return MappingProxyType(
        {
            name: _resource(entry, names, group=group, version=version)
            for name, entry in zip(names, entries, strict=True)
            if name and "/" not in name
        }
    )


def _resource(entry: Mapping[str, Json], names: list[str], *, group: str, version: str) -> Served:
    plural, verbs = str(entry["name"]), entry.get("verbs")
    return Served(
        Resource(
            group, version, plural, str(entry.get("kind") or ""), entry.get("namespaced") is True
        ),
        verbs=frozenset(str(verb) for verb in verbs) if isinstance(verbs, list) else frozenset(),
        subresources=frozenset(
            name.partition("/")[2] for name in names if name.startswith(f"{plural}/")
        ),
    )
