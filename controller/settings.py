"""What an operator sets for a process, once, at its start.

From the command line; where an option is absent, from `GOVERNOR_*` in the
environment. A cluster is never chosen by the environment: the kubeconfig is
always named. No decisions here.
"""

from pathlib import Path
from shutil import which
from sys import executable

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class EngineSettings(BaseSettings):
    """How policies are evaluated."""

    model_config = SettingsConfigDict(env_prefix="GOVERNOR_", frozen=True, extra="forbid")

    policies: Path = Path("policies")
    """The directory of Rego policies."""
    opa_binary: Path | None = None
    """The engine's binary; by default `governor-opa` beside Python, or on the PATH."""
    opa_url: str | None = None
    """A remote OPA server in place of the child process."""
    engine_timeout_seconds: float = Field(default=2.0, gt=0, le=20)
    """For one evaluation."""

    def engine_binary(self) -> Path:
        """The engine's binary, or a `FileNotFoundError` that says how to get one."""
        if self.opa_binary is not None:
            return self.opa_binary
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
    certificates: Path
    """The directory of the webhook's CA and serving certificate; made if absent."""


class ReconcileSettings(BaseSettings):
    """One reconciling process."""

    model_config = SettingsConfigDict(env_prefix="GOVERNOR_", frozen=True, extra="forbid")

    kubeconfig: Path
    certificates: Path
    """The directory that the webhook's CA is read from."""
    webhook_url: str
    """Where the API server reaches the webhook, e.g. `https://127.0.0.1:9443`."""
    webhook_timeout_seconds: int = Field(default=5, ge=1, le=30)
