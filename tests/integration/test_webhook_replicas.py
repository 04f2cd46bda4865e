"""Three webhook processes on one port of a real cluster: they come, go and die, and no write fails.

The agent's writes are HTTP requests like any client's, sent once: what is counted is what
the API server answered.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from controller.feeds.peers import ADDRESS, LABEL
from controller.registration.priority import NAMESPACE
from native.api import Answer
from native.components import Binaries
from tests.governed import Cluster, TestAgent, governed_cluster, new_agent
from tests.waiting import eventually
from tests.writers import Hand, Scene, a_configmap, set_scene
from webhooks.preference import preferred_writer

pytestmark = pytest.mark.integration

PROCESSES = 3
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
CHANGES = 40
"""Of one agent's budget, in one test."""


@pytest.fixture(scope="module")
def trio(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of these tests' own."""
    directory = tmp_path_factory.mktemp("trio")
    with governed_cluster(directory, binaries, webhooks=PROCESSES) as cluster:
        wait_complete(cluster)
        yield cluster


@pytest.fixture
def agent(trio: Cluster) -> TestAgent:
    """An agent of that cluster."""
    return new_agent(trio)


def announced(cluster: Cluster) -> dict[str, str]:
    """The processes that told of themselves, and where they are reached."""
    answer = cluster.plane.admin.call("GET", f"{LEASES}?labelSelector={LABEL}%3Dwebhook")
    metadata = [item["metadata"] for item in answer.json["items"]]
    return {one["name"]: one["annotations"][ADDRESS] for one in metadata}


def names(cluster: Cluster) -> list[str]:
    """How each process calls itself, in the order of their numbers; empty before it does."""
    logs = [webhook.log.read_text(encoding="utf-8") for webhook in cluster.governor.webhooks]
    return [name_in(log) for log in logs]


def name_in(log: str) -> str:
    """The last one: a process that is started anew goes on in the same log."""
    said = [line for line in log.splitlines() if '"event":"peering"' in line]
    return str(json.loads(said[-1])["name"]) if said else ""


def wait_complete(cluster: Cluster) -> None:
    """Wait until every process is ready and known to the others."""

    def is_complete() -> bool:
        return {*names(cluster)} <= announced(cluster).keys()

    eventually(is_complete, "every process is known", within_seconds=90)


@dataclass
class Asking:
    """Several clients of one agent that write all the time."""

    hand: Hand
    clients: int = 6
    answers: list[Answer] = field(default_factory=list[Answer])
    faults: list[Exception] = field(default_factory=list[Exception])
    numbers: Iterator[int] = field(default_factory=count)
    is_over: threading.Event = field(default_factory=threading.Event)

    def body(self, number: int) -> dict[str, Any]:
        """What the `number`th write creates."""
        return a_configmap(f"written-{number}", number=str(number))

    @contextmanager
    def running(self) -> Generator[None]:
        """Ask for as long as the block lasts."""
        threads = [threading.Thread(target=self._ask) for _ in range(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.is_over.set()
            for thread in threads:
                thread.join(60)
        if self.faults:
            raise self.faults[0]

    def _ask(self) -> None:
        while not self.is_over.is_set():
            try:
                self.answers.append(self.hand.create(self.body(next(self.numbers))))
            except Exception as fault:  # noqa: BLE001 -- raised by the test, not by its thread
                self.faults.append(fault)
                return

    def wait_for(self, more: int) -> None:
        """Wait until so many more are answered."""
        enough = len(self.answers) + more
        eventually(lambda: len(self.answers) >= enough or self.faults, f"{more} more answers")

    @property
    def statuses(self) -> Counter[int]:
        """How the writes came out, and what is told where they did not."""
        return Counter(answer.status for answer in self.answers)

    @property
    def refused(self) -> list[str]:
        """What the API server told of those that failed."""
        return [answer.text for answer in self.answers if not answer.ok]


def test_several_processes_are_asked_and_forward_to_the_preferred_writer(
    trio: Cluster, agent: TestAgent
) -> None:
    scene = set_scene(trio, agent)
    known = names(trio)
    writer = preferred_writer(agent.name, known)
    asking = Asking(scene.ours, clients=16)
    with asking.running():
        asking.wait_for(300)

    assert asking.statuses.keys() == {201}, asking.refused[:3]
    asked = {name for name in known if logged(trio, name, about="reviewed", of=agent)}
    # The kernel spreads connections, not requests, and the API server keeps its connections.
    assert len(asked) > 1
    port = announced(trio)[str(writer)].rpartition(":")[2]
    for name in asked - {writer}:
        assert f'"port":{port}' in logged(trio, name, about="connected to a peer")
        assert not logged(trio, name, about="not forwarded", of=agent)


def logged(cluster: Cluster, name: str, *, about: str, of: TestAgent | None = None) -> str:
    """The lines of one process about one thing, and one agent."""
    webhook = cluster.governor.webhooks[names(cluster).index(name)]
    lines = webhook.log.read_text(encoding="utf-8").splitlines()
    about_it = [line for line in lines if f'"event":"{about}"' in line]
    return "\n".join(line for line in about_it if of is None or of.name in line)


@pytest.mark.requirement("fail-closed.drained")
def test_processes_are_restarted_in_turn_and_no_write_fails(
    trio: Cluster, agent: TestAgent
) -> None:
    scene = set_scene(trio, agent)
    asking = Asking(scene.ours, clients=3)
    with asking.running():
        for number in range(PROCESSES):
            asking.wait_for(30)
            assert trio.governor.stop_webhook(number) == 0
            asking.wait_for(30)
            trio.governor.restart_webhook(number)
            wait_complete(trio)
        asking.wait_for(30)

    assert asking.statuses.keys() == {201}, asking.refused[:3]
    assert len(scene.records("written-0")) == 1


@pytest.mark.requirement("never-oversold.protocol")
@pytest.mark.requirement("never-oversold.forwarded")
def test_when_the_preferred_writer_is_killed_writes_go_on_and_the_budget_holds(
    trio: Cluster, agent: TestAgent
) -> None:
    budget = {"name": "rate", "resource": "changes", "limit": str(CHANGES), "windowSeconds": 86400}
    scene = set_scene(trio, agent, budgets=[budget])
    killed = kill_preferred_writer_while_asking(scene)
    granted = killed.statuses[201]
    exhausted = [text for text in killed.refused if "budget-exceeded" in text]
    assert exhausted, killed.refused[-3:]
    stored = objects_of(scene)
    assert stored <= CHANGES
    assert granted <= stored


def kill_preferred_writer_while_asking(scene: Scene) -> Asking:
    """Until the budget is used up."""
    cluster = scene.cluster
    known = names(cluster)
    number = known.index(str(preferred_writer(scene.agent.name, known)))
    asking = Asking(scene.ours)
    with asking.running():
        asking.wait_for(5)
        cluster.governor.kill_webhook(number)
        killed_at = time.monotonic()
        asking.wait_for(5)
        assert time.monotonic() - killed_at < 10
        eventually(lambda: "budget-exceeded" in "".join(asking.refused), "the budget is used up")
    cluster.governor.restart_webhook(number)
    return asking


def objects_of(scene: Scene) -> int:
    """How many objects the agent has created."""
    listed = scene.theirs.api.call("GET", scene.ours.path("ConfigMap"))
    return sum(item["metadata"]["name"].startswith("written-") for item in listed.json["items"])
