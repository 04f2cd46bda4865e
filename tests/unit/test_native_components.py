"""The flags of each component, the ports, and the kubeconfigs: values, without a process."""

import random
import socket
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from controller.clients.certificates import is_issued_by
from native import ports
from native.components import Binaries, Component, Options, Ports, Site, arguments
from native.credentials import Credentials, Token, kubeconfig

DEFAULTS = Options()
SITE = Site(Path("/plane"), Ports(1001, 1002, 1003, 1004, 1005))


def flags(component: Component, options: Options = DEFAULTS) -> dict[str, str]:
    """The flags of a component, the last of each name."""
    given: dict[str, str] = {}
    for argument in arguments(component, SITE, options):
        name, _, value = argument.removeprefix("--").partition("=")
        given[name] = value
    return given


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - draws ports, not secrets


@pytest.mark.parametrize("component", list(Component))
def test_everything_listens_on_loopback_only(component: Component) -> None:
    given = flags(component)

    addresses = [given[name] for name in given if name.startswith("listen-")]
    addresses += [given["bind-address"]] if "bind-address" in given else []
    assert addresses
    assert all("127.0.0.1" in address for address in addresses)


def test_the_api_server_enforces_rights_and_keeps_an_audit_log() -> None:
    given = flags(Component.API_SERVER)

    assert given["authorization-mode"] == "Node,RBAC"
    assert given["audit-log-path"] == "/plane/audit.jsonl"
    assert given["audit-log-mode"] == "blocking"
    assert given["advertise-address"] == "127.0.0.1"


def test_the_database_has_a_ca_of_its_own() -> None:
    database, server = flags(Component.ETCD), flags(Component.API_SERVER)

    assert database["client-cert-auth"] == "true"
    assert database["trusted-ca-file"] == server["etcd-cafile"] == "/plane/pki/etcd-ca.crt"
    assert server["client-ca-file"] == "/plane/pki/ca.crt"


def test_the_disk_is_waited_for_unless_a_test_says_otherwise() -> None:
    assert flags(Component.ETCD)["unsafe-no-fsync"] == "false"
    assert flags(Component.ETCD, Options(unsafe_no_fsync=True))["unsafe-no-fsync"] == "true"


@pytest.mark.parametrize("component", list(Component))
def test_feature_gates_reach_every_kubernetes_component(component: Component) -> None:
    options = Options(feature_gates={"One": True, "Other": False})

    expected = None if component is Component.ETCD else "One=true,Other=false"
    assert flags(component, options).get("feature-gates") == expected
    assert "feature-gates" not in flags(component)


def test_further_arguments_come_last_and_reach_only_their_component() -> None:
    options = Options(extra_arguments={Component.API_SERVER: ["--audit-log-mode=batch"]})

    assert arguments(Component.API_SERVER, SITE, options)[-1] == "--audit-log-mode=batch"
    assert "--audit-log-mode=batch" not in arguments(Component.SCHEDULER, SITE, options)


def test_etcd_and_the_api_server_cannot_be_left_out() -> None:
    options = Options(components=frozenset({Component.SCHEDULER}))

    running = {component for component in Component if options.runs(component)}

    assert running == {Component.ETCD, Component.API_SERVER, Component.SCHEDULER}


def test_our_binary_is_told_which_component_it_is_and_a_folder_has_one_of_each() -> None:
    assert Binaries.single(Path("/b/all")).command("etcd") == ("/b/all", "etcd")
    assert Binaries.folder(Path("/b")).command("etcd") == ("/b/etcd",)


def test_a_folder_offers_what_is_in_it(tmp_path: Path) -> None:
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (tmp_path / name).touch()

    offered = Binaries.folder(tmp_path).components()

    assert offered == {Component.ETCD, Component.API_SERVER}
    assert Binaries.single(tmp_path).components() == set(Component)


@pytest.mark.parametrize("seed", range(20))
def test_drawn_ports_differ_are_free_and_are_not_the_kernels_to_give(seed: int) -> None:
    drawn = ports.draw(5, randomness=seeded(seed))

    first_ephemeral = int(
        Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0]
    )
    assert len(set(drawn)) == 5
    assert all(1024 <= port < first_ephemeral for port in drawn)


def test_a_port_that_somebody_listens_on_is_not_drawn() -> None:
    def draw() -> tuple[int, ...]:
        return ports.draw(1, randomness=seeded(7))

    (first,) = draw()
    with socket.create_server(("127.0.0.1", first)):
        (second,) = draw()

    assert second != first


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    """All that a control plane needs to start, as of one day."""
    return Credentials.create(
        replace(SITE, directory=tmp_path / "plane"),
        clock=lambda: datetime(2026, 11, 24, tzinfo=UTC),
        lifetime=timedelta(days=1),
    )


def test_every_file_that_a_flag_names_is_there_and_private(credentials: Credentials) -> None:
    site = credentials.site
    made_by_the_servers = {site.audit_log, site.directory / "etcd"}

    named = {
        Path(argument.split("=", 1)[1])
        for component in Component
        for argument in arguments(component, site, Options())
        if argument.split("=", 1)[1].startswith(str(site.directory))
    }

    assert len(named) > 15
    assert all(path.stat().st_mode & 0o077 == 0 for path in named - made_by_the_servers)


def test_a_kubeconfig_needs_no_other_file(credentials: Credentials) -> None:
    content = yaml.safe_load(credentials.site.kubeconfig("admin").read_text(encoding="utf-8"))

    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    authority = b64decode(cluster["certificate-authority-data"])
    assert cluster["server"] == "https://127.0.0.1:1003"
    assert authority == credentials.authority.certificate
    assert is_issued_by(b64decode(user["client-certificate-data"]), authority)
    assert content["current-context"] == content["contexts"][0]["name"]


def test_a_kubeconfig_with_a_token_has_no_key() -> None:
    content = yaml.safe_load(
        kubeconfig("https://h", authority=b"pem", credential=Token("secret-token"))
    )

    assert content["users"][0]["user"] == {"token": "secret-token"}


def test_a_token_does_not_show_in_a_log() -> None:
    assert "secret-token" not in repr(Token("secret-token"))
