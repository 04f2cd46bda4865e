"""The local control plane is a real one: rights, controllers, scheduler, audit, and its end."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import fields
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from native import ports
from native.components import Binaries, Component, Options, Ports
from native.controlplane import ControlPlane, ControlPlaneError
from tests.waiting import eventually

pytestmark = pytest.mark.integration

BARE = Options(components=frozenset({Component.ETCD, Component.API_SERVER}), unsafe_no_fsync=True)
"""No controllers, no scheduler: enough where only the processes matter."""


def deployment(name: str, *, replicas: int) -> dict[str, object]:
    labels = {"app": name}
    container = {"name": "main", "image": "registry.invalid/main:1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def config_map(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_user_without_rights_is_refused_and_one_in_a_bound_group_is_not(
    control_plane: ControlPlane, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "editors"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "edit",
        },
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "editors"}],
    }
    bound = control_plane.admin.call(
        "POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", binding
    )
    assert bound.status == 201
    editor = control_plane.api_for_user("erin", ["editors"])

    # The authorizer learns of the binding from its own watch.
    eventually(lambda: editor.call("GET", path).ok, "erin's rights")
    refused = control_plane.api_for_user("nobody-in-particular").call("POST", path, config_map("x"))

    assert editor.call("POST", path, config_map("mine")).status == 201
    assert refused.status == 403
    assert "nobody-in-particular" in refused.json["message"]


def test_a_service_account_acts_as_itself_through_its_kubeconfig(
    control_plane: ControlPlane, namespace: str
) -> None:
    kubeconfig = control_plane.kubeconfig_for_service_account(namespace, "default")

    asked = control_plane.kubectl("auth", "whoami", "-o", "json", kubeconfig=kubeconfig)
    refused = control_plane.kubectl("get", "secrets", "-n", namespace, kubeconfig=kubeconfig)

    who = json.loads(asked.require_ok().stdout)["status"]["userInfo"]
    assert who["username"] == f"system:serviceaccount:{namespace}:default"
    assert f"system:serviceaccounts:{namespace}" in who["groups"]
    assert refused.status == 1
    assert "Forbidden" in refused.stderr


def test_a_token_for_a_service_account_that_is_not_there_is_a_named_error(
    control_plane: ControlPlane, namespace: str
) -> None:
    with pytest.raises(ControlPlaneError, match=f"{namespace}/ghost.*404"):
        control_plane.service_account_token(namespace, "ghost")


def test_a_deployments_pods_are_made_by_the_controllers_and_scheduled_onto_a_fake_node(
    control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.add_node(f"node-{namespace}")
    made = control_plane.admin.call(
        "POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment("web", replicas=2)
    )
    assert made.status == 201

    def scheduled() -> list[dict[str, dict[str, str]]]:
        listed = control_plane.admin.call("GET", f"/api/v1/namespaces/{namespace}/pods")
        pods = [pod for pod in listed.json["items"] if "nodeName" in pod["spec"]]
        return pods if len(pods) == 2 else []

    pods = eventually(scheduled, "two scheduled pods")

    # The controllers have identities of their own, not one that may do everything.
    assert {pod["metadata"]["generateName"][:4] for pod in pods} == {"web-"}
    creators = {
        event["user"]["username"]
        for event in audited(control_plane, namespace, verb="create", resource="pods")
    }
    assert creators == {"system:serviceaccount:kube-system:replicaset-controller"}


def audited(
    plane: ControlPlane, namespace: str, *, verb: str, resource: str
) -> Iterator[dict[str, Any]]:
    # By newlines alone: JSON may hold other line separators. The last line may be half written.
    for line in plane.audit_log.read_text(encoding="utf-8").split("\n")[:-1]:
        event = json.loads(line)
        about = event.get("objectRef", {})
        is_main = "subresource" not in about
        place = (about.get("namespace"), about.get("resource"), event["verb"])
        if is_main and place == (namespace, resource, verb):
            yield event


def test_the_audit_log_has_a_write_with_its_body_before_the_writer_has_its_answer(
    control_plane: ControlPlane, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"

    assert control_plane.admin.call("POST", path, config_map("noted")).status == 201

    creations = audited(control_plane, namespace, verb="create", resource="configmaps")
    (event,) = (each for each in creations if each["objectRef"].get("name") == "noted")
    assert event["responseStatus"]["code"] == 201
    assert event["requestObject"]["kind"] == "ConfigMap"


def test_the_audit_log_has_no_token_and_no_secret(
    control_plane: ControlPlane, namespace: str
) -> None:
    token = control_plane.service_account_token(namespace, "default")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "stringData": {"password": "horse-battery-staple"},
    }
    path = f"/api/v1/namespaces/{namespace}/secrets"
    assert control_plane.admin.call("POST", path, secret).status == 201

    log = control_plane.audit_log.read_text(encoding="utf-8")

    assert list(audited(control_plane, namespace, verb="create", resource="secrets"))
    assert token not in log
    assert "horse-battery-staple" not in log


def test_two_stand_side_by_side_and_do_not_trust_each_others_users(
    control_plane: ControlPlane, kubernetes_binary: Path, tmp_path: Path
) -> None:
    binaries = Binaries.single(kubernetes_binary)
    with ControlPlane.start(tmp_path / "second", binaries=binaries, options=BARE) as second:
        crossed = second.kubectl(
            "get",
            "namespaces",
            f"--server={second.url}",
            f"--certificate-authority={second.authority}",
            "--embed-certs=false",
            kubeconfig=control_plane.admin_kubeconfig,
        )

        assert second.admin.call("GET", "/readyz").ok
        assert control_plane.admin.call("GET", "/readyz").ok
        assert set(second.pids) == {Component.ETCD, Component.API_SERVER}
        assert crossed.status == 1


def fault(plane: ControlPlane) -> str:
    """What is wrong with a control plane; empty when nothing is."""
    try:
        plane.require_running()
    except ControlPlaneError as error:
        return str(error)
    return ""


def test_a_component_that_was_killed_comes_back_on_its_data_after_a_restart(
    kubernetes_binary: Path, tmp_path: Path
) -> None:
    binaries = Binaries.single(kubernetes_binary)
    path = "/api/v1/namespaces/default/configmaps"
    with ControlPlane.start(tmp_path / "plane", binaries=binaries, options=BARE) as plane:
        assert plane.admin.call("POST", path, config_map("kept")).status == 201
        before = plane.pids[Component.ETCD]

        plane.send(Component.ETCD, signal.SIGKILL)
        said = eventually(lambda: fault(plane), "etcd's end")
        assert said.startswith("etcd: ended with status 137")
        plane.restart(Component.ETCD)
        plane.wait_ready()

        after = dict(plane.pids)
        assert after[Component.ETCD] != before
        assert plane.admin.call("GET", f"{path}/kept").ok
        assert all(is_alive(pid) for pid in after.values())
    assert not any(is_alive(pid) for pid in after.values())


LAUNCHER = """
import sys
from pathlib import Path
from native import ports
from native.components import Binaries, Component, Options, Ports
from native.controlplane import ControlPlane
plane = ControlPlane.start(
    Path(sys.argv[2]),
    binaries=Binaries.single(Path(sys.argv[1])),
    options=Options(components=frozenset({Component.ETCD}), unsafe_no_fsync=True),
)
print(*plane.pids.values(), flush=True)
sys.stdin.read()
"""


@contextmanager
def launcher(binary: Path, directory: Path, root: Path) -> Generator[tuple[int, list[int]]]:
    """A launcher in a process of its own: its process id, and its children's."""
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, binary, directory],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.pid, [int(pid) for pid in process.stdout.readline().split()]
    finally:
        process.kill()
        process.communicate()


def test_no_child_outlives_a_launcher_that_was_killed(
    kubernetes_binary: Path, tmp_path: Path, repository: Path
) -> None:
    with launcher(kubernetes_binary, tmp_path / "plane", repository) as (pid, children):
        assert len(children) == 2
        assert all(is_alive(child) for child in children)

        os.kill(pid, signal.SIGKILL)

        eventually(lambda: not any(is_alive(child) for child in children), "the children's end")


def test_one_in_the_foreground_tells_where_it_is_and_ends_with_an_interrupt(
    assets: Path, tmp_path: Path, repository: Path
) -> None:
    directory = tmp_path / "plane"
    command = [sys.executable, "-m", "native.controlplane", "--assets", str(assets)]
    with subprocess.Popen(
        [*command, "--directory", directory], cwd=repository, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = "".join(takewhile(lambda line: line != "^C ends it\n", process.stdout))
        process.send_signal(signal.SIGINT)
        status = process.wait(30)

    assert told.startswith("ready at https://127.0.0.1:")
    assert f"export KUBECONFIG={directory}/kubeconfigs/admin.yaml" in told
    assert status == 0


@pytest.fixture
def assets(kubernetes_binary: Path, tmp_path: Path) -> Path:
    """A folder of single commands, as KUBEBUILDER_ASSETS names one."""
    folder = tmp_path / "assets"
    folder.mkdir()
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (folder / name).symlink_to(kubernetes_binary.resolve())
    return folder


def test_a_folder_of_upstream_binaries_is_used_when_it_is_named(
    assets: Path, tmp_path: Path
) -> None:
    binaries = Binaries.folder(assets)
    options = Options(components=binaries.components(), unsafe_no_fsync=True)

    with ControlPlane.start(tmp_path / "plane", binaries=binaries, options=options) as plane:
        command = Path(f"/proc/{plane.pids[Component.API_SERVER]}/cmdline").read_bytes()
        namespaces = plane.kubectl("get", "namespaces", "-o", "name").require_ok()

    assert command.split(b"\0")[0].decode() == str(assets / "kube-apiserver")
    assert "namespace/default" in namespaces.stdout


def test_a_folder_without_a_binary_is_an_error_that_names_component_and_file(
    assets: Path, tmp_path: Path
) -> None:
    (assets / "etcd").unlink()

    with pytest.raises(ControlPlaneError, match=r"etcd: could not be started:\s+.*assets/etcd"):
        ControlPlane.start(tmp_path / "plane", binaries=Binaries.folder(assets), options=BARE)


def test_a_flag_that_a_component_refuses_is_an_error_with_the_end_of_its_log(
    kubernetes_binary: Path, tmp_path: Path
) -> None:
    options = Options(
        components=BARE.components,
        extra_arguments={Component.API_SERVER: ["--no-such-flag"]},
        unsafe_no_fsync=True,
    )

    with pytest.raises(ControlPlaneError, match=r"(?s)kube-apiserver: ended.*no-such-flag"):
        ControlPlane.start(
            tmp_path / "plane", binaries=Binaries.single(kubernetes_binary), options=options
        )


def test_one_that_is_not_ready_in_time_is_stopped_and_says_what_it_waited_for(
    kubernetes_binary: Path, tmp_path: Path
) -> None:
    options = Options(components=BARE.components, ready_within_seconds=0.0)

    with pytest.raises(ControlPlaneError, match=r"etcd: no /health in 0 s"):
        ControlPlane.start(
            tmp_path / "plane", binaries=Binaries.single(kubernetes_binary), options=options
        )


@pytest.mark.parametrize("component", ["etcd", "api_server"])
def test_a_port_that_was_taken_meanwhile_is_drawn_again(
    component: str, kubernetes_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [field.name for field in fields(Ports)]
    draws: list[tuple[int, ...]] = []
    draw = ports.draw

    with socket.create_server(("127.0.0.1", 0)) as taken:

        def draw_a_taken_one_first(count: int, *, randomness: random.Random) -> tuple[int, ...]:
            drawn = list(draw(count, randomness=randomness))
            if not draws:
                drawn[names.index(component)] = taken.getsockname()[1]
            draws.append(tuple(drawn))
            return draws[-1]

        monkeypatch.setattr(ports, "draw", draw_a_taken_one_first)
        binaries = Binaries.single(kubernetes_binary)
        with ControlPlane.start(tmp_path / "plane", binaries=binaries, options=BARE) as plane:
            assert plane.admin.call("GET", "/readyz").ok
            assert plane.site.ports == Ports(*draws[1])


def test_a_folder_that_is_in_use_is_refused(kubernetes_binary: Path, tmp_path: Path) -> None:
    (tmp_path / "something").touch()

    with pytest.raises(ControlPlaneError, match="is not empty"):
        ControlPlane.start(tmp_path, binaries=Binaries.single(kubernetes_binary))
