"""Renders the `subject` registration: which requests the API server asks us about.

Two configurations of one name select the same requests: the validating one has every
operation judged; the mutating one has what is created or updated stamped first, since
a deletion or a connection has nothing to stamp. They differ in nothing else: whoever
is judged can be stamped, and nobody is stamped who is not judged.

Mutating webhooks are called in the order of their configurations' names. Ours has no
place of its own in it: `IfNeeded` has us called again if a later one changed the object,
and validation sees the final object anyway.

It selects agents by who they are, as the API server authenticated them: by the
group of a dedicated namespace, by the username's prefix (impersonation can drop
the group), and by listed usernames. Never by a label or annotation, which an
agent could edit; and nothing that an agent writes is left out, its Events and
Leases included.

Every optional key in an expression is guarded: an expression that fails to
evaluate refuses the request of whoever sent it, administrators included.

Pure: it neither reads nor writes the API, and says nothing about what agents may do.
"""

import base64
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from controller.registration.cel import cel_list, cel_string

SUBJECT_CONFIGURATION = "governor-subject"
"""The name of the ValidatingWebhookConfiguration and of the MutatingWebhookConfiguration."""

LONGEST_EXPRESSION = 100_000
"""Code points that the API server takes in one expression (422 above)."""
LARGEST_CONFIGURATION = 1_400_000
"""Bytes of JSON. etcd refuses requests above 1.5 MiB; the rest is left for managed fields."""

_USERNAME = 'request.userInfo.?username.orValue("")'
_GROUPS = "request.userInfo.?groups.orValue([])"
_PREFIX = "system:serviceaccount:"
_GROUP = "system:serviceaccounts:"


class RegistrationError(Exception):
    """What is governed does not fit into a registration; the message says what to change."""


class TooManyNamespacesError(RegistrationError):
    """The dedicated namespaces do not fit into one expression."""


class TooManySubjectsError(RegistrationError):
    """The listed usernames do not fit into one object."""


@dataclass(frozen=True, slots=True)
class UrlEndpoint:
    """A webhook at a fixed address."""

    url: str
    """`https://`, without user, query or fragment: what `/validate` and `/mutate` are below."""


@dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """A webhook behind a Service of the cluster."""

    namespace: str
    name: str
    port: int = 443
    path: str = ""
    """What `/validate` and `/mutate` are below; empty: the root."""


Endpoint: TypeAlias = UrlEndpoint | ServiceEndpoint


@dataclass(frozen=True, slots=True)
class Target:
    """Whom the API server asks."""

    endpoint: Endpoint
    ca_bundle: bytes
    """PEM; every CA whose certificate the webhook may show."""
    timeout_seconds: int = 5
    """How long the API server waits: 1 to 30. Retries after a 503 must fit into it."""

    def __post_init__(self) -> None:
        if not 1 <= self.timeout_seconds <= 30:
            raise ValueError(f"timeout_seconds: {self.timeout_seconds}; expected 1 to 30")
        if not self.ca_bundle.strip():
            raise ValueError("ca_bundle: empty; expected at least one PEM certificate")
        if isinstance(self.endpoint, UrlEndpoint) and not self.endpoint.url.startswith("https://"):
            raise ValueError(f"url: {self.endpoint.url!r}; expected https://")


@dataclass(frozen=True, slots=True)
class SubjectRegistration:
    """Both configurations whole, every defaulted field written out."""

    validating: dict[str, object]
    mutating: dict[str, object]


@dataclass(frozen=True, slots=True)
class _Part:
    """What sets one of the two configurations apart."""

    kind: str
    domain: str
    """Of the webhooks' names: unlike the other's, or their audit annotations would collide."""
    path: str
    operations: tuple[str, ...]
    more: Mapping[str, object]
    """Fields that only this kind of webhook has."""


_VALIDATING = _Part(
    "ValidatingWebhookConfiguration", "validate.governor.dev", "/validate", ("*",), {}
)
_MUTATING = _Part(
    "MutatingWebhookConfiguration",
    "mutate.governor.dev",
    "/mutate",
    ("CREATE", "UPDATE"),
    {"reinvocationPolicy": "IfNeeded"},
)


def render_subject_registration(
    *,
    usernames: Collection[str],
    dedicated_namespaces: Collection[str],
    own_usernames: Collection[str],
    target: Target,
) -> SubjectRegistration:
    """What is to be stored under `SUBJECT_CONFIGURATION`.

    With nobody to govern the configurations have no webhooks. The objects themselves
    stay: an administrator sees that Governor is there, and one who deletes them finds
    them again.

    Args:
        usernames: the subjects of all mandates, valid or not.
        dedicated_namespaces: those whose ServiceAccounts are all agents.
        own_usernames: Governor's identities, which are never asked about.
        target: whom to ask.

    Raises:
        TooManyNamespacesError: over about 1,400 dedicated namespaces.
        TooManySubjectsError: over about 28,000 usernames outside of them.
    """
    conditions = _conditions(usernames, dedicated_namespaces, own_usernames)
    return SubjectRegistration(
        validating=_configuration(_VALIDATING, conditions, target),
        mutating=_configuration(_MUTATING, conditions, target),
    )


def _configuration(
    part: _Part, conditions: Sequence[list[object]], target: Target
) -> dict[str, object]:
    configuration: dict[str, object] = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": part.kind,
        "metadata": {
            "name": SUBJECT_CONFIGURATION,
            "labels": {"app.kubernetes.io/managed-by": "governor"},
        },
        "webhooks": [
            _webhook(part, number, condition, target)
            for number, condition in enumerate(conditions, 1)
        ],
    }
    size = len(orjson.dumps(configuration))
    if size > LARGEST_CONFIGURATION:
        raise TooManySubjectsError(
            f"the registration takes {size} bytes, at most {LARGEST_CONFIGURATION} can be stored: "
            "give agents a namespace in Governance spec.dedicatedNamespaces "
            "instead of listing each in a Mandate elsewhere"
        )
    return configuration


def _conditions(
    usernames: Collection[str], namespaces: Collection[str], own: Collection[str]
) -> list[list[object]]:
    """The match conditions of each webhook; no request meets those of two."""
    dwellers = _lives_in(sorted(set(namespaces)))
    outside = sorted(set(usernames) - {name for name in usernames if _dwells(name, namespaces)})
    always = [_condition("not-governor", f"!({_USERNAME} in {cel_list(sorted(own))})")]
    chunks = list(_chunks(outside, reserved=len(dwellers)))
    listed = [f"{_USERNAME} in {cel_list(chunk)}" if chunk else "" for chunk in chunks]
    first, others = " || ".join(filter(None, [dwellers, *listed[:1]])), listed[1:]
    if not first:
        return []
    # A request in both, by forged groups, would otherwise be asked about twice, and count twice.
    elsewhere = [_condition("not-in-dedicated-namespace", f"!({dwellers})")] if dwellers else []
    return [
        [*always, _condition("agents", first)],
        *([*always, *elsewhere, _condition("agents", other)] for other in others),
    ]


def _lives_in(namespaces: Sequence[str]) -> str:
    """An expression that is true of the ServiceAccounts of these namespaces."""
    if not namespaces:
        return ""
    # The namespaces are listed once, and looked up per group: the other way round, someone
    # with a thousand groups would exceed the cost that the API server allows, and be refused.
    expression = (
        f'({_GROUPS}.map(g, g.startsWith("{_GROUP}"), g.substring({len(_GROUP)}))'
        f' + [{_USERNAME}].map(u, u.startsWith("{_PREFIX}"), u.split(":")[2]))'
        f".exists(ns, ns in {cel_list(namespaces)})"
    )
    # Three characters for the negation: `!(…)`.
    if len(expression) + 3 > LONGEST_EXPRESSION:
        raise TooManyNamespacesError(
            f"{len(namespaces)} dedicated namespaces take {len(expression)} characters, "
            f"at most {LONGEST_EXPRESSION} fit into an expression: "
            "shorten Governance spec.dedicatedNamespaces"
        )
    return expression


def _dwells(username: str, namespaces: Collection[str]) -> bool:
    return username.startswith(_PREFIX) and username.split(":")[2] in namespaces


def _chunks(usernames: Sequence[str], *, reserved: int) -> Iterator[list[str]]:
    """Split so that each list fits into one expression.

    `reserved` characters are taken in the first, which may be left empty for it.
    """
    longest = LONGEST_EXPRESSION - len(f" || {_USERNAME} in []")
    room = longest - reserved
    chunk: list[str] = []
    for username in usernames:
        length = len(cel_string(username)) + len(", ")
        if length > longest:
            raise TooManySubjectsError(f"the username {username[:50]!r}… is too long to register")
        if length > room:
            yield chunk
            chunk, room = [], longest
        chunk.append(username)
        room -= length
    if chunk:
        yield chunk


def _condition(name: str, expression: str) -> object:
    return {"name": name, "expression": expression}


def _webhook(part: _Part, number: int, conditions: list[object], target: Target) -> object:
    # Later ones are named so that the first keeps its name, whatever their number.
    prefix = "subject" if number == 1 else f"subject-{number}"
    return {
        "name": f"{prefix}.{part.domain}",
        "clientConfig": _client_config(target, part.path),
        "rules": [
            {
                "apiGroups": ["*"],
                "apiVersions": ["*"],
                # `*` alone would miss every subresource; `*/*` means both.
                "resources": ["*/*"],
                "operations": [*part.operations],
                "scope": "*",
            }
        ],
        "matchConditions": conditions,
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "failurePolicy": "Fail",
        "sideEffects": "NoneOnDryRun",
        "timeoutSeconds": target.timeout_seconds,
        "admissionReviewVersions": ["v1"],
        **part.more,
    }


def _client_config(target: Target, path: str) -> object:
    bundle = base64.b64encode(target.ca_bundle).decode("ascii")
    endpoint = target.endpoint
    if isinstance(endpoint, UrlEndpoint):
        return {"url": f"{endpoint.url.rstrip('/')}{path}", "caBundle": bundle}
    return {
        "service": {
            "namespace": endpoint.namespace,
            "name": endpoint.name,
            "path": f"{endpoint.path.rstrip('/')}{path}",
            "port": endpoint.port,
        },
        "caBundle": bundle,
    }
