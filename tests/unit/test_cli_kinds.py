"""Which kinds are known offline, and what is said of the others."""

from typing import Any

import pytest
import yaml

from controller.cli.kinds import Kind, Kinds, builtin_kinds, kinds_of_crds, own_kinds
from controller.cli.kinds_generate import generate
from controller.cli.manifests import Manifest, ManifestError, Place

PLACE = Place("x.yaml", 1)

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: databases.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: databases, kind: Database}
  versions:
  - {name: v1, served: true, subresources: {status: {}}}
  - {name: v1beta1, served: true}
  - {name: v1alpha1, served: false}
"""


def a_manifest(api_version: str, kind: str) -> Manifest:
    return Manifest(PLACE, {"apiVersion": api_version, "kind": kind})


def a_crd(change: str = "", by: str = "") -> Manifest:
    text = CRD.replace(change, by) if change else CRD
    assert change == "" or text != CRD
    return Manifest(PLACE, yaml.safe_load(text))


def known(api_version: str, kind: str) -> Kind:
    kinds = Kinds.of(builtin_kinds(), own_kinds())
    return kinds.kind_of(a_manifest(api_version, kind))


@pytest.mark.parametrize(
    ("api_version", "kind", "plural", "namespaced", "has_status"),
    [
        pytest.param("apps/v1", "Deployment", "deployments", True, True, id="a workload"),
        pytest.param("v1", "ConfigMap", "configmaps", True, False, id="of the core group"),
        pytest.param("v1", "Endpoints", "endpoints", True, False, id="an irregular plural"),
        pytest.param("v1", "Namespace", "namespaces", False, True, id="cluster-scoped"),
        pytest.param(
            "networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", True, False, id="-policies"
        ),
        pytest.param("governor.dev/v1alpha1", "Mandate", "mandates", False, True, id="our own"),
        pytest.param(
            "governor.dev/v1alpha1", "PriceBook", "pricebooks", False, True, id="our prices"
        ),
    ],
)
def test_a_kind_has_its_resource_scope_and_status(
    api_version: str, kind: str, plural: str, *, namespaced: bool, has_status: bool
) -> None:
    found = known(api_version, kind)
    assert found.resource.plural == plural
    assert found.resource.api_version == api_version
    assert found.resource.namespaced is namespaced
    assert found.has_status is has_status


@pytest.mark.parametrize(
    ("api_version", "kind", "said"),
    [
        pytest.param("apps/v1beta1", "Deployment", "write apiVersion apps/v1", id="an old version"),
        pytest.param("v1", "Deployment", "write apiVersion apps/v1", id="the wrong group"),
        pytest.param("apps/v1", "Deploymnet", "did you mean Deployment?", id="misspelt"),
        pytest.param("example.com/v1", "Database", "pass its CustomRes", id="custom"),
        pytest.param("apps/v1", "Whatever", "pass its CustomRes", id="nothing like it"),
        pytest.param(
            "authentication.k8s.io/v1", "TokenReview", "it is never stored", id="never stored"
        ),
    ],
)
def test_an_unknown_kind_is_named_with_what_to_do(api_version: str, kind: str, said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        known(api_version, kind)
    assert str(caught.value).startswith(f"x.yaml:1: the kind {kind} of {api_version} is not known")
    assert said in caught.value.problem


def test_a_crd_makes_its_served_versions_known() -> None:
    found = kinds_of_crds([a_crd(), a_manifest("v1", "ConfigMap")])
    assert [(kind.resource.api_version, kind.has_status) for kind in found] == [
        ("example.com/v1", True),
        ("example.com/v1beta1", False),
    ]
    assert {(kind.resource.kind, kind.resource.plural) for kind in found} == {
        ("Database", "databases")
    }
    assert all(kind.resource.namespaced for kind in found)


def test_a_crd_may_be_cluster_scoped() -> None:
    found = kinds_of_crds([a_crd("Namespaced", "Cluster")])
    assert not any(kind.resource.namespaced for kind in found)


@pytest.mark.parametrize(
    ("change", "by", "said"),
    [
        pytest.param("k8s.io/v1\n", "k8s.io/v1beta1\n", "no longer served", id="old"),
        pytest.param("scope: Namespaced", "scope: Any", "spec.scope is Any; write", id="scope"),
        pytest.param("  scope: Namespaced\n", "", "spec.scope is missing", id="no scope"),
        pytest.param("spec:", "spek:", "spec is missing", id="no spec"),
        pytest.param(
            "names: {plural: databases, kind: Database}", "names: 3", "spec.names", id="names"
        ),
        pytest.param("plural: databases, ", "", "spec.names.plural is missing", id="no plural"),
        pytest.param("kind: Database}", "kind: 3}", "spec.names.kind is missing", id="kind"),
        pytest.param("group: example.com", "group: ''", "spec.group is missing", id="no group"),
        pytest.param("versions:", "verzions:", "spec.versions is missing", id="no versions"),
        pytest.param("name: v1,", "nam: v1,", "spec.versions[0].name", id="a nameless version"),
    ],
)
def test_an_incomplete_crd_is_refused_with_the_field(change: str, by: str, said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        kinds_of_crds([a_crd(change, by)])
    assert said in caught.value.problem


def a_resource(name: str, kind: str, *verbs: str, namespaced: bool = True) -> dict[str, Any]:
    return {"name": name, "kind": kind, "namespaced": namespaced, "verbs": [*verbs]}


DISCOVERY: dict[str, Any] = {
    "/version": {"major": "1", "minor": "37"},
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": {
        "items": [{"spec": {"group": "example.com", "names": {"plural": "databases"}}}]
    },
    "/api": {"versions": ["v1"]},
    "/apis": {
        "groups": [
            {"name": "example.com", "versions": [{"version": "v1"}]},
            {"name": "authorization.k8s.io", "versions": [{"version": "v1"}]},
        ]
    },
    "/api/v1": {
        "resources": [
            a_resource("pods/status", "Pod", "get", "update"),
            a_resource("pods", "Pod", "create", "get"),
            a_resource("componentstatuses", "ComponentStatus", "get", "list"),
            a_resource("namespaces", "Namespace", "create", namespaced=False),
        ]
    },
    "/apis/example.com/v1": {"resources": [a_resource("databases", "Database", "create")]},
}


def test_the_table_is_what_a_server_serves_itself_and_stores() -> None:
    assert generate(DISCOVERY.__getitem__) == (
        '{\n  "kubernetes": "1.37",\n  "kinds": [\n'
        '    {"group": "", "version": "v1", "plural": "namespaces", "kind": "Namespace", '
        '"namespaced": false, "status": false},\n'
        '    {"group": "", "version": "v1", "plural": "pods", "kind": "Pod", '
        '"namespaced": true, "status": true}\n'
        "  ]\n}\n"
    )
