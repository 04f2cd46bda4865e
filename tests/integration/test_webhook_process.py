"""The webhook's process where something that it needs is missing: named, and nothing granted."""

import http.client
import resource
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from native.processes import GuardedProcess
from tests.builders import a_review
from tests.waiting import eventually
from tour.governor import COMMAND, POLICIES, Site

pytestmark = pytest.mark.integration


@pytest.fixture
def unreachable(tmp_path: Path) -> Path:
    """A kubeconfig of an API server that is not there."""
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"server": "https://127.0.0.1:9", "insecure-skip-tls-verify": True}
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "gone", "cluster": cluster}],
                "users": [{"name": "nobody", "user": {"token": "none"}}],
                "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "nobody"}}],
                "current-context": "gone",
            }
        ),
        encoding="utf-8",
    )
    return kubeconfig


@pytest.fixture
def site(unreachable: Path, tmp_path: Path) -> Iterator[tuple[Site, GuardedProcess]]:
    """A webhook that never hears of any mandate."""
    place = Site.draw(unreachable, tmp_path)
    webhook = place.start_webhook()
    yield place, webhook
    webhook.stop(grace_seconds=5)


@pytest.mark.requirement("fail-closed.not-ready")
def test_without_an_api_server_it_is_not_ready_and_says_what_is_missing(
    site: tuple[Site, GuardedProcess],
) -> None:
    place, _ = site
    eventually(lambda: place.get("/readyz")[0] != 0, "it answers")
    status, body = place.get("/readyz")
    assert status == 503
    assert "mandates" in body


@pytest.mark.requirement("fail-closed.not-ready")
def test_without_an_api_server_a_review_is_postponed(site: tuple[Site, GuardedProcess]) -> None:
    place, _ = site
    eventually(lambda: place.get("/healthz")[0] == 200, "it answers")
    trust = ssl.create_default_context(cafile=place.certificates / "ca.pem")
    connection = http.client.HTTPSConnection("127.0.0.1", place.port, timeout=5, context=trust)
    headers = {"content-type": "application/json"}
    connection.request("POST", "/validate", body=a_review(), headers=headers)
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("retry-after")) == (503, "1")
    answer.read()
    connection.close()


def run_webhook(
    *arguments: str | Path, before: Callable[[], None] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [COMMAND, "webhook", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=before,
    )


def test_a_full_disk_is_named_with_the_folder(unreachable: Path, tmp_path: Path) -> None:
    """By RLIMIT_FSIZE, which root does not escape."""
    certificates = tmp_path / "certificates"
    ended = run_webhook(
        *("--kubeconfig", unreachable, "--certificates", certificates, "--port", "0"),
        *("--policies", POLICIES, "--outbox", tmp_path / "outbox"),
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert ended.returncode == 2, ended.stderr
    assert str(certificates) in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(("--kubeconfig", "absent"), "absent", id="no kubeconfig"),
        pytest.param(("--port", "70000"), "--port", id="a port that is none"),
        pytest.param(("--policies", "absent"), "absent", id="no policies"),
        pytest.param(("--port", "-1"), "--port", id="a negative port"),
        pytest.param(("--outbox", "/dev/null/x"), "/dev/null/x", id="no place for an outbox"),
        pytest.param(("--api-server-token-file", "absent"), "absent", id="no token"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    unreachable: Path, tmp_path: Path, arguments: tuple[str, str], expected: str
) -> None:
    whole = {
        "--kubeconfig": str(unreachable),
        "--certificates": str(tmp_path / "certificates"),
        "--outbox": str(tmp_path / "outbox"),
        "--port": "0",
        "--policies": str(POLICIES),
        **dict([arguments]),
    }
    ended = run_webhook(*(part for pair in whole.items() for part in pair))
    assert ended.returncode == 2
    assert expected in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_told_in_a_sentence(
    site: tuple[Site, GuardedProcess], tmp_path: Path
) -> None:
    place, _ = site
    eventually(lambda: place.get("/healthz")[0] == 200, "it answers")
    ended = run_webhook(
        *("--kubeconfig", place.kubeconfig, "--certificates", tmp_path / "other"),
        *("--port", str(place.port), "--policies", POLICIES, "--outbox", tmp_path / "outbox"),
    )
    assert ended.returncode == 2
    assert "in use" in ended.stderr
