"""Tells an agent which limit a write exceeds, what is left of it, and how much would pass.

Every amount is one by which the write raises what the agent holds, or what that costs, in
the notation of mandates. What exceeds a limit is decided in `controller.accounts.reserve`;
of several limits it names one, so what is said to pass is what passes *that* one.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from controller.accounts.charges import increase
from controller.accounts.reserve import Exhausted
from controller.admission.judge import Granted
from controller.admission.limits import budget_of
from controller.apis.mandates import Budget
from controller.apis.quantities import amount_text
from controller.apis.resources import CHANGES, NOTHING, PODS, USD, Amounts
from controller.asks.asked import Asked
from controller.policy.denials import Code, Denial
from controller.policy.results import Cap
from controller.prices.rates import Unpriced

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PER_POD: Final = ".containers"
"""How the field ends by which each Pod asks less, not by which there are fewer."""
_OF_SURGE: Final = ".maxSurge"
"""How the field ends by which fewer Pods run beside those that they replace."""


def tell_excess(granted: Granted, found: Exhausted | Unpriced, asked: Asked) -> Denial:
    """The denial of a write that exceeds a limit, or whose cost under a limit nobody can tell.

    Args:
        granted: what the policies said, their caps included.
        found: the limit, or what has no price.
        asked: what the write asks for, before and after.
    """
    if isinstance(found, Unpriced):
        return _told_unpriced(granted, found, asked)
    told = _told(granted, found, asked)
    cap = _cap_of(granted, found)
    return told if cap is None else _as_of_cap(told, cap)


def _told_unpriced(granted: Granted, found: Unpriced, asked: Asked) -> Denial:
    # Fewer Pods never help; only where each says what it asks can it be left out.
    return Denial(
        Code.PRICE_UNKNOWN,
        f"the PriceBook cluster has no price of {found.resource}, by which the usd budget of "
        f"{granted.mandate} is counted; an administrator can add it",
        rule="What has no price is not bought",
        field=asked.field if asked.field.endswith(_PER_POD) else None,
        asked=found.resource,
    )


def _told(granted: Granted, found: Exhausted, asked: Asked) -> Denial:
    whose, budget = granted.mandate or "", found.budget
    field = _field_of(found, asked, agent=whose)
    fitting = _find_fitting(found, replace(asked, field=field), agent=whose)
    if budget is None:
        code, rule = Code.QUOTA_EXCEEDED, "What an agent's objects hold stays within its quota"
        more = " more" if asked.before and asked.owner == whose else ""
        # What is held may end by itself: Pods that are ending, a Job that finishes.
        message, is_final = f"asks {_amount(found)}{more} for {whose}", found.asked > found.limit
    else:
        code, rule = Code.BUDGET_EXCEEDED, "What an agent spends stays within its budgets"
        is_final = not found.ends_at or found.asked > found.limit
        message = _spending(found, budget, whose=whose, is_final=is_final)
    return Denial(
        code,
        message + _of_surge(field) + _hint(fitting, found.resource),
        rule=rule,
        field=field or None,
        asked=amount_text(found.resource, found.asked),
        limit=amount_text(found.resource, found.limit),
        remaining=amount_text(found.resource, max(0, found.limit - found.held)),
        passes=None if fitting is None else amount_text(found.resource, fitting.amount),
        retry=not is_final,
    )


def _field_of(found: Exhausted, asked: Asked, *, agent: str) -> str:
    """What to change to ask less of what is exceeded; empty: nothing that is known."""
    if found.resource == CHANGES:
        return ""
    field = _raised_by(found.resource, asked)
    # Of what is adopted all counts, and may be too much as it is, without any surge.
    fits = asked.owner == agent or found.limit - found.held >= asked.before.get(found.resource, 0)
    return field if fits or not field.endswith(_OF_SURGE) else ""


def _raised_by(resource: str, asked: Asked) -> str:
    stored, unit = asked.before, asked.unit.get(resource, 0)
    grows = unit * stored.get(PODS, 0) > stored.get(resource, 0) or not stored.get(PODS)
    is_of_count = resource == PODS or (resource != USD and not grows)
    return (asked.count_field if is_of_count else "") or asked.field


def _of_surge(field: str) -> str:
    return "; its surge counts while a rollout runs" if field.endswith(_OF_SURGE) else ""


def _spending(found: Exhausted, budget: Budget, *, whose: str, is_final: bool) -> str:
    of_budget = f"{whose}'s budget {budget.name}"
    if found.resource == CHANGES:
        until = "in any window" if is_final else f"until {_time(found.ends_at)}"
        return f"this write is one change more than {of_budget} allows {until}"
    if is_final:
        return f"costs {_amount(found)} more in every window of {of_budget}"
    ends = _time(found.ends_at)
    return f"costs {_amount(found)} more until {ends}, when the window of {of_budget} ends"


def _amount(found: Exhausted) -> str:
    return f"{amount_text(found.resource, found.asked)} {found.resource}"


def _time(milliseconds: int) -> str:
    moment = _EPOCH + timedelta(seconds=-(-milliseconds // 1000))
    return moment.isoformat().replace("+00:00", "Z")


def _hint(fitting: "_Fitting | None", resource: str) -> str:
    """What that is in Pods, where the amount itself does not say it."""
    if fitting is None or resource == PODS:
        return ""
    if not fitting.each:
        return f"; there is room for {fitting.pods} of these Pods"
    each = f"{amount_text(resource, fitting.each)} {resource}"
    # Of one Pod the agent knows what it asks already.
    is_told = fitting.pods > 1
    return f"; each of its {fitting.pods} Pods (surge included) may ask {each}" if is_told else ""


class _Fitting(NamedTuple):
    """The most by which an object could still be raised."""

    amount: int
    pods: int
    """How many of its Pods that is; with `each`, how many there are, old and new."""
    each: int = 0
    """What each of them may ask then, all of it; 0: as much as it does."""


def _find_fitting(found: Exhausted, asked: Asked, *, agent: str) -> _Fitting | None:
    """None: it cannot be raised at all, or nobody knows by how much."""
    room = found.limit - found.held
    # Nothing is held of an object that is being adopted: all of it counts.
    held = asked.before if asked.owner == agent else NOTHING
    if found.resource == CHANGES or room <= 0:
        return None
    if found.resource == USD:
        return _fitting_cost(found, asked, held=held, room=room)
    if found.resource != PODS and asked.field.endswith(_PER_POD):
        return _fitting_size(found.resource, asked, held=held, room=room)
    return _fitting_number(found.resource, asked, held=held, room=room)


def _fitting_number(resource: str, asked: Asked, *, held: Amounts, room: int) -> _Fitting | None:
    """As many Pods as fit, each as large as it is."""
    unit, before = asked.unit.get(resource, 0), held.get(resource, 0)
    pods = (before + room) // unit if unit else 0
    if pods * unit <= asked.before.get(resource, 0):  # that would be no raise
        return None
    return _Fitting(pods * unit - before, (pods * unit - before) // unit)


def _fitting_size(resource: str, asked: Asked, *, held: Amounts, room: int) -> _Fitting | None:
    """As many Pods as there are, each as large as fits."""
    pods, stored = asked.after.get(PODS, 0), asked.before.get(resource, 0)
    before = held.get(resource, 0)
    total = (before + room) // pods * pods if pods else 0
    # While they are replaced, the Pods that there are count as they are.
    least = -(-stored * pods // asked.before[PODS]) if asked.before.get(PODS) else 0
    fits = total > stored and total >= least
    return _Fitting(total - before, pods, total // pods) if fits else None


def _fitting_cost(found: Exhausted, asked: Asked, *, held: Amounts, room: int) -> _Fitting | None:
    """As many Pods as can be paid to the end of the window."""
    raised = increase(held, asked.after)
    pods = raised.get(PODS, 0)
    is_of_pods = raised == {name: amount * pods for name, amount in asked.unit.items()}
    if not found.ends_at or found.budget is None or not pods or not is_of_pods:
        return None
    # Rates and costs are rounded up, each by less than one nano-USD, and an hour's for each.
    rounded = 2 * -(-found.budget.window_seconds // 3600) + 3
    fitting = (room - rounded) * pods // (found.asked + rounded)
    if fitting < 1 or held.get(PODS, 0) + fitting <= asked.before.get(PODS, 0):
        return None
    return _Fitting(-(-found.asked * fitting // pods), fitting)


def _cap_of(granted: Granted, found: Exhausted) -> Cap | None:
    """The cap that is exceeded; None: it is a limit of the mandate."""
    for cap in granted.caps:
        is_smallest = (cap.resource, cap.amount) == (found.resource, found.limit)
        if is_smallest and budget_of(cap) == found.budget:
            return cap
    return None


def _as_of_cap(told: Denial, cap: Cap) -> Denial:
    """The same numbers, as the policy's author named the limit."""
    return replace(told, code=cap.code, rule=cap.rule, message=f"{cap.message}: {told.message}")
