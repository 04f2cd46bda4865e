"""Names what an agent can hold or spend, and the one unit in which each is counted.

Amounts are integers, so that sums are exact: `cpu` in milli-CPU, `memory` in bytes,
`pods` and `changes` as a number, `usd` in nano-USD. What an object asks for is decided
in `controller.asks`, what it costs in `controller.prices`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

Amounts: TypeAlias = Mapping[str, int]
"""Resource → integer in that resource's one unit. Absent is 0."""

NOTHING: Amounts = MappingProxyType({})

CPU: Final = "cpu"
MEMORY: Final = "memory"
PODS: Final = "pods"
CHANGES: Final = "changes"
USD: Final = "usd"

HELD: Final = (CPU, MEMORY, PODS)
"""What live objects hold: a quota limits it."""
SPENT: Final = (USD, CHANGES)
"""What is spent in a window: a budget limits it."""

NANO_USD: Final = 10**9
