"""The windows in which budgets are spent: fixed, opened by the settler, charged by everybody.

A window counts one resource over a length of time; all budgets and caps of that
resource and length share it. Replicas charge the window that they find in the account,
never one by their own clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

from controller.apis.mandates import Budget
from controller.apis.resources import CHANGES


class WindowKey(NamedTuple):
    """Which window: the same for every budget of one resource and length."""

    resource: str
    seconds: int

    def __str__(self) -> str:
        """Such as `usd/86400`."""
        return f"{self.resource}/{self.seconds}"

    @classmethod
    def of(cls, budget: Budget) -> "WindowKey":
        """The window that a budget is spent in."""
        return cls(budget.resource, budget.window_seconds)

    @classmethod
    def parse(cls, text: str) -> "WindowKey":
        """Read what `str` wrote.

        Raises:
            ValueError: it is not of that form.
        """
        resource, slash, seconds = text.partition("/")
        is_number = seconds.isascii() and seconds.isdecimal() and not seconds.startswith("0")
        if not resource or not slash or not is_number:
            raise ValueError(f"{text!r} is not of the form resource/seconds")
        return cls(resource, int(seconds))


@dataclass(frozen=True, slots=True)
class Window:
    """One window, as far as it is spent."""

    started_at: int
    """Milliseconds since the epoch; a multiple of its length."""
    accrued_at: int
    """Up to when `spent` counts what the holdings cost, milliseconds since the epoch."""
    spent: int
    """In the resource's unit: nano-USD, or changes that took effect or may have."""

    def ends_at(self, key: WindowKey) -> int:
        """Milliseconds since the epoch."""
        return self.started_at + key.seconds * 1000


def spend(windows: Mapping[WindowKey, Window], *, changes: int) -> Mapping[WindowKey, Window]:
    """The windows after so many more changes."""
    counting = {key: window for key, window in windows.items() if key.resource == CHANGES}
    spent = {key: replace(one, spent=one.spent + changes) for key, one in counting.items()}
    return MappingProxyType({**windows, **spent})
