"""Free loopback ports for servers that must be told theirs beforehand.

Draws below the range from which the kernel serves ``bind(0)`` and outgoing
connections, at random: so nothing takes a drawn port between the draw and the
server's own bind, except another server that was configured to it. It reserves
nothing: whoever starts the server must try again when the port was taken.
"""

import random
import socket
from pathlib import Path

_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_EPHEMERAL_START = 32768
_SPAN = 12_000


def draw(count: int, *, randomness: random.Random) -> tuple[int, ...]:
    """Draw so many different ports on 127.0.0.1 that nobody listens on now."""
    start = _ephemeral_start()
    candidates = randomness.sample(range(max(1024, start - _SPAN), start), k=count * 20)
    free = [port for port in candidates if _is_free(port)]
    if len(free) < count:
        raise OSError(f"ports: fewer than {count} free below {start} on 127.0.0.1")
    return tuple(free[:count])


def _ephemeral_start() -> int:
    try:
        start = int(_RANGE_FILE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _USUAL_EPHEMERAL_START
    # A machine that gives nearly everything to outgoing connections leaves no room below.
    return start if start >= 1024 + _SPAN // 4 else _USUAL_EPHEMERAL_START


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
