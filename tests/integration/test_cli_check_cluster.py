"""What `governor check` says of manifests is what a governed cluster then says to the agent.

The mandates are those that the cluster stores, as kubectl exports them.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.cli.verdicts import UNRECORDED
from tests.governed import Answered, Cluster, TestAgent, new_agent

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
_CHANGE = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b")
_GENERATED = re.compile(r"(?<=made-)[a-z0-9]{5}\b")


@dataclass(frozen=True, slots=True)
class Both:
    """One agent, asked for on the cluster and offline."""

    agent: TestAgent
    folder: Path

    def file(self, name: str, body: Mapping[str, Any]) -> Path:
        """A manifest as an agent would propose it."""
        path = self.folder / name
        path.write_text(yaml.safe_dump(body), encoding="utf-8")
        return path

    def stored(self, kind: str, *names: str) -> Path:
        """As an administrator's kubectl exports it."""
        plane = self.agent.cluster.plane
        done = plane.kubectl("get", kind, *names, "-n", self.agent.name, "-o", "yaml")
        path = self.folder / f"stored-{kind}.yaml"
        path.write_text(done.require_ok().stdout, encoding="utf-8")
        return path

    def offline(self, *arguments: str | Path) -> list[dict[str, Any]]:
        """What is said without the cluster, by its mandates of now."""
        mandates = ("--mandates", self.stored("mandates"), "--policies", REPOSITORY / "policies")
        who = ("--as", self.agent.name, "--namespace", self.agent.name, "--output", "json")
        command = [sys.executable, "-m", "controller", "check", *arguments, *mandates, *who]
        ended = subprocess.run(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "GOVERNOR_ENGINE_TIMEOUT_SECONDS": "20"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode in {0, 1}, ended.stderr
        found: list[dict[str, Any]] = json.loads(ended.stdout)
        return found


@pytest.fixture(scope="module")
def both(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """An agent that may make Deployments and `made-` Jobs, and change the data of settings."""
    agent = new_agent(cluster)
    everywhere = {"namespaces": [agent.name]}
    agent.set_mandate(
        rules=[
            {
                "apiGroups": ["apps"],
                "resources": ["deployments"],
                "verbs": ["create", "update", "patch"],
                **everywhere,
            },
            {
                "apiGroups": ["batch"],
                "resources": ["jobs"],
                "verbs": ["create"],
                "resourceNames": ["made-*"],
                **everywhere,
            },
            {
                "apiGroups": [""],
                "resources": ["configmaps"],
                "verbs": ["update", "patch"],
                "resourceNames": ["settings-*"],
                "fields": ["data"],
                **everywhere,
            },
        ]
    )
    # Created, not applied: kubectl keeps an annotation in step on what was once applied.
    for body in (an_object("ConfigMap", data={"mode": "dark"}), DEPLOYMENT):
        command = ("create", "-n", agent.name, "-f", "-")
        cluster.plane.kubectl(*command, stdin=yaml.safe_dump(body)).require_ok()
    return Both(agent, tmp_path_factory.mktemp("both"))


def said(answered: Answered) -> str | None:
    """The denial on the cluster, without what is particular to one attempt."""
    if answered.passed:
        return None
    text = answered.completed.stderr.strip()
    denial = text[text.index("governor: denied") :]
    return _GENERATED.sub("xxxxx", _CHANGE.sub(UNRECORDED, denial))


def a_pod_spec() -> dict[str, Any]:
    return {"restartPolicy": "Never", "containers": [{"name": "a", "image": "example.com/a:1"}]}


def a_job(**metadata: str) -> dict[str, Any]:
    template = {"spec": a_pod_spec()}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {"template": template},
    }


def an_object(kind: str, *, api_version: str = "v1", **fields: object) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "settings-a"}, **fields}


DEPLOYMENT = an_object(
    "Deployment",
    api_version="apps/v1",
    spec={
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "a", "image": "example.com/a:1"}]},
        },
    },
)
ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
CREATES: dict[str, tuple[dict[str, Any], str | None]] = {
    "a Deployment": ({**DEPLOYMENT, "metadata": {"name": "web"}}, None),
    "a Job by a granted name": (a_job(generateName="made-"), None),
    "a Job by another name": (a_job(name="other"), "name-not-granted"),
    "a Secret": (an_object("Secret", stringData={"a": "b"}), "kind-not-granted"),
    "a ConfigMap": (
        {**an_object("ConfigMap", data={"a": "b"}), "metadata": {"name": "settings-b"}},
        "verb-not-granted",
    ),
    "a Deployment elsewhere": (
        {**DEPLOYMENT, "metadata": {"name": "web", "namespace": "default"}},
        "namespace-not-granted",
    ),
    "a Namespace": (an_object("Namespace"), "protected-kind"),
    "a RoleBinding": (
        an_object("RoleBinding", api_version="rbac.authorization.k8s.io/v1", roleRef=ROLE_REF),
        "protected-kind",
    ),
    "a Mandate": (
        an_object(
            "Mandate",
            api_version="governor.dev/v1alpha1",
            spec={"subjects": [{"kind": "User", "name": "somebody@example.com"}]},
        ),
        "protected-kind",
    ),
}


@pytest.fixture(scope="module")
def offline_creates(both: Both) -> Mapping[str, dict[str, Any]]:
    folder = both.folder / "creates"
    folder.mkdir()
    for name, (body, _) in CREATES.items():
        both.file(f"creates/{name}.yaml", body)
    return {Path(entry["file"]).stem: entry for entry in both.offline("-f", folder)}


def codes(entry: Mapping[str, Any]) -> Sequence[str]:
    return [denial["code"] for denial in entry["denials"]]


@pytest.mark.requirement("same-judge.offline")
@pytest.mark.parametrize(
    ("name", "code"), [pytest.param(name, case[1], id=name) for name, case in CREATES.items()]
)
def test_a_create_is_judged_offline_as_on_the_cluster(
    name: str, code: str | None, both: Both, offline_creates: Mapping[str, dict[str, Any]]
) -> None:
    sent = yaml.safe_dump(CREATES[name][0])
    elsewhere = () if "elsewhere" not in name else ("-n", "default")
    live = both.agent.kubectl("create", "--dry-run=server", *elsewhere, "-f", "-", stdin=sent)
    entry = offline_creates[name]
    assert live.code == code
    assert codes(entry) == ([] if code is None else [code])
    assert entry["message"] == said(live)


@pytest.mark.requirement("same-judge.offline")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"data": {"mode": "light"}}, None, id="of a granted field"),
        pytest.param({"immutable": True}, "field-not-granted", id="of another field"),
    ],
)
def test_an_update_is_judged_offline_as_on_the_cluster(
    change: dict[str, Any], code: str | None, both: Both
) -> None:
    old = both.stored("configmap", "settings-a")
    new = {**yaml.safe_load(old.read_text(encoding="utf-8")), **change}
    live = both.agent.kubectl("replace", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(new))
    (entry,) = both.offline("-f", both.file("new.yaml", new), "--old", old)
    assert live.code == code
    assert codes(entry) == ([] if code is None else [code])
    assert entry["message"] == said(live)


@pytest.mark.requirement("same-judge.offline")
def test_a_delete_is_judged_offline_as_on_the_cluster(both: Both) -> None:
    live = both.agent.kubectl("delete", "--dry-run=server", "deployment", "settings-a")
    (entry,) = both.offline("-f", both.stored("deployment", "settings-a"), "--operation", "delete")
    assert live.code == "verb-not-granted"
    assert codes(entry) == ["verb-not-granted"]
    assert entry["message"] == said(live)
