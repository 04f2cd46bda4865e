"""Kills every process of Governor and of the store in the middle of an agent's writes.

`python -m bench.kill --kills N --writes N`: what `make kill` runs. The webhook, the
reconciler (settler and committer in one process) and etcd are killed in turn, each
while writes are in flight, and started again. The agent has a quota of Pods that refuses
some of its writes, and a budget. Afterwards what the ledger says is held against an
independent watch and the audit log, and what the Account says against a recount. The
last line is the figure; status 0 only if every promise held.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import which

import orjson
import uvloop

from bench.kill_load import CONFIG_MAPS, DEPLOYMENTS, PODS, Load, Tally
from bench.kill_usage import Usage, changes_recorded, changes_seen, most_pods, recount
from bench.kill_verdict import Verdict, judge
from bench.kill_witness import Witness, audited_writes, until
from bench.ledger import records_of, waiting_in
from controller.accounts.account import Account
from controller.clients.kube.accounts import AccountStore
from controller.clients.kube.client import KubeClient
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.resources import Resource
from native import build
from native.components import Component, Options
from native.controlplane import ControlPlane
from tour.governor import COMMAND, Running, start_governor
from tour.prepared import account_with_all_rights, install_kinds

NAMESPACE, AGENT = "team-data", "migrator"
REQUEST_TIMEOUT = 15
"""Of the API server, seconds: what the settler's clock has to wait for."""
WRITERS = 8
SETTLED_SECONDS = 180.0
CUT = 3
QUOTA = 24
"""Of Pods: it refuses some."""
BUDGET = {
    "name": "rate",
    "resource": "changes",
    "limit": "100000",
    "windowSeconds": 31_536_000,
}
"""Far away; and its window, of a year, is not to end."""
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet", namespaced=True)
WITNESSED = (CONFIG_MAPS, DEPLOYMENTS, PODS)
COUNTED_SECONDS = 60.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """How much, and by which chance."""

    kills: int
    writes: int
    seed: int


@dataclass(frozen=True, slots=True)
class Victim:
    """A process that is killed, and started again at once."""

    name: str
    kill: Callable[[], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--writes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="governor-kill-")))
        plane, governor = _set_up(stack, directory)
        began = time.monotonic()
        verdict, usage, tally = uvloop.run(
            _run(plane, governor, Plan(arguments.kills, arguments.writes, arguments.seed))
        )
        seconds = time.monotonic() - began
        whole = _verify(plane, governor)
        governor.kill_reconcile()
        is_cut_found = _verify_without_its_end(plane, governor)
    print(whole.stdout.strip() or whole.stderr.strip())
    print(f"without its last {CUT} commits, verify {'says so' if is_cut_found else 'IS CONTENT'}")
    for problem in tally.problems[:10]:
        print(f"PROBLEM {problem}")
    print(
        f"kills {arguments.kills}, writes {tally.done} ({tally.refused} refused by the quota, "
        f"{tally.repeated} sent again, problems {len(tally.problems)}) in {seconds:.0f} s, seed "
        f"{arguments.seed}: {verdict}; {usage}"
    )
    is_kept = verdict.holds and usage.holds and verdict.persisted and tally.refused
    is_well = whole.returncode == 0 and is_cut_found and not tally.problems
    return 0 if is_kept and is_well else 1


def _set_up(stack: ExitStack, directory: Path) -> tuple[ControlPlane, Running]:
    binaries = build.control_plane_binaries(os.environ)
    if binaries is None:
        raise SystemExit("governor-kubernetes is not built: run `make setup`")
    timeout = f"--request-timeout={REQUEST_TIMEOUT}s"
    options = Options(
        components=frozenset({Component.CONTROLLER_MANAGER}),
        extra_arguments={Component.API_SERVER: [timeout]},
    )
    plane = stack.enter_context(
        ControlPlane.start(directory / "cluster", binaries=binaries, options=options)
    )
    install_kinds(plane)
    governor = stack.enter_context(
        start_governor(
            plane.admin_kubeconfig,
            directory,
            token=plane.webhook_token,
            request_timeout=REQUEST_TIMEOUT,
        )
    )
    for body in _prepared():
        plane.kubectl("apply", "-f", "-", stdin=orjson.dumps(body).decode()).require_ok()
    ready = ("wait", "--for=condition=Ready", f"mandate/{AGENT}", "--timeout=60s")
    plane.kubectl(*ready).require_ok()
    return plane, governor


def _prepared() -> list[dict[str, object]]:
    account = {"kind": "ServiceAccount", "namespace": NAMESPACE, "name": AGENT}
    rule = {
        "apiGroups": ["", "apps"],
        "resources": ["configmaps", "deployments", "deployments/scale", "pods"],
        "verbs": ["*"],
        "namespaces": [NAMESPACE],
    }
    limits = {"quota": {"pods": str(QUOTA)}, "budgets": [BUDGET]}
    return [
        *account_with_all_rights(NAMESPACE, AGENT),
        {
            "apiVersion": "governor.dev/v1alpha1",
            "kind": "Mandate",
            "metadata": {"name": AGENT},
            "spec": {"subjects": [account], "rules": [rule], **limits},
        },
    ]


async def _run(plane: ControlPlane, governor: Running, plan: Plan) -> tuple[Verdict, Usage, Tally]:
    agent = plane.kubeconfig_for_service_account(NAMESPACE, AGENT)
    async with (
        connect(Kubeconfig(plane.admin_kubeconfig)) as admin,
        connect(Kubeconfig(agent)) as writer,
    ):
        witness = Witness(admin, NAMESPACE)
        watching = [asyncio.create_task(witness.watch(resource)) for resource in WITNESSED]
        await until(lambda: len(witness.positions) == len(watching))
        load = Load(
            writer,
            NAMESPACE,
            account=AGENT,
            writes=plan.writes,
            writers=WRITERS,
            seed=plan.seed,
        )
        await load.prepare()
        working = asyncio.create_task(load.run())
        await _kill_in_turn(_victims(plane, governor), load, plan, working=working)
        await working
        await _wait_until_settled(admin, governor)
        account, counted = await _wait_until_counted(admin)
        page = await admin.list_page(CONFIG_MAPS, namespace=NAMESPACE)
        await witness.wait_until(int(page.resource_version))
        for task in watching:
            if task.done():
                task.result()  # a blind witness proves nothing
            task.cancel()
    username = f"system:serviceaccount:{NAMESPACE}:{AGENT}"
    audited = audited_writes(plane.audit_log, username)
    records = records_of(governor.site.ledger)
    verdict = judge(witness.events, audited, records)
    usage = Usage(
        held=account.settled,
        counted=counted,
        spent=sum(window.spent for window in account.windows.values()),
        seen=changes_seen(witness.events, verdict.persisted, verdict.deleted),
        recorded=changes_recorded(records),
        most=most_pods(witness.events),
        limit=QUOTA,
    )
    return verdict, usage, load.tally


async def _wait_until_counted(admin: KubeClient) -> tuple[Account, Mapping[str, int]]:
    """The Account and a recount of what is there, when they agree, or after some time.

    Controllers may still be making and removing Pods when the agent has finished.
    """
    deadline = time.monotonic() + COUNTED_SECONDS
    store = AccountStore(admin)
    while True:
        listed = {
            resource: (await admin.list_page(resource, namespace=NAMESPACE)).items
            for resource in (DEPLOYMENTS, REPLICA_SETS, PODS)
        }
        counted = recount(
            AGENT,
            deployments=listed[DEPLOYMENTS],
            replica_sets=listed[REPLICA_SETS],
            pods=listed[PODS],
        )
        account = (await store.read(AGENT)).account
        if dict(account.settled) == counted or time.monotonic() > deadline:
            return account, counted
        await asyncio.sleep(_POLL_SECONDS)


async def _kill_in_turn(
    victims: Sequence[Victim], load: Load, plan: Plan, *, working: "asyncio.Task[None]"
) -> None:
    """Kill whenever another share of the writes is done, so that others are in flight."""
    for number in range(plan.kills):
        share = plan.writes * number // plan.kills
        await until(partial(_is_time, load, share, working))
        victim = victims[number % len(victims)]
        await asyncio.to_thread(victim.kill)
        print(f"  {load.tally.done} writes done: killed {victim.name}", flush=True)


def _is_time(load: Load, share: int, working: "asyncio.Task[None]") -> bool:
    """Whether so many writes are done, or no more will be."""
    return load.tally.done >= share or working.done()


def _victims(plane: ControlPlane, governor: Running) -> list[Victim]:
    def webhook() -> None:
        governor.kill_webhook()
        governor.restart_webhook()

    def reconciler() -> None:
        governor.kill_reconcile()
        governor.restart_reconcile()

    def etcd() -> None:
        plane.send(Component.ETCD, signal.SIGKILL)
        plane.restart(Component.ETCD)

    return [
        Victim("the webhook", webhook),
        Victim("settler and committer", reconciler),
        Victim("etcd", etcd),
    ]


async def _wait_until_settled(admin: KubeClient, governor: Running) -> None:
    """Wait until no entry is pending and no row waits."""
    deadline = time.monotonic() + SETTLED_SECONDS
    store = AccountStore(admin)
    while True:
        pending = len((await store.read(AGENT)).account.pending)
        waiting = waiting_in(governor.site.outbox)
        if not pending and not waiting:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"after {SETTLED_SECONDS:.0f} s {pending} pending, {waiting} waiting")
        await asyncio.sleep(_POLL_SECONDS)


def _verify(plane: ControlPlane, governor: Running) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            *(COMMAND, "verify", "--ledger", governor.site.ledger),
            *("--kubeconfig", plane.admin_kubeconfig),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def _verify_without_its_end(plane: ControlPlane, governor: Running) -> bool:
    """Whether verify finds that the last commits were cut off."""
    git = (which("git") or "git", "--git-dir", str(governor.site.ledger))
    ref = subprocess.run(
        (*git, "symbolic-ref", "HEAD"), capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run((*git, "update-ref", ref, f"{ref}~{CUT}"), check=True)
    return _verify(plane, governor).returncode == 1


if __name__ == "__main__":
    sys.exit(main())
