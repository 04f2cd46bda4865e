"""What an operator sets: options first, the environment next, a cluster only by name."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from controller.settings import EngineSettings, ReconcileSettings, WebhookSettings

KUBECONFIG, CERTIFICATES = Path("kubeconfig"), Path("certificates")
NAMED = {"kubeconfig": KUBECONFIG, "certificates": CERTIFICATES, "outbox": Path("outbox")}
"""What has no default."""


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLICIES", "OPA_BINARY", "OPA_URL", "KUBECONFIG", "CERTIFICATES", "HOST", "PORT"):
        monkeypatch.delenv(f"GOVERNOR_{name}", raising=False)


def a_webhook(**given: object) -> WebhookSettings:
    """Settings from what a command line hands over."""
    return WebhookSettings.model_validate({**NAMED, **given})


def test_a_webhook_needs_a_cluster_and_a_directory_and_nothing_else() -> None:
    settings = a_webhook()
    assert (settings.host, settings.port) == ("127.0.0.1", 9443)
    assert settings.policies == Path("policies")
    assert settings.opa_url is None


def test_an_absent_option_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOVERNOR_PORT", "1234")
    monkeypatch.setenv("GOVERNOR_CERTIFICATES", "/etc/governor")
    settings = WebhookSettings.model_validate({"kubeconfig": KUBECONFIG, "outbox": Path("outbox")})
    assert (settings.port, settings.certificates) == (1234, Path("/etc/governor"))


def test_an_option_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOVERNOR_PORT", "1234")
    assert a_webhook(port=0).port == 0


@pytest.mark.parametrize("kind", [WebhookSettings, ReconcileSettings])
@pytest.mark.parametrize("name", ["GOVERNOR_KUBECONFIG", "governor_kubeconfig", "KUBECONFIG"])
def test_a_cluster_is_never_chosen_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
    kind: type[WebhookSettings | ReconcileSettings],
    name: str,
) -> None:
    monkeypatch.setenv(name, "/some/other/cluster")
    monkeypatch.setenv("GOVERNOR_CERTIFICATES", "certificates")
    monkeypatch.setenv("GOVERNOR_WEBHOOK_URL", "https://127.0.0.1:9443")
    with pytest.raises(ValidationError, match="kubeconfig"):
        kind.model_validate({})


def test_no_file_in_the_working_directory_sets_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(
        "GOVERNOR_PORT=1\nGOVERNOR_KUBECONFIG=/other\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    assert a_webhook().port == 9443


def test_other_variables_of_ours_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOVERNOR_CACHE", "/somewhere")
    assert a_webhook().port == 9443


@pytest.mark.parametrize(
    ("given", "field"),
    [
        pytest.param({"port": -1}, "port", id="a negative port"),
        pytest.param({"port": 65536}, "port", id="a port too high"),
        pytest.param({"port": "https"}, "port", id="a word for a port"),
        pytest.param({"engine_timeout_seconds": 0}, "engine_timeout_seconds", id="no time at all"),
        pytest.param({"engine_timeout_seconds": 21}, "engine_timeout_seconds", id="too much time"),
        pytest.param({"prot": 9443}, "prot", id="a misspelled setting"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(given: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        a_webhook(**given)


def test_settings_do_not_change_while_a_process_runs() -> None:
    settings = a_webhook()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]  # that is what is tested


def test_the_named_engine_is_used(tmp_path: Path) -> None:
    binary = tmp_path / "opa"
    binary.touch()
    assert EngineSettings(opa_binary=binary).engine_binary() == binary


def test_a_named_engine_that_does_not_exist_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"opa_binary: .*make setup"):
        EngineSettings(opa_binary=tmp_path / "opa").engine_binary()


@pytest.fixture
def bare_bin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Python without an engine beside it, and an empty PATH."""
    monkeypatch.setattr("controller.settings.executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    for name in ("bin", "path"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_the_engine_beside_python_comes_before_the_path(bare_bin: Path) -> None:
    for name in ("bin", "path"):
        binary = bare_bin / name / "governor-opa"
        binary.touch(mode=0o755)
    assert EngineSettings().engine_binary() == bare_bin / "bin" / "governor-opa"


def test_the_engine_is_looked_for_on_the_path(bare_bin: Path) -> None:
    binary = bare_bin / "path" / "governor-opa"
    binary.touch(mode=0o755)
    assert EngineSettings().engine_binary() == binary


@pytest.mark.usefixtures("bare_bin")
def test_without_any_engine_the_error_says_how_to_get_one() -> None:
    with pytest.raises(FileNotFoundError, match="make setup"):
        EngineSettings().engine_binary()
