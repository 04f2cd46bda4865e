"""`governor suspend` and `governor resume` against a real API server, and a real Governor."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from controller.cli.suspend import FIELD_MANAGER, resume, suspend
from native.controlplane import ControlPlane
from tests.governed import Cluster, TestAgent
from tour.governor import COMMAND

pytestmark = pytest.mark.integration

Switch = Callable[..., Result]


# --- what is stored: no Governor runs here -----------------------------------------------------


@pytest.fixture
def plane(control_plane: ControlPlane, repository: Path) -> ControlPlane:
    """The control plane with our kinds, and nobody who acts on them."""
    crds = repository / "manifests" / "crds"
    control_plane.kubectl("apply", "--server-side", "-f", str(crds)).require_ok()
    control_plane.kubectl("wait", "--for=condition=Established", "crd", "--all").require_ok()
    return control_plane


@pytest.fixture
def name(plane: ControlPlane) -> Iterator[str]:
    """A Mandate that a GitOps tool applies; deleted afterwards."""
    name = f"m-{uuid4().hex[:10]}"
    apply_as_gitops(plane, name)
    yield name
    plane.kubectl("delete", "mandate", name, "--ignore-not-found").require_ok()


def apply_as_gitops(plane: ControlPlane, name: str, **spec: object) -> None:
    """As Flux and Argo CD do: server-side, by force."""
    subjects = [{"kind": "User", "name": f"user-of-{name}"}]
    body = {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {"name": name},
        "spec": {"subjects": subjects, **spec},
    }
    how = ("--server-side", "--force-conflicts", "--field-manager=gitops")
    plane.kubectl("apply", *how, "-f", "-", stdin=json.dumps(body)).require_ok()


def switch(
    command: Callable[..., None], name: str, kubeconfig: Path, *, timeout: str = "0"
) -> Result:
    """Run the subcommand; by default without waiting for anybody."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    return CliRunner().invoke(app, [name, "--kubeconfig", str(kubeconfig), "--timeout", timeout])


def mandate(plane: ControlPlane, name: str) -> dict[str, Any]:
    read = plane.kubectl("get", "mandate", name, "-o", "json", "--show-managed-fields")
    found: dict[str, Any] = json.loads(read.require_ok().stdout)
    return found


def managers_of_the_switch(found: dict[str, Any]) -> set[str]:
    return {
        entry["manager"]
        for entry in found["metadata"]["managedFields"]
        if "f:suspend" in entry["fieldsV1"].get("f:spec", {})
    }


def test_the_switch_is_stored_under_a_manager_of_its_own_and_gitops_leaves_it_alone(
    plane: ControlPlane, name: str
) -> None:
    done = switch(suspend, name, plane.admin_kubeconfig)
    assert done.exit_code == 1
    assert "stored as generation 2; no Governor process has confirmed it" in done.stderr
    suspended = mandate(plane, name)
    assert suspended["spec"]["suspend"] is True
    assert managers_of_the_switch(suspended) == {FIELD_MANAGER}
    apply_as_gitops(plane, name)
    assert mandate(plane, name)["spec"]["suspend"] is True
    assert switch(resume, name, plane.admin_kubeconfig).exit_code == 1
    resumed = mandate(plane, name)
    assert "suspend" not in resumed["spec"]
    assert FIELD_MANAGER not in {e["manager"] for e in resumed["metadata"]["managedFields"]}
    assert resumed["spec"]["subjects"] == suspended["spec"]["subjects"]


def test_suspending_wins_over_a_manifest_that_says_otherwise(
    plane: ControlPlane, name: str
) -> None:
    apply_as_gitops(plane, name, suspend=False)
    switch(suspend, name, plane.admin_kubeconfig)
    assert mandate(plane, name)["spec"]["suspend"] is True


def test_resuming_leaves_what_somebody_else_suspended_and_says_who(
    plane: ControlPlane, name: str
) -> None:
    patch = ("--type=merge", "-p", '{"spec":{"suspend":true}}')
    plane.kubectl("patch", "mandate", name, *patch).require_ok()
    switch(suspend, name, plane.admin_kubeconfig)
    done = switch(resume, name, plane.admin_kubeconfig)
    assert done.exit_code == 1
    assert "spec.suspend is set by kubectl-patch (Update)" in done.stderr
    assert managers_of_the_switch(mandate(plane, name)) == {"kubectl-patch"}
    advised = ("--type=merge", "-p", '{"spec":{"suspend":null}}')
    plane.kubectl("patch", "mandate", name, *advised).require_ok()
    assert "suspend" not in mandate(plane, name)["spec"]


@pytest.mark.parametrize("command", [suspend, resume])
def test_a_mandate_that_is_not_there_is_not_made(
    plane: ControlPlane, command: Callable[..., None]
) -> None:
    done = switch(command, "nobody", plane.admin_kubeconfig)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no mandate nobody" in done.stderr
    assert not plane.kubectl("get", "mandate", "nobody").ok


def test_without_the_rights_nothing_is_stored_and_the_rights_are_named(
    plane: ControlPlane, name: str
) -> None:
    done = switch(suspend, name, plane.kubeconfig_for_user("mallory"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert "need get and patch of mandates.governor.dev" in done.stderr
    assert "suspend" not in mandate(plane, name)["spec"]


def test_a_cluster_that_does_not_answer_is_told_as_that(
    plane: ControlPlane, name: str, tmp_path: Path
) -> None:
    config = yaml.safe_load(plane.admin_kubeconfig.read_text(encoding="utf-8"))
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(yaml.safe_dump(config), encoding="utf-8")
    done = switch(suspend, name, elsewhere)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "governor suspend: the API server" in done.stderr


# --- what it brings about: as a process, with Governor running ---------------------------------


def governor(cluster: Cluster, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line as the administrator."""
    own = ("--kubeconfig", str(cluster.plane.admin_kubeconfig))
    return subprocess.run(
        [str(COMMAND), *arguments, *own], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.requirement("fail-closed.guards")
def test_once_suspension_is_confirmed_the_very_next_write_is_refused_and_resuming_ends_it(
    cluster: Cluster, agent: TestAgent
) -> None:
    assert agent.create_deployment("before").passed
    done = governor(cluster, "suspend", agent.name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{agent.name} is suspended since 20")
    assert "granted before" in done.stdout
    assert "not known" not in done.stdout
    assert agent.create_deployment("meanwhile").code == "suspended"
    resumed = governor(cluster, "resume", agent.name)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.startswith(f"{agent.name} is not suspended since 20")
    assert "granted before" not in resumed.stdout
    agent.eventually_answers(None, "create", "deployment", "after", "--image=example.com/none:1")


def test_without_a_reconciler_it_is_stored_and_not_called_confirmed(
    cluster: Cluster, agent: TestAgent
) -> None:
    cluster.governor.reconcile.stop(grace_seconds=5)
    try:
        done = governor(cluster, "suspend", agent.name, "--timeout", "1")
        assert (done.returncode, done.stdout) == (1, "")
        assert "no Governor process has confirmed it within 1 s" in done.stderr
    finally:
        cluster.governor.reconcile = cluster.governor.site.start_reconcile()
    late = governor(cluster, "suspend", agent.name)
    assert late.returncode == 0, late.stderr
