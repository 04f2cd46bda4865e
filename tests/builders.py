"""Builds the values that tests talk about: mandates, users, requests, reviews, answers.

Every builder gives something valid and ordinary, the write of one agent of
`team-data`; a test names only what it is about. Nothing here decides anything.
"""

from collections.abc import Mapping

import orjson

from controller.agents.registry import InvalidMandate, Registry
from controller.apis.governance import Governance
from controller.apis.json import Json
from controller.apis.mandates import Enforcement, Mandate, Rule, Subject
from controller.apis.requests import AdmissionRequest, Operation, Target, UserInfo
from controller.policy.denials import Denial
from controller.policy.engine import Evaluation, UnitResult

AGENT = "system:serviceaccount:team-data:migrator"
AGENT_UID = "5f6f2a1c-0000-4000-8000-00000000a9e7"
PERSON = "alice@example.com"
UID = "0a9f3c86-1b1f-4f3e-9d0e-8a4b3f1c2d3e"
CHANGE = "01JD8Z6V5M3Q2W1X0Y9Z8A7B6C"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

DEPLOYMENTS = Target("apps", "v1", "Deployment", "deployments")
CONFIGMAPS = Target("", "v1", "ConfigMap", "configmaps")
SECRETS = Target("", "v1", "Secret", "secrets")


def a_rule(
    *,
    verbs: tuple[str, ...] = ("create", "update", "patch", "delete"),
    api_groups: tuple[str, ...] = ("apps",),
    resources: tuple[str, ...] = ("deployments",),
    namespaces: tuple[str, ...] = ("team-data",),
    resource_names: tuple[str, ...] = (),
    fields: tuple[str, ...] = (),
) -> Rule:
    """Deployments of team-data."""
    return Rule(verbs, api_groups, resources, namespaces, resource_names, fields)


def a_mandate(
    name: str = "migrator",
    *,
    subjects: tuple[str | Subject, ...] = (AGENT,),
    rules: tuple[Rule, ...] | None = None,
    enforcement: Enforcement = Enforcement.ENFORCE,
    suspended: bool = False,
    generation: int = 1,
) -> Mandate:
    """The mandate of `AGENT`; a subject given as text is pinned to no uid."""
    return Mandate(
        name=name,
        uid=f"uid-of-{name}",
        generation=generation,
        subjects=tuple(Subject(s) if isinstance(s, str) else s for s in subjects),
        rules=(a_rule(),) if rules is None else rules,
        enforcement=enforcement,
        suspended=suspended,
    )


def an_invalid_mandate(
    name: str = "broken", *, usernames: tuple[str, ...] = (AGENT,), message: str = "spec.rules: fix"
) -> InvalidMandate:
    """A stored mandate that no longer converts."""
    return InvalidMandate(name, usernames, message)


def a_registry(
    *mandates: Mandate,
    invalid: tuple[InvalidMandate, ...] = (),
    dedicated: tuple[str, ...] = (),
    protected: tuple[str, ...] = (),
) -> Registry:
    """Of exactly these mandates."""
    governance = Governance(1, frozenset(dedicated), frozenset(protected))
    return Registry.build(mandates, invalid, governance)


def a_user(
    username: str = AGENT,
    *,
    uid: str = AGENT_UID,
    groups: tuple[str, ...] | None = None,
    extra: Mapping[str, tuple[str, ...]] | None = None,
) -> UserInfo:
    """A ServiceAccount with the groups and the extra of a TokenRequest's token."""
    namespace = username.split(":")[2] if username.count(":") == 3 else "nowhere"
    given = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    credential = {"authentication.kubernetes.io/credential-id": ("JTI=7",)}
    return UserInfo(
        username=username,
        uid=uid,
        groups=(*given, "system:authenticated") if groups is None else groups,
        extra=credential if extra is None else extra,
    )


def a_person(username: str = PERSON, *, groups: tuple[str, ...] = ()) -> UserInfo:
    """Somebody whom no mandate names."""
    return UserInfo(username, groups=(*groups, "system:authenticated"))


def an_object(
    target: Target = DEPLOYMENTS,
    *,
    name: str = "web",
    namespace: str = "team-data",
    spec: dict[str, Json] | None = None,
) -> dict[str, Json]:
    """An object of the target's kind with a little spec."""
    metadata: dict[str, Json] = {"name": name, "uid": "object-uid", "resourceVersion": "7"}
    if namespace:
        metadata["namespace"] = namespace
    return {
        "apiVersion": f"{target.group}/{target.version}" if target.group else target.version,
        "kind": target.kind,
        "metadata": metadata,
        "spec": {"replicas": 2} if spec is None else spec,
    }


def a_request(
    operation: Operation = Operation.CREATE,
    *,
    target: Target = DEPLOYMENTS,
    namespace: str = "team-data",
    name: str = "web",
    user: UserInfo | None = None,
    obj: dict[str, Json] | None = None,
    old: dict[str, Json] | None = None,
    dry_run: bool = False,
    is_collection: bool = False,
) -> AdmissionRequest:
    """One write by `AGENT`; the objects that the operation needs are made where not given."""
    ordinary = an_object(target, name=name, namespace=namespace)
    has_object = operation is not Operation.DELETE
    has_old = operation in {Operation.UPDATE, Operation.DELETE}
    return AdmissionRequest(
        uid=UID,
        operation=operation,
        target=target,
        namespace=namespace,
        name=name,
        user=user or a_user(),
        obj=(obj or ordinary) if has_object else None,
        old=(old or ordinary) if has_old else None,
        options=None,
        dry_run=dry_run,
        is_collection=is_collection,
    )


def a_review_request(
    request: AdmissionRequest | None = None, /, *, without: tuple[str, ...] = (), **changes: Json
) -> dict[str, Json]:
    """`request` of an AdmissionReview as kube-apiserver sends it, with some keys otherwise."""
    asked = request or a_request()
    target = asked.target
    kind_group = target.group
    kind: dict[str, Json] = {"group": kind_group, "version": target.version, "kind": target.kind}
    resource: dict[str, Json] = {
        "group": target.group,
        "version": target.version,
        "resource": target.resource,
    }
    document: dict[str, Json] = {
        "uid": asked.uid,
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": asked.name,
        "namespace": asked.namespace,
        "operation": asked.operation.value,
        "userInfo": a_user_document(asked.user),
        "object": None if asked.obj is None else {**asked.obj},
        "oldObject": None if asked.old is None else {**asked.old},
        "dryRun": asked.dry_run,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
    }
    if target.subresource:
        document["subResource"] = target.subresource
    document.update(changes)
    return {key: value for key, value in document.items() if key not in without}


def a_user_document(user: UserInfo) -> dict[str, Json]:
    """`userInfo` as the API server writes it."""
    return {
        "username": user.username,
        "uid": user.uid,
        "groups": [*user.groups],
        "extra": {key: [*values] for key, values in user.extra.items()},
    }


def a_review(request: dict[str, Json] | None = None, /, **envelope: Json) -> bytes:
    """An AdmissionReview as bytes, compact and with a final newline as Go writes it."""
    document: dict[str, Json] = {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": a_review_request() if request is None else request,
    }
    document.update(envelope)
    return orjson.dumps(document) + b"\n"


def a_finding(
    code: str = "kind-not-granted",
    *,
    message: Json = "no rule grants deployments.apps",
    without: tuple[str, ...] = (),
    **changes: Json,
) -> dict[str, Json]:
    """One element of a unit's `deny`, with every key that the bundle gives."""
    finding: dict[str, Json] = {
        "code": code,
        "message": message,
        "rule": "Kind not granted",
        "field": "kind",
        "asked": "deployments.apps",
        "limit": ["configmaps"],
        "remaining": None,
        "passes": "configmaps",
        "retry": False,
    }
    finding.update(changes)
    return {key: value for key, value in finding.items() if key not in without}


def a_unit(
    *deny: Json, warn: tuple[Json, ...] = (), unit: str = "governor.permissions"
) -> UnitResult:
    """A unit that answers properly, with these findings."""
    return UnitResult(unit, {"deny": [*deny], "warn": [*warn]})


def an_evaluation(*units: UnitResult) -> Evaluation:
    """By default one unit that finds nothing: a grant."""
    return Evaluation(DIGEST, units or (a_unit(),))


def a_denial(
    code: str = "field-not-granted", *, message: str = "field data is not granted"
) -> Denial:
    """What a policy refused."""
    return Denial(
        code, message, rule="Field not granted", field="data", asked="data", limit=["spec"]
    )
