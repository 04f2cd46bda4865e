"""What an operator sets for a process, once, at its start.

From the command line; where an option is absent, from `GOVERNOR_*` in the
environment. A cluster is never chosen by the environment: the kubeconfig is
always named. No decisions here.
"""

from pathlib import Path
from shutil import which
from sys import executable
from typing import Any, Final

from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

_NAMED_ONLY: Final = frozenset({"kubeconfig"})
_WILDCARDS: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 -- told apart, not bound


class _ProcessSettings(BaseSettings):
    """Options first, then the environment, which never chooses a cluster."""

    model_config = SettingsConfigDict(env_prefix="GOVERNOR_", frozen=True, extra="forbid")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read no file, and nothing from the environment that `_NAMED_ONLY` lists."""
        return init_settings, _Environment(settings_cls)


class _Environment(EnvSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        if field_name in _NAMED_ONLY:
            return None, field_name, False
        return super().get_field_value(field, field_name)


class EngineSettings(_ProcessSettings):
    """How policies are evaluated."""

    policies: Path = Path("policies")
    """The directory of Rego policies."""
    opa_binary: Path | None = None
    """The engine's binary; by default `governor-opa` beside Python, or on the PATH."""
    opa_url: str | None = None
    """A remote OPA server in place of the child process, which then loads the policies itself:
    a bundle with a revision, holding every unit of `policies`."""
    opa_token: SecretStr | None = None
    """The bearer token for that server."""
    engine_timeout_seconds: float = Field(default=2.0, gt=0, le=20)
    """For one evaluation."""

    def engine_binary(self) -> Path:
        """The engine's binary, or a `FileNotFoundError` that says how to get one."""
        if self.opa_binary is not None:
            return _existing(self.opa_binary)
        beside = Path(executable).parent / "governor-opa"
        if beside.exists():
            return beside
        found = which("governor-opa")
        if found is None:
            problem = "no governor-opa beside Python or on the PATH; build it with `make setup`"
            raise FileNotFoundError(problem)
        return Path(found)


class WebhookSettings(EngineSettings):
    """One webhook process."""

    kubeconfig: Path
    host: str = "127.0.0.1"
    port: int = Field(default=9443, ge=0, le=65535)
    """0 takes a free port, printed in the log."""
    reuse_port: bool = False
    """Share the port with other webhook processes on this host: the kernel spreads connections."""
    peer_host: str | None = None
    """The address on which other webhook processes reach this one, such as its Pod's; by default
    `host`, unless that is a wildcard."""
    peer_port: int = Field(default=0, ge=0, le=65535)
    """0 takes a free port: the others are told."""
    linger_seconds: float = Field(default=1.0, ge=0, le=300)
    """For how long new connections are still taken after a signal; behind a Service, until it
    has heard that this process is not ready."""
    names: tuple[str, ...] = ()
    """The DNS names and addresses by which the API server reaches it; by default the host."""
    certificates: Path
    """The directory of the webhook's CA, serving certificate and keys; made if absent."""
    outbox: Path
    """The directory of the outboxes on this host; made if absent."""
    api_server_token_file: Path | None = None
    """Bearer tokens, one a line, of which the API server must show one; without it, whoever
    reaches the port may ask."""
    deadline_seconds: float = Field(default=4.0, gt=0, le=29)
    """For one review as a whole; shorter than the registration's timeout."""

    def peer_address(self) -> str | None:
        """Where other processes reach this one; None where only `peer_host` could say."""
        return self.peer_host or (None if self.host in _WILDCARDS else self.host)

    def certificate_names(self) -> tuple[str, ...]:
        """What the serving certificate is issued for."""
        return self.names or (self.host,)


class ReconcileSettings(_ProcessSettings):
    """One reconciling process."""

    kubeconfig: Path
    certificates: Path
    """The directory that the webhook's CA is read from."""
    webhook_url: str
    """Where the API server reaches the webhook, e.g. `https://127.0.0.1:9443`."""
    webhook_timeout_seconds: int = Field(default=5, ge=1, le=30)
    outbox: Path
    """The directory of the webhooks' outboxes on this host."""
    ledger: Path
    """The ledger's bare Git repository; made if absent."""
    ledger_remote: str | None = None
    """Where it is pushed to; outboxes are kept until it is."""
    ledger_epoch: int = Field(default=1, ge=1)
    """Counted up by an operator where a ledger cannot be continued (etcd was restored, say)."""
    request_timeout_seconds: int = Field(default=60, ge=1)
    """The API server's `--request-timeout`: a write cannot take effect later."""


def _existing(binary: Path) -> Path:
    if not binary.is_file():
        raise FileNotFoundError(f"opa_binary: {binary} is not a file; build it with `make setup`")
    return binary
