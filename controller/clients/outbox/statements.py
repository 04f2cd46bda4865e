"""What each operation of an outbox does to its tables.

Every function runs inside a transaction that its caller began, and has to commit.
None reads a clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from controller.accounts.entries import Attempt
from controller.clients.outbox.database import Code, Database, DatabaseError
from controller.clients.outbox.rows import FOLD_WINDOW_MS, Position, Row, RowKind

_INSERT = """INSERT INTO rows (kind, key, made_at, ready_at, "of", count, last, final, body)
    VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?) RETURNING number"""
_READ = """SELECT number, kind, key, made_at, ready_at, body, "of", count, last, final
    FROM rows WHERE number = ?"""
_KINDS = frozenset(kind.value for kind in RowKind)


@dataclass(frozen=True, slots=True)
class New:
    """A row that has no number yet. See `Row` for the fields."""

    kind: RowKind
    key: str
    made_at: int
    body: bytes


def append(database: Database, new: New) -> int:
    """Store one row; its number."""
    return _insert(database, new, ready_at=new.made_at)


def append_denial(database: Database, new: New, *, now: int) -> int:
    """Store a denial, or count it where one of the same key was made shortly before."""
    database.execute("DELETE FROM folds WHERE until <= ?", (now,))
    window = database.execute("SELECT first, until, repeats FROM folds WHERE fold = ?", (new.key,))
    if window:
        first, until, repeats = window[0]
        # Earlier than the first by a little, too: calls may overtake each other.
        if abs(new.made_at - (until - FOLD_WINDOW_MS)) < FOLD_WINDOW_MS:
            number = (
                _start_counting(database, new, first=first, until=until)
                if repeats is None
                else _count(database, new, repeats)
            )
            if number is not None:
                return number
    return _start_window(database, new)


def _start_window(database: Database, new: New) -> int:
    number = append(database, new)
    database.execute(
        "INSERT OR REPLACE INTO folds (fold, first, until) VALUES (?, ?, ?)",
        (new.key, number, new.made_at + FOLD_WINDOW_MS),
    )
    return number


def _start_counting(database: Database, new: New, *, first: int, until: int) -> int:
    repeat = New(RowKind.REPEATS, new.key, new.made_at, new.body)
    number = _insert(database, repeat, ready_at=until, of=first)
    database.execute("UPDATE folds SET repeats = ? WHERE fold = ?", (number, new.key))
    return number


def _count(database: Database, new: New, repeats: int) -> int | None:
    """Count one more; None if the row is final, for then its count is told already."""
    counted = database.execute(
        "UPDATE rows SET count = count + 1, last = max(last, ?) "
        "WHERE number = ? AND final = 0 RETURNING number",
        (new.made_at, repeats),
    )
    return repeats if counted else None


def _insert(database: Database, new: New, *, ready_at: int, of: int | None = None) -> int:
    final = int(new.kind is not RowKind.REPEATS)
    number: int = database.execute(
        _INSERT, (new.kind, new.key, new.made_at, ready_at, of, new.made_at, final, new.body)
    )[0][0]
    return number


def position(database: Database) -> Position:
    """How far the numbers and the acknowledgements have come."""
    sequence = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rows'")
    up_to = database.execute("SELECT up_to FROM mark")
    return Position(sequence[0][0] if sequence else 0, up_to[0][0])


def never_give_again(database: Database, up_to: int) -> None:
    """Go on above this number, though the rows up to it may be gone: those are `missing` then."""
    database.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT 'rows', 0 "
        "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'rows')"
    )
    database.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'rows'", (up_to,))


def waiting(database: Database) -> int:
    """How many numbers were given and not acknowledged."""
    highest, up_to = position(database)
    return highest - up_to - int(database.execute("SELECT count(*) FROM acknowledged")[0][0])


def missing(database: Database) -> tuple[int, ...]:
    """Numbers that were given, and are neither stored nor acknowledged."""
    highest, up_to = position(database)
    known = {
        number
        for (number,) in database.execute(
            "SELECT number FROM rows WHERE number > ? UNION ALL SELECT number FROM acknowledged",
            (up_to,),
        )
    }
    if len(known) == highest - up_to:
        return ()
    return tuple(number for number in range(up_to + 1, highest + 1) if number not in known)


def numbers_after(database: Database, after: int, *, limit: int, max_bytes: int) -> list[int]:
    """Give the next numbers whose bodies are no more than `max_bytes`, but at least one."""
    found: list[int] = []
    total = 0
    for number, size in database.execute(
        "SELECT number, length(body) FROM rows WHERE number > ? ORDER BY number LIMIT ?",
        (after, limit),
    ):
        total += size
        if found and total > max_bytes:
            break
        found.append(number)
    return found


def read(database: Database, replica: str, numbers: Iterable[int]) -> list[Row]:
    """Those of the numbers that are stored, in the order asked for."""
    return [
        _row(replica, values) for number in numbers for values in database.execute(_READ, (number,))
    ]


def finish(database: Database, number: int) -> None:
    """Let a row count no more."""
    database.execute("UPDATE rows SET final = 1 WHERE number = ?", (number,))


def reason(database: Database, change: str) -> bytes | None:
    """Give the last reason stored for a change."""
    found = database.execute(
        "SELECT body FROM rows WHERE kind = 'reason' AND key = ? ORDER BY number DESC LIMIT 1",
        (change,),
    )
    return found[0][0] if found else None


def acknowledge(database: Database, numbers: Iterable[int]) -> None:
    """Delete the rows, and remember their numbers. Numbers never given are passed over.

    Raises:
        ValueError: a row may still count; nothing may be committed then.
    """
    highest, up_to = position(database)
    for number in sorted({number for number in numbers if up_to < number <= highest}):
        if database.execute("SELECT 1 FROM rows WHERE number = ? AND final = 0", (number,)):
            raise ValueError(f"number {number} may still count: acknowledge it when it is final")
        database.execute("DELETE FROM rows WHERE number = ?", (number,))
        database.execute("INSERT OR IGNORE INTO acknowledged VALUES (?)", (number,))
    _advance(database, up_to)


def _advance(database: Database, up_to: int) -> None:
    mark = up_to
    for (number,) in database.execute("SELECT number FROM acknowledged ORDER BY number"):
        if number != mark + 1:
            break
        mark = number
    if mark != up_to:
        database.execute("UPDATE mark SET up_to = ?", (mark,))
        database.execute("DELETE FROM acknowledged WHERE number <= ?", (mark,))


def _row(replica: str, values: tuple[Any, ...]) -> Row:
    number, kind, key, made_at, ready_at, body, of, count, last, final = values
    if kind not in _KINDS:
        raise DatabaseError(Code.CORRUPT, f"row {number} is of no known kind")
    return Row(
        attempt=Attempt(replica, number),
        kind=RowKind(kind),
        key=key,
        made_at=made_at,
        ready_at=ready_at,
        body=body,
        of=of,
        count=count,
        last=last,
        final=bool(final),
    )
