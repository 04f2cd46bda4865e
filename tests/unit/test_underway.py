"""What `governor suspend` says of the writes that were granted before."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from controller.accounts.account import Account
from controller.accounts.encoding import account_to_object
from controller.accounts.entries import Action, Outcome
from controller.cli.underway import NotKnown, Underway, read_underway, told
from controller.clients.kube.client import Object
from controller.clients.kube.errors import (
    ForbiddenError,
    KubeError,
    NotFoundError,
    UnreachableError,
)
from controller.clients.kube.resources import ACCOUNTS, Key, Resource
from tests.account_builders import a_create, a_scale, an_account, an_entry


@dataclass
class OneAccount:
    """An API server that is asked for one Account only."""

    answer: Account | Object | KubeError

    async def get(self, resource: Resource, key: Key) -> Object:
        """It, or why not."""
        assert (resource, key) == (ACCOUNTS, Key("", "migrator"))
        if isinstance(self.answer, KubeError):
            raise self.answer
        if isinstance(self.answer, Account):
            return account_to_object(self.answer, metadata={})
        return self.answer


def underway(answer: Account | Object | KubeError) -> Underway | NotKnown:
    return asyncio.run(read_underway(OneAccount(answer), "migrator"))


EXEC = replace(an_entry("exec", action=Action.UNTRACED), outcome=Outcome.ALLOWED)

HELD = [
    pytest.param(an_account(), Underway(0, 0), id="nothing"),
    pytest.param(
        an_account(an_entry("a"), a_create("b", uid="web-2"), a_scale("c")),
        Underway(3, 0),
        id="open writes of any kind",
    ),
    pytest.param(
        an_account(
            an_entry("a"),
            *(an_entry(f"is {one}", uid=one).decided(one) for one in Outcome if one != "allowed"),
        ),
        Underway(1, 0),
        id="what has an outcome is over, and waits for its record only",
    ),
    pytest.param(an_account(EXEC, an_entry("a")), Underway(1, 1), id="what leaves no trace"),
]


@pytest.mark.requirement("fail-closed.suspension")
@pytest.mark.parametrize(("account", "found"), HELD)
def test_what_was_granted_and_has_no_outcome_may_still_take_effect(
    account: Account, found: Underway
) -> None:
    assert underway(account) == found


UNKNOWN = [
    pytest.param(
        ForbiddenError("no", status=403),
        "these credentials may not get accounts.governor.dev (no)",
        id="forbidden",
    ),
    pytest.param(NotFoundError("none", status=404), "its Account is gone (none)", id="gone"),
    pytest.param(UnreachableError("nobody"), "was not read (nobody)", id="no answer"),
    pytest.param({"metadata": {}}, "cannot be read (", id="unreadable"),
]


@pytest.mark.requirement("fail-closed.suspension")
@pytest.mark.parametrize(("answer", "says"), UNKNOWN)
def test_an_account_that_cannot_be_read_is_never_taken_for_an_empty_one(
    answer: Object | KubeError, says: str
) -> None:
    found = underway(answer)
    assert isinstance(found, NotKnown)
    sentence = told(found)
    assert sentence.startswith("how many writes granted before may still take effect is not known")
    assert says in sentence


TOLD = [
    pytest.param(
        Underway(0, 0), "no write that was granted before is known to be under way", id="none"
    ),
    pytest.param(Underway(1, 0), "1 write that was granted before may still take effect", id="one"),
    pytest.param(
        Underway(3, 0), "3 writes that were granted before may still take effect", id="several"
    ),
]


@pytest.mark.parametrize(("found", "sentence"), TOLD)
def test_how_many_is_said_in_one_sentence(found: Underway, sentence: str) -> None:
    assert told(found) == sentence


def test_connections_are_said_to_stay_open() -> None:
    sentence = told(Underway(3, 2))
    assert sentence.startswith("3 writes that were granted before may still take effect; 2 more")
    assert sentence.endswith("a connection that is open stays open")
