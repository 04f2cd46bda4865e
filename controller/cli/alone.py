"""Holds a write to its agent's limits as if the agent held nothing but this one object.

Without a cluster nobody knows what else it holds and has spent, so what passes here may
not pass there; what does not pass here never does. The account's own rules decide, on an
account that is counted, empty, and has just begun its windows.
"""

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from controller.accounts.account import ASKS_VERSION, COUNTED, Account, Fence
from controller.accounts.entries import Action, Entry
from controller.accounts.limits import Limits
from controller.accounts.reserve import Proposal, reserve
from controller.accounts.windows import Window, WindowKey
from controller.admission.case import Case, entry_of
from controller.admission.judge import Granted, Outcome
from controller.admission.reservation import conclude_reservation, find_unowned_raise, refuse
from controller.apis.mandates import Mandate
from controller.apis.requests import Operation
from controller.apis.resources import NOTHING

_TRACED: Final = {
    Operation.CREATE: Action.CREATE,
    Operation.UPDATE: Action.UPDATE,
    Operation.DELETE: Action.DELETE,
}
_BEGINNING: Final = 1
"""The resource version of every kind that the account was counted from; any will do."""


def hold_alone(case: Case, granted: Granted, *, mandate: Mandate, limits: Limits) -> Outcome:
    """What becomes of a write that the policies granted, were it the agent's first.

    Args:
        case: of the write, as a dry run: nothing of it is stamped.
        granted: what the policies said.
        mandate: that it was judged by.
        limits: of the mandate and the policies.
    """
    if not case.is_recorded:
        return granted
    unowned = find_unowned_raise(case, mandate.name, limits)
    if unowned is not None:
        return refuse(granted, unowned)
    proposal = Proposal(
        _entry_of(case, granted.change),
        mandate_uid=mandate.uid,
        mandate_generation=mandate.generation,
        limits=limits,
        owner=case.asked.owner,
    )
    tried = reserve(_account_of(case, mandate, limits), proposal)
    return conclude_reservation(granted, tried, asked=case.asked)


def _entry_of(case: Case, change: str) -> Entry:
    """As it would be, were uids and versions known: without them nothing of it could be traced."""
    entry = entry_of(case, change)
    as_traced = _TRACED.get(case.request.operation)
    if entry.action is not Action.UNTRACED or as_traced is None:
        return entry
    return replace(entry, action=as_traced)


def _account_of(case: Case, mandate: Mandate, limits: Limits) -> Account:
    keys = (WindowKey.of(budget) for budget in limits.budgets)
    begun = Window(started_at=case.made_at, accrued_at=case.made_at, spent=0)
    return Account(
        agent=mandate.name,
        fence=Fence(mandate.uid, mandate.generation, suspended=False),
        settled=case.asked.before if case.asked.owner == mandate.name else NOTHING,
        as_of=MappingProxyType(dict.fromkeys(COUNTED, _BEGINNING)),
        windows=MappingProxyType(dict.fromkeys(keys, begun)),
        prices=limits.prices.identity,
        asks_version=ASKS_VERSION,
    )
