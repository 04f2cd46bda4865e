"""What breaks around the webhook: agents are refused and told why, others pass, nothing is lost.

Each fault is real: a file that may not grow, an object that is gone, a cut connection, a
ledger that is not there. Each is mended at the end, and writes pass again.
"""

import asyncio
import json
import resource
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest

from controller.accounts.account import MAX_PENDING
from native.api import Answer
from native.components import Binaries
from tests.governed import Cluster, governed_cluster, new_agent
from tests.outages import Gate
from tests.waiting import eventually
from tests.writers import Scene, a_configmap, ok, set_scene

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def fragile(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A governed cluster of these tests' own."""
    with governed_cluster(tmp_path_factory.mktemp("fragile"), binaries) as cluster:
        yield cluster


@pytest.fixture
def scene(fragile: Cluster) -> Scene:
    """An agent of that cluster."""
    return set_scene(fragile, new_agent(fragile))


def assert_refused(answer: Answer, *words: str) -> None:
    assert not answer.ok, answer.text
    missing = [word for word in words if word not in answer.text]
    assert missing == [], answer.text


def assert_postponed(scene: Scene, answer: Answer, reason: str) -> None:
    """The API server asked again until its time was over, and does not say what it was told."""
    assert_refused(answer, "failed calling webhook")
    log = scene.cluster.governor.webhook.log.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in log.splitlines() if '"Postponed"' in line]
    reasons = [line["reason"] for line in lines if f"{scene.agent.name}:" in line["user"]]
    assert reason in reasons[-1]


def passes(scene: Scene, name: str) -> None:
    """Wait until the agent's writes pass again."""
    eventually(lambda: scene.ours.create(a_configmap(name)).ok, f"{name} passes", within_seconds=60)


@contextmanager
def no_file_may_grow(pid: int) -> Generator[None, None, None]:
    """For one process: a full disk, which root meets too."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
@pytest.mark.requirement("record-before-effect.reserved-first")
def test_a_full_disk_refuses_agents_names_the_place_and_touches_nobody_else(scene: Scene) -> None:
    governor = scene.cluster.governor
    with no_file_may_grow(governor.webhook.pid):
        refused = [scene.ours.create(a_configmap(f"web-{number}")) for number in range(3)]
        theirs = scene.theirs.create(a_configmap("theirs"))
        reasoned = a_configmap("reasoned")
        reasoned["metadata"]["annotations"] = {"governor.dev/reason": "why not"}
        unkept = scene.ours.create(reasoned)
    assert [answer.status for answer in refused] == [403] * 3
    for answer in refused:
        assert_refused(answer, "denied [record-failed]", str(governor.site.outbox), "free space")
    assert_refused(unkept, str(governor.site.outbox))
    assert theirs.ok, "a person's write needs no record"
    assert scene.pending() == []
    passes(scene, "after")
    assert {one["request"]["name"] for one in scene.settled_records("after")} == {"after"}


@pytest.mark.requirement("record-before-effect.reserved-first")
def test_without_its_account_an_agent_is_refused_until_there_is_one_again(scene: Scene) -> None:
    governor, admin = scene.cluster.governor, scene.cluster.plane.admin
    governor.reconcile.stop(grace_seconds=10)
    try:
        path = f"/apis/governor.dev/v1alpha1/accounts/{scene.agent.name}"
        assert admin.call("DELETE", path).ok
        refused = scene.ours.create(a_configmap("web"))
        assert_postponed(scene, refused, f"the account of {scene.agent.name} is not there")
        assert scene.theirs.create(a_configmap("theirs")).ok
    finally:
        governor.restart_reconcile()
    passes(scene, "after")
    assert [one["outcome"] for one in scene.settled_records("after")][-1] == "persisted"


class GateThread:
    """A gate in a thread of its own, for tests that block."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._gate = Gate(port)
        self.port = asyncio.run_coroutine_threadsafe(self._gate.start(), self._loop).result(10)

    def close(self) -> None:
        """Break every connection, and take none."""
        self._loop.call_soon_threadsafe(self._gate.close)

    def open(self) -> None:
        """Take connections again."""
        self._loop.call_soon_threadsafe(self._gate.open)

    def stop(self) -> None:
        """End for good."""
        asyncio.run_coroutine_threadsafe(self._gate.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@contextmanager
def behind_a_gate(cluster: Cluster) -> Generator[GateThread, None, None]:
    """The webhook reaches the API server through it; the reconciling process does not."""
    governor, plane = cluster.governor, cluster.plane
    gate = GateThread(plane.site.ports.api_server)
    kubeconfig = governor.site.directory / "gated.yaml"
    direct = governor.site.kubeconfig.read_text(encoding="utf-8")
    kubeconfig.write_text(direct.replace(plane.url, f"https://127.0.0.1:{gate.port}"), "utf-8")
    governor.kill_webhook()
    governor.webhook = replace(governor.site, kubeconfig=kubeconfig).start_webhook()
    cluster.wait_ready()
    try:
        yield gate
    finally:
        governor.kill_webhook()
        governor.restart_webhook()
        gate.stop()
        cluster.wait_ready()


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
@pytest.mark.requirement("record-before-effect.reserved-first")
def test_a_webhook_that_cannot_reach_the_api_server_refuses_agents_only(fragile: Cluster) -> None:
    scene = set_scene(fragile, new_agent(fragile))
    with behind_a_gate(fragile) as gate:
        passes(scene, "before")
        gate.close()
        assert_refused(scene.ours.create(a_configmap("web")), "failed calling webhook")
        assert scene.theirs.create(a_configmap("theirs")).ok
        assert scene.theirs.api.call("GET", scene.theirs.path("ConfigMap", "web")).status == 404
        gate.open()
        passes(scene, "after")
    names = [one["request"]["name"] for one in scene.settled_records("after")]
    assert names == ["after"]


@pytest.mark.requirement("record-before-effect.committed-once")
@pytest.mark.requirement("fail-closed.overload")
def test_a_ledger_that_is_not_there_holds_up_agents_once_their_list_is_full_and_loses_nothing(
    scene: Scene,
) -> None:
    ledger = scene.cluster.governor.site.ledger
    scene.ours.create(a_configmap("first"))
    scene.settled_records("first")
    aside = ledger.with_suffix(".aside")
    ledger.rename(aside)
    try:
        ledger.write_text("no repository", encoding="utf-8")
        with ThreadPoolExecutor(8) as pool:
            bodies = [a_configmap(f"web-{number}") for number in range(MAX_PENDING)]
            made = [ok(answer) for answer in pool.map(scene.ours.create, bodies)]
        assert len(scene.pending()) == MAX_PENDING
        assert_postponed(scene, scene.ours.create(a_configmap("beyond")), "LedgerBacklog")
        assert scene.theirs.create(a_configmap("theirs")).ok
        assert scene.theirs.api.call("GET", scene.theirs.path("ConfigMap", "beyond")).status == 404
    finally:
        ledger.unlink()
        aside.rename(ledger)
    passes(scene, "after")
    scene.settled_records("after")
    mine = [one for one in scene.all_of_agent() if one["type"] == "write"]
    outcomes = {one["object"]["uid"]: one["outcome"] for one in mine}
    stored = {one["metadata"]["uid"] for one in made}
    assert {outcomes.get(uid) for uid in stored} == {"persisted"}
    assert len(mine) == len(outcomes) == MAX_PENDING + 2, "each once, with the first and the last"
