"""Replaces what field paths lead to by marks, in one walk of an object for all paths.

One by one where there are few places, or else all that is below one list, or below one
field, by one mark: its cost grows with the object alone, and slowly. It replaces nothing
beside the fields: the items, keys and fields around them stay to be judged.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias, cast

from controller.apis.fieldpaths import ANY_ITEM, FieldPath
from controller.apis.json import Json

MAX_PLACES: Final = 2_000
"""Values, and list items on the way to them, that are marked one by one in one request."""

_NO_LEAVES: Final = frozenset({dict, list, type(None)})

Make: TypeAlias = Callable[[Json], str]
"""Makes the mark of a value."""


class Tree:
    """Paths by their first segments."""

    def __init__(self, fields: Sequence[FieldPath]) -> None:
        self.is_end = () in fields
        """Whether one of them ends here: it covers everything below."""
        below: dict[str | int, list[FieldPath]] = {}
        for field in filter(None, fields):
            below.setdefault(field[0], []).append(field[1:])
        self.names = {name: Tree(rest) for name, rest in below.items() if isinstance(name, str)}
        self._below = below
        # Made when asked for: together, `[0]` and `[*]` lead to more trees than there are paths.
        self._items: dict[int, Tree] = {}

    @property
    def leads_to_items(self) -> bool:
        """Whether a path leads through a list here."""
        return len(self.names) < len(self._below)

    @property
    def are_items_alike(self) -> bool:
        """Whether the same paths lead through each item of a list."""
        return len(self._below) == len(self.names) + (ANY_ITEM in self._below)

    def item(self, index: int) -> "Tree":
        """Of one item of a list."""
        known = index if index in self._below else ANY_ITEM
        if known not in self._items:
            own = self._below.get(known, []) if known != ANY_ITEM else []
            self._items[known] = Tree([*own, *self._below.get(ANY_ITEM, [])])
        return self._items[known]


# Governance's paths, of every resource that is written.
tree_of: Final = lru_cache(maxsize=64)(Tree)


class Each:
    """Marks leaf by leaf: which keys and how many items there are stays to be judged."""

    def __init__(self, make: Make) -> None:
        self.paths: dict[FieldPath, None] = {}
        """Where marks are, in order."""
        self.marks: dict[tuple[type, Json], str] = {}
        """Of each value, which has its type beside it: to Python, `1` and `true` are one key."""
        self.left = MAX_PLACES
        """Below zero the objects are not whole: there were more places."""
        self._make = make

    def within(self, obj: Mapping[str, Json] | None, tree: Tree) -> Mapping[str, Json] | None:
        """The object with marks, or the same one if the paths lead nowhere."""
        found = self._at(cast("dict[str, Json] | None", obj), tree, ())
        return cast("Mapping[str, Json] | None", found)

    def _at(self, value: Json, tree: Tree, at: FieldPath) -> Json:
        if tree.is_end:
            return self._leaves(value, at)
        if isinstance(value, dict):
            found = {
                name: self._at(value[name], below, (*at, name))
                for name, below in tree.names.items()
                if name in value
            }
            return _changed(value, found)
        if not isinstance(value, list) or not tree.leads_to_items:
            return value
        self.left -= len(value)
        if self.left < 0:
            return value
        return [self._at(item, tree.item(index), (*at, index)) for index, item in enumerate(value)]

    def _leaves(self, value: Json, at: FieldPath) -> Json:
        self.left -= len(value) if isinstance(value, dict | list) else 0
        if self.left < 0 or value is None:
            return value
        if isinstance(value, dict):
            return {key: self._leaves(entry, (*at, key)) for key, entry in value.items()}
        if isinstance(value, list):
            return [self._leaves(item, (*at, index)) for index, item in enumerate(value)]
        self.paths[at] = None
        identity = (type(value), value)
        if identity not in self.marks:
            self.marks[identity] = self._make(value)
        return self.marks[identity]


class Whole:
    """Gives the leaves below one field, or below one list, the mark of all that is there."""

    def __init__(self, make: Make) -> None:
        self.paths: dict[FieldPath, None] = {}
        """Below which marks are, in order."""
        self._make = make

    def within(self, obj: Mapping[str, Json] | None, tree: Tree) -> Mapping[str, Json] | None:
        """The object with marks, or the same one if the paths lead nowhere."""
        found = self._at(cast("dict[str, Json] | None", obj), tree, ())
        return cast("Mapping[str, Json] | None", found)

    def _at(self, value: Json, tree: Tree, at: FieldPath) -> Json:
        if tree.is_end:
            return filled(value, self._mark(value, at))
        if isinstance(value, list) and tree.leads_to_items:
            return _below(value, tree, self._mark(value, at))
        if not isinstance(value, dict):
            return value
        found = {
            name: self._at(value[name], below, (*at, name))
            for name, below in tree.names.items()
            if name in value
        }
        return _changed(value, found)

    def _mark(self, value: Json, at: FieldPath) -> str:
        if value is not None:
            self.paths[at] = None
        return self._make(value)


def _below(value: Json, tree: Tree, mark: str) -> Json:
    """The value with this mark wherever the paths lead to."""
    if tree.is_end:
        return filled(value, mark)
    if isinstance(value, dict):
        names = value.keys() & tree.names.keys()
        found = {name: _below(value[name], tree.names[name], mark) for name in names}
        return {**value, **found} if found else value
    if not isinstance(value, list) or not tree.leads_to_items:
        return value
    if tree.are_items_alike:
        below = tree.item(0)
        return [_below(item, below, mark) if item else item for item in value]
    return [_below(item, tree.item(index), mark) for index, item in enumerate(value)]


def _changed(value: dict[str, Json], found: Mapping[str, Json]) -> dict[str, Json]:
    """The map with other values, or the same one if they are the same."""
    if all(inner is value[name] for name, inner in found.items()):
        return value
    return {**value, **found}


def filled(value: Json, mark: str) -> Json:
    """The value with this mark as each of its leaves."""
    # A leaf at a time, a million of them would take half a second.
    if isinstance(value, dict):
        if _NO_LEAVES.isdisjoint(map(type, value.values())):
            return dict.fromkeys(value, mark)
        return {key: filled(entry, mark) for key, entry in value.items()}
    if isinstance(value, list):
        if _NO_LEAVES.isdisjoint(map(type, value)):
            return [mark for _ in value]
        return [filled(item, mark) for item in value]
    return None if value is None else mark
