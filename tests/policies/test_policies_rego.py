"""The shipped policies hold up under a plain OPA: format, types, tests, METADATA, codes."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from controller.apis.json import Json
from tests.policies.opa import Opa, members, texts
from tests.policies.schema import published_schema

SEVERITIES = {"low", "medium", "high", "critical"}
FINDINGS = ("deny", "warn", "cap")


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that adds to a unit's `deny`, `warn` or `cap`."""

    unit: str
    name: str
    place: tuple[str, int]
    """File and row where the rule stands."""


@pytest.fixture(scope="module")
def opa(opa_binary: Path, repository: Path) -> Opa:
    return Opa(opa_binary, repository)


@pytest.fixture(scope="module")
def findings(opa: Opa) -> list[Finding]:
    """Every rule of every unit that refuses, warns or caps, as the parser sees them."""
    found = [finding for path in opa.sources for finding in _findings_in(opa, path)]
    assert found
    return found


@pytest.fixture(scope="module")
def annotations(opa: Opa) -> dict[tuple[str, int], dict[str, Json]]:
    """The METADATA of every rule, by file and row."""
    inspected = opa.read("inspect", "-a", "-f", "json", "policies")
    found: dict[tuple[str, int], dict[str, Json]] = {}
    for entry in members(inspected, "annotations"):
        location = cast("dict[str, Json]", entry["location"])
        metadata = cast("dict[str, Json]", entry["annotations"])
        if metadata["scope"] == "rule":
            place = (Path(str(location["file"])).name, cast("int", location["row"]))
            found[place] = metadata
    return found


def _findings_in(opa: Opa, path: Path) -> list[Finding]:
    parsed = opa.read("parse", "--format", "json", "--json-include", "locations", str(path))
    package = cast("dict[str, Json]", cast("dict[str, Json]", parsed)["package"])
    segments = texts(part["value"] for part in members(package, "path"))
    found: list[Finding] = []
    for rule in members(parsed, "rules"):
        head = cast("dict[str, Json]", rule["head"])
        location = cast("dict[str, Json]", rule["location"])
        name = str(head.get("name") or members(head, "ref")[0]["value"])
        if segments[1:2] == ["governor"] and "lib" not in segments and name in FINDINGS:
            place = (path.name, cast("int", location["row"]))
            found.append(Finding(".".join(segments[1:]), name, place))
    return found


def _custom(metadata: dict[str, Json]) -> dict[str, Json]:
    return cast("dict[str, Json]", metadata.get("custom", {}))


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("fmt", "--fail", "-l", "policies/"), id="format"),
        pytest.param(
            ("check", "--strict", "--schema", "policies/schemas", "policies/"),
            id="types against the input schema",
        ),
        pytest.param(("test", "policies/"), id="tests"),
    ],
)
def test_a_plain_opa_accepts_the_policies(opa: Opa, arguments: tuple[str, ...]) -> None:
    done = opa.run(*arguments)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


def test_every_line_of_every_policy_is_reached_by_a_rego_test(opa: Opa) -> None:
    report = cast("dict[str, Json]", opa.read("test", "--coverage", "-f", "json", "policies/"))
    files = cast("dict[str, dict[str, Json]]", report["files"])

    missed = {path: file["not_covered"] for path, file in files.items() if "not_covered" in file}

    assert missed == {}
    assert report["coverage"] == 100
    covered = {(opa.repository / path).resolve() for path in files}
    assert set(opa.sources) <= covered


def test_a_misspelt_key_of_the_input_document_is_a_type_error(opa: Opa, tmp_path: Path) -> None:
    for path in opa.sources:
        text = path.read_text(encoding="utf-8")
        (tmp_path / path.name).write_text(
            text.replace("input.request.verbs", "input.request.verb"), encoding="utf-8"
        )

    done = opa.run("check", "--strict", "--schema", "policies/schemas", str(tmp_path))

    assert done.returncode != 0
    assert "undefined ref: input.request.verb" in done.stdout + done.stderr


def test_every_unit_is_where_governor_asks_for_it(opa: Opa, findings: list[Finding]) -> None:
    """A package of another name than its directory would answer nothing, and grant."""
    home = opa.repository / "policies" / "governor"
    units = {f"governor.{path.name}" for path in home.iterdir() if path.name != "lib"}

    assert {finding.unit for finding in findings if finding.name == "deny"} == units


def test_every_finding_says_in_its_metadata_what_it_is(
    findings: list[Finding], annotations: dict[tuple[str, int], dict[str, Json]]
) -> None:
    for finding in findings:
        metadata = annotations.get(finding.place)
        assert metadata is not None, f"{finding} has no METADATA"
        custom = _custom(metadata)
        assert metadata.get("title"), finding
        assert metadata.get("description"), finding
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", str(custom.get("code"))), finding
        assert custom.get("severity") in SEVERITIES, finding
        assert custom.get("remediation"), finding


def test_no_two_findings_share_a_code(
    findings: list[Finding], annotations: dict[tuple[str, int], dict[str, Json]]
) -> None:
    codes = [str(_custom(annotations[finding.place])["code"]) for finding in findings]

    assert sorted(codes) == sorted(set(codes))


def test_every_code_is_produced_by_a_rego_case(
    opa: Opa, findings: list[Finding], annotations: dict[tuple[str, int], dict[str, Json]]
) -> None:
    for unit in {finding.unit for finding in findings}:
        promised = {
            str(_custom(annotations[finding.place])["code"])
            for finding in findings
            if finding.unit == unit
        }
        cases = opa.evaluate(
            f"case := data.{unit}_test.denied_cases[sentence]; document := case[1]; "
            f"answer := data.{unit} with input as document; "
            'codes := {found.code | some name in {"deny", "warn", "cap"}; '
            "some found in answer[name]}"
        )
        produced = {code for case in cases for code in cast("list[str]", case["codes"])}

        assert produced == promised


def test_every_code_is_documented(
    repository: Path,
    findings: list[Finding],
    annotations: dict[tuple[str, int], dict[str, Json]],
) -> None:
    documented = (repository / "docs" / "denials.md").read_text(encoding="utf-8")

    for finding in findings:
        code = _custom(annotations[finding.place])["code"]
        assert f"| `{code}` |" in documented, f"docs/denials.md has no row for {code}"


def test_the_documents_of_the_rego_cases_satisfy_the_published_schema(opa: Opa) -> None:
    validator = published_schema(opa.repository)
    tests = "data.governor.permissions_test"
    base = opa.evaluate(f"document := {tests}.base_document")
    granted = opa.evaluate(f"document := {tests}.granted_cases[_]")
    denied = opa.evaluate(f"document := {tests}.denied_cases[_][1]")

    assert granted
    assert denied
    for case in [*base, *granted, *denied]:
        assert [*validator.iter_errors(case["document"])] == []


def test_a_unit_without_its_metadata_still_refuses(opa: Opa, tmp_path: Path) -> None:
    """An engine that does not process annotations would otherwise grant everything."""
    for path in opa.sources:
        kept = [
            line
            for line in path.read_text(encoding="utf-8").splitlines()
            if not line.startswith("#")
        ]
        (tmp_path / path.name).write_text("\n".join(kept), encoding="utf-8")
    done = subprocess.run(
        [
            str(opa.binary),
            "eval",
            "--format",
            "json",
            "--data",
            str(tmp_path),
            "codes := {denial.code | some denial in data.governor.permissions.deny}",
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )

    assert json.loads(done.stdout)["result"][0]["bindings"]["codes"] == ["policy-error"]
