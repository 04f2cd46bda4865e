"""Leader election among contenders at the real API server, and what it says about Leases."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import pytest

from controller.clients.kube.client import KubeClient, Object
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.errors import ConflictError, NotFoundError
from controller.clients.kube.resources import LEASES, Key
from native.controlplane import ControlPlane
from reconcilers.leader import LEASE, Leadership, LeaseClient, Terms
from tests.fakes.leases import FakeLeases, LeaseStore
from tests.shifts import Shifts, until

if TYPE_CHECKING:
    from controller.apis.json import Json

pytestmark = [pytest.mark.integration, pytest.mark.requirement("fail-closed.one-leader")]

TERMS = Terms(duration=2.0, renew_deadline=1.4, retry=0.3)
SLACK = 2.0
"""For a machine that has other things to do."""


@pytest.fixture
def plane(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane with Governor's namespace, and without its Lease, before and after."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEASE.namespace}}
    made = control_plane.admin.call("POST", "/api/v1/namespaces", namespace)
    assert made.status in {201, 409}, made.text
    control_plane.admin.call("DELETE", LEASES.path(LEASE))
    yield control_plane
    control_plane.admin.call("DELETE", LEASES.path(LEASE))


@pytest.fixture
async def client(plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """A client of the administrator's."""
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as connected:
        yield connected


@contextlib.asynccontextmanager
async def competing(
    client: LeaseClient, identity: str, shifts: Shifts
) -> AsyncGenerator["asyncio.Task[None]"]:
    """One contender; ended in good order at the end of the block."""

    async def run() -> None:
        contender = Leadership(client, identity=identity, terms=TERMS)
        await contender.run_while_leading(shifts.of(identity))

    task = asyncio.create_task(run())
    try:
        yield task
    finally:
        await end(task)


async def end(task: "asyncio.Task[None]") -> None:
    """Cancel it, and wait for its end."""
    task.cancel()
    await asyncio.wait({task})


async def test_an_orderly_end_lets_the_next_one_in_at_once(client: KubeClient) -> None:
    shifts = Shifts()
    async with competing(client, "one", shifts) as one:
        await shifts.begun_by("one")
        async with competing(client, "two", shifts):
            await end(one)
            begun = await shifts.begun_by("two")
    assert begun - shifts.done[0].end < TERMS.retry + SLACK / 2
    assert shifts.overlaps() == []
    spec = cast("dict[str, Json]", (await client.get(LEASES, LEASE))["spec"])
    assert spec["holderIdentity"] == ""
    assert spec["leaseTransitions"] == 1


async def test_of_many_that_come_at_once_one_works_at_a_time(client: KubeClient) -> None:
    shifts, names = Shifts(), [f"contender-{number}" for number in range(6)]
    async with contextlib.AsyncExitStack() as stack:
        running = {
            name: await stack.enter_async_context(competing(client, name, shifts)) for name in names
        }
        while running:
            await until(lambda: bool(shifts.working))
            (working,) = shifts.working
            await end(running.pop(working))
    assert sorted(shift.worker for shift in shifts.done) == names
    assert shifts.overlaps() == []


async def test_a_lease_that_somebody_deletes_is_lost_at_the_next_renewal(
    plane: ControlPlane, client: KubeClient
) -> None:
    shifts = Shifts()
    async with competing(client, "one", shifts):
        await shifts.begun_by("one")
        assert plane.admin.call("DELETE", LEASES.path(LEASE)).ok
        deleted = time.monotonic()
        await until(lambda: bool(shifts.done))
    assert shifts.done[0].end - deleted < TERMS.retry + SLACK / 2


@contextlib.asynccontextmanager
async def a_process(
    plane: ControlPlane, repository: Path
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A contender that works already, in a process of its own; killed at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.contender", str(plane.admin_kubeconfig)),
        *(str(each) for each in (TERMS.duration, TERMS.renew_deadline, TERMS.retry)),
        stdout=asyncio.subprocess.PIPE,
        cwd=repository,
    )
    try:
        assert (await said(process)).startswith("begun")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def said(process: asyncio.subprocess.Process) -> str:
    """Its next line."""
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode()


async def test_a_killed_leader_is_succeeded_within_the_duration_and_a_retry(
    plane: ControlPlane, client: KubeClient, repository: Path
) -> None:
    shifts, last = Shifts(), ""
    async with a_process(plane, repository) as process, competing(client, "next", shifts):
        until_then = time.monotonic() + TERMS.duration * 1.5
        while time.monotonic() < until_then:
            last = await said(process)
            assert shifts.working == []
        process.send_signal(signal.SIGKILL)
        lost = time.monotonic()
        begun = await shifts.begun_by("next")
        while line := await said(process):
            last = line
    assert float(last.split()[-1]) < begun
    assert begun - lost < TERMS.duration + TERMS.retry + SLACK


async def test_a_stopped_leader_ends_its_work_when_it_wakes(
    plane: ControlPlane, client: KubeClient, repository: Path
) -> None:
    """What no deadline of its own can prevent: it did not run when it should have ended."""
    shifts = Shifts()
    async with a_process(plane, repository) as process, competing(client, "next", shifts):
        process.send_signal(signal.SIGSTOP)
        await shifts.begun_by("next")
        woken = time.monotonic()
        process.send_signal(signal.SIGCONT)
        while not (line := await said(process)).startswith("ended"):
            assert line
        assert float(line.split()[1]) - woken < TERMS.retry + SLACK
        assert shifts.working == ["next"]


def a_lease(name: str) -> Object:
    """One that nobody holds."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": LEASE.namespace, "name": name},
        "spec": {"holderIdentity": ""},
    }


@pytest.fixture(params=["real", "fake"])
async def leases(request: pytest.FixtureRequest, client: KubeClient) -> LeaseClient:
    """The API server, and what stands for it in the unit tests."""
    return client if request.param == "real" else FakeLeases(LeaseStore())


async def test_the_port_keeps_versions_as_the_api_server_does(leases: LeaseClient) -> None:
    name = f"contract-{uuid4().hex[:10]}"
    key = Key(LEASE.namespace, name)
    with pytest.raises(NotFoundError):
        await leases.get(LEASES, key)
    created = await leases.create(LEASES, a_lease(name))
    with pytest.raises(ConflictError):
        await leases.create(LEASES, a_lease(name))
    spec: dict[str, Json] = {"holderIdentity": "one"}
    replaced = await leases.replace(LEASES, {**created, "spec": spec})
    assert (await leases.get(LEASES, key))["spec"] == spec == replaced["spec"]
    with pytest.raises(ConflictError):
        await leases.replace(LEASES, {**created, "spec": {"holderIdentity": "two"}})
    replaced["metadata"] = {**cast("dict[str, Json]", replaced["metadata"]), "name": f"{name}-gone"}
    with pytest.raises(ConflictError):
        await leases.replace(LEASES, replaced)
