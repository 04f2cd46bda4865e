"""The file of tokens: what counts as one, and what a change of the file does."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.clients.tokens import TokenFile, TokenFileError

pytestmark = pytest.mark.requirement("fail-closed.expected-caller")

OLD, NEW = b"the-old-token-0123456789", b"the-new-token-0123456789"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with the old token."""
    path = tmp_path / "token"
    path.write_bytes(OLD)
    return path


def replace(path: Path, content: bytes) -> None:
    """Put another file in its place, as a rotation does."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.rename(path)


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        pytest.param(OLD, (OLD,), id="without a newline"),
        pytest.param(OLD + b"\n", (OLD,), id="with a newline"),
        pytest.param(OLD + b"\r\n\r\n" + NEW + b"\n", (OLD, NEW), id="two, from another system"),
        pytest.param(b"\n  " + OLD + b"  \n", (OLD,), id="blanks around it"),
    ],
)
def test_every_line_is_a_token(path: Path, content: bytes, tokens: tuple[bytes, ...]) -> None:
    path.write_bytes(content)
    assert TokenFile(path).current() == tokens


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b" \n\n", "is empty", id="blank"),
        pytest.param(b"short", "line 1 is no token: expected at least 16", id="short"),
        pytest.param(OLD + b"\n" + b"two words in a line", "line 2 is no token", id="spaces"),
        pytest.param("ein-schlüssel-wort-für-uns".encode(), "line 1", id="not ASCII"),
        pytest.param(b"\x00" * 40, "line 1", id="zeros of a file that was not synced"),
        pytest.param(b"a" * 70_000, "more than 65536 bytes", id="huge"),
    ],
)
def test_what_is_no_token_is_an_error_that_names_the_line(
    path: Path, content: bytes, problem: str
) -> None:
    path.write_bytes(content)
    with pytest.raises(TokenFileError, match=problem) as error:
        TokenFile(path)
    assert str(path) in str(error.value)
    assert OLD.decode() not in str(error.value)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match="No such file"):
        TokenFile(tmp_path / "absent")


@pytest.mark.parametrize("change", [replace, Path.write_bytes], ids=["replaced", "written over"])
def test_a_change_is_seen_at_the_next_look(
    path: Path, change: Callable[[Path, bytes], object]
) -> None:
    file = TokenFile(path)
    change(path, OLD + b"\n" + NEW)
    assert file.current() == (OLD, NEW)
    change(path, NEW)
    assert file.current() == (NEW,)


def test_a_change_of_the_same_length_and_time_is_seen_where_the_file_is_another(path: Path) -> None:
    file, times = TokenFile(path), path.stat()
    beside = path.with_suffix(".new")
    beside.write_bytes(NEW)
    os.utime(beside, ns=(times.st_atime_ns, times.st_mtime_ns))
    beside.rename(path)
    assert file.current() == (NEW,)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="removed"),
        pytest.param(b"", id="emptied"),
        pytest.param(NEW[:5], id="half written"),
    ],
)
def test_a_file_that_becomes_unusable_leaves_the_last_tokens(
    path: Path, content: bytes | None
) -> None:
    file = TokenFile(path)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert file.current() == (OLD,)
    path.write_bytes(NEW)
    assert file.current() == (NEW,)


def test_a_file_that_does_not_change_is_not_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = TokenFile(path)

    def unread(*_: object) -> None:
        raise AssertionError("it was read again")

    monkeypatch.setattr(Path, "open", unread)
    assert file.current() == (OLD,)
