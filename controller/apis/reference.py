"""A kind's field reference as Markdown, from its CustomResourceDefinition.

Says what the schema says, so that it cannot go out of date. Writes no files.
"""

from collections.abc import Iterator
from typing import Any

from controller.apis.schema import Node, nodes_of


def markdown_reference(definition: dict[str, Any]) -> str:
    """Write the reference of the one version of a CustomResourceDefinition."""
    names = definition["spec"]["names"]
    version = definition["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    sections = [
        f"# {names['kind']}",
        schema["description"],
        _identification(definition),
        "## Fields",
        "\n".join(_field_rows(schema)),
        "## Rules across fields",
        "\n".join(_rule_lines(schema)),
        "## What `kubectl get` shows",
        "\n".join(_column_rows(version["additionalPrinterColumns"])),
    ]
    return "\n\n".join(sections) + "\n"


def _identification(definition: dict[str, Any]) -> str:
    spec = definition["spec"]
    names = spec["names"]
    version = spec["versions"][0]["name"]
    return (
        f"`apiVersion: {spec['group']}/{version}`, `kind: {names['kind']}`, cluster-scoped. "
        f"`kubectl get {names['plural']}`, or `{names['shortNames'][0]}`, or with all of "
        f"Governor's kinds `kubectl get {names['categories'][0]}`."
    )


def _field_rows(schema: Node) -> Iterator[str]:
    yield "| Field | Type | Bounds | Meaning |"
    yield "|---|---|---|---|"
    required = frozenset(_required_paths(schema))
    for path, node in nodes_of(schema, ""):
        field = path.removeprefix(".")
        if "." not in field and field not in ("spec", "status"):
            continue
        if field.endswith(("[]", "{}")):
            continue
        bounds = _sentence(_bounds(node, is_required=path in required))
        yield f"| `{field}` | {_type(node)} | {bounds} | {_cell(node['description'])} |"


def _required_paths(schema: Node) -> Iterator[str]:
    for path, node in nodes_of(schema, ""):
        yield from (f"{path}.{name}" for name in node.get("required", ()))


def _type(node: Node) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if node["type"] == "array":
        return f"list of {_type(node['items'])}"
    if "additionalProperties" in node:
        return f"map of {_type(node['additionalProperties'])}"
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    if node.get("format") == "date-time":
        return "time"
    return str(node["type"])


def _bounds(node: Node, *, is_required: bool) -> Iterator[str]:
    if is_required:
        yield "required"
    if "default" in node:
        yield f"default `{node['default']}`"
    if "maxItems" in node:
        kind = "unique items" if node.get("x-kubernetes-list-type") == "set" else "items"
        yield f"{node.get('minItems', 0)} to {node['maxItems']} {kind}"
    if "maxProperties" in node:
        yield f"at most {node['maxProperties']} keys"
    inner = node.get("items", node.get("additionalProperties"))
    text, each = (node, "") if inner is None else (inner, "each ")
    if "maxLength" in text:
        yield f"{each}{text.get('minLength', 0)} to {text['maxLength']} characters"
    if "maximum" in text:
        yield f"{each}{text['minimum']} to {text['maximum']}"
    elif "minimum" in text:
        yield f"{each}at least {text['minimum']}"


def _sentence(parts: Iterator[str]) -> str:
    return ", ".join(parts)


def _rule_lines(schema: Node) -> Iterator[str]:
    for path, node in nodes_of(schema, ""):
        for rule in node.get("x-kubernetes-validations", ()):
            field = f"{path}{rule.get('fieldPath', '')}".removeprefix(".")
            where = f"`{field}`: " if field else ""
            yield f"- {where}{rule['message']}."


def _column_rows(columns: list[dict[str, Any]]) -> Iterator[str]:
    yield "| Column | Meaning | Shown |"
    yield "|---|---|---|"
    for column in columns:
        shown = "with `-o wide`" if column.get("priority") else "always"
        yield f"| {column['name'].upper()} | {_cell(column['description'])} | {shown} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
