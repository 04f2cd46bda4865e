"""Governor's processes, started as a user starts them, against one cluster.

For the tour, the tests and the benchmarks: they meet the product through its
command line only.
"""

import os
import random
import signal
import ssl
import sys
from collections.abc import Generator, Sequence
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
    webhooks: int = 1
    """How many webhook processes share the port."""

    @classmethod
    def draw(
        cls,
        kubeconfig: Path,
        directory: Path,
        *,
        policies: Path = POLICIES,
        token: Path | None = None,
        request_timeout: int = 60,
        webhooks: int = 1,
    ) -> "Site":
        """A site with a free port."""
        (port,) = draw(1, randomness=random.Random())  # noqa: S311 -- a port, not a secret
        return cls(kubeconfig, directory, port, policies, token, request_timeout, webhooks)

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

    def start_webhook(self, number: int = 0) -> GuardedProcess:
        """Start `governor webhook`, the `number`th of those that share the port.

        It may not answer yet.
        """
        token = () if self.token is None else ("--api-server-token-file", self.token)
        return self._start(
            "webhook",
            "webhook" if self.webhooks == 1 else f"webhook-{number}",
            *("--port", str(self.port)),
            *("--policies", self.policies),
            *(("--reuse-port",) if self.webhooks > 1 else ()),
            *token,
        )

    def start_reconcile(self) -> GuardedProcess:
        """Start `governor reconcile`; nothing may be registered yet."""
        return self._start(
            "reconcile",
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

    def _start(self, command: str, name: str, *arguments: str | Path) -> GuardedProcess:
        common = (
            *("--kubeconfig", self.kubeconfig),
            *("--certificates", self.certificates),
            *("--outbox", self.outbox),
        )
        return GuardedProcess.start(
            f"governor {name}",
            (COMMAND, command, *common, *arguments),
            log=self.directory / f"{name}.log",
            # Nothing else of the user's may change what Governor does.
            environment={key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
        )


@dataclass(slots=True)
class Running:
    """A Governor that runs. What is started anew takes the place of what ended."""

    site: Site
    webhooks: list[GuardedProcess]
    reconcile: GuardedProcess

    @property
    def webhook(self) -> GuardedProcess:
        """The first of the webhook processes, or the only one."""
        return self.webhooks[0]

    @webhook.setter
    def webhook(self, process: GuardedProcess) -> None:
        self.webhooks[0] = process

    def kill_reconcile(self) -> None:
        """SIGKILL it; returns when it is gone."""
        self.reconcile.stop(grace_seconds=0)

    def restart_reconcile(self) -> None:
        """Start one where the last one was."""
        self.reconcile = self.site.start_reconcile()

    def kill_webhook(self, number: int = 0) -> None:
        """SIGKILL it; returns when it is gone."""
        self.webhooks[number].stop(grace_seconds=0)

    def stop_webhook(self, number: int = 0) -> int:
        """SIGTERM it, and wait for its exit status."""
        self.webhooks[number].send(signal.SIGTERM)
        return self.webhooks[number].wait(15)

    def restart_webhook(self, number: int = 0) -> None:
        """Start one where the last one was."""
        self.webhooks[number] = self.site.start_webhook(number)

    def stop(self) -> None:
        """End all of them."""
        _stop([*self.webhooks, self.reconcile], grace_seconds=5)


@contextmanager
def start_governor(
    kubeconfig: Path,
    directory: Path,
    *,
    token: Path | None = None,
    request_timeout: int = 60,
    webhooks: int = 1,
) -> Generator[Running, None, None]:
    """Run both; they are taken down at the end, however the block ends.

    Args:
        kubeconfig: of the cluster.
        directory: for whatever they write.
        token: the file of the token that the API server shows to webhooks.
        request_timeout: the API server's, seconds.
        webhooks: how many webhook processes share the port.
    """
    site = Site.draw(
        kubeconfig, directory, token=token, request_timeout=request_timeout, webhooks=webhooks
    )
    started: list[GuardedProcess] = []
    try:
        started.extend(site.start_webhook(number) for number in range(webhooks))
        running = Running(site, started, site.start_reconcile())
    except BaseException:
        _stop(started, grace_seconds=0)
        raise
    try:
        yield running
    finally:
        running.stop()


def _stop(processes: Sequence[GuardedProcess], *, grace_seconds: float) -> None:
    if grace_seconds > 0:
        for process in processes:  # so that they end side by side
            process.send(signal.SIGTERM)
    for process in processes:
        process.stop(grace_seconds=grace_seconds)
