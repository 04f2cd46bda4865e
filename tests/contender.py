"""A contender for the Lease as a process of its own, to be killed: `python -m tests.contender`.

Takes a kubeconfig and the three terms; prints `begun`, `at work` and `ended`, each with
the monotonic time, which all processes of a machine share.
"""

import asyncio
import sys
import time
from pathlib import Path

import structlog

from controller.clients.kube.config import Kubeconfig, connect
from reconcilers.leader import Leadership, Terms


async def work() -> None:
    """Say so all the time."""
    _say("begun")
    try:
        while True:
            await asyncio.sleep(0.01)
            _say("at work")
    finally:
        _say("ended")


def _say(what: str) -> None:
    sys.stdout.write(f"{what} {time.monotonic()}\n")
    sys.stdout.flush()


async def main() -> None:
    """Compete until killed."""
    kubeconfig, *seconds = sys.argv[1:]
    terms = Terms(*(float(each) for each in seconds))
    async with connect(Kubeconfig(Path(kubeconfig))) as client:
        await Leadership(client, identity="a process", terms=terms).run_while_leading(work)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main())
