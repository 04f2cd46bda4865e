"""What docs/policies.md tells a policy's author works as it says."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.policies.opa import Opa

_FILE = re.compile(
    r"^`(?P<path>governor/[\w/]+\.rego)`:\n\n```rego\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_TABLE_ROW = re.compile(r"^\| (?P<names>`[a-z0-9_.]+`(?:, `[a-z0-9_.]+`)*) \| ", re.MULTILINE)


@pytest.fixture(scope="module")
def guide(repository: Path) -> str:
    return (repository / "docs" / "policies.md").read_text(encoding="utf-8")


@pytest.fixture
def scratch(opa_binary: Path, repository: Path, guide: str, tmp_path: Path) -> Opa:
    """A copy of the policies with the guide's example beside them."""
    shutil.copytree(repository / "policies", tmp_path / "policies")
    for path, text in _files(guide).items():
        file = tmp_path / "policies" / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return Opa(opa_binary, tmp_path)


def _files(guide: str) -> Mapping[str, str]:
    return {found["path"]: found["text"] for found in _FILE.finditer(guide)}


def _commands(guide: str) -> list[list[str]]:
    transcript = re.search(r"^```console\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert transcript is not None
    return [line.split()[2:] for line in transcript[1].splitlines() if line.startswith("$ ")]


def test_the_examples_are_policies_and_their_tests(guide: str) -> None:
    assert sorted(_files(guide)) == [
        "governor/office_hours/office_hours.rego",
        "governor/office_hours/office_hours_test.rego",
        "governor/replicas/replicas.rego",
        "governor/replicas/replicas_test.rego",
    ]


def test_the_commands_of_the_guide_accept_the_example(guide: str, scratch: Opa) -> None:
    commands = _commands(guide)
    assert [command[0] for command in commands] == ["fmt", "check", "test"]

    for command in commands:
        done = scratch.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        if command[0] == "test":
            assert done.stdout.strip() in guide


def test_the_example_with_a_cap_is_what_its_tests_say(scratch: Opa) -> None:
    done = scratch.run("test", "policies/", "-r", "office_hours")

    assert done.stdout.strip() == "PASS: 4/4", done.stdout + done.stderr


def test_the_examples_are_covered_by_their_tests(scratch: Opa) -> None:
    report = scratch.run("test", "--coverage", "--threshold", "100", "policies/")

    assert report.returncode == 0, report.stdout


def test_the_type_error_is_the_one_that_the_guide_shows(guide: str, scratch: Opa) -> None:
    file = scratch.repository / "policies/governor/replicas/replicas.rego"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("request.operation", "request.operaton"), encoding="utf-8")

    done = scratch.run("check", "--strict", "--schema", "policies/schemas", "policies/")

    shown = "rego_type_error: undefined ref: input.request.operaton"
    assert shown in guide
    assert shown in done.stdout + done.stderr


def test_the_denied_builtins_are_those_of_the_engine(guide: str, repository: Path) -> None:
    source = (repository / "native/opa/capabilities.go").read_text(encoding="utf-8")
    table = re.search(r"^var deniedBuiltins = .*?\{\n(.*?)^\}", source, re.MULTILINE | re.DOTALL)
    assert table is not None
    denied = set(re.findall(r'^\t"([a-z0-9_.]+)":', table[1], re.MULTILINE))
    section = guide.partition("## What a policy may call")[2].partition("\n## ")[0]
    told = {name for row in _TABLE_ROW.finditer(section) for name in row["names"].split("`")[1::2]}

    assert told == denied
