"""When a writer that never rests must let the settler have its turn at the Account.

A webhook's swap starts from what it has just written itself, a settler's from a read:
of two that compete the settler always comes too late, and what is pending grows until
everything is refused. So where much is pending, a few swaps in a row without a trace of
a settler are followed by a pause, the longer the fuller the Account is, until a trace is
seen. Other webhooks leave none: they only append entries, spend in windows, and want some.

Pure. It must not hold anybody up while little is pending, or for longer than it says.
"""

from dataclasses import dataclass, field, replace

from controller.accounts.account import Account


@dataclass(frozen=True, slots=True)
class Manners:
    """When to pause, and for how long."""

    crowded: int = 50
    """Pending entries up to which nobody pauses."""
    in_a_row: int = 3
    """Swaps of our own without a trace of a settler."""
    seconds: float = 0.02
    """The longest pause of an Account that is just crowded; a read and a swap take less. It grows
    with what is pending: fourfold in one that is full."""


@dataclass(eq=False, slots=True)
class Turns:
    """What one writer has done since it last saw a trace of a settler."""

    manners: Manners = field(default_factory=Manners)
    last: Account | None = None
    """As we wrote it."""
    swaps: int = 0

    def wrote(self, base: Account, written: Account) -> None:
        """Count a swap of ours that succeeded."""
        self.swaps = 1 if self.is_settled_in(base) else self.swaps + 1
        self.last = written

    def is_settled_in(self, account: Account) -> bool:
        """Whether this account, known now, is more than what we wrote and entries behind it."""
        last = self.last
        if last is None:
            return False
        if not {*last.wanted} <= {*account.wanted}:
            return True  # they are open now
        grown = replace(account, pending=account.pending[: len(last.pending)])
        return _settlers_part(grown) != _settlers_part(last)

    def pause(self) -> float:
        """How long to wait for a trace before the next swap, seconds; asked once for each."""
        pending = 0 if self.last is None else len(self.last.pending)
        if self.swaps < self.manners.in_a_row or pending <= self.manners.crowded:
            return 0.0
        self.swaps = 0
        return self.manners.seconds * pending / self.manners.crowded


def _settlers_part(account: Account) -> Account:
    """Without what webhooks write, too."""
    windows = {key: replace(window, spent=0) for key, window in account.windows.items()}
    return replace(account, wanted=(), windows=windows)
