"""Builds the values that tests of the Account protocol talk about.

Every builder gives something ordinary: one Deployment of team-data at version 10,
one agent that may hold anything, a view that began before and shows everything.
A test names only what it is about. Nothing here decides anything.
"""

from collections.abc import Mapping

from controller.accounts.account import ASKS_VERSION, COUNTED, Account, Fence
from controller.accounts.entries import Action, Attempt, Entry, WatchedKind
from controller.accounts.limits import Limits
from controller.accounts.reserve import Proposal
from controller.accounts.settle import Spending
from controller.accounts.views import KindView, Version
from controller.apis.pricebooks import PriceBook
from controller.apis.resources import NOTHING, Amounts

AGENT = "migrator"
MANDATE_UID = "uid-of-migrator"
DEPLOYMENTS = WatchedKind("apps", "v1", "deployments")
PODS = WatchedKind("", "v1", "pods")
UNSPENT = Spending(now=1_000, windows=(), prices=PriceBook())
"""Nobody has a budget."""


def pods(count: int) -> Amounts:
    """An ask of so many pods."""
    return {"pods": count} if count else NOTHING


def an_entry(
    change: str = "mine",
    *,
    action: Action = Action.UPDATE,
    kind: WatchedKind = DEPLOYMENTS,
    uid: str = "web-1",
    name: str = "web",
    version: int = 10,
    made_at: int = 1_000,
    digest: str | None = None,
    old_change: str = "",
    old_digest: str = "",
    before: int = 0,
    after: int = 0,
) -> Entry:
    """An update of `web` at version 10, open; its content is told by its change id."""
    return Entry(
        change=change,
        attempt=Attempt("replica-a", 1),
        action=action,
        kind=kind,
        namespace="team-data",
        name=name,
        uid=uid,
        version=version,
        made_at=made_at,
        digest=content_of(change) if digest is None else digest,
        old_change=old_change,
        old_digest=old_digest,
        before=pods(before),
        after=pods(after),
        record=f"record-of-{change}",
    )


def a_create(
    change: str = "mine",
    *,
    uid: str = "web-1",
    name: str = "web",
    version: int = 10,
    made_at: int = 1_000,
    kind: WatchedKind = DEPLOYMENTS,
    after: int = 0,
) -> Entry:
    """Of `web`, entered when the account was counted from version 10."""
    return an_entry(
        change,
        action=Action.CREATE,
        kind=kind,
        uid=uid,
        name=name,
        version=version,
        made_at=made_at,
        after=after,
    )


def a_delete(change: str = "mine", *, version: int = 10, made_at: int = 1_000) -> Entry:
    """Of `web` at version 10."""
    return an_entry(
        change, action=Action.DELETE, version=version, made_at=made_at, digest="", before=1
    )


def a_scale(change: str = "mine", *, to: int = 3, version: int = 10, made_at: int = 1_000) -> Entry:
    """Of `web` at version 10: no stamp survives it."""
    return an_entry(
        change,
        action=Action.VALUE,
        version=version,
        made_at=made_at,
        digest=f"replicas:{to}",
        before=1,
        after=to,
    )


def content_of(change: str) -> str:
    """The digest of what a change stores."""
    return f"content-of-{change}"


def an_account(
    *pending: Entry,
    settled: int = 0,
    as_of: Mapping[WatchedKind, int] | None = None,
    generation: int = 1,
    suspended: bool = False,
) -> Account:
    """Of the agent, counted from version 10 of everything that is counted."""
    return Account(
        agent=AGENT,
        fence=Fence(MANDATE_UID, generation, suspended),
        settled=pods(settled),
        as_of=dict.fromkeys(COUNTED, 10) if as_of is None else as_of,
        pending=pending,
        asks_version=ASKS_VERSION,
    )


def a_proposal(
    entry: Entry,
    *,
    limit: int | None = None,
    owner: str = AGENT,
    mandate_uid: str = MANDATE_UID,
    generation: int = 1,
) -> Proposal:
    """By the current mandate, of the agent's own object."""
    limits = Limits() if limit is None else Limits({"pods": limit})
    return Proposal(entry, mandate_uid, generation, limits, owner)


def a_version(
    version: int,
    change: str = "",
    *,
    uid: str = "web-1",
    name: str = "web",
    digest: str | None = None,
    value: str = "",
    is_ending: bool = False,
    is_deleted: bool = False,
    owner: str = AGENT,
    ask: int = 1,
) -> Version:
    """Of `web`, the agent's, as the change with that id stores it."""
    return Version(
        uid=uid,
        version=version,
        namespace="team-data",
        name=name,
        change=change,
        digest=content_of(change) if digest is None else digest,
        value=value,
        is_ending=is_ending,
        is_deleted=is_deleted,
        owner=owner,
        ask=pods(ask),
    )


def a_view(*versions: Version, listed_at: int = 1, seen_to: int = 100) -> KindView:
    """Listed early and watched since, so nothing was missed."""
    objects: dict[str, tuple[Version, ...]] = {}
    for version in versions:
        objects[version.uid] = (*objects.get(version.uid, ()), version)
    return KindView(listed_at, seen_to, objects)


def views_of(
    deployments: KindView, *, others: Mapping[WatchedKind, KindView] | None = None
) -> dict[WatchedKind, KindView]:
    """Of all counted kinds: in those that are not named there is nothing."""
    return {**dict.fromkeys(COUNTED, a_view()), DEPLOYMENTS: deployments, **(others or {})}
