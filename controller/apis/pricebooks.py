"""The core PriceBook: what a unit of each resource costs in an hour.

Converted from its versioned model at the edge. What objects cost is computed in
`controller.prices`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

_UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Prices of the one PriceBook named `cluster`."""

    identity: str = ""
    """Its uid and generation, `<uid>:<generation>`; empty: none is stored. An account is charged
    by one identity only, so that no replica charges by older prices."""
    rates: Mapping[str, int] = field(default_factory=lambda: MappingProxyType(dict[str, int]()))
    """Resource → nano-USD per hour of one unit as people buy it: one CPU, one GiB, one pod."""

    @property
    def is_known(self) -> bool:
        """Whether anybody can say what things cost; that nothing is priced is known, too."""
        return self.identity != _UNKNOWN


UNKNOWN_PRICES: Final = PriceBook(identity=_UNKNOWN)
"""While nobody can say what things cost; not that nothing is priced. No account is ever charged
by these, so whoever reserves by them is told that the account is charged by others."""
