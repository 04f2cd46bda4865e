"""Reads mandates from files, and says as whom an agent named on the command line writes.

The files are the whole registry: no cluster is asked. A mandate that the API server
would not store is an error here, never a claim. It judges nothing.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from controller.agents.registry import Registry
from controller.apis.invalid import InvalidResourceError
from controller.apis.mandates import Mandate, Subject
from controller.apis.requests import UserInfo
from controller.apis.v1alpha1.conversion import (
    governance_from_object,
    mandate_from_object,
    pricebook_from_object,
)
from controller.apis.v1alpha1.wire import GROUP
from controller.cli.manifests import Manifest, ManifestError

_SERVICE_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATED = "system:authenticated"
_MAX_LISTED = 20
_SINGLES = ("Governance", "PriceBook")
"""Of which there is one in a cluster."""

_Converted = TypeVar("_Converted")


class UnknownAgentError(Exception):
    """No mandate has that name, and it does not look like a username."""


def read_registry(manifests: Iterable[Manifest]) -> Registry:
    """The mandates, the Governance and the PriceBook among the objects; others do not matter.

    Raises:
        ManifestError: one is not valid, or there are two of one name, or no mandate at all.
    """
    mandates: dict[str, tuple[Manifest, Mandate]] = {}
    singles: dict[str, Manifest] = {}
    for manifest in manifests:
        if manifest.api_version.partition("/")[0] != GROUP:
            continue
        if manifest.kind == "Mandate":
            mandate = _converted(manifest, mandate_from_object)
            if mandate.name in mandates:
                raise _twice(manifest, mandates[mandate.name][0])
            mandates[mandate.name] = (manifest, mandate)
        elif manifest.kind in _SINGLES:
            if manifest.kind in singles:
                raise _twice(manifest, singles[manifest.kind])
            singles[manifest.kind] = manifest
    governance, prices = (singles.get(kind) for kind in _SINGLES)
    built = Registry.build(
        (mandate for _, mandate in mandates.values()),
        governance=_converted(governance, governance_from_object) if governance else None,
        prices=_converted(prices, pricebook_from_object) if prices else None,
    )
    if not mandates:
        raise ManifestError("--mandates", "holds no Mandate; name the files that do")
    return built


def user_of(agent: str, registry: Registry) -> UserInfo:
    """As whom `agent` writes: the first subject of the mandate of that name, or that username.

    A username is taken as such when a mandate names it, or when it has a `:` or
    an `@`, which no mandate's name has.

    Raises:
        UnknownAgentError: it is neither; lists the agents that are known.
    """
    mandate = next((known for known in mandates_of(registry) if known.name == agent), None)
    if mandate is not None:
        return _user(mandate.subjects[0])
    if agent in registry.claims:
        subjects = (subject for known in mandates_of(registry) for subject in known.subjects)
        return _user(next(subject for subject in subjects if subject.username == agent))
    if ":" in agent or "@" in agent:
        return _user(Subject(agent))
    raise UnknownAgentError(f"no mandate is named {agent[:253]}; {_known(registry)}")


def mandates_of(registry: Registry) -> list[Mandate]:
    """Every valid mandate, once."""
    claims = (claim for claims in registry.claims.values() for claim in claims)
    by_name = {claim.name: claim for claim in claims if isinstance(claim, Mandate)}
    return [by_name[name] for name in sorted(by_name)]


def _known(registry: Registry) -> str:
    names = [mandate.name for mandate in mandates_of(registry)]
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    listed = f"{', '.join(names[:_MAX_LISTED])}{more}"
    return f"known agents: {listed}; or give a whole username, such as {_SERVICE_ACCOUNT}NS:NAME"


def _user(subject: Subject) -> UserInfo:
    """With the groups that the API server gives such a user, and the uid that is pinned."""
    groups = [_AUTHENTICATED]
    if subject.username.startswith(_SERVICE_ACCOUNT):
        namespace = subject.username.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", *groups]
    return UserInfo(username=subject.username, uid=subject.uid or "", groups=tuple(groups))


def _converted(manifest: Manifest, convert: Callable[[object], _Converted]) -> _Converted:
    try:
        return convert(manifest.body)
    except InvalidResourceError as error:
        raise ManifestError(manifest.place, str(error)) from error


def _twice(manifest: Manifest, first: Manifest) -> ManifestError:
    problem = f"is the same {manifest.kind} as {first.place}; name one of the two"
    return ManifestError(manifest.place, problem)
