"""Where the API server is and who we are: from a named kubeconfig, or from our own Pod.

Nothing is taken silently from the environment: no `KUBECONFIG`, no `~/.kube/config`,
no `HTTPS_PROXY`. In a Pod, the address comes from the two variables that the kubelet
sets there, and only when the caller asked for `InCluster`.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import yaml

from controller.clients.kube.client import KubeClient
from controller.clients.kube.connections import Connections
from controller.clients.kube.transport import Timeouts, Transport

if TYPE_CHECKING:
    from kubernetes.aio.client import Configuration

USER_AGENT = "governor"


class _Loader(Protocol):
    async def load_and_set(self, client_configuration: "Configuration") -> None: ...


class _OfficialKubeconfig(Protocol):
    """What is used of the official client's `kube_config`, which has no annotations."""

    def KubeConfigLoader(  # noqa: N802 # the official name
        self,
        config_dict: Mapping[str, object],
        *,
        active_context: str | None,
        config_base_path: str,
    ) -> _Loader: ...

    def refresh_token(
        self, loader: _Loader, client_configuration: "Configuration"
    ) -> Coroutine[object, object, None]: ...


class _OfficialInClusterConfig(Protocol):
    """What is used of the official client's `incluster_config`."""

    def load_incluster_config(self, client_configuration: "Configuration") -> None: ...


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """Credentials in a file."""

    path: Path
    context: str | None = None
    """None: the file's `current-context`."""


@dataclass(frozen=True, slots=True)
class InCluster:
    """The ServiceAccount that is mounted into our own Pod."""


Credentials: TypeAlias = Kubeconfig | InCluster


class KubeConfigError(Exception):
    """The credentials cannot be used; the message names the file, the field and the fix."""


@asynccontextmanager
async def connect(
    credentials: Credentials, *, timeouts: Timeouts | None = None
) -> AsyncGenerator[KubeClient, None]:
    """A client for as long as the block lasts; tokens that expire are renewed meanwhile.

    No request is made here, so an API server that is down is no error yet.

    Raises:
        KubeConfigError: the credentials are missing or malformed.
    """
    from kubernetes.aio.client import ApiClient  # half a second: not at the top

    configuration, renewal = await _load(credentials)
    api = ApiClient(configuration=configuration)
    api.user_agent = USER_AGENT
    limit = configuration.connection_pool_maxsize
    connections = Connections(api.rest_client.ssl_context, limit=limit)
    # No proxy and no `.netrc` from the environment; `proxy-url` in the kubeconfig is honoured.
    configuration.client_session_kwargs = {
        "trust_env": False,
        "connector": connections.connector,
    }
    transport = Transport(api, connections, timeouts=timeouts or Timeouts())
    try:
        yield KubeClient(transport)
    finally:
        if renewal is not None:
            renewal.cancel()
            with suppress(asyncio.CancelledError):
                await renewal
        await transport.close()


async def _load(credentials: Credentials) -> tuple["Configuration", "asyncio.Task[None] | None"]:
    from kubernetes.aio.client import Configuration

    configuration = Configuration()
    if isinstance(credentials, InCluster):
        _load_own_service_account(configuration)
        return configuration, None
    return configuration, await _load_kubeconfig(credentials, configuration)


def _load_own_service_account(configuration: "Configuration") -> None:
    from kubernetes.aio.config import ConfigException, incluster_config

    loading = cast("_OfficialInClusterConfig", incluster_config)
    try:
        loading.load_incluster_config(client_configuration=configuration)
    except ConfigException as missing:
        raise KubeConfigError(
            f"no ServiceAccount is mounted here ({missing}); "
            "outside a Pod give a kubeconfig file instead"
        ) from missing


async def _load_kubeconfig(
    credentials: Kubeconfig, configuration: "Configuration"
) -> "asyncio.Task[None] | None":
    from kubernetes.aio.config import ConfigException, kube_config

    official = cast("_OfficialKubeconfig", kube_config)
    path = credentials.path
    content = _read(path)
    try:
        # Not `load_kube_config`: it splits the path at colons and logs a missing file.
        loader = official.KubeConfigLoader(
            content, active_context=credentials.context, config_base_path=str(path.parent)
        )
        await loader.load_and_set(configuration)
    except (ConfigException, KeyError, TypeError, ValueError, OSError) as malformed:
        raise KubeConfigError(f"{path}: {malformed}") from malformed
    if not _uses_plugin(content, credentials.context):
        return None
    return asyncio.create_task(
        official.refresh_token(loader, configuration), name="kubeconfig token renewal"
    )


def _read(path: Path) -> dict[str, object]:
    try:
        content: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as unreadable:
        raise KubeConfigError(f"{path}: {unreadable.strerror}; give a kubeconfig file") from (
            unreadable
        )
    except (yaml.YAMLError, UnicodeDecodeError) as malformed:
        raise KubeConfigError(f"{path}: not YAML: {malformed}") from malformed
    if not isinstance(content, dict):
        raise KubeConfigError(f"{path}: expected a kubeconfig, found no mapping")
    return cast("dict[str, object]", content)


def _uses_plugin(content: Mapping[str, object], context: str | None) -> bool:
    """Whether the context's user gets its token from a command, which must be asked again."""
    wanted = context or content.get("current-context")
    user = _named(content, "contexts", wanted, "context").get("user")
    return "exec" in _named(content, "users", user, "user")


def _named(
    content: Mapping[str, object], section: str, name: object, field: str
) -> Mapping[str, object]:
    entries = content.get(section)
    for entry in cast("list[object]", entries) if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            named = cast("dict[str, object]", entry)
            value = named.get(field)
            if named.get("name") == name and isinstance(value, dict):
                return cast("dict[str, object]", value)
    return {}
