"""Says which writes of a suspended agent were granted before, and may still take effect.

The fence refuses what is asked from then on. A write that was granted before may be held up
on its way to the store (by another webhook, say) until the API server's own deadline; it is
in the agent's Account, whose list gets no longer once the fence is there. Nothing here
waits for such a write, or stops it.
"""

from dataclasses import dataclass
from typing import Protocol

from controller.accounts.account import Account
from controller.accounts.encoding import AccountUnreadableError, account_from_object
from controller.accounts.entries import Outcome
from controller.clients.kube.client import Object
from controller.clients.kube.errors import ForbiddenError, KubeError, NotFoundError
from controller.clients.kube.resources import ACCOUNTS, Key, Resource


class ReadsObjects(Protocol):
    """The part of `KubeClient` that is used."""

    async def get(self, resource: Resource, key: Key) -> Object:
        """Read one object, as the API server holds it at this moment."""
        ...


@dataclass(frozen=True, slots=True)
class Underway:
    """Granted writes of one agent, by what is known of them."""

    unsettled: int
    """No outcome is known: each may still take effect, or has just done so."""
    traceless: int
    """Nothing will ever show whether they took effect (exec, evictions, tokens, …)."""


@dataclass(frozen=True, slots=True)
class NotKnown:
    """The Account could not be read."""

    reason: str


async def read_underway(client: ReadsObjects, agent: str) -> Underway | NotKnown:
    """Count what an agent's Account holds, by a quorum read.

    Args:
        client: with the caller's own credentials.
        agent: the mandate's name, whose fence is known to be in the Account.
    """
    try:
        found = await client.get(ACCOUNTS, Key("", agent))
        return _count(account_from_object(found))
    except ForbiddenError as forbidden:
        return NotKnown(f"these credentials may not get accounts.governor.dev ({forbidden})")
    except NotFoundError as missing:
        return NotKnown(f"its Account is gone ({missing})")
    except KubeError as fault:
        return NotKnown(f"its Account was not read ({fault})")
    except AccountUnreadableError as unreadable:
        return NotKnown(f"its Account cannot be read ({unreadable})")


def told(found: Underway | NotKnown) -> str:
    """One sentence for people."""
    if isinstance(found, NotKnown):
        return f"how many writes granted before may still take effect is not known: {found.reason}"
    many = f"{found.unsettled} writes that were" if found.unsettled != 1 else "1 write that was"
    sentence = (
        f"{many} granted before may still take effect"
        if found.unsettled
        else "no write that was granted before is known to be under way"
    )
    if not found.traceless:
        return sentence
    return (
        f"{sentence}; {found.traceless} more leave no trace (exec, eviction, token, …): they may "
        "have taken effect, and a connection that is open stays open"
    )


def _count(account: Account) -> Underway:
    return Underway(
        unsettled=sum(entry.is_open for entry in account.pending),
        traceless=sum(entry.outcome is Outcome.ALLOWED for entry in account.pending),
    )
