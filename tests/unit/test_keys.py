"""The shared keys: made once, private, and refused with a reason."""

import base64
import json
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controller.clients.keys import FILE, KEY_BYTES, Keys, KeysError, read_or_make_keys

KEY = base64.b64encode(bytes(KEY_BYTES)).decode()
GOOD = {"stamp": KEY, "content": KEY, "seal": KEY}


def write(directory: Path, content: object, *, mode: int = 0o600) -> None:
    path = directory / FILE
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    path.chmod(mode)


def counting() -> Callable[[int], bytes]:
    """Bytes that tell which call they come from."""
    calls = iter(range(1, 100))
    return lambda size: bytes([next(calls)]) * size


def test_keys_are_made_where_there_are_none(tmp_path: Path) -> None:
    keys = read_or_make_keys(tmp_path / "new" / "state", random=counting())

    assert keys == Keys(b"\1" * KEY_BYTES, b"\2" * KEY_BYTES, b"\3" * KEY_BYTES)


def test_the_next_process_gets_the_same(tmp_path: Path) -> None:
    keys = read_or_make_keys(tmp_path)

    assert read_or_make_keys(tmp_path) == keys
    assert len({keys.stamp, keys.content, keys.seal}) == 3


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    """All have drawn their keys before the first can write them down."""
    barrier = threading.Barrier(8)

    def draw(size: int) -> bytes:
        barrier.wait(timeout=20)
        return os.urandom(size)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(read_or_make_keys, tmp_path, random=draw) for _ in range(8)]
        found = [answer.result() for answer in asked]

    assert len({(keys.stamp, keys.content, keys.seal) for keys in found}) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_them(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        read_or_make_keys(tmp_path / "state")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "state" / FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_keys_that_others_may_touch_are_refused(tmp_path: Path, mode: int) -> None:
    write(tmp_path, GOOD, mode=mode)

    with pytest.raises(KeysError, match=rf"{FILE}: others may read it \(mode {mode:04o}\): chmod"):
        read_or_make_keys(tmp_path)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        pytest.param(b"", "is not a JSON object", id="empty"),
        pytest.param(b'{"stamp": "AAAA', "is not a JSON object", id="cut off"),
        pytest.param(b"\xff\xfe", "is not a JSON object", id="binary"),
        pytest.param([KEY], "is not a JSON object", id="a list"),
        pytest.param({"stamp": KEY, "content": KEY}, "is not a JSON object", id="one missing"),
        pytest.param({**GOOD, "more": KEY}, "is not a JSON object", id="one too many"),
        pytest.param({**GOOD, "seal": KEY[:-4]}, "seal: is not 32 bytes", id="too short"),
        pytest.param({**GOOD, "content": "AA" + KEY}, "content: is not 32 bytes", id="too long"),
        pytest.param({**GOOD, "stamp": KEY + "\n"}, "stamp: is not 32 bytes", id="not strict"),
        pytest.param({**GOOD, "stamp": "*" * 44}, "stamp: is not 32 bytes", id="not base64"),
        pytest.param({**GOOD, "stamp": "ü" * 44}, "stamp: is not 32 bytes", id="not ASCII"),
        pytest.param({**GOOD, "stamp": 7}, "stamp: is not 32 bytes", id="a number"),
        pytest.param(b" " * 5000 + json.dumps(GOOD).encode(), "is not a JSON", id="too large"),
    ],
)
def test_what_we_did_not_write_is_refused_and_kept(
    tmp_path: Path, content: object, named: str
) -> None:
    write(tmp_path, content)
    before = (tmp_path / FILE).read_bytes()

    with pytest.raises(KeysError, match=named) as raised:
        read_or_make_keys(tmp_path)

    assert str(tmp_path / FILE) in str(raised.value)
    assert "restore it" in str(raised.value)
    assert (tmp_path / FILE).read_bytes() == before


def test_no_message_and_no_cause_holds_a_key(tmp_path: Path) -> None:
    secret = base64.b64encode(b"s" * KEY_BYTES).decode()
    write(tmp_path, f'{{"stamp": "{secret}"'.encode())

    with pytest.raises(KeysError) as raised:
        read_or_make_keys(tmp_path)

    assert secret not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_keys_are_not_shown(tmp_path: Path) -> None:
    assert repr(read_or_make_keys(tmp_path, random=counting())) == "Keys()"


def test_a_directory_in_their_place_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir(mode=0o700)

    with pytest.raises(KeysError, match=f"{FILE}: cannot be read"):
        read_or_make_keys(tmp_path)


def test_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).symlink_to("nowhere")

    with pytest.raises(KeysError, match=f"{FILE}: cannot be read"):
        read_or_make_keys(tmp_path)


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(KeysError, match="give Governor a directory"):
        read_or_make_keys(tmp_path / "file" / "state")


def test_a_draft_that_could_not_be_linked_does_not_stay(tmp_path: Path) -> None:
    def failing(size: int) -> bytes:
        raise OSError(5, f"no entropy for {size} bytes")

    with pytest.raises(KeysError, match="no entropy"):
        read_or_make_keys(tmp_path, random=failing)
    assert list(tmp_path.iterdir()) == []
