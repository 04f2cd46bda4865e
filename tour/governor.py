"""Governor's two processes, started as a user starts them, against one cluster.

For the tour, the tests and the benchmarks: they meet the product through its
command line only.
"""

import os
import random
import ssl
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

from native.ports import draw
from native.processes import GuardedProcess

POLICIES = Path(__file__).parents[1] / "policies"
COMMAND = Path(sys.executable).with_name("governor")


@dataclass(frozen=True, slots=True)
class Site:
    """Where one Governor runs."""

    kubeconfig: Path
    directory: Path
    """For certificates and logs."""
    port: int
    """Of the webhook, on loopback."""
    policies: Path = POLICIES
    token: Path | None = None
    """The file of the token that the API server shows to webhooks."""
    request_timeout: int = 60
    """The API server's `--request-timeout`, seconds."""

    @classmethod
    def draw(
        cls,
        kubeconfig: Path,
        directory: Path,
        *,
        policies: Path = POLICIES,
        token: Path | None = None,
        request_timeout: int = 60,
    ) -> "Site":
        """A site with a free port."""
        (port,) = draw(1, randomness=random.Random())  # noqa: S311 -- a port, not a secret
        return cls(kubeconfig, directory, port, policies, token, request_timeout)

    @property
    def url(self) -> str:
        """Where the API server reaches the webhook."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def certificates(self) -> Path:
        """What both processes share."""
        return self.directory / "certificates"

    @property
    def outbox(self) -> Path:
        """What the webhook writes down before anything takes effect."""
        return self.directory / "outbox"

    @property
    def ledger(self) -> Path:
        """The Git repository of what became of it."""
        return self.directory / "ledger.git"

    def start_webhook(self) -> GuardedProcess:
        """Start `governor webhook`; it may not answer yet."""
        token = () if self.token is None else ("--api-server-token-file", self.token)
        return self._start("webhook", "--port", str(self.port), "--policies", self.policies, *token)

    def start_reconcile(self) -> GuardedProcess:
        """Start `governor reconcile`; nothing may be registered yet."""
        return self._start(
            "reconcile",
            *("--webhook-url", self.url),
            *("--ledger", self.ledger),
            *("--request-timeout-seconds", str(self.request_timeout)),
        )

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET from the webhook; status 0 while nobody answers."""
        try:
            trust = ssl.create_default_context(cafile=self.certificates / "ca.pem")
            with closing(
                HTTPSConnection("127.0.0.1", self.port, timeout=5, context=trust)
            ) as connection:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
        except (OSError, HTTPException) as error:
            return 0, str(error)

    def _start(self, name: str, *arguments: str | Path) -> GuardedProcess:
        common = (
            *("--kubeconfig", self.kubeconfig),
            *("--certificates", self.certificates),
            *("--outbox", self.outbox),
        )
        return GuardedProcess.start(
            f"governor {name}",
            (COMMAND, name, *common, *arguments),
            log=self.directory / f"{name}.log",
            # Nothing else of the user's may change what Governor does.
            environment={key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
        )


@dataclass(slots=True)
class Running:
    """A Governor that runs. What is started anew takes the place of what ended."""

    site: Site
    webhook: GuardedProcess
    reconcile: GuardedProcess

    def kill_reconcile(self) -> None:
        """SIGKILL it; returns when it is gone."""
        self.reconcile.stop(grace_seconds=0)

    def restart_reconcile(self) -> None:
        """Start one where the last one was."""
        self.reconcile = self.site.start_reconcile()

    def kill_webhook(self) -> None:
        """SIGKILL it; returns when it is gone."""
        self.webhook.stop(grace_seconds=0)

    def restart_webhook(self) -> None:
        """Start one where the last one was."""
        self.webhook = self.site.start_webhook()

    def stop(self) -> None:
        """End both."""
        for process in (self.webhook, self.reconcile):
            process.stop(grace_seconds=5)


@contextmanager
def start_governor(
    kubeconfig: Path,
    directory: Path,
    *,
    token: Path | None = None,
    request_timeout: int = 60,
) -> Generator[Running, None, None]:
    """Run both; they are taken down at the end, however the block ends."""
    site = Site.draw(kubeconfig, directory, token=token, request_timeout=request_timeout)
    webhook = site.start_webhook()
    try:
        running = Running(site, webhook, site.start_reconcile())
    except BaseException:
        webhook.stop(grace_seconds=0)
        raise
    try:
        yield running
    finally:
        running.stop()
