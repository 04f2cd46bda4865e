"""The real control plane: booted once per run, one fresh namespace per test."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from native import build
from native.components import Binaries, Options
from native.controlplane import ControlPlane
from tests.governed import Cluster, TestAgent, governed_cluster, new_agent
from tests.waiting import eventually


@pytest.fixture(scope="session")
def kubernetes_binary() -> Path:
    """The control plane's own binary; without it, its tests are skipped."""
    binary = build.installed("kubernetes")
    if binary is None:
        pytest.skip("governor-kubernetes is not built: run `make setup`")
    return binary


@pytest.fixture(scope="session")
def binaries() -> Binaries:
    """What control planes are started from: ours, or upstream's by `make … ASSETS=DIR`."""
    found = build.control_plane_binaries(os.environ)
    if found is None:
        pytest.skip("governor-kubernetes is not built: run `make setup`")
    return found


@pytest.fixture(scope="session")
def control_plane(
    binaries: Binaries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """One control plane for the whole run: tests stay in namespaces of their own."""
    directory = tmp_path_factory.mktemp("control-plane")
    with ControlPlane.start(
        directory,
        binaries=binaries,
        options=Options(components=binaries.components(), unsafe_no_fsync=True),
    ) as plane:
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A new namespace, with its default ServiceAccount; deleted afterwards, unawaited."""
    name = f"test-{uuid4().hex[:12]}"
    path = f"/api/v1/namespaces/{name}"
    created = control_plane.admin.call(
        "POST",
        "/api/v1/namespaces",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
    )
    assert created.status == 201, created.text
    account = f"{path}/serviceaccounts/default"
    eventually(lambda: control_plane.admin.call("GET", account).ok, "the default ServiceAccount")
    yield name
    control_plane.admin.call("DELETE", path)


@pytest.fixture(scope="session")
def cluster(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that Governor watches over, with a control plane of its own.

    The registration is one per cluster, and tests of the registration write theirs.
    """
    with governed_cluster(tmp_path_factory.mktemp("governed"), binaries) as governed:
        yield governed


@pytest.fixture
def agent(cluster: Cluster) -> TestAgent:
    """An agent of that cluster, one per test."""
    return new_agent(cluster)
