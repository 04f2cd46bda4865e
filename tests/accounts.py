"""Builds accounts, entries and proposals: those of one agent that updates a Deployment.

Every builder gives something valid and ordinary; a test names only what it is about.
"""

from collections.abc import Mapping
from dataclasses import replace

from controller.accounts.account import ASKS_VERSION, COUNTED, Account, Fence
from controller.accounts.entries import Action, Attempt, Entry, Outcome, WatchedKind
from controller.accounts.limits import Limits
from controller.accounts.reserve import Proposal
from controller.apis.resources import NOTHING, Amounts

MANDATE_UID = "7f3a1b2c-0000-4000-8000-00000000a9e7"
DEPLOYMENTS = WatchedKind("apps", "v1", "deployments")
PODS = WatchedKind("", "v1", "pods")
NOON = 1_795_608_000_000


def an_entry(
    number: int = 1,
    *,
    change: str | None = None,
    action: Action = Action.UPDATE,
    kind: WatchedKind = DEPLOYMENTS,
    name: str = "web",
    uid: str | None = None,
    version: int = 7,
    made_at: int = NOON,
    before: Amounts = NOTHING,
    after: Amounts = NOTHING,
    outcome: Outcome | None = None,
) -> Entry:
    """The `number`th change of one agent, each to an object of its own."""
    return Entry(
        change=change or f"01JD8Z6V5M3Q2W1X0Y9Z8{number:05d}",
        attempt=Attempt("replica-1", number),
        action=action,
        kind=kind,
        namespace="team-data",
        name=name,
        uid=uid or f"5f6f2a1c-0000-4000-8000-0000000{number:05d}",
        version=version,
        made_at=made_at,
        digest="0f" * 16,
        before=before,
        after=after,
        record="ab" * 32,
        outcome=outcome,
    )


def an_account(
    *pending: Entry,
    agent: str = "migrator",
    generation: int = 1,
    suspended: bool = False,
    settled: Amounts = NOTHING,
    as_of: Mapping[WatchedKind, int] | None = None,
) -> Account:
    """Of an agent that is not suspended, with these writes under way."""
    return Account(
        agent=agent,
        fence=Fence(MANDATE_UID, generation, suspended),
        settled=settled,
        as_of={DEPLOYMENTS: 5} if as_of is None else as_of,
        pending=pending,
    )


def counted(account: Account) -> Account:
    """The account as the settler leaves it: what its agent holds is known."""
    return replace(
        account, as_of={**dict.fromkeys(COUNTED, 5), **account.as_of}, asks_version=ASKS_VERSION
    )


def a_proposal(
    number: int = 1,
    *,
    generation: int = 1,
    limits: Amounts = NOTHING,
    entry: Entry | None = None,
) -> Proposal:
    """To enter the `number`th change, which asks for one Pod more."""
    return Proposal(
        entry or an_entry(number, after={"pods": 1}),
        MANDATE_UID,
        generation,
        Limits(quota=limits),
        "migrator",
    )
