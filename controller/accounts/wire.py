"""Proposals and verdicts as bytes, between two webhook processes, and back without loss.

Positional JSON, like an account's entries, with integers of any size. The reader is
strict: what it does not know in full it does not read, so that no process reserves by
half of another's limits. A verdict travels without the account that it speaks of; who
asked knows one. It decides nothing.
"""

import json
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, TypeAlias, assert_never, cast

from controller.accounts.account import Account, Fence
from controller.accounts.encoding import AccountUnreadableError, read_entry, write_entry
from controller.accounts.entries import Entry
from controller.accounts.limits import Limits
from controller.accounts.reserve import (
    AlreadySettled,
    Backlog,
    Exhausted,
    Proposal,
    Reservation,
    Reserved,
    StaleMandate,
    Suspended,
    Uncounted,
    Unopened,
)
from controller.accounts.windows import WindowKey
from controller.apis.json import Json
from controller.apis.mandates import Budget
from controller.apis.pricebooks import PriceBook
from controller.apis.resources import NOTHING, Amounts
from controller.prices.rates import Unpriced

_FORM: Final = 1
"""The first element of a proposal: which form the others have."""

_Parts: TypeAlias = Sequence[Json]


class GarbledError(ValueError):
    """The bytes are no proposal, or no verdict, that this Governor writes."""


def encode_proposal(agent: str, proposal: Proposal) -> bytes:
    """Write a proposal for an agent's account.

    Raises:
        EntryUnwritableError: its entry holds what JSON cannot.
    """
    limits = proposal.limits
    return _dump(
        [
            _FORM,
            agent,
            write_entry(proposal.entry),
            proposal.mandate_uid,
            proposal.mandate_generation,
            proposal.owner,
            {**limits.quota},
            [_budget_parts(budget) for budget in limits.budgets],
            limits.prices.identity,
            {**limits.prices.rates},
            limits.are_relaxed,
        ]
    )


def decode_proposal(content: bytes | memoryview) -> tuple[str, Proposal]:
    """The agent, and what `encode_proposal` was given.

    Raises:
        GarbledError: it wrote nothing like it.
    """
    match _load(content):
        case [1, str(agent), entry, str(uid), generation, str(owner), *limits]:
            judged_by = _integer(generation)
            return agent, Proposal(_entry(entry), uid, judged_by, _limits(limits), owner)
        case _:
            raise GarbledError("the proposal is of no form that is known")


def encode_verdict(verdict: Reservation) -> bytes:
    """Write a verdict, without the account that it speaks of.

    Raises:
        EntryUnwritableError: an entry holds what JSON cannot.
    """
    return _dump(_verdict_parts(verdict))


def decode_verdict(content: bytes | memoryview, account: Account) -> Reservation:
    """What `encode_verdict` was given, but of this account.

    Args:
        content: what it wrote.
        account: what is known of the account; it stands where a verdict carries one, and
            may be another version than the verdict's.

    Raises:
        GarbledError: it wrote nothing like it.
    """
    match _load(content):
        case ["reserved", entry, excess]:
            return Reserved(account, _entry(entry), _excess(excess))
        case ["exhausted", *parts]:
            return _exhausted(parts)
        case ["suspended"]:
            return Suspended()
        case ["stale-mandate", str(uid), generation, bool(suspended)]:
            return StaleMandate(Fence(uid, _integer(generation), suspended))
        case ["already-settled", entry]:
            return AlreadySettled(_entry(entry))
        case ["backlog", pending]:
            return Backlog(_integer(pending))
        case ["uncounted", str(reason)]:
            return Uncounted(reason)
        case ["unopened", list(missing)]:
            return Unopened(account, tuple(map(_window_key, missing)))
        case ["unpriced", str(resource)]:
            return Unpriced(resource)
        case _:
            raise GarbledError("the verdict is none that is known")


def _verdict_parts(verdict: Reservation) -> list[Json]:
    match verdict:
        case Reserved(_, entry, excess):
            return ["reserved", write_entry(entry), _excess_parts(excess)]
        case Exhausted():
            return ["exhausted", *_exhausted_parts(verdict)]
        case Suspended():
            return ["suspended"]
        case StaleMandate(fence):
            return ["stale-mandate", fence.mandate_uid, fence.generation, fence.suspended]
        case AlreadySettled(entry):
            return ["already-settled", write_entry(entry)]
        case Backlog(pending):
            return ["backlog", pending]
        case Uncounted(reason):
            return ["uncounted", reason]
        case Unopened(_, missing):
            return ["unopened", [[key.resource, key.seconds] for key in missing]]
        case Unpriced(resource):
            return ["unpriced", resource]
        case _:
            assert_never(verdict)


def _exhausted_parts(of: Exhausted) -> list[Json]:
    budget = None if of.budget is None else _budget_parts(of.budget)
    return [of.resource, of.asked, of.limit, of.held, budget, of.ends_at]


def _exhausted(parts: _Parts) -> Exhausted:
    match parts:
        case [str(resource), asked, limit, held, budget, ends_at]:
            return Exhausted(
                resource,
                _integer(asked),
                _integer(limit),
                _integer(held),
                None if budget is None else _budget(budget),
                _integer(ends_at),
            )
        case _:
            raise GarbledError("what is exhausted is not told in full")


def _excess_parts(excess: Exhausted | Unpriced | None) -> Json:
    match excess:
        case None:
            return None
        case Exhausted():
            return _exhausted_parts(excess)
        case Unpriced(resource):
            return resource
        case _:
            assert_never(excess)


def _excess(value: Json) -> Exhausted | Unpriced | None:
    if value is None:
        return None
    return Unpriced(value) if isinstance(value, str) else _exhausted(_list(value))


def _limits(parts: _Parts) -> Limits:
    match parts:
        case [dict(quota), list(budgets), str(identity), dict(rates), bool(are_relaxed)]:
            return Limits(
                quota=_amounts(quota),
                budgets=tuple(map(_budget, budgets)),
                prices=PriceBook(identity, _amounts(rates)),
                are_relaxed=are_relaxed,
            )
        case _:
            raise GarbledError("the limits are not told in full")


def _budget_parts(budget: Budget) -> list[Json]:
    return [budget.name, budget.resource, budget.limit, budget.window_seconds]


def _budget(value: Json) -> Budget:
    match value:
        case [str(name), str(resource), limit, seconds]:
            return Budget(name, resource, _integer(limit), _integer(seconds))
        case _:
            raise GarbledError("a budget is not told in full")


def _window_key(value: Json) -> WindowKey:
    match value:
        case [str(resource), seconds]:
            return WindowKey(resource, _integer(seconds))
        case _:
            raise GarbledError("a window is not told in full")


def _entry(value: Json) -> Entry:
    if not isinstance(value, str):
        raise GarbledError("an entry is a text")
    try:
        return read_entry(value)
    except AccountUnreadableError as odd:
        raise GarbledError(f"the entry: {odd}") from odd


def _amounts(value: dict[str, Json]) -> Amounts:
    if not value:
        return NOTHING
    return MappingProxyType({name: _integer(amount) for name, amount in value.items()})


def _integer(value: Json) -> int:
    if type(value) is not int:  # a bool is an int to Python
        raise GarbledError("a number is none")
    return value


def _list(value: Json) -> _Parts:
    if not isinstance(value, list):
        raise GarbledError("a list is none")
    return value


def _dump(parts: list[Json]) -> bytes:
    # Not orjson: sums of what is held may need more than 64 bits.
    return json.dumps(parts, separators=(",", ":")).encode()


def _load(content: bytes | memoryview) -> Json:
    try:
        return cast("Json", json.loads(bytes(content)))
    except (ValueError, RecursionError) as garbled:
        raise GarbledError(f"it is no JSON: {garbled}") from garbled
