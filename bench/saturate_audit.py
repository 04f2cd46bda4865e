"""How long writes waited for webhooks, as the API server's audit log tells.

It notes where the time of a request went, for those that took half a second or more.
"""

import re
from pathlib import Path
from typing import Any

import orjson

_LATENCIES = (
    "apiserver.latency.k8s.io/mutating-webhook",
    "apiserver.latency.k8s.io/validating-webhook",
)
_PART = re.compile(r"([0-9.]+)(h|ms|m|µs|us|ns|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}


def slowest_review(audit_log: Path, *, user: str) -> float:
    """Seconds that the slowest write of this user waited for one kind of webhook.

    0 where no write took long enough to be noted.
    """
    slowest = 0.0
    with audit_log.open("rb") as lines:
        for line in lines:
            event: dict[str, Any] = orjson.loads(line)
            if event["user"].get("username") == user:
                noted: dict[str, str] = event.get("annotations") or {}
                waits = [go_seconds(noted[name]) for name in _LATENCIES if name in noted]
                slowest = max([slowest, *waits])
    return slowest


def go_seconds(duration: str) -> float:
    """A duration as Go writes it: `1m2.5s`, `730.1ms`.

    Raises:
        ValueError: it is not one.
    """
    parts = list(_PART.finditer(duration))
    if not parts or "".join(part[0] for part in parts) != duration:
        raise ValueError(f"{duration!r}: expected a duration as 1m2.5s")
    return sum(float(part[1]) * _SECONDS[part[2]] for part in parts)
