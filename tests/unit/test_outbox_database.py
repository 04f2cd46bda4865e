"""The port to SQLite: what the outbox relies on, for the real driver and the one of the tests."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from controller.clients.outbox import schema
from controller.clients.outbox.database import Code, Connect, DatabaseError, connect_sqlite3
from tests.fakes.apsw_database import connect_apsw

DRIVERS: dict[str, Connect] = {"sqlite3": connect_sqlite3, "apsw": connect_apsw}


@pytest.fixture(params=DRIVERS.values(), ids=tuple(DRIVERS))
def connect(request: pytest.FixtureRequest) -> Connect:
    """Each driver."""
    driver: Connect = request.param
    return driver


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A name that a URL would not take as it is."""
    return tmp_path / "what?#%20 is this.sqlite"


def code_of(error: pytest.ExceptionInfo[DatabaseError]) -> int:
    return error.value.primary


def test_values_come_back_as_they_were_given(connect: Connect, path: Path) -> None:
    with closing(connect(path, create=True)) as database:
        database.execute("CREATE TABLE t (a, b, c, d)")
        values = (2**62, "ü\x00", b"\x00\xff", None)

        returned = database.execute("INSERT INTO t VALUES (?, ?, ?, ?) RETURNING *", values)

        assert returned == [values]
        assert database.execute("SELECT * FROM t") == [values]
        assert database.execute("SELECT * FROM t WHERE a = 0") == []


def test_a_statement_takes_effect_at_once_unless_a_transaction_was_begun(
    connect: Connect, path: Path
) -> None:
    with closing(connect(path, create=True)) as one, closing(connect(path, create=False)) as two:
        one.execute("CREATE TABLE t (a)")
        one.execute("PRAGMA journal_mode = WAL")
        one.execute("INSERT INTO t VALUES (1)")
        assert two.execute("SELECT a FROM t") == [(1,)]

        one.execute("BEGIN IMMEDIATE")
        one.execute("INSERT INTO t VALUES (2)")
        assert two.execute("SELECT a FROM t") == [(1,)]
        one.execute("COMMIT")
        assert two.execute("SELECT a FROM t") == [(1,), (2,)]


def test_closing_rolls_back_what_is_open_and_is_idempotent(connect: Connect, path: Path) -> None:
    with closing(connect(path, create=True)) as database:
        database.execute("CREATE TABLE t (a)")
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO t VALUES (1)")
        database.close()

    with closing(connect(path, create=False)) as database:
        assert database.execute("SELECT * FROM t") == []


def test_a_file_that_is_not_there_is_not_made_unless_asked_for(
    connect: Connect, path: Path
) -> None:
    with pytest.raises(DatabaseError) as raised:
        connect(path, create=False)

    assert code_of(raised) == Code.CANTOPEN
    assert not path.exists()


def test_a_file_that_is_no_database_is_told(connect: Connect, path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)
    with (
        closing(connect(path, create=False)) as database,
        pytest.raises(DatabaseError) as raised,
    ):
        schema.prepare_owner(database)
    assert code_of(raised) == Code.NOTADB


def test_a_locked_file_is_told(connect: Connect, path: Path) -> None:
    with closing(connect(path, create=True)) as one, closing(connect(path, create=False)) as two:
        one.execute("BEGIN IMMEDIATE")
        two.execute("PRAGMA busy_timeout = 1")
        with pytest.raises(DatabaseError) as raised:
            two.execute("BEGIN IMMEDIATE")
    assert code_of(raised) == Code.BUSY


def test_a_full_disk_is_told(connect: Connect, path: Path) -> None:
    with closing(connect(path, create=True)) as database:
        database.execute("CREATE TABLE t (a)")
        database.execute("PRAGMA max_page_count = 3")
        with pytest.raises(DatabaseError) as raised:
            database.execute("INSERT INTO t VALUES (zeroblob(1000000))")
    assert code_of(raised) == Code.FULL


def test_a_statement_that_is_wrong_is_told(connect: Connect, path: Path) -> None:
    with closing(connect(path, create=True)) as database, pytest.raises(DatabaseError) as raised:
        database.execute("SELECT * FROM nowhere")
    assert code_of(raised) == sqlite3.SQLITE_ERROR


def test_a_new_outbox_syncs_every_commit_to_its_log(connect: Connect, path: Path) -> None:
    with closing(connect(path, create=True)) as database:
        schema.create(database)
        assert database.execute("PRAGMA journal_mode") == [("wal",)]
        assert database.execute("PRAGMA synchronous") == [(2,)]


def test_so_does_one_that_is_opened_again(connect: Connect, path: Path) -> None:
    with closing(connect(path, create=True)) as database:
        schema.create(database)
    with closing(connect(path, create=False)) as owner, closing(connect(path, create=False)) as two:
        schema.prepare_owner(owner)
        schema.prepare_reader(two)
        assert owner.execute("PRAGMA synchronous") == two.execute("PRAGMA synchronous") == [(2,)]


def test_only_the_owner_copies_the_log(connect: Connect, path: Path) -> None:
    """Two that do may lose a transaction, before SQLite 3.51.3."""
    with closing(connect(path, create=True)) as database:
        schema.create(database)
    with closing(connect(path, create=False)) as owner, closing(connect(path, create=False)) as two:
        schema.prepare_owner(owner)
        schema.prepare_reader(two)
        assert owner.execute("PRAGMA wal_autocheckpoint")[0][0] > 0
        assert two.execute("PRAGMA wal_autocheckpoint")[0][0] == 0
