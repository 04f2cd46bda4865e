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
from controller.cli.log import log
from controller.cli.show import show
from controller.cli.suspend import resume, suspend
from controller.cli.verify import verify
from controller.clients.certificates import CertificateError
from controller.clients.engine.policyset import PolicySourceError
from controller.clients.engine.remote import RemoteSettingsError
from controller.clients.keys import KeysError
from controller.clients.kube.config import KubeConfigError
from controller.clients.outbox.errors import OutboxError
from controller.clients.tokens import TokenFileError
from controller.logs import log_as_json
from controller.policy.engine import EngineError
from controller.settings import ReconcileSettings, WebhookSettings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (check, log, show, verify, suspend, resume):
    app.command()(command)

CANNOT_START = (
    CertificateError,
    EngineError,
    KeysError,
    KubeConfigError,
    OSError,
    OutboxError,
    PolicySourceError,
    RemoteSettingsError,
    TokenFileError,
)
"""What an operator can mend: told in a sentence, without a traceback."""

Kubeconfig = Annotated[Path, typer.Option(help="The cluster, as a kubeconfig file.")]
Certificates = Annotated[
    Path,
    typer.Option(help="Directory of the webhook's CA, certificate and keys; made if absent."),
]
OutboxDirectory = Annotated[
    Path, typer.Option("--outbox", help="Directory of this host's outboxes; made if absent.")
]


@app.callback()
def prepare() -> None:
    """Lets AI agents change Kubernetes, within their mandates."""
    log_as_json()


@app.command()
def webhook(
    kubeconfig: Kubeconfig,
    certificates: Certificates,
    outbox: OutboxDirectory,
    policies: Annotated[
        Path | None, typer.Option(help="Directory of Rego policies.", show_default="policies")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0: a free one.", show_default="9443")
    ] = None,
    reuse_port: Annotated[
        bool | None,
        typer.Option(
            "--reuse-port", help="Share the port with other webhook processes on this host."
        ),
    ] = None,
    peer_host: Annotated[
        str | None,
        typer.Option(help="Address where other webhook processes reach this one; default: host."),
    ] = None,
    peer_port: Annotated[
        int | None, typer.Option(help="Port for them; 0: a free one.", show_default="0")
    ] = None,
    linger_seconds: Annotated[
        float | None,
        typer.Option(help="How long to take new connections after a signal.", show_default="1"),
    ] = None,
    api_server_token_file: Annotated[
        Path | None,
        typer.Option(help="Bearer tokens, one a line, of which the API server must show one."),
    ] = None,
) -> None:
    """Answer the API server: judge, record and reserve every write of an agent."""
    with _told_in_a_sentence():
        given = {
            "policies": policies,
            "host": host,
            "port": port,
            "reuse_port": reuse_port,
            "peer_host": peer_host,
            "peer_port": peer_port,
            "linger_seconds": linger_seconds,
            "api_server_token_file": api_server_token_file,
        }
        settings = WebhookSettings(
            kubeconfig=kubeconfig, certificates=certificates, outbox=outbox, **_present(given)
        )
        uvloop.run(manager.run_webhook(settings))


@app.command()
def reconcile(
    kubeconfig: Kubeconfig,
    certificates: Certificates,
    webhook_url: Annotated[str, typer.Option(help="Where the API server reaches the webhook.")],
    outbox: OutboxDirectory,
    ledger: Annotated[Path, typer.Option(help="The ledger's Git repository; made if absent.")],
    ledger_remote: Annotated[
        str | None, typer.Option(help="Where the ledger is pushed to, as Git takes it.")
    ] = None,
    request_timeout_seconds: Annotated[
        int | None,
        typer.Option(help="The API server's --request-timeout.", show_default="60"),
    ] = None,
) -> None:
    """Keep registration, status and accounts as they should be, and commit to the ledger."""
    with _told_in_a_sentence():
        given = {
            "ledger_remote": ledger_remote,
            "request_timeout_seconds": request_timeout_seconds,
        }
        settings = ReconcileSettings(
            kubeconfig=kubeconfig,
            certificates=certificates,
            webhook_url=webhook_url,
            outbox=outbox,
            ledger=ledger,
            **_present(given),
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
