"""Turns what is due into records: fetches the bodies, and has the record written.

It decides neither what is due nor what a record says. What has no readable body is
told, and left where it is, unless the ledger must state it all the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from controller.accounts.entries import Attempt, Entry
from controller.apis.json import Json
from controller.clients.outbox.rows import Row, RowKind
from controller.records.body import UnreadableBodyError, read_body
from controller.records.record import (
    attempt_record,
    denial_record,
    entry_record,
    repeats_record,
)
from reconcilers.book import LedgerBook
from reconcilers.gathering import LATE_MS, Item
from reconcilers.inbox import Inbox

MAX_RECORDS: Final = 500
MAX_BYTES: Final = 32 * 1024 * 1024
"""Of bodies in one flush, about."""

log = structlog.get_logger("governor.reconcilers")


@dataclass(frozen=True, slots=True)
class Draft:
    """One record, before it has its place in the ledger."""

    record: Mapping[str, Json]
    attempt: Attempt


class Drafting:
    """Writes drafts. Everything here blocks.

    Attributes:
        unreadable: the rows whose body is none, and why; they stay in their outbox.
    """

    def __init__(self, inbox: Inbox, book: LedgerBook) -> None:
        self.unreadable: dict[Attempt, str] = {}
        self._inbox = inbox
        self._book = book

    def draft(self, items: Sequence[Item], *, agents: Mapping[str, str], now: int) -> list[Draft]:
        """As many as make one flush, in order.

        Args:
            items: what is due.
            agents: whose account holds an entry, by the entry's key.
            now: milliseconds since the epoch.

        Raises:
            OutboxError, LedgerError: for a reason that will pass.
        """
        reasons = {
            row.key: row.attempt for row in self._inbox.rows.values() if row.kind is RowKind.REASON
        }
        drafts: list[Draft] = []
        size = 0
        for item in items:
            row = self._inbox.find(item.attempt)
            record = (
                self._of_entry(item, row, agents=agents, reasons=reasons, now=now)
                if isinstance(item, Entry)
                else self._of_row(row)
            )
            if record is None:
                continue
            drafts.append(Draft(record, item.attempt))
            size += len(row.body) if row is not None else 0
            if len(drafts) >= MAX_RECORDS or size >= MAX_BYTES:
                break
        return drafts

    def _of_entry(
        self,
        entry: Entry,
        row: Row | None,
        *,
        agents: Mapping[str, str],
        reasons: Mapping[str, Attempt],
        now: int,
    ) -> Mapping[str, Json] | None:
        if row is None and now - entry.made_at < LATE_MS:
            return None  # an outbox that cannot be read now may be readable soon
        reason = self._reason(reasons.get(entry.change))
        agent = agents.get(str(entry.key), "")
        body = row.body if row is not None else None
        return entry_record(body, entry, reason=reason, agent=agent)

    def _reason(self, attempt: Attempt | None) -> str | None:
        row = self._inbox.find(attempt) if attempt is not None else None
        return row.body.decode(errors="replace") if row is not None else None

    def _of_row(self, row: Row | None) -> Mapping[str, Json] | None:
        """The record of what only an outbox knows; None where it cannot be written now."""
        if row is None or not row.final:
            return None
        try:
            record = self._written(row)
        except UnreadableBodyError as error:
            if row.attempt not in self.unreadable:
                log.warning("body unreadable", attempt=str(row.attempt), error=str(error))
            self.unreadable[row.attempt] = str(error)
            return None
        self.unreadable.pop(row.attempt, None)
        return record

    def _written(self, row: Row) -> Mapping[str, Json]:
        if row.kind is RowKind.DENIAL:
            return denial_record(row.body, row.attempt)
        if row.kind is RowKind.BODY:
            return attempt_record(row.body, row.attempt)
        return repeats_record(
            self._first(row),
            count=row.count,
            first_ms=row.made_at,
            last_ms=row.last,
            attempt=row.attempt,
        )

    def _first(self, row: Row) -> Mapping[str, Json]:
        """The denial that was repeated: where it waits, where it is recorded, else its like."""
        if row.of is not None:
            attempt = Attempt(row.attempt.replica, row.of)
            waiting = self._inbox.find(attempt)
            if waiting is not None:
                return read_body(waiting.body)
            recorded = self._book.find(attempt)
            if recorded is not None:
                return recorded
        return read_body(row.body)
