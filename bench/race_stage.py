"""What a race is run on: a control plane, several webhooks on one port, an agent for each race.

Everything is started as a user starts it. It judges nothing.
"""

import os
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import yaml

from bench.race_pace import Pair
from bench.race_verdict import CHANGES, LIMIT, PODS, Contest
from native import build
from native.components import Component, Options
from native.controlplane import ControlPlane
from native.processes import GuardedProcess
from tour.governor import Site
from tour.prepared import account_with_all_rights, install_kinds

PACED = "paced"
"""The agent whose single writes are timed: its limits are held, and far away."""
PERSON = "person"
"""Who writes the same, and is no agent."""
_WINDOW_SECONDS = 31_536_000
"""A year: no race is to meet the end of its window."""
_READY_SECONDS = 120.0
_LOOKS = 40
"""So many answers in a row: each comes from whichever process the kernel picks."""


class StageError(Exception):
    """It cannot be run, or did not come to its end; says what is missing."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs."""

    plane: ControlPlane
    site: Site
    webhooks: tuple[GuardedProcess, ...]

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
        site = Site.draw(plane.admin_kubeconfig, directory, token=plane.webhook_token)
        webhooks = tuple(_started(stack, site.start_webhook()) for _ in range(processes))
        _started(stack, site.start_reconcile())
        _apply(plane, *(_mandate(contest, n) for contest in _CONTESTS for n in range(rounds)))
        _apply(plane, _paced())
        ready = ("wait", "--for=condition=Ready", "mandate", "--all", "--timeout=120s")
        plane.kubectl(*ready, timeout_seconds=130).require_ok()
        _wait_until_ready(site, webhooks)
        yield Stage(plane, site, webhooks)


_CONTESTS = (CHANGES, PODS)


def _started(stack: ExitStack, process: GuardedProcess) -> GuardedProcess:
    stack.callback(process.stop, grace_seconds=5)
    return process


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


def _wait_until_ready(site: Site, webhooks: tuple[GuardedProcess, ...]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    good = 0
    while good < _LOOKS:
        status, body = site.get("/readyz")
        good = good + 1 if status == HTTPStatus.OK else 0
        for process in webhooks:
            process.require_running()
        if time.monotonic() > deadline:
            raise StageError(f"not every webhook is ready after {_READY_SECONDS:.0f} s: {body}")
        time.sleep(0 if good else 0.05)
