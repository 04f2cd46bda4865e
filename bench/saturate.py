"""`python -m bench.saturate`: what `make saturate` runs: agents fill the API server, no deadlock.

A real API server with few seats; Governor as its own ServiceAccount (an administrator
is exempt from priorities, and would prove nothing); one agent with far more writes in
flight than the API server has seats. Each waits, within the API server, for a write of
Governor's own. All must be answered in time: that is the first half. The second: as
soon as Governor's priority level is spoilt or gone, its webhook says that it is not
ready, and why.

Of a slow write the API server's audit log tells how long it waited for Governor, and
how long for a seat: only the first is Governor's. `--compare` fills the API server
once more with Governor seated among the agents, to see what its level is for.

The figure is the last line. Exits with 1 when it is not as it should be, with 2 when
nothing could be measured.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import orjson
import yaml

from bench.saturate_audit import slowest_review
from bench.saturate_load import Job, Load, run
from controller.registration.priority import render_flow_schema
from native import build
from native.components import Component, Options
from native.controlplane import ControlPlane, ControlPlaneError
from native.kubectl import KubectlError
from native.processes import ProcessError
from tour.governor import Running, start_governor
from tour.prepared import account_with_all_rights, install_kinds

DEADLINE_SECONDS = 5.0
"""The registration's timeout: a write that Governor does not answer by then has failed."""
_SEATS = ("--max-requests-inflight=50", "--max-mutating-requests-inflight=20")
_READY_SECONDS = 60.0
_POLL_SECONDS = 0.05
_LEVEL = "prioritylevelconfiguration/governor"
_AGENT = "saturator"
_USERNAME = f"system:serviceaccount:{_AGENT}:{_AGENT}"


class SetupError(Exception):
    """There is nothing to measure; says what is missing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out."""

    load: Load
    slowest_review_seconds: float
    """The longest that a write of the agent waited for one kind of webhook."""
    lent: str
    """What the webhook said while its level lent its seats: `200 …` or `503 …`."""
    gone: str
    """What it said without a level."""

    def problems(self) -> list[str]:
        """Why this is not as it should be; empty if it is."""
        load = self.load
        found = [f"{count} times: {failure}" for failure, count in load.failures.items()]
        if not load.answered and not load.failed:
            found.append("nothing was written")
        if self.slowest_review_seconds > DEADLINE_SECONDS:
            found.append(f"the slowest review took {self.slowest_review_seconds:.1f} s")
        for what, said in (("a level that lends its seats", self.lent), ("no level", self.gone)):
            if not said.startswith("503 priority level: "):
                found.append(f"with {what} the webhook says: {said}")
        return found

    def figure(self) -> str:
        """One line."""
        load = self.load
        said = self.gone.removeprefix("503 ")
        return (
            f"answered {load.answered} of {load.answered + load.failed}, failed {load.failed}, "
            f"slowest {load.slowest_seconds:.1f} s, slowest review "
            f"{self.slowest_review_seconds:.1f} s (deadline {DEADLINE_SECONDS:.0f} s); "
            "without the priority level: "
            + (f"not ready: {said}" if said != self.gone else f"READY: {said}")
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs."""

    plane: ControlPlane
    governor: Running

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the administrator; it must succeed."""
        return self.plane.kubectl(*arguments, stdin=stdin).require_ok().stdout

    def says(self) -> str:
        """What the webhook says of itself: `200`, or `503` with what is missing."""
        status, body = self.governor.site.get("/readyz")
        missing = orjson.loads(body).get("missing", []) if status else [body]
        return " ".join([str(status), *missing[:1]])


def fill(stage: Stage, *, writers: int, writes: int, name: str) -> Load:
    """Write so much as the agent, so many at a time."""
    job = Job(
        url=f"{stage.plane.url}/api/v1/namespaces/{_AGENT}/configmaps",
        authority=stage.plane.authority,
        token=stage.plane.service_account_token(_AGENT, _AGENT),
        name=name,
        writers=writers,
        writes=writes,
    )
    return asyncio.run(run(job))


def seat_among_agents(stage: Stage) -> None:
    """Have Governor's requests share the agents' seats, as they would without its level.

    By a schema of the same precedence and an earlier name: all else goes on as before.
    """
    first = render_flow_schema([])
    spec = {
        **cast("dict[str, object]", first["spec"]),
        "priorityLevelConfiguration": {"name": "workload-low"},
    }
    _apply(stage.plane, {**first, "metadata": {"name": "among-agents"}, "spec": spec})
    condition = "--for=condition=Dangling=False"
    stage.kubectl("wait", condition, "flowschema/among-agents", "--timeout=60s")


def take_the_level_away(stage: Stage) -> tuple[str, str]:
    """What the webhook says when its level lends its seats, and when it is gone."""
    # Who would put it back.
    stage.governor.reconcile.stop(grace_seconds=5)
    lends = orjson.dumps({"spec": {"limited": {"lendablePercent": 100}}}).decode()
    stage.kubectl("patch", _LEVEL, "--type=merge", "-p", lends)
    lent = _settled(stage, lambda said: said.startswith("503"))
    stage.kubectl("delete", _LEVEL)
    return lent, _settled(stage, lambda said: "there is no" in said)


def _settled(stage: Stage, holds: Callable[[str], bool]) -> str:
    """What the webhook says, as soon as it says so; else what it said last."""
    deadline = time.monotonic() + _READY_SECONDS / 4
    while not holds(said := stage.says()) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return said


@contextmanager
def set_stage(directory: Path) -> Generator[Stage, None, None]:
    """Boot all of it, and take all of it down at the end.

    Raises:
        SetupError: something is not there, or did not come up.
    """
    binaries = build.control_plane_binaries(os.environ)
    if binaries is None:
        raise SetupError("governor-kubernetes is not built: run `make setup`")
    options = Options(
        components=frozenset(),
        unsafe_no_fsync=True,
        extra_arguments={Component.API_SERVER: _SEATS},
    )
    with ControlPlane.start(directory / "cluster", binaries=binaries, options=options) as plane:
        install_kinds(plane)
        for namespace, name in (("governor-system", "governor"), (_AGENT, _AGENT)):
            _apply(plane, *account_with_all_rights(namespace, name))
        kubeconfig = plane.kubeconfig_for_service_account("governor-system", "governor")
        with start_governor(kubeconfig, directory, token=plane.webhook_token) as governor:
            stage = Stage(plane, governor)
            _apply(plane, _mandate())
            _wait(stage, lambda: stage.says() == "200", "the webhook is not ready")
            _wait(stage, lambda: _is_governed(plane), "the agent is not governed")
            yield stage


def _mandate() -> dict[str, object]:
    rule = {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "verbs": ["create"],
        "namespaces": [_AGENT],
    }
    subject = {"kind": "ServiceAccount", "namespace": _AGENT, "name": _AGENT}
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {"name": _AGENT},
        "spec": {"subjects": [subject], "rules": [rule]},
    }


def _apply(plane: ControlPlane, *objects: dict[str, object]) -> None:
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects)).require_ok()


def _is_governed(plane: ControlPlane) -> bool:
    """Whether the agent may do what its mandate says, and nothing else."""
    agent = plane.kubeconfig_for_service_account(_AGENT, _AGENT)
    dry = ("-n", _AGENT, "--dry-run=server", "probe")
    refused = plane.kubectl("create", "serviceaccount", *dry, kubeconfig=agent)
    granted = plane.kubectl("create", "configmap", *dry, kubeconfig=agent)
    return granted.ok and "governor: denied [" in refused.stderr


def _wait(stage: Stage, holds: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not holds():
        for process in (stage.governor.webhook, stage.governor.reconcile):
            process.require_running()
        if time.monotonic() > deadline:
            raise SetupError(f"{problem} after {_READY_SECONDS:.0f} s: {stage.says()}")
        time.sleep(_POLL_SECONDS)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.saturate", description=__doc__)
    parser.add_argument("--writers", type=int, default=100, metavar="N", help="at the same time")
    parser.add_argument("--writes", type=int, default=1500, metavar="N", help="altogether")
    parser.add_argument("--compare", action="store_true", help="once more among the agents")
    arguments = parser.parse_args(argv)
    print(f"booting an API server with {' '.join(_SEATS)}, and Governor", flush=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="governor-saturate-") as name,
            set_stage(Path(name)) as stage,
        ):
            outcome = _measure(stage, arguments)
    except (ControlPlaneError, KubectlError, ProcessError, SetupError) as error:
        print(error, file=sys.stderr)
        return 2
    problems = outcome.problems()
    print("\n".join([*problems, outcome.figure()]))
    return 1 if problems else 0


def _measure(stage: Stage, arguments: argparse.Namespace) -> Outcome:
    size = {"writers": arguments.writers, "writes": arguments.writes}
    load = fill(stage, name="write", **size)
    print("\n".join(load.lines()), flush=True)
    review = slowest_review(stage.plane.audit_log, user=_USERNAME)
    if arguments.compare:
        seat_among_agents(stage)
        without = fill(stage, name="unprotected", **size)
        print(f"in the agents' level: failed {without.failed}", *without.lines(), sep="; ")
        for failure, count in without.failures.items():
            print(f"  {count} times: {failure}")
    lent, gone = take_the_level_away(stage)
    return Outcome(load, review, lent, gone)


if __name__ == "__main__":
    raise SystemExit(main())
