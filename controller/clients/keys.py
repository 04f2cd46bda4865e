"""The keys that all processes of one Governor share, in one file that only its owner reads.

It makes them once, whoever comes first, and never replaces them: a new `content` key
would make every digest in the Accounts a stranger's. It must not show a key in any
message, and decides nothing about what they are used for.
"""

import base64
import binascii
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import cast
from uuid import uuid4

import orjson

from controller.clients.durable import sync_directory

FILE = "keys.json"
KEY_BYTES = 32
_MAX_FILE_BYTES = 4096


class KeysError(Exception):
    """The keys cannot be read, or not be made; the message names the file and the fix."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Three keys of 32 bytes."""

    stamp: bytes = field(repr=False)
    """Authenticates the stamps on objects."""
    content: bytes = field(repr=False)
    """Keys digests of content, and what is redacted."""
    seal: bytes = field(repr=False)
    """The seed of the Ed25519 key that signs the ledger's seals."""


_NAMES = tuple(key.name for key in fields(Keys))


def read_or_make_keys(
    directory: Path, *, random: Callable[[int], bytes] = secrets.token_bytes
) -> Keys:
    """Read the directory's keys; make directory and keys if there are none.

    Processes that do this at the same time get the same keys.

    Args:
        directory: shared by all processes of one Governor, that of its certificates.
        random: gives so many unpredictable bytes.

    Raises:
        KeysError: the file cannot be read or made, is not what we wrote, or others may read it.
    """
    path = directory / FILE
    try:
        if not path.exists():
            _make(path, random)
        return _parse(_read_private(path), path)
    except OSError as error:
        raise KeysError(
            f"{path}: cannot be read or made ({error.strerror}): give Governor a directory "
            "that belongs to the user it runs as"
        ) from error


def _make(path: Path, random: Callable[[int], bytes]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    content = {name: base64.b64encode(random(KEY_BYTES)).decode() for name in _NAMES}
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE))
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)  # unlike a rename it fails where another process was first
        sync_directory(path.parent)
    except FileExistsError:
        return  # theirs are as good
    finally:
        draft.unlink(missing_ok=True)


def _read_private(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & 0o077:
            raise KeysError(
                f"{path}: others may read it (mode {mode & 0o777:04o}): chmod 600 it; if somebody "
                "may have read it, remove it while no Governor runs, and new keys are made"
            )
        return file.read(_MAX_FILE_BYTES)


def _parse(content: bytes, path: Path) -> Keys:
    found = _json(content)
    if found is None or set(found) != set(_NAMES):
        raise KeysError(f"{path}: is not a JSON object of {', '.join(_NAMES)}: {_restore()}")
    return Keys(**{name: _key(found[name], name, path) for name in _NAMES})


def _json(content: bytes) -> dict[str, object] | None:
    try:
        found: object = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None  # its exception holds the document: it must not travel on
    return cast("dict[str, object]", found) if isinstance(found, dict) else None


def _key(value: object, name: str, path: Path) -> bytes:
    key = _decoded(value)
    if key is None or len(key) != KEY_BYTES:
        raise KeysError(f"{path}: {name}: is not {KEY_BYTES} bytes in base64: {_restore()}")
    return key


def _decoded(value: object) -> bytes | None:
    if not isinstance(value, str):
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None


def _restore() -> str:
    return "restore it from a copy, or remove it while no Governor runs, and new keys are made"
