"""What kinds of object there are: the resource, the scope and the status of each.

Built-in kinds are a table, generated from a real API server's discovery
(`python -m controller.cli.kinds_generate`); Governor's own and those of given
CustomResourceDefinitions join it. It asks no cluster and judges nothing.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import orjson

from controller.apis.json import Json
from controller.cli.manifests import Manifest, ManifestError
from controller.clients.kube.resources import (
    ACCOUNTS,
    GOVERNANCES,
    MANDATES,
    PRICEBOOKS,
    Resource,
)

_TABLE = Path(__file__).with_name("kinds.json")
NEVER_STORED = frozenset({"authentication.k8s.io", "authorization.k8s.io"})
"""API groups of questions to the API server, which it answers without asking a webhook."""
CRD_GROUP = "apiextensions.k8s.io"
CRD_KIND = "CustomResourceDefinition"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object that the API server stores."""

    resource: Resource
    has_status: bool
    """`status` is a subresource: no write to the object itself changes it."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """All kinds that are known, by `apiVersion` and `kind`."""

    known: Mapping[tuple[str, str], Kind]

    @staticmethod
    def of(*sources: Iterable[Kind]) -> "Kinds":
        """Index kinds; of two with one name, the later one counts."""
        found = {
            (kind.resource.api_version, kind.resource.kind): kind
            for source in sources
            for kind in source
        }
        return Kinds(MappingProxyType(found))

    def kind_of(self, manifest: Manifest) -> Kind:
        """The kind of a manifest's object.

        Raises:
            ManifestError: it is not known; says what is known instead, or how to make it known.
        """
        kind = self.known.get((manifest.api_version, manifest.kind))
        if kind is not None:
            return kind
        problem = f"the kind {manifest.kind[:80]} of {manifest.api_version[:120]} is not known"
        raise ManifestError(manifest.place, f"{problem}; {self._advice(manifest)}")

    def _advice(self, manifest: Manifest) -> str:
        if manifest.api_version.partition("/")[0] in NEVER_STORED:
            return "it is never stored, so no webhook is asked about it; leave it out"
        versions = [version for version, kind in self.known if kind == manifest.kind]
        if versions:
            return f"write apiVersion {' or '.join(versions)}, or pass its CRD with --crds"
        of_version = [kind for version, kind in self.known if version == manifest.api_version]
        close = difflib.get_close_matches(manifest.kind[:80], of_version, n=1)
        if close:
            return f"did you mean {close[0]}?"
        return "pass its CustomResourceDefinition with --crds"


@cache
def builtin_kinds() -> tuple[Kind, ...]:
    """What a Kubernetes API server serves by itself, from the generated table."""
    table = orjson.loads(_TABLE.read_bytes())
    return tuple(
        Kind(
            Resource(entry["group"], entry["version"], entry["plural"], entry["kind"], namespaced),
            has_status=entry["status"],
        )
        for entry in table["kinds"]
        for namespaced in (entry["namespaced"],)
    )


def own_kinds() -> tuple[Kind, ...]:
    """Governor's."""
    written_by_people = (MANDATES, GOVERNANCES, PRICEBOOKS)
    with_status = (Kind(resource, has_status=True) for resource in written_by_people)
    return (*with_status, Kind(ACCOUNTS, has_status=False))


def kinds_of_crds(manifests: Iterable[Manifest]) -> tuple[Kind, ...]:
    """The kinds that CustomResourceDefinitions define; other objects among them do not matter.

    Raises:
        ManifestError: a definition is not complete.
    """
    return tuple(
        kind for manifest in manifests if _is_crd(manifest) for kind in _kinds_of_crd(manifest)
    )


def _is_crd(manifest: Manifest) -> bool:
    group = manifest.api_version.rpartition("/")[0]
    return group == CRD_GROUP and manifest.kind == CRD_KIND


def _kinds_of_crd(manifest: Manifest) -> list[Kind]:
    if manifest.api_version != f"{CRD_GROUP}/v1":
        problem = f"apiVersion {manifest.api_version[:120]} is no longer served"
        raise ManifestError(manifest.place, f"{problem}; write {CRD_GROUP}/v1")
    spec = _Part(manifest, "spec", manifest.body.get("spec"))
    names = _Part(manifest, "spec.names", spec.fields.get("names"))
    scope = spec.text("scope")
    if scope not in ("Namespaced", "Cluster"):
        problem = f"spec.scope is {scope[:80]}; write Namespaced or Cluster"
        raise ManifestError(manifest.place, problem)
    return [
        Kind(
            Resource(
                spec.text("group"),
                version.text("name"),
                names.text("plural"),
                names.text("kind"),
                namespaced=scope == "Namespaced",
            ),
            has_status=version.has("subresources", "status"),
        )
        for version in spec.parts("versions")
        if version.fields.get("served") is True
    ]


class _Part:
    """An object within a definition, and where it is."""

    def __init__(self, manifest: Manifest, path: str, value: Json) -> None:
        if not isinstance(value, dict):
            problem = f"{path} is missing or not an object; give a complete definition"
            raise ManifestError(manifest.place, problem)
        self.fields = value
        self._manifest = manifest
        self._path = path

    def text(self, key: str) -> str:
        value = self.fields.get(key)
        if not isinstance(value, str) or not value:
            problem = f"{self._path}.{key} is missing or not a text; give a complete definition"
            raise ManifestError(self._manifest.place, problem)
        return value

    def has(self, outer: str, inner: str) -> bool:
        value = self.fields.get(outer)
        return isinstance(value, dict) and value.get(inner) is not None

    def parts(self, key: str) -> "list[_Part]":
        value = self.fields.get(key)
        if not isinstance(value, list) or not value:
            problem = f"{self._path}.{key} is missing or not a list; give a complete definition"
            raise ManifestError(self._manifest.place, problem)
        return [
            _Part(self._manifest, f"{self._path}.{key}[{index}]", item)
            for index, item in enumerate(value)
        ]
