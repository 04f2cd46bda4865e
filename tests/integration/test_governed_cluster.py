"""A real cluster with Governor running: what agents get, and what nobody else feels.

The processes are started as users start them, agents act with real tokens
through kubectl, and the truth is read back by an administrator.
"""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.policy.guards import PROTECTED_KINDS
from tests.governed import Cluster, TestAgent
from tests.waiting import eventually
from tour.governor import Site

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
WRITES_WHILE_DEAD = 20
PROTECTED_KINDS_SAMPLES = Path(__file__).with_name("data") / "protected_kinds.yaml"
UNASKED_GROUPS = {
    "admissionregistration.k8s.io",  # the API server asks no webhook about it
    "internal.apiserver.k8s.io",  # its one kind is not served by default
    "storagemigration.k8s.io",  # likewise
    "certificates.k8s.io",  # a request needs a signature made for it: its guard has unit tests
}


def names(cluster: Cluster, kind: str, namespace: str) -> str:
    return cluster.plane.kubectl("get", kind, "-n", namespace, "-o", "name").require_ok().stdout


@pytest.mark.requirement("fail-closed.permissions")
def test_what_the_mandate_grants_is_persisted_and_what_it_does_not_is_not(
    cluster: Cluster, agent: TestAgent
) -> None:
    assert agent.create_deployment("web").passed
    assert agent.kubectl("create", "configmap", "web").code == "kind-not-granted"
    assert names(cluster, "deployments", agent.name) == "deployment.apps/web\n"
    assert "configmap/web" not in names(cluster, "configmaps", agent.name)


@pytest.mark.requirement("explains-itself.contract")
def test_a_denial_reaches_the_agent_with_every_part_of_the_contract(agent: TestAgent) -> None:
    denial = agent.create_deployment("web", "-n", "default").denial
    assert {
        "code": "namespace-not-granted",
        "field": "metadata.namespace",
        "asked": "default",
        "limit": [agent.name],
        "remaining": None,
        "passes": agent.name,
        "retry": False,
    }.items() <= denial.items()


@pytest.mark.requirement("explains-itself.passing-value")
def test_the_namespace_that_a_denial_says_would_pass_passes(agent: TestAgent) -> None:
    passes = agent.create_deployment("web", "-n", "default").denial["passes"]
    assert agent.create_deployment("web", "-n", str(passes)).passed


@pytest.mark.parametrize(
    ("rule", "asked", "code"),
    [
        pytest.param(
            {"resourceNames": ["web-*"]},
            ("create", "deployment", "other", "--image=x"),
            "name-not-granted",
            id="a name outside the rule",
        ),
        pytest.param(
            {"verbs": ["update"]},
            ("create", "deployment", "web", "--image=x"),
            "verb-not-granted",
            id="a verb outside the rule",
        ),
        pytest.param(
            {"fields": ["spec.replicas"], "verbs": ["get", "update", "patch"]},
            ("set", "image", "deployment/old", "*=example.com/none:2"),
            "field-not-granted",
            id="a field outside the rule",
        ),
        pytest.param(
            {"resources": ["deployments"]},
            ("scale", "deployment", "old", "--replicas=2"),
            "kind-not-granted",
            id="a subresource that the rule does not name",
        ),
    ],
)
def test_each_part_of_a_rule_refuses(
    agent: TestAgent, rule: dict[str, Any], asked: tuple[str, ...], code: str
) -> None:
    assert agent.create_deployment("old").passed
    whole = {
        "apiGroups": ["apps"],
        "resources": ["deployments"],
        "verbs": ["*"],
        "namespaces": [agent.name],
    }
    agent.set_mandate(rules=[{**whole, **rule}])
    agent.eventually_answers(code, *asked)
    assert agent.kubectl(*asked).code == code


@pytest.mark.requirement("fail-closed.guards")
@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (("patch", "mandate", "{me}", "--type=merge", "-p", '{"spec":{}}'), "protected-kind"),
        (("create", "clusterrole", "more", "--verb=*", "--resource=*"), "protected-kind"),
        (("create", "namespace", "elsewhere"), "protected-kind"),
        (("create", "token", "{me}"), "protected-kind"),
        (("create", "configmap", "x", "-n", "kube-system"), "protected-namespace"),
    ],
    ids=["its own mandate", "RBAC", "a namespace", "a token", "kube-system"],
)
def test_guards_refuse_whatever_the_mandate_grants(
    shadow: TestAgent, asked: tuple[str, ...], code: str
) -> None:
    assert shadow.kubectl(*(part.replace("{me}", shadow.name) for part in asked)).code == code


@pytest.fixture
def shadow(agent: TestAgent) -> TestAgent:
    """An agent that may do everything: only guards are left to refuse it."""
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    agent.set_mandate(rules=[everything, {**everything, "namespaces": ["*"]}], enforcement="Shadow")
    agent.eventually_answers(None, "create", "configmap", "probe")
    return agent


@pytest.mark.requirement("fail-closed.guards")
def test_every_protected_kind_that_the_api_server_asks_about_is_refused(shadow: TestAgent) -> None:
    """All but admission configuration, about which it asks no webhook (docs/architecture.md)."""
    wrong: list[str] = []
    groups: set[str] = set()
    documents: list[dict[str, Any]] = list(
        yaml.safe_load_all(PROTECTED_KINDS_SAMPLES.read_text(encoding="utf-8"))
    )
    for document in documents:
        groups.add(document["apiVersion"].rpartition("/")[0])
        text = yaml.safe_dump(document)
        answered = shadow.kubectl("create", "--dry-run=server", "-f", "-", stdin=text)
        if answered.passed or "denied [protected-kind]" not in answered.completed.stderr:
            said = answered.completed.stdout + answered.completed.stderr
            wrong.append(f"{document['kind']}: {said}")
    assert wrong == []
    assert groups == PROTECTED_KINDS.keys() - UNASKED_GROUPS


@pytest.mark.requirement("explains-itself.relaxed")
def test_warn_grants_with_a_warning_and_shadow_in_silence(agent: TestAgent) -> None:
    agent.set_mandate(enforcement="Warn")
    agent.eventually_answers(None, "create", "configmap", "probe")
    warned = agent.kubectl("create", "configmap", "warned")
    assert warned.passed
    assert "would be denied [kind-not-granted]" in warned.completed.stderr
    agent.set_mandate(enforcement="Shadow")
    eventually(
        lambda: (
            "would be denied"
            not in agent.kubectl("create", "configmap", "p", "--dry-run=server").completed.stderr
        ),
        "Shadow says nothing",
    )
    assert agent.kubectl("create", "configmap", "shadowed").passed


@pytest.mark.requirement("dry-run-clean.true-verdict")
def test_a_dry_run_gets_the_verdict_of_the_write_and_stores_nothing(
    cluster: Cluster, agent: TestAgent
) -> None:
    assert agent.create_deployment("web", "--dry-run=server").passed
    assert agent.create_deployment("web", "--dry-run=server", "-n", "default").code == (
        "namespace-not-granted"
    )
    assert names(cluster, "deployments", agent.name) == ""


@pytest.mark.requirement("fail-closed.guards")
def test_a_suspended_agent_writes_nothing_until_it_is_resumed(agent: TestAgent) -> None:
    agent.set_mandate(suspend=True)
    agent.eventually_answers("suspended", "create", "deployment", "web", "--image=x")
    assert agent.create_deployment("web").code == "suspended"
    agent.set_mandate()
    agent.eventually_answers(None, "create", "deployment", "web", "--image=x")
    assert agent.create_deployment("web").passed


@pytest.mark.requirement("fail-closed.unclear-identity")
def test_a_subject_of_two_mandates_is_refused_and_both_say_so(
    cluster: Cluster, agent: TestAgent
) -> None:
    rival = {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {"name": f"rival-{agent.name}"},
        "spec": {
            "subjects": [{"kind": "ServiceAccount", "namespace": agent.name, "name": agent.name}]
        },
    }
    cluster.apply(rival).require_ok()
    agent.eventually_answers("subject-conflict", "create", "deployment", "web", "--image=x")
    for mandate in (agent.name, f"rival-{agent.name}"):
        waited = cluster.plane.kubectl(
            "wait", "--for=condition=Conflict", f"mandate/{mandate}", "--timeout=20s"
        )
        assert waited.ok, waited.stderr


@pytest.mark.requirement("fail-closed.unclear-identity")
def test_a_stray_account_of_a_dedicated_namespace_is_refused(
    cluster: Cluster, agent: TestAgent
) -> None:
    governance = {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Governance",
        "metadata": {"name": "cluster"},
        "spec": {"dedicatedNamespaces": [agent.name]},
    }
    cluster.apply(governance).require_ok()
    stray = TestAgent(cluster, agent.name)
    kubeconfig = cluster.plane.kubeconfig_for_service_account(agent.name, "default")
    cluster.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "stray", "namespace": stray.name},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "admin",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": stray.name}],
        }
    ).require_ok()

    def is_refused() -> bool:
        asked = ("create", "configmap", "x", "-n", stray.name, "--dry-run=server")
        return "unregistered-agent" in cluster.plane.kubectl(*asked, kubeconfig=kubeconfig).stderr

    eventually(is_refused, "the stray account is refused")


@pytest.mark.requirement("fail-closed.authenticated-identity")
def test_an_administrator_who_impersonates_an_agent_is_judged_as_the_agent(
    cluster: Cluster, agent: TestAgent
) -> None:
    asked = ("create", "configmap", "x", "-n", agent.name, f"--as={agent.username}")
    as_somebody = cluster.as_administrator(*asked, "--as-group=system:masters")
    assert as_somebody.code == "kind-not-granted"


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
def test_people_are_not_asked_about_in_the_agents_own_namespace(
    cluster: Cluster, agent: TestAgent
) -> None:
    created = cluster.as_administrator("create", "configmap", "mine", "-n", agent.name)
    assert created.passed
    assert "governor" not in created.completed.stderr


@pytest.mark.requirement("fail-closed.internal-fault")
@pytest.mark.requirement("fail-closed.ungoverned-untouched")
def test_with_the_webhook_dead_agents_are_refused_and_others_feel_nothing(
    cluster: Cluster, agent: TestAgent
) -> None:
    cluster.governor.kill_webhook()
    try:
        refused = [agent.create_deployment(f"d-{n}") for n in range(WRITES_WHILE_DEAD)]
        assert not any(one.passed for one in refused)
        assert all("failed calling webhook" in one.completed.stderr for one in refused)
        for number in range(WRITES_WHILE_DEAD):
            name = f"mine-{number}"
            assert cluster.as_administrator("create", "configmap", name, "-n", agent.name).passed
        agent.set_mandate(suspend=True)  # the kill switch does not depend on the webhook
    finally:
        cluster.governor.restart_webhook()
        cluster.wait_ready()
    assert agent.create_deployment("web").code == "suspended"


@pytest.mark.requirement("fail-closed.registration")
def test_a_registration_that_somebody_deletes_comes_back(
    cluster: Cluster, agent: TestAgent
) -> None:
    registration = ("validatingwebhookconfiguration", "governor-subject")
    assert cluster.as_administrator("delete", *registration).passed
    eventually(lambda: cluster.as_administrator("get", *registration).passed, "it is back")
    # The API server may need a moment to read it; from then on the agent is refused.
    agent.eventually_answers("kind-not-granted", "create", "configmap", "x")


@pytest.mark.requirement("fail-closed.engine-contained")
def test_killing_the_engine_grants_nothing_and_heals(cluster: Cluster, agent: TestAgent) -> None:
    for _ in range(3):
        os.kill(engine_pid(cluster), signal.SIGKILL)
        assert not agent.kubectl("create", "configmap", "x").passed
    eventually(lambda: agent.create_deployment("web").passed, "the agent is served again")


def engine_pid(cluster: Cluster) -> int:
    """The engine's process, the only child of the webhook's, once there is one."""
    tasks = Path(f"/proc/{cluster.governor.webhook.pid}/task")

    def children() -> list[int]:
        return [
            int(pid)
            for task in tasks.iterdir()
            for pid in (task / "children").read_text(encoding="ascii").split()
        ]

    return eventually(children, "the engine runs")[0]


def test_a_policy_that_does_not_compile_stops_the_start_and_says_where(
    cluster: Cluster, tmp_path: Path
) -> None:
    policies = tmp_path / "policies" / "governor" / "broken"
    policies.mkdir(parents=True)
    (policies / "broken.rego").write_text("package governor.broken\n\ndeny contains x if {")
    site = Site.draw(cluster.plane.admin_kubeconfig, tmp_path, policies=tmp_path / "policies")
    webhook = site.start_webhook()
    assert webhook.wait(30) == 2
    assert "governor/broken/broken.rego:3" in webhook.tail()
