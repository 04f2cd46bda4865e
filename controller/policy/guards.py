"""The guards: refusals that hold whatever the policies say, and with none at all.

Python on purpose: they must stand when the bundle is broken. They never grant
anything and no enforcement mode relaxes them. Nor may a policy's denial point an
agent at what they would refuse.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from controller.agents.identify import Agent, Contested, Impostor, Unreadable, Unregistered
from controller.apis.governance import Governance
from controller.apis.requests import AdmissionRequest
from controller.policy.denials import Code, Denial

Refused: TypeAlias = Unregistered | Contested | Unreadable | Impostor
"""An identity that is governed but that no mandate speaks for."""

_EVERY = "*"

PROTECTED_KINDS: dict[str, tuple[str, ...]] = {
    # Governor's own promises and the admission layer that carries them
    "governor.dev": (_EVERY,),
    "admissionregistration.k8s.io": (_EVERY,),
    "apiextensions.k8s.io": (_EVERY,),
    "apiregistration.k8s.io": (_EVERY,),
    "flowcontrol.apiserver.k8s.io": (_EVERY,),
    "internal.apiserver.k8s.io": (_EVERY,),
    "storagemigration.k8s.io": (_EVERY,),  # rewrites objects under the system's own identity
    # who may do what, and who is who
    "rbac.authorization.k8s.io": (_EVERY,),
    "certificates.k8s.io": (_EVERY,),
    "": (
        "namespaces",
        "nodes",
        "persistentvolumes",
        "resourcequotas",
        "limitranges",
        "serviceaccounts/token",
        "pods/binding",
        "bindings",
        "nodes/proxy",
        "services/proxy",
    ),
    # what a controller makes Pods of again, unseen
    "apps": ("controllerrevisions",),
    # what a node, a runtime, a volume or a device is
    "node.k8s.io": (_EVERY,),
    "storage.k8s.io": (_EVERY,),
    "scheduling.k8s.io": ("priorityclasses",),
    "resource.k8s.io": ("deviceclasses", "resourceslices", "devicetaintrules"),
}
"""API group → resources that no agent may write, in RBAC's form. A plain resource
covers its subresources."""

SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 -- a Secret's type, not a secret
SYSTEM_NAMESPACE_PREFIX = "kube-"
OWN_NAMESPACE = "governor-system"
"""Where Governor itself runs."""


def refuse_identity(identity: Refused) -> Denial:
    """The refusal of a governed subject that no single valid mandate speaks for."""
    match identity:
        case Unregistered():
            return Denial(
                Code.UNREGISTERED_AGENT,
                f"{identity.username} is a ServiceAccount of {identity.namespace}, which is "
                "dedicated to agents, and no Mandate names it; an administrator can add one",
                rule="Every agent has a mandate",
                asked=identity.username,
            )
        case Contested():
            return Denial(
                Code.SUBJECT_CONFLICT,
                f"{identity.username} is a subject of several Mandates: "
                f"{', '.join(identity.mandates)}; an administrator must leave it in one",
                rule="One subject, one mandate",
                asked=identity.username,
                limit=[*identity.mandates],
            )
        case Unreadable():
            return Denial(
                Code.MANDATE_INVALID,
                f"Mandate {identity.mandate.name} is stored but not valid: "
                f"{identity.mandate.message}",
                rule="A mandate that cannot be read grants nothing",
                asked=identity.username,
            )
        case Impostor():
            return Denial(
                Code.IDENTITY_MISMATCH,
                f"Mandate {identity.mandate.name} pins {identity.username} to another uid; "
                "the account was made anew or is impersonated",
                rule="A pinned subject is one incarnation",
                asked=identity.uid,
            )


Guard: TypeAlias = Callable[[AdmissionRequest, Agent, Governance], Denial | None]


def check_guards(
    request: AdmissionRequest, *, agent: Agent, governance: Governance
) -> Denial | None:
    """The first guard that refuses an agent's write, or None."""
    for guard in GUARDS:
        denial = guard(request, agent, governance)
        if denial is not None:
            return denial
    return None


def offer_nothing_closed(
    denial: Denial, *, request: AdmissionRequest, agent: Agent, governance: Governance
) -> Denial:
    """A policy's denial of this write, without a value to pass that the guards would refuse."""
    instead = _with_passing_value(request, denial)
    if instead is None or check_guards(instead, agent=agent, governance=governance) is None:
        return denial
    return replace(denial, passes=None)


def _with_passing_value(request: AdmissionRequest, denial: Denial) -> AdmissionRequest | None:
    """The write that the denial suggests; None where it suggests no other kind or namespace."""
    if not isinstance(denial.passes, str):
        return None
    match denial.field:
        case "kind":
            return replace(request, target=request.target.with_qualified(denial.passes))
        case "metadata.namespace":
            return replace(request, namespace=denial.passes)
        case _:
            return None


def mandate_is_suspended(_: AdmissionRequest, agent: Agent, __: Governance) -> Denial | None:
    """The kill switch comes before everything else."""
    return refuse_suspended(agent.mandate.name) if agent.mandate.suspended else None


def refuse_suspended(mandate: str) -> Denial:
    """The refusal of a suspended agent, by its mandate or by the fence of its account."""
    return Denial(
        Code.SUSPENDED,
        f"mandate {mandate} is suspended; only an administrator can resume it",
        rule="A suspended agent writes nothing",
    )


def kind_is_protected(request: AdmissionRequest, _: Agent, __: Governance) -> Denial | None:
    """Kinds by which an agent could widen or escape its mandate."""
    target = request.target
    protected = PROTECTED_KINDS.get(target.group, ())
    if not any(kind in protected for kind in (_EVERY, target.resource, target.path)):
        return None
    return Denial(
        Code.PROTECTED_KIND,
        f"{target.qualified} is never an agent's to write, whatever its mandate says",
        rule="Agents do not change what governs them",
        field="kind",
        asked=target.qualified,
    )


def secret_is_a_credential(request: AdmissionRequest, _: Agent, __: Governance) -> Denial | None:
    """The token controller turns such a Secret into a lasting credential of any account."""
    if (request.target.group, request.target.resource) != ("", "secrets") or request.obj is None:
        return None
    if request.obj.get("type") != SERVICE_ACCOUNT_TOKEN:
        return None
    return Denial(
        Code.PROTECTED_KIND,
        "a Secret of this type is a lasting credential of a ServiceAccount",
        rule="Agents do not mint credentials",
        field="type",
        asked=SERVICE_ACCOUNT_TOKEN,
        passes="Opaque",
    )


def namespace_is_protected(
    request: AdmissionRequest, _: Agent, governance: Governance
) -> Denial | None:
    """Namespaces of the cluster itself, of Governor, and those that administrators list."""
    namespace = request.namespace
    if not (
        namespace.startswith(SYSTEM_NAMESPACE_PREFIX)
        or namespace == OWN_NAMESPACE
        or namespace in governance.protected_namespaces
    ):
        return None
    return Denial(
        Code.PROTECTED_NAMESPACE,
        f"namespace {namespace} is closed to agents, whatever their mandates say",
        rule="Agents stay out of the system's namespaces",
        field="metadata.namespace",
        asked=namespace,
    )


GUARDS: tuple[Guard, ...] = (
    mandate_is_suspended,
    kind_is_protected,
    secret_is_a_credential,
    namespace_is_protected,
)
