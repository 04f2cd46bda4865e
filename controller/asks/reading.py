"""Reads fields of objects that others wrote, and keeps what it could not read.

Total: what cannot be read is a problem with its path, and counts as its default, so that
one odd field hides nothing else of the object.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from controller.apis.json import Json
from controller.apis.quantities import QuantityError, thousandths
from controller.asks.values import AskProblem

_EMPTY: Final[Mapping[str, Json]] = MappingProxyType({})
_PERCENT: Final = re.compile(r"[0-9]{1,9}%")
_MOST_COUNTED: Final = 2**31 - 1


class Reader:
    """Of one object; `problems` grows with what it could not read."""

    def __init__(self) -> None:
        self.problems: list[AskProblem] = []

    def refuse(self, field: str, message: str) -> None:
        """Keep what could not be read."""
        self.problems.append(AskProblem(field, message))

    def mapping(self, parent: Mapping[str, Json], key: str, path: str) -> Mapping[str, Json]:
        """An object's field that is an object; empty where it is absent or null."""
        found = parent.get(key)
        if isinstance(found, dict):
            return found
        if found is not None:
            self.refuse(_join(path, key), "must be an object")
        return _EMPTY

    def items(
        self, parent: Mapping[str, Json], key: str, path: str
    ) -> Iterator[tuple[str, Mapping[str, Json]]]:
        """Each object of a list, with its path; none where it is absent or null."""
        found = parent.get(key)
        if found is None:
            return
        if not isinstance(found, list):
            self.refuse(_join(path, key), "must be a list")
            return
        for index, item in enumerate(found):
            where = f"{_join(path, key)}[{index}]"
            if isinstance(item, dict):
                yield where, item
            else:
                self.refuse(where, "must be an object")

    def count(self, parent: Mapping[str, Json], key: str, path: str, *, default: int) -> int:
        """A number of things: an integer from 0 on that 32 bits hold."""
        found = parent.get(key)
        if found is None:
            return default
        if type(found) is int and 0 <= found <= _MOST_COUNTED:  # a bool is an int to Python
            return found
        self.refuse(_join(path, key), "must be an integer from 0 to 2147483647")
        return default

    def count_or_percent(
        self, parent: Mapping[str, Json], key: str, path: str, *, default: Json
    ) -> tuple[int, int]:
        """How many, and how many percent: `2` is (2, 0), `25%` is (0, 25)."""
        found = parent.get(key)
        found = default if found is None else found
        if isinstance(found, str) and _PERCENT.fullmatch(found):
            return 0, int(found[:-1])
        if type(found) is int and 0 <= found <= _MOST_COUNTED:
            return found, 0
        self.refuse(_join(path, key), "must be an integer from 0 on, or a percentage like 25%")
        return 0, 0

    def amounts(
        self, parent: Mapping[str, Json], key: str, path: str, *, wanted: tuple[str, ...]
    ) -> dict[str, int]:
        """The quantities of some resources, in thousandths, each rounded up; absent ones are not.

        The API server keeps them no finer.
        """
        listed = self.mapping(parent, key, path)
        read: dict[str, int] = {}
        for name in wanted:
            if name not in listed:
                continue
            try:
                amount = thousandths(listed[name])
            except QuantityError as error:
                self.refuse(f"{_join(path, key)}.{name}", str(error))
                continue
            if amount < 0:
                self.refuse(f"{_join(path, key)}.{name}", "must not be less than nothing")
                continue
            read[name] = amount
        return read


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
