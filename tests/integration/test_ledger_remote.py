"""A ledger and its remote: fast-forward only, and a rewritten remote is told from a newer one."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.clients.git.errors import (
    LedgerMovedError,
    RemoteError,
    RemoteRewrittenError,
)
from controller.clients.git.remote import LedgerRemote
from controller.clients.git.repository import NO_COMMIT
from tests.ledgers import IDENTITY, Ledger, a_record

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Pair:
    """One ledger with a remote."""

    ledger: Ledger
    there: Path

    @property
    def remote(self) -> LedgerRemote:
        """Its remote."""
        return LedgerRemote(self.ledger.repository, str(self.there))

    def head_there(self) -> str:
        """What the remote has."""
        return git(self.there, "for-each-ref", "--format=%(objectname)", IDENTITY.ref).strip()

    def set_back(self, commit: str) -> None:
        """Rewrite the remote."""
        git(self.there, "update-ref", IDENTITY.ref, commit)


def git(directory: Path, *arguments: str) -> str:
    command = ["git", f"--git-dir={directory}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    there = tmp_path / "there.git"
    command = ["git", "init", "--bare", "-q", str(there)]  # the git on the PATH
    subprocess.run(command, check=True)
    return Pair(Ledger(tmp_path / "here.git"), there)


@pytest.fixture
def second(pair: Pair, tmp_path: Path) -> Pair:
    """Another leader, on another host, that has what the remote has."""
    pair.ledger.fill([1])
    pair.remote.push()
    other = Pair(Ledger(tmp_path / "second.git"), pair.there)
    other.remote.catch_up()
    other.ledger.book.read()
    return other


def test_what_is_pushed_is_there(pair: Pair) -> None:
    pair.ledger.fill([2])
    assert pair.remote.push() == pair.ledger.book.head == pair.head_there()
    pair.ledger.fill([3], start=3)
    assert pair.remote.push() == pair.head_there()
    assert pair.remote.push() == pair.head_there(), "again is no harm"


def test_a_lost_repository_is_continued_from_its_remote(pair: Pair) -> None:
    head = pair.ledger.fill([2]).book.head
    pair.remote.push()
    shutil.rmtree(pair.ledger.directory)
    again = Pair(Ledger(pair.ledger.directory), pair.there)
    assert again.remote.catch_up() == head
    again.ledger.book.read()
    assert again.ledger.book.is_committed("Attempt replica-a/2")
    again.ledger.flush(a_record(3))
    assert again.remote.push() == again.head_there() == again.ledger.book.head


def test_an_empty_remote_and_an_empty_ledger_agree(pair: Pair) -> None:
    assert pair.remote.catch_up() == NO_COMMIT
    assert pair.remote.push() == NO_COMMIT


@pytest.mark.requirement("history-append-only.one-writer")
def test_when_another_leader_pushed_his_flush_stands_and_ours_is_kept_aside(
    pair: Pair, second: Pair
) -> None:
    second.ledger.flush(a_record(2))
    second.remote.push()
    ours = pair.ledger.fill([1], start=3).book.head
    with pytest.raises(LedgerMovedError, match="another leader has pushed"):
        pair.remote.push()
    assert pair.ledger.repository.head() == second.ledger.book.head == pair.head_there()
    kept = git(pair.ledger.directory, "rev-parse", f"refs/governor/abandoned/{ours}")
    assert kept.strip() == ours
    pair.ledger.book.read()
    assert pair.ledger.book.is_committed(entry(2))
    assert not pair.ledger.book.is_committed(entry(3)), "it is to be recorded again"
    pair.ledger.flush(a_record(3))
    assert pair.remote.push() == pair.head_there()


def entry(number: int) -> str:
    return f"Entry {a_record(number)['entry']['key']}"  # type: ignore[index,call-overload] # JSON


def test_a_leader_that_only_lags_goes_forward(pair: Pair, second: Pair) -> None:
    head = second.ledger.fill([1], start=2).book.head
    second.remote.push()
    assert pair.remote.catch_up() == head
    assert git(pair.ledger.directory, "for-each-ref", "refs/governor/abandoned") == ""


@pytest.mark.requirement("history-append-only.one-writer")
@pytest.mark.parametrize("to", ["an earlier commit", "nothing", "another history"])
def test_a_remote_that_was_rewritten_is_refused(pair: Pair, tmp_path: Path, to: str) -> None:
    first = pair.ledger.fill([1]).book.head
    head = pair.ledger.fill([1], start=2).book.head
    pair.remote.push()
    if to == "an earlier commit":
        pair.set_back(first)
    elif to == "nothing":
        git(pair.there, "update-ref", "-d", IDENTITY.ref)
    else:
        other = Ledger(tmp_path / "other.git").fill([3], start=9)
        git(pair.there, "fetch", "-q", str(other.directory), f"+{IDENTITY.ref}:{IDENTITY.ref}")
    rewritten = pair.head_there()
    pair.ledger.fill([1], start=3)
    for _ in range(2):
        with pytest.raises(RemoteRewrittenError, match="nothing is pushed"):
            pair.remote.push()
        with pytest.raises(RemoteRewrittenError):
            pair.remote.catch_up()
    assert pair.head_there() == rewritten
    assert pair.ledger.repository.head() != head
    pair.set_back(head) if to != "nothing" else git(pair.there, "update-ref", IDENTITY.ref, head)
    assert pair.remote.push() == pair.ledger.book.head, "restored, it is pushed to again"


@pytest.mark.requirement("history-append-only.one-writer")
def test_a_remote_that_always_had_another_history_is_refused(pair: Pair, tmp_path: Path) -> None:
    other = Ledger(tmp_path / "other.git").fill([3], start=9)
    git(pair.there, "fetch", "-q", str(other.directory), f"{IDENTITY.ref}:{IDENTITY.ref}")
    head = pair.ledger.fill([1]).book.head
    for _ in range(2):
        with pytest.raises(RemoteRewrittenError, match="another history"):
            pair.remote.push()
    assert pair.ledger.repository.head() == head
    assert pair.head_there() == other.book.head


def test_a_remote_that_cannot_be_reached_is_told_without_its_password(pair: Pair) -> None:
    pair.ledger.fill([1])
    url = "http://governor:hunter2@127.0.0.1:9/ledger.git"
    with pytest.raises(RemoteError, match="records wait here") as told:
        LedgerRemote(pair.ledger.repository, url).push()
    assert "hunter2" not in str(told.value)


def test_a_remote_that_refuses_is_told_in_its_words(pair: Pair) -> None:
    hook = pair.there / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho protected branch >&2\nexit 1\n")
    hook.chmod(0o755)
    pair.ledger.fill([1])
    with pytest.raises(RemoteError, match="protected branch"):
        pair.remote.push()
    hook.unlink()
    assert pair.remote.push() == pair.head_there()


def test_a_remote_that_hangs_is_given_up(pair: Pair) -> None:
    hook = pair.there / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexec sleep 5\n")
    hook.chmod(0o755)
    pair.ledger.fill([1])
    remote = LedgerRemote(pair.ledger.repository, str(pair.there), timeout=0.5)
    with pytest.raises(RemoteError):
        remote.push()
