"""All mandates at one moment, indexed by the identities they name.

Immutable: a feed builds a new one on every change. It decides nothing; a
subject named by several mandates keeps all of them, for `identify` to refuse.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from controller.apis.governance import Governance
from controller.apis.mandates import Mandate
from controller.apis.pricebooks import PriceBook


@dataclass(frozen=True, slots=True)
class InvalidMandate:
    """A stored mandate that no longer converts: its subjects are refused, not forgotten."""

    name: str
    usernames: tuple[str, ...]
    """The subjects that could still be read from it."""
    message: str
    """What is wrong with it and how to mend it."""


Claim: TypeAlias = Mandate | InvalidMandate


@dataclass(frozen=True, slots=True)
class Registry:
    """Who is an agent, by username."""

    governance: Governance
    claims: Mapping[str, tuple[Claim, ...]]
    """Username → every mandate that names it; more than one is a conflict."""
    prices: PriceBook = field(default_factory=PriceBook)

    @staticmethod
    def build(
        mandates: Iterable[Mandate],
        invalid: Iterable[InvalidMandate] = (),
        governance: Governance | None = None,
        prices: PriceBook | None = None,
    ) -> "Registry":
        """Index mandates by the usernames of their subjects; a mandate counts once per username."""
        claims: defaultdict[str, dict[str, Claim]] = defaultdict(dict)
        for mandate in mandates:
            for subject in mandate.subjects:
                claims[subject.username][mandate.name] = mandate
        for broken in invalid:
            for username in broken.usernames:
                claims[username][broken.name] = broken
        index = {username: tuple(by_name.values()) for username, by_name in claims.items()}
        return Registry(governance or Governance(), MappingProxyType(index), prices or PriceBook())
