"""A manifest becomes the AdmissionReview that the API server would send about it."""

from collections.abc import Mapping
from typing import cast

import pytest
import yaml

from controller.admission.review import read_request
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target, UserInfo
from controller.changes.fields import Path, changed_fields
from controller.cli.kinds import Kinds, builtin_kinds, own_kinds
from controller.cli.manifests import Manifest, ManifestError, Place
from controller.cli.offline import Asker, Write, index_olds
from tests.builders import PERSON, a_person, a_request, a_review_request, a_user

KINDS = Kinds.of(builtin_kinds(), own_kinds())

DEPLOYMENT = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 2}}"
CONFIGMAP = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: team-data}}"


def a_manifest(text: str, *, file: str = "x.yaml") -> Manifest:
    return Manifest(Place(file, 1), yaml.safe_load(text))


def an_asker(
    operation: Operation = Operation.CREATE,
    *,
    user: UserInfo | None = None,
    namespace: str = "default",
    olds: tuple[str, ...] = (),
) -> Asker:
    stored = [a_manifest(text, file="old.yaml") for text in olds]
    indexed = index_olds(stored, kinds=KINDS, namespace=namespace)
    return Asker(KINDS, user or a_user(), operation, namespace, indexed)


def asked(text: str, asker: Asker | None = None) -> AdmissionRequest:
    return (asker or an_asker()).ask(a_manifest(text)).request


def refusal(text: str, asker: Asker | None = None) -> str:
    with pytest.raises(ManifestError) as caught:
        asked(text, asker)
    return str(caught.value)


def metadata(obj: Mapping[str, Json] | None) -> dict[str, Json]:
    assert obj is not None
    return cast("dict[str, Json]", obj["metadata"])


def test_a_create_is_asked_with_resource_scope_user_and_object() -> None:
    request = asked(DEPLOYMENT, an_asker(namespace="team-data"))
    assert request.operation is Operation.CREATE
    assert request.target == Target("apps", "v1", "Deployment", "deployments")
    assert (request.namespace, request.name) == ("team-data", "web")
    assert request.user == a_user()
    assert request.old is None
    assert request.obj == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "team-data"},
        "spec": {"replicas": 2},
    }
    assert request.options == {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"}
    assert not request.dry_run


def test_an_objects_own_namespace_comes_first() -> None:
    assert asked(CONFIGMAP, an_asker(namespace="other")).namespace == "team-data"


def test_a_cluster_scoped_object_has_no_namespace_whatever_it_says() -> None:
    request = asked(
        "{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: r, namespace: x}}"
    )
    assert request.namespace == ""
    assert metadata(request.obj) == {"name": "r"}


def test_a_namespace_is_cluster_scoped_though_its_requests_name_it_as_their_namespace() -> None:
    request = asked("{apiVersion: v1, kind: Namespace, metadata: {name: scratch-1}}")
    assert (request.namespace, request.name) == ("", "scratch-1")
    assert metadata(request.obj) == {"name": "scratch-1"}


def test_a_name_to_be_generated_is_stood_for() -> None:
    write = an_asker().ask(a_manifest(CONFIGMAP.replace("name: a,", "generateName: settings-,")))
    assert write.has_generated_name
    assert write.request.name == "settings-xxxxx"
    assert metadata(write.request.obj)["name"] == "settings-xxxxx"
    assert metadata(write.request.obj)["generateName"] == "settings-"


def test_a_generated_name_is_cut_as_the_api_server_cuts_it() -> None:
    base = "b" * 80
    request = asked(CONFIGMAP.replace("name: a,", f"generateName: {base},"))
    assert request.name == "b" * 58 + "xxxxx"


def test_a_name_is_not_generated_where_there_is_one() -> None:
    write = an_asker().ask(a_manifest(CONFIGMAP.replace("name: a,", "name: a, generateName: b-,")))
    assert (write.request.name, write.has_generated_name) == ("a", False)


def test_a_delete_is_asked_about_the_stored_object() -> None:
    request = asked(CONFIGMAP, an_asker(Operation.DELETE))
    assert request.operation is Operation.DELETE
    assert request.obj is None
    assert metadata(request.old) == {"name": "a", "namespace": "team-data"}
    assert not request.is_collection
    assert request.options == {"apiVersion": "meta.k8s.io/v1", "kind": "DeleteOptions"}


STORED = """
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: team-data,
 resourceVersion: "7"}, spec: {replicas: 2}, status: {readyReplicas: 2}}
"""


def test_an_update_is_asked_with_the_stored_version() -> None:
    request = asked(DEPLOYMENT, an_asker(Operation.UPDATE, namespace="team-data", olds=(STORED,)))
    assert request.operation is Operation.UPDATE
    assert request.old == yaml.safe_load(STORED)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("", id="left out"),
        pytest.param(", status: {readyReplicas: 99}", id="given otherwise"),
    ],
)
def test_an_update_leaves_a_status_subresource_as_it_was(given: str) -> None:
    text = f"{DEPLOYMENT[:-1]}{given}}}"
    request = asked(text, an_asker(Operation.UPDATE, namespace="team-data", olds=(STORED,)))
    assert request.obj is not None
    assert request.obj["status"] == {"readyReplicas": 2}


OWNERS = "managedFields: [{manager: kubectl, operation: Apply}]"


@pytest.mark.requirement("same-judge.offline")
@pytest.mark.parametrize(
    ("given", "changed"),
    [
        pytest.param("", (), id="left out"),
        pytest.param("managedFields: null", (), id="null"),
        pytest.param("managedFields: []", (("metadata", "managedFields"),), id="emptied"),
        pytest.param("managedFields: [{}]", (("metadata", "managedFields"),), id="reset"),
        pytest.param("managedFields: [{manager: me}]", (), id="given otherwise"),
    ],
)
@pytest.mark.parametrize("text", [CONFIGMAP, DEPLOYMENT])
def test_an_update_keeps_the_owners_of_fields_as_the_api_server_does(
    text: str, given: str, changed: tuple[Path, ...]
) -> None:
    stored, written = (
        text.replace("{name:", f"{{{part}name:")
        for part in (f"{OWNERS}, ", f"{given}, " if given else "")
    )
    request = asked(written, an_asker(Operation.UPDATE, namespace="team-data", olds=(stored,)))
    assert changed_fields(request.old, request.obj).fields == changed


def test_a_status_that_is_an_ordinary_field_is_kept() -> None:
    stored = f"{CONFIGMAP[:-1]}, status: old}}"
    request = asked(f"{CONFIGMAP[:-1]}, status: new}}", an_asker(Operation.UPDATE, olds=(stored,)))
    assert request.obj is not None
    assert request.obj["status"] == "new"


def test_a_create_has_no_status_where_that_is_a_subresource() -> None:
    assert "status" not in (asked(STORED).obj or {})


def test_the_stored_version_is_found_in_the_default_namespace_too() -> None:
    stored = CONFIGMAP.replace(", namespace: team-data", "")
    request = asked(CONFIGMAP, an_asker(Operation.UPDATE, namespace="team-data", olds=(stored,)))
    assert metadata(request.old)["namespace"] == "team-data"


@pytest.mark.parametrize(
    ("text", "asker", "said"),
    [
        pytest.param(
            "{apiVersion: v1, kind: Foo, metadata: {name: a}}", None, "is not known", id="a kind"
        ),
        pytest.param("{apiVersion: v1, kind: Pod}", None, "metadata is missing", id="no metadata"),
        pytest.param(
            "{apiVersion: v1, kind: Pod, metadata: a}", None, "metadata is not an object", id="text"
        ),
        pytest.param(
            "{apiVersion: v1, kind: Pod, metadata: {}}",
            None,
            "metadata.name is missing; write it, or generateName",
            id="no name",
        ),
        pytest.param(
            "{apiVersion: v1, kind: Pod, metadata: {name: 7}}",
            None,
            "metadata.name is not a text; put it in quotes",
            id="a number as name",
        ),
        pytest.param(
            "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: 7}}",
            None,
            "metadata.namespace is not a text",
            id="a number as namespace",
        ),
        pytest.param(
            "{apiVersion: v1, kind: Pod, metadata: {generateName: a-}}",
            an_asker(Operation.DELETE),
            "metadata.name is missing; write the name of the object to delete",
            id="a generated name to delete",
        ),
        pytest.param(
            CONFIGMAP,
            an_asker(Operation.UPDATE),
            "--old has no ConfigMap a; add its stored version there",
            id="an update of the unknown",
        ),
        pytest.param(
            CONFIGMAP,
            an_asker(Operation.UPDATE, olds=(CONFIGMAP.replace("team-data", "other"),)),
            "--old has no ConfigMap a",
            id="an update of another namespace's",
        ),
        pytest.param(
            "{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: a}}",
            an_asker(
                Operation.UPDATE,
                olds=(
                    "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, "
                    "metadata: {name: a}}",
                ),
            ),
            "apiVersion is autoscaling/v1, in old.yaml:1 autoscaling/v2; give both in one",
            id="another version",
        ),
    ],
)
def test_what_stands_for_no_write_is_refused(text: str, asker: Asker | None, said: str) -> None:
    found = refusal(text, asker)
    assert found.startswith("x.yaml:1: ")
    assert said in found


def test_two_stored_versions_of_one_object_are_refused() -> None:
    with pytest.raises(ManifestError, match="is the same object as old"):
        an_asker(Operation.UPDATE, olds=(CONFIGMAP, CONFIGMAP))


def test_an_object_that_is_too_large_to_be_judged_is_refused() -> None:
    big = a_manifest(CONFIGMAP)
    body: dict[str, Json] = {**big.body, "data": {"a": "x" * (16 << 20)}}
    with pytest.raises(ManifestError, match="bytes; at most"):
        an_asker().ask(Manifest(big.place, body))


def test_an_object_that_is_too_deep_to_be_judged_is_refused() -> None:
    deep = a_manifest(CONFIGMAP)
    nested: Json = {}
    for _ in range(252):
        nested = {"a": nested}
    with pytest.raises(ManifestError, match=r"x\.yaml:1: .*is nested .*; flatten"):
        an_asker().ask(Manifest(deep.place, {**deep.body, "data": nested}))


def a_review(request: dict[str, Json]) -> Manifest:
    body: dict[str, Json] = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": request,
    }
    return Manifest(Place("r.json", 1), body)


def judged_as_it_is(asker: Asker) -> Write:
    return asker.ask(a_review(a_review_request(a_request(Operation.UPDATE))))


def test_an_admission_review_is_asked_as_it_is() -> None:
    request = a_review_request(a_request(Operation.UPDATE))
    write = Asker(KINDS, user=None).ask(a_review(request))
    assert write.request == read_request(request)
    assert not write.is_made


def test_another_user_may_be_put_into_an_admission_review() -> None:
    as_it_is = judged_as_it_is(Asker(KINDS, user=None)).request
    impersonated = judged_as_it_is(Asker(KINDS, user=a_person())).request
    assert impersonated.user == a_person()
    assert (impersonated.user.username, as_it_is.user.username) == (PERSON, a_user().username)
    assert (impersonated.obj, impersonated.uid) == (as_it_is.obj, as_it_is.uid)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        pytest.param({"uid": ""}, "request.uid: is missing", id="no uid"),
        pytest.param({"operation": "PATCH"}, "request.operation: is 'PATCH'", id="no operation"),
        pytest.param({"object": 3}, "request.object: is missing or not an object", id="no object"),
        pytest.param({"userInfo": None}, "request.userInfo: is missing", id="no user"),
        pytest.param({"name": "other"}, "request.object.metadata.name: is 'web'", id="mismatch"),
    ],
)
def test_a_malformed_admission_review_is_refused_with_the_field(
    request_: dict[str, Json], said: str
) -> None:
    with pytest.raises(ManifestError) as caught:
        Asker(KINDS, user=None).ask(a_review({**a_review_request(), **request_}))
    assert str(caught.value).startswith(f"r.json:1: {said}")


def test_an_admission_review_of_another_version_is_refused() -> None:
    old = Manifest(
        Place("r.json", 1), {"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}
    )
    with pytest.raises(ManifestError, match=r"apiVersion: is 'admission\.k8s\.io/v1beta1'"):
        Asker(KINDS, user=None).ask(old)


def test_an_admission_review_without_a_request_is_refused_whoever_is_asked_for() -> None:
    empty = Manifest(
        Place("r.json", 1), {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
    )
    with pytest.raises(ManifestError, match="request: is missing"):
        Asker(KINDS, user=a_user()).ask(empty)


def test_a_manifest_does_not_say_who_writes_it() -> None:
    with pytest.raises(ManifestError, match="a ConfigMap does not say who writes it"):
        Asker(KINDS, user=None).ask(a_manifest(CONFIGMAP))
