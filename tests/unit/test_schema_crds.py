"""The CRDs as a whole: documented, bounded, twinned, and what the generator writes of them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.accounts.account import MAX_IDLE_WINDOWS, MAX_PENDING, MAX_WANTED
from controller.accounts.encoding import MAX_ENTRY_LENGTH
from controller.accounts.entries import Outcome
from controller.accounts.windows import WindowKey
from controller.apis import generate
from controller.apis.cel import cel_rules_of
from controller.apis.crds import (
    ACCOUNT,
    GOVERNANCE,
    KINDS,
    MANDATE,
    PRICEBOOK,
    Kind,
    custom_resource_definition,
)
from controller.apis.reference import markdown_reference
from controller.apis.resources import SPENT
from controller.apis.schema import nodes_of, structural_schema
from controller.apis.v1alpha1 import account, governance, mandate, pricebook
from controller.apis.v1alpha1.account import Account


def is_ours(path: str) -> bool:
    return path.split(".")[1:2] not in (["apiVersion"], ["kind"], ["metadata"])


def is_described_by_what_holds_it(path: str, node: dict[str, Any]) -> bool:
    return path.endswith(("[]", "{}")) and node["type"] != "object"


NODES = {
    path: node
    for kind in KINDS
    for path, node in nodes_of(structural_schema(kind.model), kind.name)
    if is_ours(path)
}
"""Every node by its path, without those that Kubernetes describes."""
DESCRIBED = {
    path: node for path, node in NODES.items() if not is_described_by_what_holds_it(path, node)
}

VERSIONED = tuple(
    value for module in (mandate, governance, account, pricebook) for value in vars(module).values()
)


def definition_of(kind: Kind) -> dict[str, Any]:
    return custom_resource_definition(kind)


@pytest.mark.parametrize("node", DESCRIBED.values(), ids=DESCRIBED.keys())
def test_every_field_is_described_in_sentences_that_end(node: dict[str, Any]) -> None:
    assert re.fullmatch(r"[A-Z`].{10,}\.", node["description"], re.DOTALL)
    assert "  " not in node["description"]


@pytest.mark.parametrize("node", NODES.values(), ids=NODES.keys())
def test_every_text_and_list_is_bounded_so_that_rules_are_cheap(node: dict[str, Any]) -> None:
    if node.get("x-kubernetes-int-or-string"):
        # Without it, a rule on the value is reckoned to read megabytes, and is refused.
        assert node["maxLength"] <= 32
        return
    if node["type"] == "array":
        assert node["maxItems"] <= 1024
    if "additionalProperties" in node:
        assert node["maxProperties"] <= 1024
    if node["type"] == "string":
        assert "enum" in node or "format" in node or node["maxLength"] <= 32768


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_cel_rule_of_the_schema_is_one_that_has_a_twin(kind: Kind) -> None:
    written = [
        rule
        for _, node in nodes_of(structural_schema(kind.model), kind.name)
        for rule in node.get("x-kubernetes-validations", ())
    ]
    models = [value for value in VERSIONED if isinstance(value, type)]
    twinned = [rule.to_schema() for model in models for rule in cel_rules_of(model)]

    assert written
    assert all(rule in twinned for rule in written)


def test_the_cel_rule_on_verbs_names_the_verbs_of_its_twin() -> None:
    (rule,) = cel_rules_of(mandate.Rule)
    quoted = re.findall(r"'([a-z]+)'", rule.rule)

    assert frozenset(quoted) == mandate.VERBS_WITH_FIELDS


@pytest.mark.parametrize(
    ("kind", "subresources", "required"),
    [
        pytest.param(MANDATE, {"status": {}}, ["spec"], id="Mandate, with a status of its own"),
        pytest.param(GOVERNANCE, {"status": {}}, ["spec"], id="Governance, with a status too"),
        pytest.param(ACCOUNT, None, ["status"], id="Account, written as a whole"),
        pytest.param(PRICEBOOK, {"status": {}}, ["spec"], id="PriceBook, with a status too"),
    ],
)
def test_a_kind_is_cluster_scoped_and_says_what_is_written_apart(
    kind: Kind, subresources: dict[str, Any] | None, required: list[str]
) -> None:
    spec = definition_of(kind)["spec"]
    (version,) = spec["versions"]

    assert spec["scope"] == "Cluster"
    assert version.get("subresources") == subresources
    assert version["schema"]["openAPIV3Schema"]["required"] == required
    assert spec["names"]["categories"] == ["governor"]


def test_every_part_of_an_account_is_one_field_to_who_owns_what() -> None:
    parts = nodes_of(structural_schema(Account), "Account")
    lists_and_maps = [
        node.get("x-kubernetes-list-type", node.get("x-kubernetes-map-type"))
        for path, node in parts
        if is_ours(path) and path not in ("Account", "Account.status")
        if node["type"] in ("array", "object")
    ]

    assert lists_and_maps == ["atomic"] * 7


def test_the_schema_holds_what_the_account_may_hold() -> None:
    pending = dict(nodes_of(structural_schema(Account), ""))[".status.pending"]

    assert pending["maxItems"] == MAX_PENDING
    # An entry is bounded when it is reserved; its outcome is written into it later.
    longest = max(len(outcome) for outcome in Outcome)
    assert pending["items"]["maxLength"] >= MAX_ENTRY_LENGTH + longest


def test_the_schema_holds_every_window_that_an_account_may_have() -> None:
    nodes = dict(nodes_of(structural_schema(Account), ""))

    assert nodes[".status.wanted"]["maxItems"] == MAX_WANTED
    # Of budgets that a mandate no longer has, windows stay until they end.
    assert nodes[".status.windows"]["maxProperties"] >= 2 * (MAX_IDLE_WINDOWS + 2 * MAX_WANTED)


@pytest.mark.parametrize("resource", SPENT)
@pytest.mark.parametrize("seconds", [60, 86_400, 31_536_000])
def test_a_window_that_waits_has_a_name_that_the_schema_takes(resource: str, seconds: int) -> None:
    wanted = dict(nodes_of(structural_schema(Account), ""))[".status.wanted[]"]
    name = str(WindowKey(resource, seconds))

    assert re.fullmatch(wanted["pattern"], name)
    assert len(name) <= wanted["maxLength"]


@pytest.mark.parametrize(
    ("kind", "columns", "wide"),
    [
        pytest.param(
            MANDATE,
            ["Enforcement", "Suspended", "CPU", "Memory", "Pods", "Ready", "Reason", "Age"],
            ["Observed", "Message"],
            id="Mandate",
        ),
        pytest.param(
            GOVERNANCE, ["Ready", "Reason", "Age"], ["Observed", "Message"], id="Governance"
        ),
        pytest.param(
            ACCOUNT,
            ["Suspended", "Generation", "MilliCPU", "Bytes", "Pods", "Age"],
            ["Mandate", "Prices"],
            id="Account",
        ),
        pytest.param(
            PRICEBOOK,
            ["CPU", "GiB", "Pod", "Ready", "Reason", "Age"],
            ["Observed", "Message"],
            id="PriceBook",
        ),
    ],
)
def test_kubectl_get_shows_what_an_administrator_asks_first(
    kind: Kind, columns: list[str], wide: list[str]
) -> None:
    shown = definition_of(kind)["spec"]["versions"][0]["additionalPrinterColumns"]

    assert [column["name"] for column in shown if not column.get("priority")] == columns
    assert [column["name"] for column in shown if column.get("priority") == 1] == wide


def test_the_files_of_the_repository_are_in_date(repository: Path) -> None:
    assert generate.stale_files(repository) == []


def test_a_generated_manifest_says_so_first_and_is_the_definition() -> None:
    text = generate.generated_files()["manifests/crds/governor.dev_mandates.yaml"]

    assert text.startswith("# Generated by `python -m controller.apis.generate`")
    assert yaml.safe_load(text) == definition_of(MANDATE)


def test_check_names_missing_and_stale_files_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate.main([], root=tmp_path)
    stale = tmp_path / "manifests/crds/governor.dev_mandates.yaml"
    missing = tmp_path / "docs/reference/governance.md"
    stale.write_text("edited\n", encoding="utf-8")
    missing.unlink()
    capsys.readouterr()

    status = generate.main(["--check"], root=tmp_path)

    assert status == 1
    assert capsys.readouterr().out.splitlines() == [
        "out of date: manifests/crds/governor.dev_mandates.yaml",
        "out of date: docs/reference/governance.md",
        "run: python -m controller.apis.generate",
    ]
    assert stale.read_text(encoding="utf-8") == "edited\n"
    assert not missing.exists()


def test_generating_mends_what_check_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["--check"], root=tmp_path) == 1
    assert generate.main([], root=tmp_path) == 0
    assert "wrote: docs/reference/mandate.md" in capsys.readouterr().out
    assert generate.main(["--check"], root=tmp_path) == 0
    assert capsys.readouterr().out == "generated files are in date\n"


def rows_of(reference: str) -> Iterator[list[str]]:
    for line in reference.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_reference_has_one_row_for_every_field_and_every_rule(kind: Kind) -> None:
    schema = definition_of(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    nodes = [(path.removeprefix("."), node) for path, node in nodes_of(schema, "")]
    ours = [
        path
        for path, _ in nodes
        if path.startswith(("spec", "status")) and not path.endswith(("[]", "{}"))
    ]
    rules = [
        rule["message"] for _, node in nodes for rule in node.get("x-kubernetes-validations", ())
    ]
    reference = markdown_reference(definition_of(kind))

    rows = list(rows_of(reference))

    assert [row[0].strip("`") for row in rows] == ours
    assert {len(row) for row in rows} == {4}
    assert all(message in reference for message in rules)


@pytest.mark.parametrize(
    ("field", "type_", "bounds"),
    [
        pytest.param("spec.subjects", "list of object", "required, 1 to 64 items", id="a list"),
        pytest.param(
            "spec.enforcement",
            r"`Enforce` \| `Warn` \| `Shadow`",
            "default `Enforce`",
            id="an enumeration with a default",
        ),
        pytest.param(
            "spec.rules[].apiGroups",
            "list of string",
            "required, 1 to 32 unique items, each 0 to 253 characters",
            id="a set of texts",
        ),
        pytest.param("spec.suspend", "boolean", "", id="an optional field"),
        pytest.param(
            "status.conditions[].lastTransitionTime", "time", "required", id="a point in time"
        ),
        pytest.param("status.observedGeneration", "integer", "at least 0", id="a number"),
        pytest.param(
            "spec.budgets[].windowSeconds",
            "integer",
            "required, 60 to 31536000",
            id="a number with both bounds",
        ),
        pytest.param(
            "spec.quota.memory", "integer or string", "0 to 20 characters", id="an amount"
        ),
    ],
)
def test_the_reference_states_type_and_bounds(field: str, type_: str, bounds: str) -> None:
    rows = {row[0].strip("`"): row for row in rows_of(markdown_reference(definition_of(MANDATE)))}

    assert rows[field][1:3] == [type_, bounds]
