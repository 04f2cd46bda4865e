"""The tables of an outbox, and how a connection to one is set up.

Durable means: COMMIT returns after the log is synced (`synchronous=FULL`). Only the
owner's connection copies the log into the database. SQLite before 3.51.3 may lose
a transaction when one connection does that twice in a row while another commits
(the WAL-reset bug); a connection that does it only after a commit of its own, and
alone, never begins with a log that is copied already.
"""

from controller.clients.outbox.database import Code, Database, DatabaseError

APPLICATION_ID = 0x476F7642  # "GovB"
VERSION = 1
_CHECKPOINT_PAGES = 200
"""So much of the log is copied at a time, while appends wait: more makes the slowest slower."""

_TABLES = (
    """CREATE TABLE IF NOT EXISTS rows (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        made_at INTEGER NOT NULL,
        ready_at INTEGER NOT NULL,
        "of" INTEGER,
        count INTEGER NOT NULL,
        last INTEGER NOT NULL,
        final INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS reasons ON rows (key) WHERE kind = 'reason'",
    # Those above the mark; the mark is the highest number without a gap below it.
    "CREATE TABLE IF NOT EXISTS acknowledged (number INTEGER PRIMARY KEY) STRICT",
    "CREATE TABLE IF NOT EXISTS mark (up_to INTEGER NOT NULL) STRICT",
    "INSERT INTO mark SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM mark)",
    """CREATE TABLE IF NOT EXISTS folds (
        fold TEXT PRIMARY KEY,
        first INTEGER NOT NULL,
        until INTEGER NOT NULL,
        repeats INTEGER
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS folds_by_end ON folds (until)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)


def create(database: Database) -> None:
    """Make the tables of a new file, all or none of them.

    Raises:
        DatabaseError: nothing was made.
    """
    _set_up(database, checkpoint_pages=_CHECKPOINT_PAGES)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("BEGIN IMMEDIATE")
    for statement in _TABLES:
        database.execute(statement)
    database.execute("COMMIT")


def prepare_owner(database: Database) -> None:
    """Set up the connection that appends.

    Raises:
        DatabaseError: also (`NOTADB`) if the file holds something else.
    """
    _set_up(database, checkpoint_pages=_CHECKPOINT_PAGES)
    _verify(database)


def prepare_reader(database: Database) -> None:
    """Set up a connection beside the owner's. See `prepare_owner`."""
    _set_up(database, checkpoint_pages=0)
    _verify(database)


def check_whole(database: Database) -> None:
    """Read the whole file.

    Raises:
        DatabaseError: (`NOTADB`) its pages do not fit together.
    """
    problems = database.execute("PRAGMA quick_check(1)")
    if problems != [("ok",)]:
        raise DatabaseError(Code.NOTADB, f"{problems[0][0]}" if problems else "cannot be checked")


def _set_up(database: Database, *, checkpoint_pages: int) -> None:
    database.execute("PRAGMA busy_timeout = 5000")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}")


def _verify(database: Database) -> None:
    application = database.execute("PRAGMA application_id")[0][0]
    if application != APPLICATION_ID:
        raise DatabaseError(Code.NOTADB, "it is not an outbox")
    version = database.execute("PRAGMA user_version")[0][0]
    if version != VERSION:
        raise DatabaseError(
            Code.NOTADB, f"it was made by another version of Governor ({version}, not {VERSION})"
        )
