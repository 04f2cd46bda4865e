"""Waiting in tests: on a condition with a deadline, never for a length of time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(holds: Callable[[], T], what: str, *, within_seconds: float = 20.0) -> T:
    """Call until the answer is true, and give that answer; fail after the deadline."""
    deadline = time.monotonic() + within_seconds
    while not (answer := holds()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within_seconds} s (last: {answer!r})")
        time.sleep(0.02)
    return answer
