"""Writes the table of built-in kinds from a real API server's discovery.

`python -m controller.cli.kinds_generate --kubeconfig FILE` asks the server named
there, by kubectl. What CustomResourceDefinitions brought into it is left out, and so
are the reviews (TokenReview and the like), which are never stored and no webhook is
asked about. Nothing is guessed: what the server does not serve is not in the table.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from controller.cli.kinds import NEVER_STORED

Get: TypeAlias = Callable[[str], Any]
"""Gives the JSON at a path of the API server, whose shape discovery promises."""

TABLE = Path(__file__).with_name("kinds.json")
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def generate(get: Get) -> str:
    """The table as the text of its file: one kind a line, in the order of their names."""
    version = get("/version")
    custom = {(crd["spec"]["group"], crd["spec"]["names"]["plural"]) for crd in get(_CRDS)["items"]}
    kinds = sorted(
        (entry for entry in _served(get) if (entry["group"], entry["plural"]) not in custom),
        key=lambda entry: (entry["group"], entry["version"], entry["kind"]),
    )
    lines = ",\n".join(f"    {json.dumps(kind)}" for kind in kinds)
    name = json.dumps(f"{version['major']}.{version['minor']}")
    return f'{{\n  "kubernetes": {name},\n  "kinds": [\n{lines}\n  ]\n}}\n'


def _served(get: Get) -> Iterator[dict[str, Any]]:
    for group, version in _group_versions(get):
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        resources = get(path)["resources"]
        names = {resource["name"] for resource in resources}
        for resource in resources:
            if "/" in resource["name"] or "create" not in resource["verbs"]:
                continue
            yield {
                "group": group,
                "version": version,
                "plural": resource["name"],
                "kind": resource["kind"],
                "namespaced": resource["namespaced"],
                "status": f"{resource['name']}/status" in names,
            }


def _group_versions(get: Get) -> Iterator[tuple[str, str]]:
    for version in get("/api")["versions"]:
        yield "", version
    for group in get("/apis")["groups"]:
        if group["name"] not in NEVER_STORED:
            for version in group["versions"]:
                yield group["name"], version["version"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table anew."""
    parser = argparse.ArgumentParser(
        prog="python -m controller.cli.kinds_generate", description=main.__doc__
    )
    parser.add_argument("--kubeconfig", required=True, help="of a fresh cluster")
    parser.add_argument(
        "--kubectl", default=str(Path(sys.executable).with_name("kubectl")), help="the program"
    )
    options = parser.parse_args(arguments)

    def get(path: str) -> Any:  # noqa: ANN401 - JSON of any shape
        command = [options.kubectl, "--kubeconfig", options.kubeconfig, "get", "--raw", path]
        answer = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        return json.loads(answer.stdout)

    TABLE.write_text(generate(get), encoding="utf-8")


if __name__ == "__main__":
    main()
