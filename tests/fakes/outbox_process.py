"""A process with an outbox, for tests that kill it: `python -m tests.fakes.outbox_process`.

Arguments: what to do, and the directory. It prints one line per answer, at once.
"""

import asyncio
import resource
import sys
import time
from pathlib import Path

from ulid import ULID

from controller.clients.outbox.errors import OutboxFullError
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.rows import RowKind

CALLERS = 8
LIMIT = 1024 * 1024


def clock_ms() -> int:
    """The real one."""
    return time.time_ns() // 1_000_000


def mint() -> str:
    """A real one."""
    return str(ULID())


async def append_for_ever(outbox: Outbox) -> None:
    """As fast as it can: `number body` for each append that was answered."""

    async def caller(name: int) -> None:
        count = 0
        while True:
            count += 1
            body = f"{outbox.replica}-{name}-{count}"
            answer = await outbox.append(
                body.encode(), kind=RowKind.BODY, key=str(count), made_at=clock_ms()
            )
            tell(f"{answer.number} {body}")

    await asyncio.gather(*(caller(name) for name in range(CALLERS)))


async def fill_and_recover(outbox: Outbox) -> None:
    """Append until no file may grow any more, several times; then let them grow, and go on."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    faults = 0
    while faults < 3:
        try:
            answer = await append(outbox)
            tell(f"stored {answer}")
        except OutboxFullError as error:
            faults += 1
            tell(f"full {error}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    tell(f"recovered {await append(outbox)}")


async def append(outbox: Outbox) -> int:
    """A hundred KiB; its number."""
    attempt = await outbox.append(b"x" * 100_000, kind=RowKind.BODY, key="k", made_at=clock_ms())
    return attempt.number


def tell(line: str) -> None:
    """Tell a line, and do not keep it back."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(what: str, directory: Path) -> None:
    """Do it."""
    with Outbox.open(directory, clock_ms=clock_ms, mint=mint) as outbox:
        match what:
            case "append":
                asyncio.run(append_for_ever(outbox))
            case "fill":
                asyncio.run(fill_and_recover(outbox))
            case "hold":
                tell(outbox.replica)
                sys.stdin.read()
            case _:
                raise SystemExit(f"{what}: is not append, fill or hold")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
