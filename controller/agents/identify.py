"""Decides which agent, if any, a request comes from.

Only what the API server authenticated counts (`userInfo`). The result says who
it is, never what it may do.
"""

from dataclasses import dataclass
from typing import TypeAlias

from controller.agents.registry import InvalidMandate, Registry
from controller.apis.mandates import Mandate
from controller.apis.requests import UserInfo

_SERVICE_ACCOUNT = "system:serviceaccount:"
_SERVICE_ACCOUNT_GROUP = "system:serviceaccounts:"
_EXTRA = "authentication.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class CallerPod:
    """The Pod that a bound token was issued to."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Agent:
    """A registered agent, with the one mandate that names it."""

    mandate: Mandate
    user: UserInfo

    @property
    def credential(self) -> str | None:
        """The token's id (`JTI=…`); None for impersonation and legacy tokens."""
        return _first_extra(self.user, "credential-id")

    @property
    def pod(self) -> CallerPod | None:
        """The Pod that the token is bound to; None for an unbound token."""
        name, uid = _first_extra(self.user, "pod-name"), _first_extra(self.user, "pod-uid")
        return CallerPod(name, uid) if name and uid else None


@dataclass(frozen=True, slots=True)
class Unregistered:
    """A ServiceAccount of a dedicated namespace that no mandate names."""

    username: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Contested:
    """A subject that several mandates name: none of them speaks for it."""

    username: str
    mandates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A subject whose mandate is stored but no longer valid."""

    username: str
    mandate: InvalidMandate


@dataclass(frozen=True, slots=True)
class Impostor:
    """The right username with another uid than the mandate pins."""

    mandate: Mandate
    username: str
    uid: str


@dataclass(frozen=True, slots=True)
class NotGoverned:
    """A person, a controller, or another workload: none of Governor's business."""


Identity: TypeAlias = Agent | Unregistered | Contested | Unreadable | Impostor | NotGoverned


def identify(user: UserInfo, registry: Registry) -> Identity:
    """Say who a request comes from."""
    claims = [*registry.claims.get(user.username, ())]
    if not claims:
        namespace = _dedicated_namespace_of(user, registry.governance.dedicated_namespaces)
        return Unregistered(user.username, namespace) if namespace else NotGoverned()
    if len(claims) > 1:
        return Contested(user.username, tuple(sorted(claim.name for claim in claims)))
    mandate = claims[0]
    if isinstance(mandate, InvalidMandate):
        return Unreadable(user.username, mandate)
    if not _uid_is_accepted(user, mandate):
        return Impostor(mandate, user.username, user.uid)
    return Agent(mandate, user)


def _uid_is_accepted(user: UserInfo, mandate: Mandate) -> bool:
    return any(
        subject.username == user.username and subject.uid in (None, user.uid)
        for subject in mandate.subjects
    )


def _dedicated_namespace_of(user: UserInfo, dedicated: frozenset[str]) -> str | None:
    """Username *or* group, since impersonation can drop the group."""
    if user.username.startswith(_SERVICE_ACCOUNT):
        namespace = user.username.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
        if namespace in dedicated:
            return namespace
    for group in user.groups:
        if group.startswith(_SERVICE_ACCOUNT_GROUP):
            namespace = group.removeprefix(_SERVICE_ACCOUNT_GROUP)
            if namespace in dedicated:
                return namespace
    return None


def _first_extra(user: UserInfo, key: str) -> str | None:
    values = user.extra.get(_EXTRA + key)
    return values[0] if values else None
