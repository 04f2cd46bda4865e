"""Reads and swaps the stored Accounts, one object per agent.

A swap replaces exactly the version that was read, or nothing: that is what makes an
Account a lock, a ledger entry and a kill switch in one. It decides nothing about what
an account says, keeps nothing, and never repeats a request: whoever swaps reads again
after a conflict, and decides again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from controller.accounts.account import Account
from controller.accounts.encoding import (
    AccountUnreadableError,
    account_from_object,
    account_to_object,
)
from controller.apis.json import Json
from controller.clients.kube.client import KubeClient, Object, key_of
from controller.clients.kube.errors import KubeError, NotFoundError
from controller.clients.kube.resources import ACCOUNTS, Key


class AccountMissingError(NotFoundError):
    """The agent has no Account, or no longer: the leader makes one for every mandate."""

    retryable: ClassVar[bool] = True


class AccountGarbledError(KubeError):
    """The Account is stored, and says what Governor never writes: its agent can do nothing.

    Deleting it mends that: the leader makes it anew, and counts.
    """


@dataclass(frozen=True, slots=True)
class Stored:
    """An Account in one stored version."""

    account: Account
    metadata: Mapping[str, Json]
    """As stored, with what others wrote there, but for `managedFields`: the API server keeps
    those of an object that comes without."""

    @property
    def resource_version(self) -> str:
        """Of this version."""
        return _text(self.metadata.get("resourceVersion"))

    @property
    def uid(self) -> str:
        """Of the object: an account that was deleted and made anew has another."""
        return _text(self.metadata.get("uid"))


def read_stored(body: Object) -> Stored:
    """Read an Account as the API server gives it.

    Raises:
        AccountUnreadableError: it says what Governor never writes.
    """
    account = account_from_object(body)
    metadata = body.get("metadata")
    held = metadata if isinstance(metadata, dict) else {}
    return Stored(account, {name: held[name] for name in held if name != "managedFields"})


class AccountStore:
    """The Accounts of one cluster, by the names of their agents."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def read(self, agent: str) -> Stored:
        """An Account as the API server holds it at this moment (a quorum read).

        Raises:
            AccountMissingError: there is none.
            AccountGarbledError: it cannot be read.
            KubeError: any other failure.
        """
        try:
            body = await self._client.get(ACCOUNTS, Key("", agent))
        except NotFoundError as missing:
            raise _missing(agent, missing) from missing
        return _read(body)

    async def create(self, account: Account) -> Stored:
        """Store an Account for an agent that has none.

        Raises:
            ConflictError: it has one.
            KubeError: any other failure.
        """
        return _read(await self._client.create(ACCOUNTS, account_to_object(account, metadata={})))

    async def swap(self, stored: Stored, account: Account) -> Stored:
        """Put an account in place of exactly this stored version; all other metadata stays.

        An account that is equal to the stored one is not written, and gets the same version
        back; it conflicts all the same if the stored version is no longer current.

        Raises:
            ConflictError: the stored version is no longer current; nothing was written.
                After a broken connection, the change may nevertheless be there, and ours.
            AccountMissingError: it is gone.
            KubeError: any other failure; it may have been written all the same.
        """
        try:
            body = account_to_object(account, metadata=stored.metadata)
            return _read(await self._client.replace(ACCOUNTS, body))
        except NotFoundError as missing:
            raise _missing(account.agent, missing) from missing

    async def delete(self, stored: Stored) -> None:
        """Delete exactly this version.

        Raises:
            ConflictError: it is no longer current.
            AccountMissingError: it is gone.
            KubeError: any other failure.
        """
        agent = stored.account.agent
        try:
            await self._client.delete(
                ACCOUNTS,
                Key("", agent),
                uid=stored.uid,
                resource_version=stored.resource_version,
            )
        except NotFoundError as missing:
            raise _missing(agent, missing) from missing


def _read(body: Object) -> Stored:
    try:
        return read_stored(body)
    except AccountUnreadableError as unreadable:
        name = key_of(body).name
        raise AccountGarbledError(f"account {name} cannot be read: {unreadable}") from unreadable


def _missing(agent: str, cause: NotFoundError) -> AccountMissingError:
    return AccountMissingError(
        f"the account of {agent} is not there yet: {cause}",
        status=cause.status,
        reason=cause.reason,
        retry_after=cause.retry_after,
    )


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
