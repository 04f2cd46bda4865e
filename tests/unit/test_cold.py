"""The trial on a fresh machine: what its commands see, and how they are timed."""

import sys
from pathlib import Path

import pytest

from scripts import cold
from scripts.cold import ColdError

INHERITED = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "PIP_CERT": "/ca.pem",
    "https_proxy": "http://proxy:3128",
    "GOPROXY": "https://proxy.invalid",
    "GOFLAGS": "-mod=vendor",
    "GOCACHE": "/home/me/go-build",
    "XDG_CACHE_HOME": "/home/me/.cache",
    "UV_CACHE_DIR": "/home/me/uv",
    "GOVERNOR_CACHE": "/home/me/governor",
    "GOVERNOR_ASSETS": "/home/me/assets",
    "VIRTUAL_ENV": "/home/me/venv",
    "PYTHONPATH": "/home/me/lib",
    "MAKEFLAGS": "-n",
    "GIT_CONFIG_GLOBAL": "/home/me/.gitconfig",
}
HOME = Path("/fresh/home")


def test_nothing_of_the_users_but_the_way_to_the_network_is_taken_along() -> None:
    variables = cold.environment(INHERITED, HOME)

    kept = {name for name, value in INHERITED.items() if variables.get(name) == value}
    assert kept == {"PATH", "PIP_CERT", "https_proxy", "GOPROXY"}
    assert not any("/home/me" in value for value in variables.values())


@pytest.mark.parametrize(
    "name",
    ["HOME", "GOPATH", "GOCACHE", "GOMODCACHE", "UV_CACHE_DIR", "PIP_CACHE_DIR", "XDG_CACHE_HOME"],
)
def test_every_cache_is_a_new_one(name: str) -> None:
    assert cold.environment(INHERITED, HOME)[name].startswith(str(HOME))


def test_git_has_an_identity_of_its_own_and_no_settings() -> None:
    variables = cold.environment(INHERITED, HOME)

    assert variables["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert variables["GIT_AUTHOR_NAME"] == variables["GIT_COMMITTER_NAME"] == "Governor"


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_the_first_denial_is_timed_when_its_line_appears(tmp_path: Path) -> None:
    talker = """
import sys
print("asked: a Secret", flush=True)
print("governor: denied [not-permitted] …", flush=True)
print("governor: denied [suspended] …", flush=True)
"""
    timed = cold.run(python(talker), where=tmp_path, variables={})

    assert timed.first_denial_seconds is not None
    assert 0 < timed.first_denial_seconds <= timed.seconds


def test_a_run_without_a_denial_has_no_time_for_it(tmp_path: Path) -> None:
    assert (
        cold.run(python("print('granted')"), where=tmp_path, variables={}).first_denial_seconds
        is None
    )


def test_a_command_that_fails_ends_the_trial_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ColdError, match="`false` ended with 1"):
        cold.run(["false"], where=tmp_path, variables={"PATH": "/usr/bin:/bin"})


def test_what_go_made_read_only_is_removed_too(tmp_path: Path) -> None:
    folder = tmp_path / "cold"
    module = folder / "go/pkg/mod/example"
    module.mkdir(parents=True)
    (module / "file.go").touch(mode=0o444)
    (folder / "link").symlink_to(tmp_path)
    for path in (module, module.parent):
        path.chmod(0o555)

    cold.remove(folder)

    assert not folder.exists()
    assert tmp_path.exists()
