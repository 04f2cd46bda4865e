"""What the settlement loop remembers of each agent between two looks.

Which objects its open writes are about, which of them are past their deadline, and
since when `as_of` is what it is. Losing it costs a request or two, never an outcome.
It asks nobody, and decides nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from controller.accounts.account import Account
from controller.accounts.entries import Entry, EntryKey, WatchedKind


class Overdue(NamedTuple):
    """An entry past its deadline."""

    made_at: int
    """Of the entry then: one that is validated again lives on."""
    read_at: int
    """A resource version that was read after the deadline."""


@dataclass(slots=True)
class Memory:
    """Of one agent."""

    uids: frozenset[str] = frozenset()
    """Of the objects that its open entries are about."""
    overdue: dict[EntryKey, Overdue] = field(default_factory=dict[EntryKey, Overdue])
    as_of: Mapping[WatchedKind, int] = field(default_factory=dict[WatchedKind, int])
    as_of_since: float = 0.0
    """When `as_of` was first seen to be that; seconds since the epoch."""

    def note(self, account: Account, *, now: float) -> None:
        """Note since when `as_of` is what it is."""
        if account.as_of != self.as_of:
            self.as_of, self.as_of_since = account.as_of, now

    def retain(self, entries: Iterable[Entry]) -> None:
        """Forget what was read for any other entries, or for earlier calls of these."""
        made_at = {entry.key: entry.made_at for entry in entries}
        self.overdue = {
            key: known for key, known in self.overdue.items() if made_at.get(key) == known.made_at
        }


class Attention:
    """Of all agents, and who is to look when an object changes."""

    def __init__(self) -> None:
        self._memories: dict[str, Memory] = {}
        self._by_uid: dict[str, set[str]] = {}

    def __iter__(self) -> Iterator[str]:
        """Every agent that is remembered, as of now."""
        return iter(tuple(self._memories))

    def of(self, agent: str) -> Memory:
        """What is remembered of an agent."""
        return self._memories.setdefault(agent, Memory())

    def forget(self, agent: str) -> None:
        """Remember nothing of it: it is gone."""
        self.follow(agent, frozenset())
        del self._memories[agent]

    def follow(self, agent: str, uids: frozenset[str]) -> None:
        """Let an agent be told of these objects, and of no others."""
        memory = self.of(agent)
        for uid in memory.uids - uids:
            followers = self._by_uid[uid]
            followers.discard(agent)
            if not followers:
                del self._by_uid[uid]
        for uid in uids - memory.uids:
            self._by_uid.setdefault(uid, set()).add(agent)
        memory.uids = uids

    def followers(self, uid: str) -> Collection[str]:
        """Who is to be told of an object, as of now."""
        return tuple(self._by_uid.get(uid, ()))
