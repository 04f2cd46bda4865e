"""Fills in what no two reviews have in common: uids, names, and Governor's stamp.

An entry of an Account is known by the change that its stamp carries and by its object's
uid, so a review that is sent twice is one reservation, and would measure nothing. The
stamps are authentic, made with the keys of the Governor that is measured; nothing here
knows what a review says.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from uuid import uuid4

from ulid import ULID

from controller.records.stamps import write_stamp


class Slot(StrEnum):
    """What is filled in. The values stand for it in a text, and are as long."""

    UID = "00000000-0000-4000-8000-000000000000"
    """Of the review."""
    OBJECT_UID = "00000000-0000-4000-8000-000000000001"
    NAME = "name-00000000000"
    """Of the object: a refusal that repeats another one, name and all, is only counted."""
    STAMP = "00000000000000000000000000.aaaaaaaaaaaaaaaaaaaaaaaaaa"
    """A fresh one."""
    OLD_STAMP = "00000000000000000000000001.aaaaaaaaaaaaaaaaaaaaaaaaaa"
    """Of the change before: always the same one."""


_SLOTS = re.compile("(" + "|".join(re.escape(slot.value) for slot in Slot) + ")")


@dataclass(frozen=True, slots=True)
class Template:
    """A text with slots."""

    pieces: tuple[str, ...]
    """Text and slots in turn; the first is text."""

    @classmethod
    def of(cls, text: str) -> "Template":
        """Find the slots."""
        return cls(tuple(_SLOTS.split(text)))

    @property
    def size(self) -> int:
        """Bytes of what it becomes."""
        return len("".join(self.pieces).encode())

    def fill(self, values: "dict[str, str]") -> bytes:
        """The text with a value in each slot."""
        texts = list(self.pieces)
        for at in range(1, len(texts), 2):
            texts[at] = values[texts[at]]
        return "".join(texts).encode()


class Fresh:
    """Gives values for one review after the other, no two alike."""

    def __init__(self, stamp_key: bytes) -> None:
        self._key = stamp_key
        self._numbers = count()
        self._old_stamp = self._stamp()

    def values(self) -> dict[str, str]:
        """By slot."""
        return {
            Slot.UID: str(uuid4()),
            Slot.OBJECT_UID: str(uuid4()),
            Slot.NAME: f"name-{next(self._numbers):011}",
            Slot.STAMP: self._stamp(),
            Slot.OLD_STAMP: self._old_stamp,
        }

    def _stamp(self) -> str:
        return write_stamp(str(ULID()), key=self._key)
