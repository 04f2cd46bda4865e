"""The `Engine` that is a remote OPA server, reached through `opa-python-client`.

The server loads the policies by its own means (a bundle); this only asks. It
cannot give the server the time of the request: a policy that must agree with the
embedded engine reads `input.now`, not `time.now_ns()`. Never tries again by
itself, and never takes a policy that the server lacks for one that is silent.
"""

import asyncio
import hashlib
import importlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, Protocol, Self, cast
from urllib.parse import urlsplit

import aiohttp
import orjson

from controller.apis.json import Json
from controller.policy.engine import (
    EngineError,
    EngineProtocolError,
    EngineTimeoutError,
    EngineUnavailableError,
    Evaluation,
    UnitResult,
)
from controller.policy.results import ANSWERS

_QUERY: Final = {"provenance": "true", "strict-builtin-errors": "true"}
_EVALUATION_FAILED: Final = 500


class RemoteSettingsError(Exception):
    """The address of the server is not one. The message names the fix."""


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """Where the server is, and which of its packages are Governor's policies."""

    url: str
    """`http://host:port` or `https://host:port`."""
    units: tuple[str, ...]
    """Packages with `deny`, `warn` and `cap`, as in `governor.permissions`."""
    token: str | None = field(default=None, repr=False)


class OpaClient(Protocol):
    """The part of `opa_client.opa_async.AsyncOpaClient` that is used; it has no types."""

    async def __aenter__(self) -> Self:
        """Open the session."""
        ...

    async def __aexit__(self, *details: object) -> None:
        """Close the session."""
        ...

    async def query_rule(
        self,
        input_data: dict[str, Json],
        package_path: str,
        rule_name: str,
        query_params: Mapping[str, str],
    ) -> object:
        """Ask for one rule's value; the reply is whatever JSON the server sent."""
        ...


class RemoteEngine:
    """Evaluates on a remote OPA server."""

    def __init__(self, settings: RemoteSettings, *, client: OpaClient) -> None:
        self._settings = settings
        self._client = client
        self._exit = AsyncExitStack()

    async def start(self) -> None:
        """Open the session; nothing is asked yet."""
        await self._exit.enter_async_context(self._client)

    async def stop(self) -> None:
        """Close the session."""
        await self._exit.aclose()

    @property
    def is_ready(self) -> bool:
        """Always: nothing is known of it between evaluations, and each refuses by itself."""
        return True

    async def evaluate(
        self, document: Mapping[str, Json], *, now_ns: int, timeout_seconds: float
    ) -> Evaluation:
        """Answer for every unit, or raise an `EngineError`; see the port.

        `now_ns` does not reach the server.
        """
        plain = dict(document)
        try:
            async with asyncio.timeout(timeout_seconds):
                units = await asyncio.gather(
                    *(self._unit(unit, plain) for unit in self._settings.units)
                )
        except TimeoutError as error:
            raise EngineTimeoutError(f"{self._settings.url} did not answer in time") from error
        revisions = {revision for _, found in units for revision in found}
        if len(revisions) > 1:
            raise EngineUnavailableError("the remote OPA changed its policies meanwhile")
        if not revisions:
            raise EngineUnavailableError("the remote OPA answered for no policy")
        return Evaluation(revisions.pop(), tuple(result for result, _ in units))

    async def _unit(
        self, unit: str, document: dict[str, Json]
    ) -> tuple[UnitResult, frozenset[str]]:
        asked = [self._rule(unit, answer, document) for answer in ANSWERS]
        answers = await asyncio.gather(*asked)
        revisions = frozenset(answer.revision for answer in answers if answer.revision)
        errors = [answer.error for answer in answers if answer.error]
        if errors:
            return UnitResult(unit, error="; ".join(errors)), revisions
        if all(answer.value is None for answer in answers):
            error = f"the remote OPA has no policy {unit}"
            return UnitResult(unit, error=error), revisions
        value: dict[str, Json] = {
            name: answer.value or [] for name, answer in zip(ANSWERS, answers, strict=True)
        }
        return UnitResult(unit, value=value), revisions

    async def _rule(self, unit: str, rule: str, document: dict[str, Json]) -> "_Answer":
        try:
            reply = await self._client.query_rule(document, unit, rule, _QUERY)
        except aiohttp.ContentTypeError as error:
            raise EngineProtocolError(f"{self._settings.url} did not answer JSON") from error
        except aiohttp.ClientResponseError as error:
            if error.status == _EVALUATION_FAILED:
                return _Answer(None, "", f"{unit}.{rule}: the remote OPA could not evaluate it")
            raise self._refused(error) from error
        except aiohttp.ClientError as error:
            raise EngineUnavailableError(f"cannot reach {self._settings.url}: {error}") from error
        except ValueError as error:
            raise EngineProtocolError(f"{self._settings.url} did not answer JSON") from error
        return _read(reply)

    def _refused(self, error: aiohttp.ClientResponseError) -> EngineError:
        return EngineUnavailableError(
            f"{self._settings.url} answered {error.status} {error.message}: "
            "check the address, and the token"
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    value: list[Json] | None
    revision: str
    error: str = ""


def _read(reply: object) -> _Answer:
    if not isinstance(reply, dict):
        raise EngineProtocolError("the remote OPA answered no object")
    body = cast("dict[str, Json]", reply)
    value = body.get("result")
    if value is not None and not isinstance(value, list):
        raise EngineProtocolError("the remote OPA answered no set: deny, warn and cap must be sets")
    return _Answer(value, _digest_of(body.get("provenance")))


def _digest_of(provenance: Json) -> str:
    """Name what the server evaluated: a digest of its bundles' declared revisions.

    A server says no more about its policies than their revisions, so that is what
    a remote digest stands for. A server without any cannot be held to anything.
    """
    bundles = provenance.get("bundles") if isinstance(provenance, dict) else None
    revisions = {
        name: bundle.get("revision")
        for name, bundle in (bundles if isinstance(bundles, dict) else {}).items()
        if isinstance(bundle, dict)
    }
    if not revisions or not all(
        isinstance(revision, str) and revision for revision in revisions.values()
    ):
        raise EngineProtocolError(
            "the remote OPA names no bundle revision: load the policies as a bundle with one"
        )
    return hashlib.sha256(orjson.dumps(revisions, option=orjson.OPT_SORT_KEYS)).hexdigest()


def client_for(settings: RemoteSettings) -> OpaClient:
    """Make the client of a server; it opens nothing yet.

    Raises:
        RemoteSettingsError: when the url is not one.
    """
    parts = urlsplit(settings.url)
    is_address = parts.scheme in {"http", "https"} and parts.hostname and parts.path in {"", "/"}
    if not is_address:
        raise RemoteSettingsError(
            f"the remote OPA's url is {settings.url!r}; give http://host:port or https://host:port"
        )
    # By name: the package has no types, and `OpaClient` is all that is used of it.
    module = importlib.import_module("opa_client.opa_async")
    client = module.AsyncOpaClient(
        host=parts.hostname,
        port=parts.port or (443 if parts.scheme == "https" else 8181),
        ssl=parts.scheme == "https",
        token=settings.token,
        retries=0,  # a refused write is retried by its author, within a deadline of its own
        timeout=60.0,  # ours is shorter, and per request
    )
    return cast("OpaClient", client)
