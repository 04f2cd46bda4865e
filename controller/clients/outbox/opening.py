"""Opens the file that a process appends to: one of a process that died, or a new one.

It decides which; whether that file is still where it was is `home`'s. All of it blocks.
"""

from collections.abc import Callable
from pathlib import Path

from controller.clients.outbox import schema
from controller.clients.outbox.database import Connect, Database, DatabaseError, explain
from controller.clients.outbox.errors import OutboxDamagedError, OutboxError, OutboxFullError
from controller.clients.outbox.files import (
    Claim,
    Place,
    State,
    claim,
    make_private,
    new_place,
    open_directory,
    places,
)


def begin(directory: Path, *, mint: Callable[[], str], connect: Connect) -> tuple[Claim, Database]:
    """Take over the file of a process that died, or make one.

    Raises:
        OutboxFullError: nothing can be written there.
        OutboxError: the directory is not ours, or cannot be used.
    """
    open_directory(directory)
    try:
        return _take_over(directory, connect) or _make(directory, mint, connect)
    except OSError as error:
        raise OutboxFullError(
            f"{directory}: cannot be written ({error.strerror}): free space, or give "
            "Governor a directory that it may write to"
        ) from error


def _take_over(directory: Path, connect: Connect) -> tuple[Claim, Database] | None:
    """Give the oldest whole file that nobody holds; one that is damaged is left as it is."""
    for place in places(directory):
        held = claim(place)
        if held is None:
            continue
        try:
            if place.state() is State.MADE:
                return held, open_whole(place, connect)
        except OutboxDamagedError:
            pass  # whoever reads it reports it; new rows go elsewhere
        except OutboxError:
            held.release()
            raise
        held.release()
    return None


def open_whole(place: Place, connect: Connect) -> Database:
    """Open the file of a claim, and read all of it.

    Raises:
        OutboxDamagedError: it is missing, or its pages do not fit together.
        OutboxError: it cannot be read at present.
    """
    if not place.database.exists():
        raise OutboxDamagedError(f"{place.database}: is missing")
    try:
        database = connect_owner(place, connect)
        try:
            schema.check_whole(database)
        except DatabaseError:
            database.close()
            raise
    except DatabaseError as error:
        raise explain(error, place.database) from error
    return database


def _make(directory: Path, mint: Callable[[], str], connect: Connect) -> tuple[Claim, Database]:
    held: Claim | None = None
    while held is None:
        held = claim(new_place(directory, mint()), new=True)
    try:
        return held, _create(held, connect)
    except DatabaseError as error:
        held.release()
        raise explain(error, held.place.database) from error
    except OSError:
        held.release()
        raise


def _create(held: Claim, connect: Connect) -> Database:
    make_private(held.place.database)
    database = connect(held.place.database, create=True)
    try:
        schema.create(database)
        held.mark(State.MADE)
    except (DatabaseError, OSError):
        database.close()
        raise
    return database


def connect_owner(place: Place, connect: Connect) -> Database:
    """Open the file of a claim that is held, as it was before.

    Raises:
        DatabaseError: it cannot be opened, or is no outbox.
    """
    database = connect(place.database, create=False)
    try:
        schema.prepare_owner(database)
    except DatabaseError:
        database.close()
        raise
    return database
