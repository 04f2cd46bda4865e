"""The guards refuse what must be refused with no policy at all, and nothing else."""

from dataclasses import replace

import pytest

from controller.agents.identify import (
    Agent,
    Contested,
    Impostor,
    Unreadable,
    Unregistered,
)
from controller.apis.governance import Governance
from controller.apis.json import Json
from controller.apis.mandates import Enforcement, Mandate
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.policy.denials import Code, Denial
from controller.policy.guards import (
    PROTECTED_KINDS,
    Refused,
    check_guards,
    offer_nothing_closed,
    refuse_identity,
)
from tests.builders import (
    AGENT,
    CONFIGMAPS,
    SECRETS,
    a_mandate,
    a_request,
    a_rule,
    a_user,
    an_invalid_mandate,
    an_object,
)

EVERYTHING = a_rule(verbs=("*",), api_groups=("*",), resources=("*",), namespaces=("*",))
TOKEN_SECRET: dict[str, Json] = {
    **an_object(SECRETS),
    "type": "kubernetes.io/service-account-token",
}


def guarded(
    request: AdmissionRequest, mandate: Mandate | None = None, *, protected: tuple[str, ...] = ()
) -> Denial | None:
    """What the guards say to an agent that its mandate grants everything."""
    agent = Agent(mandate or a_mandate(rules=(EVERYTHING,)), a_user())
    return check_guards(
        request, agent=agent, governance=Governance(1, frozenset(), frozenset(protected))
    )


def code_of(denial: Denial | None) -> str | None:
    return None if denial is None else denial.code


def cluster_scoped(group: str, resource: str, subresource: str = "") -> AdmissionRequest:
    return a_request(target=Target(group, "v1", "Thing", resource, subresource), namespace="")


@pytest.mark.requirement("fail-closed.guards")
@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("enforcement", list(Enforcement))
def test_a_suspended_agent_writes_nothing(operation: Operation, enforcement: Enforcement) -> None:
    mandate = a_mandate(rules=(EVERYTHING,), suspended=True, enforcement=enforcement)
    assert code_of(guarded(a_request(operation), mandate)) == "suspended"


def test_suspension_comes_before_every_other_reason() -> None:
    mandate = a_mandate(suspended=True)
    assert code_of(guarded(cluster_scoped("governor.dev", "mandates"), mandate)) == "suspended"


@pytest.mark.requirement("fail-closed.guards")
@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize(
    ("group", "resource", "subresource"),
    [
        ("governor.dev", "mandates", ""),
        ("governor.dev", "mandates", "status"),
        ("governor.dev", "pricebooks", ""),
        ("governor.dev", "pricebooks", "status"),
        ("governor.dev", "kinds-of-tomorrow", ""),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations", ""),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings", ""),
        ("apiextensions.k8s.io", "customresourcedefinitions", ""),
        ("apiregistration.k8s.io", "apiservices", "status"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas", ""),
        ("storagemigration.k8s.io", "storageversionmigrations", ""),
        ("internal.apiserver.k8s.io", "storageversions", ""),
        ("rbac.authorization.k8s.io", "rolebindings", ""),
        ("rbac.authorization.k8s.io", "clusterroles", ""),
        ("certificates.k8s.io", "certificatesigningrequests", "approval"),
        ("", "namespaces", ""),
        ("", "namespaces", "status"),
        ("", "namespaces", "finalize"),
        ("", "nodes", ""),
        ("", "nodes", "status"),
        ("", "nodes", "proxy"),
        ("", "persistentvolumes", "status"),
        ("", "resourcequotas", ""),
        ("", "resourcequotas", "status"),
        ("", "limitranges", ""),
        ("", "serviceaccounts", "token"),
        ("", "pods", "binding"),
        ("", "bindings", ""),
        ("", "services", "proxy"),
        ("node.k8s.io", "runtimeclasses", ""),
        ("storage.k8s.io", "storageclasses", ""),
        ("scheduling.k8s.io", "priorityclasses", ""),
        ("apps", "controllerrevisions", ""),
        ("resource.k8s.io", "deviceclasses", ""),
        ("resource.k8s.io", "resourceslices", ""),
    ],
)
def test_a_protected_kind_is_never_an_agents_to_write(
    operation: Operation, group: str, resource: str, subresource: str
) -> None:
    target = Target(group, "v1", "Thing", resource, subresource)
    denial = guarded(a_request(operation, target=target))
    assert denial is not None
    assert (denial.code, denial.asked) == ("protected-kind", target.qualified)


@pytest.mark.parametrize(
    ("group", "resource", "subresource"),
    [
        pytest.param("apps", "deployments", "", id="a workload"),
        pytest.param("apps", "deployments", "scale", id="its scale"),
        pytest.param("", "pods", "", id="a Pod, whose binding is protected"),
        pytest.param("", "pods", "exec", id="another connect of a Pod"),
        pytest.param("", "services", "", id="a Service, whose proxy is protected"),
        pytest.param("", "serviceaccounts", "", id="a ServiceAccount, whose token is protected"),
        pytest.param("", "persistentvolumeclaims", "", id="a claim, not a volume"),
        pytest.param("example.com", "nodes", "", id="another group's resource of that name"),
        pytest.param("example.com", "namespaces", "status", id="likewise its subresource"),
        pytest.param("resource.k8s.io", "resourceclaims", "", id="a device claim"),
        pytest.param("x.governor.dev", "things", "", id="a group that only ends alike"),
    ],
)
def test_any_other_kind_is_left_to_the_mandate(group: str, resource: str, subresource: str) -> None:
    assert guarded(a_request(target=Target(group, "v1", "Thing", resource, subresource))) is None


def test_no_protected_kind_is_spelled_as_no_resource_can_be() -> None:
    """A capital letter or a kind's name in the table would protect nothing."""
    spelled = [resource for resources in PROTECTED_KINDS.values() for resource in resources]
    assert all(resource == resource.lower() and " " not in resource for resource in spelled)


@pytest.mark.requirement("fail-closed.guards")
@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.UPDATE])
def test_a_secret_that_would_become_a_credential_is_refused(operation: Operation) -> None:
    denial = guarded(a_request(operation, target=SECRETS, obj=TOKEN_SECRET))
    assert denial is not None
    assert (denial.code, denial.field, denial.passes) == ("protected-kind", "type", "Opaque")


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(
            a_request(target=SECRETS, obj={**an_object(SECRETS), "type": "Opaque"}), id="opaque"
        ),
        pytest.param(a_request(target=SECRETS), id="without a type"),
        pytest.param(
            a_request(Operation.DELETE, target=SECRETS, old=TOKEN_SECRET), id="deleting one"
        ),
        pytest.param(
            a_request(target=CONFIGMAPS, obj={**TOKEN_SECRET, "kind": "ConfigMap"}), id="no Secret"
        ),
    ],
)
def test_any_other_secret_is_left_to_the_mandate(request_: AdmissionRequest) -> None:
    assert guarded(request_) is None


@pytest.mark.requirement("fail-closed.guards")
@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize(
    "namespace",
    ["kube-system", "kube-public", "kube-node-lease", "kube-", "governor-system", "vault"],
)
def test_protected_namespaces_are_closed_to_agents(operation: Operation, namespace: str) -> None:
    denial = guarded(a_request(operation, namespace=namespace), protected=("vault",))
    assert denial is not None
    assert (denial.code, denial.field) == ("protected-namespace", "metadata.namespace")
    assert denial.asked == namespace


@pytest.mark.parametrize("namespace", ["team-data", "kubeflow", "my-kube-system", "vault-2", ""])
def test_other_namespaces_are_left_to_the_mandate(namespace: str) -> None:
    assert guarded(a_request(namespace=namespace), protected=("vault",)) is None


def passing(field: str | None, passes: Json, *, request: AdmissionRequest | None = None) -> Json:
    """What still passes of a policy's denial, once the guards were asked about it."""
    denial = Denial("not-granted", "no", "Not granted", field=field, asked="x", passes=passes)
    told = offer_nothing_closed(
        denial,
        request=request or a_request(),
        agent=Agent(a_mandate(rules=(EVERYTHING,)), a_user()),
        governance=Governance(1, frozenset(), frozenset({"vault"})),
    )
    assert replace(told, passes=passes) == denial
    return told.passes


@pytest.mark.requirement("explains-itself.passing-value")
@pytest.mark.parametrize(
    ("field", "passes"),
    [
        ("kind", "roles.rbac.authorization.k8s.io"),
        ("kind", "serviceaccounts/token"),
        ("kind", "pods/binding"),
        ("kind", "nodes"),
        ("kind", "nodes/status"),
        ("kind", "mandates.governor.dev"),
        ("kind", "mandates.governor.dev/status"),
        ("kind", "certificatesigningrequests.certificates.k8s.io/approval"),
        ("kind", "priorityclasses.scheduling.k8s.io"),
        ("metadata.namespace", "kube-system"),
        ("metadata.namespace", "governor-system"),
        ("metadata.namespace", "vault"),
    ],
)
def test_no_denial_says_that_what_a_guard_refuses_would_pass(field: str, passes: str) -> None:
    assert passing(field, passes) is None


@pytest.mark.requirement("explains-itself.passing-value")
def test_no_secret_is_offered_to_what_would_make_it_a_credential() -> None:
    assert passing("kind", "secrets", request=a_request(obj=TOKEN_SECRET)) is None
    assert passing("kind", "secrets") == "secrets"


@pytest.mark.parametrize(
    ("field", "passes"),
    [
        pytest.param("kind", "configmaps", id="a kind"),
        pytest.param("kind", "pods/exec", id="a subresource"),
        pytest.param("kind", "deployments.apps/scale", id="a subresource with its group"),
        pytest.param("kind", "nodes.example.com", id="another group's resource of that name"),
        pytest.param("kind", "kube-system", id="a namespace's name as a kind"),
        pytest.param("kind", None, id="nothing"),
        pytest.param("metadata.namespace", "team-b", id="a namespace"),
        pytest.param("metadata.namespace", "nodes", id="a kind's name as a namespace"),
        pytest.param("metadata.name", "kube-system", id="a name"),
        pytest.param("verb", "nodes", id="a verb"),
        pytest.param("spec.replicas", 1, id="a number"),
        pytest.param(None, "kube-system", id="of no field"),
    ],
)
def test_any_other_value_that_passes_is_told(field: str | None, passes: Json) -> None:
    assert passing(field, passes) == passes


@pytest.mark.requirement("fail-closed.unclear-identity")
@pytest.mark.parametrize(
    ("identity", "code", "named"),
    [
        pytest.param(
            Unregistered(AGENT, "team-data"),
            Code.UNREGISTERED_AGENT,
            "team-data",
            id="a stray of a dedicated namespace",
        ),
        pytest.param(
            Contested(AGENT, ("alpha", "zeta")),
            Code.SUBJECT_CONFLICT,
            AGENT,
            id="a subject of two mandates",
        ),
        pytest.param(
            Unreadable(AGENT, an_invalid_mandate(message="spec.rules[0]: add verbs")),
            Code.MANDATE_INVALID,
            "spec.rules[0]: add verbs",
            id="a subject of an invalid mandate",
        ),
        pytest.param(
            Impostor(a_mandate(), AGENT, "another"),
            Code.IDENTITY_MISMATCH,
            "another uid",
            id="another incarnation",
        ),
    ],
)
def test_an_unclear_identity_is_refused_for_good_with_its_reason(
    identity: Refused, code: Code, named: str
) -> None:
    denial = refuse_identity(identity)
    assert (denial.code, denial.retry) == (code, False)
    assert named in denial.message


def test_a_conflict_lists_the_mandates_to_choose_from() -> None:
    assert refuse_identity(Contested(AGENT, ("alpha", "zeta"))).limit == ["alpha", "zeta"]
