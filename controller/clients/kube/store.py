"""What an informer knows: one value per object, and what each piece of news changed.

Pure state, no I/O and no clock. It is replaced by a complete list or moved by one
event, and never emptied because nothing could be heard: old knowledge beats none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

from controller.clients.kube.resources import Key

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """One object as it was last seen."""

    uid: str
    resource_version: str
    value: T
    """What the projection kept of it."""


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One object that appeared (`old` is None), changed, or went (`new` is None)."""

    key: Key
    old: Known[T] | None
    new: Known[T] | None


class Store(Generic[T]):
    """The objects of one resource by key."""

    def __init__(self) -> None:
        self._known: dict[Key, Known[T]] = {}
        self._snapshot: Mapping[Key, T] | None = None

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Key) -> Known[T] | None:
        """One object as it was last seen."""
        return self._known.get(key)

    def snapshot(self) -> Mapping[Key, T]:
        """Every value, as of now and for good; one copy is shared until something changes."""
        if self._snapshot is None:
            values = {key: known.value for key, known in self._known.items()}
            self._snapshot = MappingProxyType(values)
        return self._snapshot

    def replace(self, listed: Mapping[Key, Known[T]]) -> tuple[Change[T], ...]:
        """Take over a complete list; what it lacks was deleted while nobody looked."""
        gone = [key for key in self._known if key not in listed]
        changes = [change for key in gone for change in self.remove(key)]
        for key, known in listed.items():
            changes.extend(self.put(key, known))
        return tuple(changes)

    def put(self, key: Key, known: Known[T]) -> tuple[Change[T], ...]:
        """Take over one object; an object of another uid first takes the old one away.

        An older version of the object than the known one is no news: it was written by
        ourselves and taken over before the watch came to it.
        """
        old = self._known.get(key)
        if old is not None and old.uid == known.uid:
            if not _is_newer(known.resource_version, old.resource_version):
                return ()
            return (self._set(key, old, known),)
        return (*self.remove(key), self._set(key, None, known))

    def remove(self, key: Key) -> tuple[Change[T], ...]:
        """Forget one object."""
        old = self._known.pop(key, None)
        if old is None:
            return ()
        self._snapshot = None
        return (Change(key, old, None),)

    def _set(self, key: Key, old: Known[T] | None, new: Known[T]) -> Change[T]:
        self._known[key] = new
        self._snapshot = None
        return Change(key, old, new)


def _is_newer(version: str, than: str) -> bool:
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than
