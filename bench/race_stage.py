"""What a race is run on: a control plane, several webhooks on one port, an agent for each race.

Everything is started as a user starts it. It judges nothing.
"""

import os
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.race_pace import Pair
from bench.race_verdict import CHANGES, LIMIT, PODS, Contest
from native import build
from native.components import Component, Options
from native.controlplane import ControlPlane
from tour.governor import Running, Site, start_governor
from tour.prepared import account_with_all_rights, install_kinds

PACED = "paced"
"""The agent whose single writes are timed: its limits are held, and far away."""
PERSON = "person"
"""Who writes the same, and is no agent."""
_WINDOW_SECONDS = 31_536_000
"""A year: no race is to meet the end of its window."""
_READY_SECONDS = 120.0
_LISTENING_STATE = "0A"


class StageError(Exception):
    """It cannot be run, or did not come to its end; says what is missing."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs."""

    plane: ControlPlane
    governor: Running

    @property
    def site(self) -> Site:
        """Where Governor runs."""
        return self.governor.site

    def token(self, agent: str) -> str:
        """A new token of an agent, whose ServiceAccount and namespace have its name."""
        return self.plane.service_account_token(agent, agent)

    def pair(self) -> Pair:
        """Who is timed."""
        return Pair(
            server=self.plane.url,
            authority=self.plane.authority,
            agent=PACED,
            agent_token=self.token(PACED),
            person=PERSON,
            person_token=self.token(PERSON),
        )

    def objects(self, contest: Contest, agent: str) -> frozenset[str]:
        """The names of what is there, by `kubectl get`."""
        listed = self.plane.kubectl("get", contest.plural, "-n", agent, "-o", "name").require_ok()
        names = {line.partition("/")[2] for line in listed.stdout.split()}
        return frozenset(names - {"kube-root-ca.crt"})

    def delete_all(self, contest: Contest, agent: str) -> None:
        """Delete all of it, as an administrator."""
        how = ("delete", contest.plural, "-n", agent, "--all", "--wait=false")
        self.plane.kubectl(*how).require_ok()


def agent_of(contest: Contest, number: int) -> str:
    """The agent of one race: each has one of its own, for what was spent stays spent."""
    return f"{contest.resource}-{number}"


@contextmanager
def set_stage(directory: Path, *, processes: int, rounds: int) -> Generator[Stage, None, None]:
    """Boot all of it, and take all of it down at the end.

    Raises:
        StageError: something is not there, or did not come up.
    """
    binaries = build.control_plane_binaries(os.environ)
    if binaries is None:
        raise StageError("governor-kubernetes is not built: run `make setup`")
    options = Options(components=frozenset({Component.CONTROLLER_MANAGER}))
    with ExitStack() as stack:
        plane = stack.enter_context(
            ControlPlane.start(directory / "cluster", binaries=binaries, options=options)
        )
        install_kinds(plane)
        _apply(plane, *_prepared(rounds))
        governor = stack.enter_context(
            start_governor(
                plane.admin_kubeconfig,
                directory,
                token=plane.webhook_token,
                webhooks=processes,
            )
        )
        _apply(plane, *(_mandate(contest, n) for contest in _CONTESTS for n in range(rounds)))
        _apply(plane, _paced())
        ready = ("wait", "--for=condition=Ready", "mandate", "--all", "--timeout=120s")
        plane.kubectl(*ready, timeout_seconds=130).require_ok()
        _wait_until_all_listen(governor)
        yield Stage(plane, governor)


_CONTESTS = (CHANGES, PODS)


def _prepared(rounds: int) -> list[dict[str, object]]:
    agents = [agent_of(contest, number) for contest in _CONTESTS for number in range(rounds)]
    return [one for name in (*agents, PACED, PERSON) for one in account_with_all_rights(name, name)]


def _mandate(contest: Contest, number: int) -> dict[str, object]:
    limit: dict[str, object] = (
        {"quota": {PODS.resource: str(LIMIT)}}
        if contest is PODS
        else {"budgets": [_budget(str(LIMIT))]}
    )
    return _mandate_of(agent_of(contest, number), contest.plural, limit)


def _paced() -> dict[str, object]:
    limits: dict[str, object] = {"quota": {"pods": "1000"}, "budgets": [_budget("1000000")]}
    return _mandate_of(PACED, "configmaps", limits)


def _budget(limit: str) -> dict[str, object]:
    return {"name": "rate", "resource": "changes", "limit": limit, "windowSeconds": _WINDOW_SECONDS}


def _mandate_of(agent: str, plural: str, limits: dict[str, object]) -> dict[str, object]:
    subject = {"kind": "ServiceAccount", "namespace": agent, "name": agent}
    rule = {"apiGroups": [""], "resources": [plural], "verbs": ["create"], "namespaces": [agent]}
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {"name": agent},
        "spec": {"subjects": [subject], "rules": [rule], **limits},
    }


def _apply(plane: ControlPlane, *objects: dict[str, object]) -> None:
    text = yaml.safe_dump_all(objects)
    plane.kubectl("apply", "-f", "-", stdin=text, timeout_seconds=300).require_ok()


def _wait_until_all_listen(governor: Running) -> None:
    """A webhook shares the port from when it is ready on."""
    deadline = time.monotonic() + _READY_SECONDS
    while (listening := _listeners(governor.site.port)) < len(governor.webhooks):
        for process in governor.webhooks:
            process.require_running()
        if time.monotonic() > deadline:
            seconds = f"{_READY_SECONDS:.0f} s"
            raise StageError(
                f"{listening} of {len(governor.webhooks)} webhooks listen in {seconds}"
            )
        time.sleep(0.05)


def _listeners(port: int) -> int:
    """How many sockets listen on a port of this machine (Linux)."""
    table = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return sum(1 for row in table if row[1].endswith(f":{port:04X}") and row[3] == _LISTENING_STATE)
