"""A helper process that does jobs: a line of JSON in, a line of JSON out.

Moves lines only; what a job is, is between the two ends. The process is started
as a module of this repository, and ends when its standard input does.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson


class HelperError(Exception):
    """The process ended in place of answering; the message carries the end of its log."""


class Helper:
    """The asking end."""

    def __init__(self, module: str, *, jobs: IO[bytes], results: IO[bytes], log: Path) -> None:
        self._module = module
        self._jobs = jobs
        self._results = results
        self._log = log

    def do(self, job: object) -> Any:  # noqa: ANN401 -- whatever JSON the module answers
        """Have one job done.

        Raises:
            HelperError: it could not be.
        """
        try:
            self._jobs.write(orjson.dumps(job) + b"\n")
            self._jobs.flush()
        except BrokenPipeError as error:
            raise self._ended() from error
        line = self._results.readline()
        if not line:
            raise self._ended()
        return orjson.loads(line)

    def _ended(self) -> HelperError:
        last = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
        return HelperError("\n  ".join([f"{self._module} ended in place of answering:", *last]))


@contextmanager
def running(
    module: str, *arguments: str, cores: Collection[int], log: Path
) -> Generator[Helper, None, None]:
    """Run `python -m module` on these cores for as long as the block lasts."""
    with pinned(cores), log.open("ab") as errors:  # inherited: it never runs elsewhere
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    if process.stdin is None or process.stdout is None:  # pragma: no cover - PIPE was asked for
        raise AssertionError
    with process:  # closes its input, upon which it ends
        yield Helper(module, jobs=process.stdin, results=process.stdout, log=log)


@contextmanager
def pinned(cores: Collection[int]) -> Generator[None, None, None]:
    """Run this thread, and what it starts, on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def serve_lines(work: Callable[[dict[str, Any]], Awaitable[object]]) -> None:
    """Do what comes in on standard input until it ends: the working end."""
    while line := await asyncio.to_thread(sys.stdin.buffer.readline):
        done = await work(orjson.loads(line))
        sys.stdout.buffer.write(orjson.dumps(done) + b"\n")
        sys.stdout.buffer.flush()
