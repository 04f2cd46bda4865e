"""Group commit: one thread, one connection, one sync for everything that waits.

It decides which operations share a transaction, and when their callers learn of it:
after COMMIT has returned, never before. It knows no table.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from controller.clients.outbox.database import Database
from controller.clients.outbox.errors import OutboxClosedError

MAX_BATCH = 256
MAX_BATCH_BYTES = 16 * 1024 * 1024

T = TypeVar("T")
Operation: TypeAlias = Callable[[Database], T]


class Files(Protocol):
    """Where transactions are written to. All of it is called on the writer's thread."""

    def opened(self) -> Database:
        """Give the open database, opened anew where that is needed.

        Raises:
            DatabaseError: it cannot be opened.
            OutboxError: likewise, and no other could be made.
        """
        ...

    def confirm(self) -> None:
        """Say that what was committed is where a reader will find it.

        Raises:
            OutboxError: it is not.
        """
        ...

    def let_go(self) -> None:
        """Close the database, which rolls back what is open. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class _Job(Generic[T]):
    operation: Operation[T]
    size: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[T]


class GroupCommit:
    """Runs operations on a database, and answers each once its transaction is durable.

    Operations must not commit, and must leave whatever they raise to be the fault of
    all that share their transaction: check what may be wrong before.
    """

    def __init__(self, files: Files, *, name: str) -> None:
        self._files = files
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._is_last = False
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def submit(self, operation: Operation[T], *, size: int = 0) -> T:
        """Run one operation; its result, after it is durable.

        A caller that is cancelled meanwhile learns nothing; the operation may still be done.

        Args:
            operation: runs on the writer's thread, inside a transaction.
            size: about how many bytes it writes.

        Raises:
            OutboxClosedError: the writer was closed.
            DatabaseError, OutboxError: nothing that was asked for in the same transaction is
                promised.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._closing:  # held for an instant: a job behind the last is never answered
            if self._closed:
                raise OutboxClosedError("the outbox is closed: this process is ending")
            self._jobs.put(_Job(operation, size, loop, future))
        return await future

    def close(self) -> None:
        """Finish what waits, and let go of the database. Blocks until it is done; idempotent."""
        with self._closing:
            if not self._closed:
                self._jobs.put(None)
            self._closed = True
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            _answer(batch, self._commit(batch))
        self._files.let_go()

    def _next_batch(self) -> list[_Job[Any]]:
        """Everything that waits, within bounds; waits for the first. Empty: that was all."""
        batch: list[_Job[Any]] = []
        size = 0
        while not self._is_last and len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            try:
                job = self._jobs.get(block=not batch)
            except queue.Empty:
                break
            if job is None:
                self._is_last = True
                break
            batch.append(job)
            size += job.size
        return batch

    def _commit(self, batch: Sequence[_Job[Any]]) -> list[Any] | Exception:
        try:
            database = self._files.opened()
            database.execute("BEGIN IMMEDIATE")
            results = [job.operation(database) for job in batch]
            database.execute("COMMIT")
            self._files.confirm()
        except Exception as error:  # noqa: BLE001 -- else the thread ends, and all callers wait forever
            self._files.let_go()  # rolls back; the next batch starts from what is on the disk
            return error
        return results


def _answer(batch: Sequence[_Job[Any]], outcome: list[Any] | Exception) -> None:
    """Wake the callers, once per event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for index, job in enumerate(batch):
        result = outcome if isinstance(outcome, Exception) else outcome[index]
        by_loop.setdefault(job.loop, []).append((job.future, result))
    for loop, answers in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, answers)


def _settle(answers: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in answers:
        if future.done():  # cancelled
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
