"""Makes of a manifest the AdmissionReview that the API server would send about it.

Adds what the API server certainly would: the resource, the namespace, a generated
name, the status that no such write can change. What it cannot know (defaults,
what other webhooks change, the live object) it leaves out; docs/check.md lists
it. A manifest that is an AdmissionReview stays as it is. Nothing is judged here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import orjson

from controller.admission.review import (
    API_VERSION,
    MalformedReviewError,
    metadata_text,
    read_review,
)
from controller.apis.requests import AdmissionRequest, Operation, UserInfo
from controller.asks.asked import Surroundings
from controller.cli.kinds import Kind, Kinds
from controller.cli.manifests import Manifest, ManifestError, Object

REVIEW_KIND = "AdmissionReview"
_REVIEW_GROUP = "admission.k8s.io/"
_GENERATED = "xxxxx"
"""In place of the five random characters that the API server appends to `generateName`."""
_MAX_GENERATED_BASE = 58
_OPTIONS = {
    Operation.CREATE: "CreateOptions",
    Operation.UPDATE: "UpdateOptions",
    Operation.DELETE: "DeleteOptions",
}


@dataclass(frozen=True, slots=True)
class Write:
    """One write to judge, and where it was read."""

    manifest: Manifest
    request: AdmissionRequest
    is_made: bool
    """The request was made of a manifest; the manifest was no AdmissionReview."""
    has_generated_name: bool = False
    around: Surroundings = field(default_factory=Surroundings)
    """What its asks depend on, as far as the files tell."""
    unknown: str = ""
    """What its asks depend on and no file tells; empty: nothing."""


class Identity(NamedTuple):
    """Which object a manifest is of, whatever its version."""

    group: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Asker:
    """Says of manifests what the API server would be asked."""

    kinds: Kinds
    user: UserInfo | None
    """Who writes; None where only AdmissionReviews are expected, which say it themselves."""
    operation: Operation = Operation.CREATE
    namespace: str = "default"
    """Of namespaced objects that name none."""
    olds: Mapping[Identity, Manifest] = field(
        default_factory=lambda: MappingProxyType(dict[Identity, Manifest]())
    )
    """The stored versions, for updates."""

    def ask(self, manifest: Manifest) -> Write:
        """The write that a manifest stands for.

        Raises:
            ManifestError: it stands for none; names the field and the fix.
        """
        if is_review(manifest):
            return Write(manifest, self._as_it_is(manifest), is_made=False)
        if self.user is None:
            problem = f"a {manifest.kind[:80]} does not say who writes it; say so with --as AGENT"
            raise ManifestError(manifest.place, problem)
        generated = not metadata_text(manifest.body, "name")
        request = _read(manifest, self._review(manifest, self.user))
        return Write(manifest, request, is_made=True, has_generated_name=generated)

    def _as_it_is(self, manifest: Manifest) -> AdmissionRequest:
        request = manifest.body.get("request")
        if self.user is None or not isinstance(request, dict):
            return _read(manifest, manifest.body)
        impersonated: Object = {**request, "userInfo": _user_part(self.user)}
        return _read(manifest, {**manifest.body, "request": impersonated})

    def _review(self, manifest: Manifest, user: UserInfo) -> Object:
        kind = self.kinds.kind_of(manifest)
        written = placed(manifest, kind, operation=self.operation, namespace=self.namespace)
        old = self._old(manifest, kind, written)
        obj = None if self.operation is Operation.DELETE else _as_stored(written, old, kind)
        options: Object = {"apiVersion": "meta.k8s.io/v1", "kind": _OPTIONS[self.operation]}
        return {
            "apiVersion": API_VERSION,
            "kind": REVIEW_KIND,
            "request": {
                "uid": "check",
                "operation": self.operation.value,
                **_target_part(kind),
                "namespace": _namespace_of_request(written, kind),
                "name": metadata_text(written, "name"),
                "userInfo": _user_part(user),
                "object": obj,
                "oldObject": old,
                "options": options,
                "dryRun": False,
            },
        }

    def _old(self, manifest: Manifest, kind: Kind, written: Object) -> Object | None:
        if self.operation is Operation.CREATE:
            return None
        if self.operation is Operation.DELETE:
            return written
        old = self.olds.get(_identity(manifest, written))
        if old is None:
            name = metadata_text(written, "name")
            problem = (
                f"--old has no {manifest.kind[:80]} {name[:253]}; add its stored version there"
            )
            raise ManifestError(manifest.place, problem)
        if old.api_version != manifest.api_version:
            versions = f"{manifest.api_version[:120]}, in {old.place} {old.api_version[:120]}"
            problem = f"apiVersion is {versions}; give both in one version"
            raise ManifestError(manifest.place, problem)
        return placed(old, kind, operation=self.operation, namespace=self.namespace)


def is_review(manifest: Manifest) -> bool:
    """Whether it is an AdmissionReview, of whatever version."""
    return manifest.kind == REVIEW_KIND and manifest.api_version.startswith(_REVIEW_GROUP)


def index_olds(
    manifests: Iterable[Manifest], *, kinds: Kinds, namespace: str
) -> Mapping[Identity, Manifest]:
    """The stored versions, by what they are of.

    Raises:
        ManifestError: one has no name, an unknown kind, or is there twice.
    """
    found: dict[Identity, Manifest] = {}
    for manifest in manifests:
        kind = kinds.kind_of(manifest)
        stored = placed(manifest, kind, operation=Operation.UPDATE, namespace=namespace)
        identity = _identity(manifest, stored)
        if identity in found:
            problem = f"is the same object as {found[identity].place}; give one stored version"
            raise ManifestError(manifest.place, problem)
        found[identity] = manifest
    return MappingProxyType(found)


def placed(manifest: Manifest, kind: Kind, *, operation: Operation, namespace: str) -> Object:
    """The object with the name and the namespace that it is stored under.

    Raises:
        ManifestError: its metadata does not say.
    """
    metadata = _metadata(manifest)
    name = metadata.get("name") or _generated_name(manifest, metadata, operation)
    if not kind.resource.namespaced:
        # Without a word, as the API server does.
        kept: Object = {key: value for key, value in metadata.items() if key != "namespace"}
        return {**manifest.body, "metadata": {**kept, "name": name}}
    there = metadata.get("namespace") or namespace
    return {**manifest.body, "metadata": {**metadata, "name": name, "namespace": there}}


def _metadata(manifest: Manifest) -> Object:
    metadata = manifest.body.get("metadata")
    if not isinstance(metadata, dict):
        given = "is missing" if metadata is None else "is not an object"
        raise ManifestError(manifest.place, f"metadata {given}; write one with a name")
    for key in ("name", "generateName", "namespace"):
        value = metadata.get(key)
        if value is not None and not isinstance(value, str):
            problem = f"metadata.{key} is not a text; put it in quotes"
            raise ManifestError(manifest.place, problem)
    return metadata


def _generated_name(manifest: Manifest, metadata: Object, operation: Operation) -> str:
    base = metadata.get("generateName")
    if operation is not Operation.CREATE:
        problem = f"metadata.name is missing; write the name of the object to {operation.lower()}"
        raise ManifestError(manifest.place, problem)
    if not isinstance(base, str) or not base:
        raise ManifestError(manifest.place, "metadata.name is missing; write it, or generateName")
    return base[:_MAX_GENERATED_BASE] + _GENERATED


def _as_stored(written: Object, old: Object | None, kind: Kind) -> Object:
    """A write to an object with a status subresource leaves its status as it was."""
    owned = written if old is None else _with_owners(written, old)
    if not kind.has_status:
        return owned
    kept = {key: value for key, value in owned.items() if key != "status"}
    return {**kept, "status": old["status"]} if old is not None and "status" in old else kept


def _with_owners(written: Object, old: Object) -> Object:
    """A write that does not speak of field owners leaves them as they were."""
    metadata, stored = written["metadata"], old["metadata"]
    if not (isinstance(metadata, dict) and isinstance(stored, dict)):
        return written
    if metadata.get("managedFields") is not None or "managedFields" not in stored:
        return written
    return {**written, "metadata": {**metadata, "managedFields": stored["managedFields"]}}


def _namespace_of_request(written: Object, kind: Kind) -> str:
    """A Namespace is within itself, to admission."""
    if (kind.resource.group, kind.resource.plural) == ("", "namespaces"):
        return metadata_text(written, "name")
    return metadata_text(written, "namespace")


def _identity(manifest: Manifest, written: Object) -> Identity:
    return Identity(
        group=manifest.api_version.rpartition("/")[0],
        kind=manifest.kind,
        namespace=metadata_text(written, "namespace"),
        name=metadata_text(written, "name"),
    )


def _target_part(kind: Kind) -> Object:
    resource = kind.resource
    group_version: Object = {"group": resource.group, "version": resource.version}
    return {
        "kind": {**group_version, "kind": resource.kind},
        "resource": {**group_version, "resource": resource.plural},
    }


def _user_part(user: UserInfo) -> Object:
    return {
        "username": user.username,
        "uid": user.uid,
        "groups": [*user.groups],
        "extra": {key: [*values] for key, values in user.extra.items()},
    }


def _read(manifest: Manifest, review: Object) -> AdmissionRequest:
    """Through bytes and the webhook's own reader: what that refuses is refused here, too."""
    try:
        return read_review(orjson.dumps(review))
    except MalformedReviewError as error:
        raise ManifestError(manifest.place, str(error)) from error
    except TypeError as error:
        raise ManifestError(manifest.place, "is nested too deeply; flatten it") from error
