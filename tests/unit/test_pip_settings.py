"""What the bootstrap makes of pip's own settings."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import pip_settings


@pytest.mark.parametrize(
    ("lines", "settings"),
    [
        pytest.param([], {}, id="nothing is set"),
        pytest.param(
            ["global.index-url='https://mirror/simple'"],
            {"index-url": "https://mirror/simple"},
            id="a file's global section",
        ),
        pytest.param(
            ["install.timeout='5'", "global.timeout='9'"],
            {"timeout": "5"},
            id="install over global",
        ),
        pytest.param(
            [":env:.cert='/env.pem'", "global.cert='/file.pem'"],
            {"cert": "/env.pem"},
            id="the environment over files",
        ),
        pytest.param(["wheel.no-index='true'"], {}, id="another command's section is not read"),
        pytest.param(
            ["global.find-links='/a\\n/b'"], {"find-links": "/a\n/b"}, id="several values"
        ),
        pytest.param(
            ["global.index-url='https://u:p=x@mirror/simple'"],
            {"index-url": "https://u:p=x@mirror/simple"},
            id="an equals sign in the value",
        ),
    ],
)
def test_settings_are_read_as_pip_install_reads_them(
    lines: list[str], settings: dict[str, str]
) -> None:
    assert pip_settings.parse(lines) == settings


@given(st.text())
def test_any_value_that_pip_can_show_is_read_back(value: str) -> None:
    assert pip_settings.parse([f"global.proxy={value!r}"]) == {"proxy": value}


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        pytest.param({}, False, id="nothing is set"),
        pytest.param({"cert": "/ca.pem", "proxy": "http://p"}, False, id="only how to get there"),
        pytest.param({"find-links": "/wheels"}, False, id="a folder beside the public index"),
        pytest.param(
            {"index-url": "https://pypi.org/simple/"}, False, id="the public index itself"
        ),
        pytest.param({"index-url": "https://mirror/simple"}, True, id="another index"),
        pytest.param({"extra-index-url": "https://extra/simple"}, True, id="a further index"),
        pytest.param({"no-index": "true", "find-links": "/wheels"}, True, id="no index at all"),
        pytest.param({"no-index": "1"}, True, id="no index, as a number"),
        pytest.param({"no-index": "false"}, False, id="no index, switched off"),
    ],
)
def test_pip_installs_where_packages_come_from_elsewhere(
    settings: dict[str, str], *, needed: bool
) -> None:
    assert pip_settings.needs_pip(settings) is needed


def test_uv_is_told_what_it_has_a_variable_for(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()

    variables = pip_settings.uv_variables(
        {
            "cert": "/ca.pem",
            "client-cert": "/me.pem",
            "proxy": "http://proxy:3128",
            "timeout": "60",
            "retries": "9",
            "trusted-host": "one\ntwo:8080",
            "find-links": f"{wheels}\n{tmp_path / 'absent'} https://wheels/list",
            "disable-pip-version-check": "1",
        }
    )

    assert variables == {
        "SSL_CERT_FILE": "/ca.pem",
        "SSL_CLIENT_CERT": "/me.pem",
        "ALL_PROXY": "http://proxy:3128",
        "UV_HTTP_TIMEOUT": "60",
        "UV_HTTP_RETRIES": "9",
        "UV_INSECURE_HOST": "one two:8080",
        "UV_FIND_LINKS": f"{wheels},https://wheels/list",
    }


def test_the_shell_gets_values_whatever_is_in_them(repository: Path) -> None:
    hostile = "http://u:$(touch pwned)'\"@proxy"
    done = subprocess.run(
        [sys.executable, "scripts/pip_settings.py"],
        cwd=repository,
        input=f":env:.proxy={hostile!r}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    shell = subprocess.run(
        ["/bin/sh", "-c", f'{done.stdout}\nprintf %s "$ALL_PROXY $INSTALLER"'],
        capture_output=True,
        text=True,
        check=True,
    )

    assert shlex.split(done.stdout)[0] == "export"
    assert shell.stdout == f"{hostile} uv"
