"""Runs OPA's own command line over the policies; judges nothing itself."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from controller.apis.json import Json

_TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Opa:
    """OPA's command line, run in a repository whose policies are `policies/`."""

    binary: Path
    repository: Path

    @property
    def sources(self) -> list[Path]:
        """Every Rego file of the policies but their tests."""
        found = (self.repository / "policies" / "governor").rglob("*.rego")
        return sorted(path for path in found if not path.name.endswith("_test.rego"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever its status is."""
        return subprocess.run(
            [str(self.binary), *arguments],
            cwd=self.repository,
            capture_output=True,
            encoding="utf-8",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )

    def read(self, *arguments: str) -> Json:
        """Run a command that prints one JSON document."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return cast("Json", json.loads(done.stdout))

    def evaluate(self, query: str, *paths: Path) -> list[dict[str, Json]]:
        """Evaluate a query over the policies and more files: what it binds, once a solution.

        Builtin errors are errors, as they are in admission.
        """
        more = [part for path in paths for part in ("--data", str(path))]
        answer = self.read(
            "eval", "--strict-builtin-errors", "--data", "policies/governor", *more, query
        )
        results = members(answer, "result")
        return [cast("dict[str, Json]", result["bindings"]) for result in results]


def members(value: Json, key: str) -> list[dict[str, Json]]:
    """The objects listed under a key; none where the key is absent."""
    listed = cast("Mapping[str, Json]", value).get(key, [])
    return cast("list[dict[str, Json]]", listed)


def texts(values: Iterable[Json]) -> list[str]:
    """The values, each of which is a text."""
    return [cast("str", value) for value in values]
