"""The `governor` command: which subcommands there are, and what they are given.

Parses and hands over; what a subcommand does is in its own module or wired in
`controller.manager`.
"""

import asyncio
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from pydantic import ValidationError

from controller import manager
from controller.cli.check import check
from controller.clients.certificates import CertificateError
from controller.clients.engine.policyset import PolicySourceError
from controller.clients.engine.remote import RemoteSettingsError
from controller.clients.kube.config import KubeConfigError
from controller.logs import log_as_json
from controller.policy.engine import EngineError
from controller.settings import ReconcileSettings, WebhookSettings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(check)

CANNOT_START = (
    CertificateError,
    EngineError,
    KubeConfigError,
    OSError,
    PolicySourceError,
    RemoteSettingsError,
)
"""What an operator can mend: told in a sentence, without a traceback."""

Kubeconfig = Annotated[Path, typer.Option(help="The cluster, as a kubeconfig file.")]
Certificates = Annotated[
    Path, typer.Option(help="Directory of the webhook's CA and certificate; made if absent.")
]


@app.callback()
def prepare() -> None:
    """Lets AI agents change Kubernetes, within their mandates."""
    log_as_json()


@app.command()
def webhook(
    kubeconfig: Kubeconfig,
    certificates: Certificates,
    policies: Annotated[
        Path | None, typer.Option(help="Directory of Rego policies.", show_default="policies")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0: a free one.", show_default="9443")
    ] = None,
) -> None:
    """Answer the API server: judge every write of an agent."""
    with _told_in_a_sentence():
        given = {"policies": policies, "host": host, "port": port}
        settings = WebhookSettings(
            kubeconfig=kubeconfig, certificates=certificates, **_present(given)
        )
        uvloop.run(manager.run_webhook(settings))


@app.command()
def reconcile(
    kubeconfig: Kubeconfig,
    certificates: Certificates,
    webhook_url: Annotated[str, typer.Option(help="Where the API server reaches the webhook.")],
) -> None:
    """Keep the registration with the API server, and the mandates' status, as they should be."""
    with _told_in_a_sentence():
        settings = ReconcileSettings(
            kubeconfig=kubeconfig, certificates=certificates, webhook_url=webhook_url
        )
        asyncio.run(manager.run_reconcile(settings))


def _present(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that were given: the environment is asked for the others."""
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def _told_in_a_sentence() -> Generator[None, None, None]:
    try:
        yield
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            option = "-".join(str(part) for part in detail["loc"]).replace("_", "-")
            typer.echo(f"governor: --{option}: {detail['msg']}", err=True)
        raise typer.Exit(2) from error
    except CANNOT_START as error:
        typer.echo(f"governor: {error}", err=True)
        raise typer.Exit(2) from error
