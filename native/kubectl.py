"""Runs kubectl as one identity, with nothing of the user's own settings.

It interprets no answer: a refusal is an ordinary result, with its status.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class KubectlError(Exception):
    """kubectl did not end in time, or failed where success was required."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a kubectl command ended."""

    arguments: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the status is 0."""
        return self.status == 0

    def require_ok(self) -> Self:
        """Give itself back, or raise a `KubectlError` with what kubectl said."""
        if not self.ok:
            command = " ".join(self.arguments)
            raise KubectlError(f"kubectl {command}: status {self.status}: {self.stderr.strip()}")
        return self


def run(
    command: Sequence[str],
    arguments: Sequence[str],
    *,
    kubeconfig: Path,
    environment: Mapping[str, str],
    stdin: str,
    timeout_seconds: float,
) -> Completed:
    """Run one kubectl command to its end.

    Args:
        command: how the command line begins: kubectl itself.
        arguments: what follows.
        kubeconfig: whose identity, and which cluster.
        environment: the whole of it; its HOME is where kubectl caches.
        stdin: what it reads.
        timeout_seconds: after which it is killed.

    Raises:
        KubectlError: it did not end in time.
    """
    try:
        done = subprocess.run(
            [*command, *arguments],
            input=stdin,
            env={**environment, "KUBECONFIG": str(kubeconfig)},
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = " ".join(arguments)
        raise KubectlError(f"kubectl {said}: no end in {timeout_seconds:.0f} s") from error
    return Completed(tuple(arguments), done.returncode, done.stdout, done.stderr)
