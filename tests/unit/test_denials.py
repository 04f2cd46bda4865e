"""The denial as a value, and the page that documents every code of it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.policy.denials import Code, Denial

ROW = re.compile(r"^\| `([a-z0-9-]+)` \| ", re.MULTILINE)
KEYS = {"code", "rule", "field", "asked", "limit", "remaining", "passes", "retry"}


def codes_of_rules(repository: Path) -> Iterator[str]:
    """The codes in the METADATA of the shipped policies, and their fallback."""
    for path in sorted((repository / "policies").rglob("*.rego")):
        if not path.name.endswith("_test.rego"):
            text = path.read_text(encoding="utf-8")
            yield from re.findall(r"^#   code: (\S+)$", text, re.MULTILINE)
            yield from re.findall(r'^\t"code": "(\S+)",$', text, re.MULTILINE)


@pytest.fixture(scope="module")
def documented(repository: Path) -> set[str]:
    """Everything that docs/denials.md lists in a table: codes, and keys of the JSON."""
    return set(ROW.findall((repository / "docs/denials.md").read_text(encoding="utf-8")))


@pytest.mark.requirement("explains-itself.documented")
@pytest.mark.parametrize("code", list(Code))
def test_every_code_of_guards_and_faults_is_documented(documented: set[str], code: Code) -> None:
    assert code in documented


@pytest.mark.requirement("explains-itself.documented")
def test_every_code_of_the_shipped_rules_is_documented(
    repository: Path, documented: set[str]
) -> None:
    codes = {*codes_of_rules(repository)}
    assert {"kind-not-granted", "field-not-granted"} <= codes
    assert codes <= documented


@pytest.mark.requirement("explains-itself.documented")
def test_no_code_is_documented_that_nothing_gives(repository: Path, documented: set[str]) -> None:
    keys_of_the_json = KEYS | {"change", "also"}
    assert documented - keys_of_the_json == {*Code, *codes_of_rules(repository)}


@pytest.mark.requirement("explains-itself.contract")
def test_every_key_of_the_json_is_documented_and_always_there(documented: set[str]) -> None:
    told = Denial("code", "message", "rule").as_json()
    assert told.keys() == KEYS
    assert documented >= KEYS


def test_a_denial_is_told_as_it_is() -> None:
    denial = Denial("c", "m", "r", "data", "asked", ["spec"], 0, passes=False, retry=True)
    assert denial.as_json() == {
        "code": "c",
        "rule": "r",
        "field": "data",
        "asked": "asked",
        "limit": ["spec"],
        "remaining": 0,
        "passes": False,
        "retry": True,
    }
