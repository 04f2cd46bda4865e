"""The ledger's repository with the real git: what is added, fenced off, refused and repaired."""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.accounts.entries import Attempt
from controller.clients.git.errors import (
    GitUnusableError,
    LedgerCorruptError,
    LedgerError,
    LedgerMovedError,
    LedgerStorageError,
)
from controller.clients.git.repository import NO_COMMIT, Commit, LedgerRepository
from controller.records.chain import LedgerIdentity
from controller.records.verification import ChainVerifier
from tests.ledgers import CLUSTER, IDENTITY, NOON, Forgery, Ledger, a_change, a_record

pytestmark = pytest.mark.integration


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.git")


def a_commit(name: str = "a", *, content: bytes = b"{}", message: str = "a\n") -> Commit:
    return Commit(f"records/{name}", content, message, NOON)


def plain_git(directory: Path, *arguments: str) -> str:
    """Git as anybody runs it, with a home of nobody."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory)}
    done = subprocess.run(
        ["git", f"--git-dir={directory}", *arguments],  # noqa: S607 # the git on the PATH
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def flush_refs(ledger: Ledger) -> str:
    return plain_git(ledger.directory, "for-each-ref", "refs/governor/flush")


def findings(ledger: Ledger) -> list[object]:
    verifier = ChainVerifier(ledger.identity)
    steps = ledger.repository.steps(ledger.repository.head())
    return [*(finding for step in steps for finding in verifier.take(step)), *verifier.finish()]


def test_a_bare_git_log_shows_the_ledger(ledger: Ledger) -> None:
    ledger.fill([2])
    log = plain_git(ledger.directory, "log", "--format=%an <%ae> %ct %s")
    who = f"Governor <governor@governor.dev> {NOON // 1000}"
    assert log.splitlines() == [
        f"{who} seal records 1 to 2",
        f"{who} migrator create Deployment team-data/web-2: persisted",
        f"{who} migrator create Deployment team-data/web-1: persisted",
    ]
    assert plain_git(ledger.directory, "fsck", "--strict") == ""


def test_each_record_is_one_file_in_one_commit(ledger: Ledger) -> None:
    ledger.fill([3])
    steps = list(ledger.repository.steps(ledger.book.head))
    assert [[change.status for change in step.changes] for step in steps] == [["A"]] * 4
    for step in steps:
        assert step.content == ledger.repository.read(step.commit, step.changes[0].path)


def test_opening_it_again_keeps_what_is_there(ledger: Ledger) -> None:
    head = ledger.fill([2]).book.head
    again = Ledger(ledger.directory)
    assert again.book.head == head
    assert again.book.state == ledger.book.state
    assert again.book.is_committed("Attempt replica-a/2")
    assert not again.book.is_committed("Attempt replica-a/3")


def test_another_epoch_is_another_ledger_in_the_same_repository(ledger: Ledger) -> None:
    head = ledger.fill([2]).book.head
    second = Ledger(ledger.directory, LedgerIdentity(CLUSTER, 2))
    assert second.book.head == NO_COMMIT
    second.fill([1])
    assert second.book.state.seq == 1
    assert ledger.repository.head() == head
    assert "seal records 1 to 1" in plain_git(ledger.directory, "log", "-1", "--format=%s")


def test_nothing_of_the_users_settings_takes_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    settings = "[user]\nname = Mallory\n[commit]\ngpgSign = true\n[core]\nhooksPath = /nowhere\n"
    (home / ".gitconfig").write_text(f"{settings}[init]\ndefaultObjectFormat = sha256\n")
    hostile = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "GIT_DIR": str(tmp_path / "elsewhere"),
        "GIT_OBJECT_DIRECTORY": str(tmp_path / "elsewhere"),
        "GIT_WORK_TREE": str(tmp_path),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "false",
        "GIT_AUTHOR_NAME": "Mallory",
        "GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z",
        "GIT_NAMESPACE": "other",
        "LANG": "de_DE.UTF-8",
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    ledger = Ledger(tmp_path / "ledger.git").fill([1])
    log = plain_git(ledger.directory, "log", "-1", "--format=%an %cn %ct")
    assert log == f"Governor Governor {NOON // 1000}\n"
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.requirement("history-append-only.one-writer")
def test_of_two_leaders_one_commits_and_the_other_must_look_again(ledger: Ledger) -> None:
    head = ledger.fill([1]).book.head
    other = Ledger(ledger.directory)
    other.flush(a_record(2))
    with pytest.raises(LedgerMovedError, match="someone else commits"):
        ledger.flush(a_record(3))
    assert ledger.repository.head() == other.book.head
    assert ledger.book.head == head
    ledger.book.read()
    ledger.flush(a_record(3))
    assert ledger.book.state.seq == 3
    assert findings(ledger) == []
    assert flush_refs(ledger) == ""


@pytest.mark.requirement("history-append-only.one-writer")
def test_of_two_first_flushes_one_is_the_start(ledger: Ledger) -> None:
    other = Ledger(ledger.directory)
    ledger.fill([1])
    with pytest.raises(LedgerMovedError):
        other.fill([1])
    assert findings(ledger) == []


@pytest.mark.requirement("history-append-only.one-writer")
def test_a_head_that_is_gone_is_not_taken_for_the_old_one(ledger: Ledger) -> None:
    ledger.fill([1])
    plain_git(ledger.directory, "update-ref", "-d", IDENTITY.ref)
    with pytest.raises(LedgerMovedError):
        ledger.flush(a_record(2))


def test_a_flush_that_a_hook_refuses_leaves_nothing(ledger: Ledger) -> None:
    head = ledger.fill([1]).book.head
    hook = ledger.directory / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        '#!/bin/sh\n[ "$1" != prepared ] || ! grep -q heads/ledger || '
        "{ echo no room for this >&2; exit 1; }\n"
    )
    hook.chmod(0o755)
    with pytest.raises(LedgerError, match="no room for this"):
        ledger.flush(a_record(2))
    assert ledger.repository.head() == head
    hook.unlink()
    ledger.flush(a_record(2))
    assert findings(ledger) == []


@pytest.fixture
def small_files() -> Iterator[None]:
    """No process may write a file beyond 100 kB, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_told_and_leaves_nothing(ledger: Ledger) -> None:
    head = ledger.fill([1]).book.head
    with pytest.raises(LedgerStorageError):
        ledger.repository.append([a_commit(content=os.urandom(200_000))], onto=head)
    assert ledger.repository.head() == head
    ledger.flush(a_record(2))
    assert findings(ledger) == []


@pytest.mark.usefixtures("small_files")
def test_a_disk_that_git_finds_full_is_told(ledger: Ledger) -> None:
    # Each flush fits; all of them in one pack do not.
    head = ledger.fill([1]).book.head
    commits = [a_commit(f"c{number}", content=os.urandom(900)) for number in range(60)]
    for start in range(0, 180, 60):
        head = ledger.repository.append(
            [Commit(f"records/x{start}/{c.path}", c.content, c.message, c.at) for c in commits],
            onto=head,
        )
    with pytest.raises(LedgerStorageError, match="tried again"):
        ledger.git.run("repack", "-a", "-d", "--quiet")
    assert ledger.repository.head() == head


def test_without_git_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitUnusableError, match=r"install git 2\.39"):
        LedgerRepository.open(tmp_path / "ledger.git", IDENTITY)


def test_an_old_git_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho git version 2.30.2\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
    with pytest.raises(GitUnusableError, match=r"2\.30\.2.*older than 2\.39"):
        LedgerRepository.open(tmp_path / "ledger.git", IDENTITY)


def test_a_directory_of_other_things_is_not_made_a_repository(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(LedgerCorruptError, match="holds something else"):
        LedgerRepository.open(tmp_path, IDENTITY)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "ledger.git").write_text("mine")
    with pytest.raises(LedgerStorageError, match="Not a directory"):
        LedgerRepository.open(tmp_path / "ledger.git", IDENTITY)


def test_a_repository_that_was_half_made_is_made(tmp_path: Path) -> None:
    (tmp_path / "ledger.git" / "objects").mkdir(parents=True)
    assert Ledger(tmp_path / "ledger.git").fill([1]).book.state.seq == 1


def test_a_ref_without_its_commit_is_damage_not_a_new_ledger(ledger: Ledger) -> None:
    ledger.fill([1])
    for pack in (ledger.directory / "objects" / "pack").iterdir():
        pack.unlink()
    with pytest.raises(LedgerCorruptError, match="names no commit"):
        ledger.repository.head()


@pytest.mark.parametrize("content", ["", "garbage\n", "0" * 40])
def test_a_damaged_ref_is_not_a_new_ledger(ledger: Ledger, content: str) -> None:
    ledger.fill([1])
    (ledger.directory / IDENTITY.ref).write_text(content)
    with pytest.raises(LedgerError):
        ledger.repository.head()


def test_a_packed_ref_without_its_commit_is_no_new_ledger_either(ledger: Ledger) -> None:
    ledger.fill([1])
    plain_git(ledger.directory, "pack-refs", "--all")
    for pack in (ledger.directory / "objects" / "pack").iterdir():
        pack.unlink()
    with pytest.raises(LedgerCorruptError):
        ledger.repository.head()


def test_a_repository_that_is_gone_is_no_new_ledger(ledger: Ledger) -> None:
    ledger.fill([1])
    ledger.directory.rename(ledger.directory.with_name("moved.git"))
    with pytest.raises(LedgerCorruptError, match="not a git repository"):
        ledger.repository.head()


def test_a_head_that_is_no_seal_is_not_built_upon(ledger: Ledger) -> None:
    ledger.fill([1])
    ledger.forge(Forgery([("README.md", b"hello")]))
    with pytest.raises(LedgerCorruptError, match="is no seal"):
        Ledger(ledger.directory)


def test_the_seal_of_another_ledger_is_not_built_upon(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger(tmp_path / "other.git", LedgerIdentity("other-cluster")).fill([1])
    arguments = ("fetch", "-q", str(other.directory), f"{other.repository.ref}:{IDENTITY.ref}")
    plain_git(ledger.directory, *arguments)
    with pytest.raises(LedgerCorruptError, match="of another ledger"):
        Ledger(ledger.directory)


@pytest.mark.parametrize("name", [IDENTITY.ref, "HEAD", "packed-refs"])
def test_a_lock_that_a_killed_git_left_does_not_hold_for_ever(ledger: Ledger, name: str) -> None:
    ledger.fill([1])
    lock = ledger.directory / f"{name}.lock"
    lock.touch()
    if name == IDENTITY.ref:
        with pytest.raises(LedgerStorageError, match="File exists"):
            ledger.flush(a_record(2))
        assert lock.exists(), "it may be a living git's"
    long_ago = time.time() - 3600
    os.utime(lock, (long_ago, long_ago))
    again = Ledger(ledger.directory)
    again.flush(a_record(2))
    assert findings(again) == []


@pytest.mark.parametrize("name", ["remote/6c0a2f7e/1", "abandoned/0123", "flush/0123"])
def test_no_lock_on_a_ref_of_governors_own_holds_for_ever(ledger: Ledger, name: str) -> None:
    head, ref = ledger.fill([1]).book.head, f"refs/governor/{name}"
    lock = ledger.directory / f"{ref}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    for _ in range(2):
        with pytest.raises(LedgerStorageError, match="File exists"):
            ledger.repository.move(ref, new=head, old="")
    long_ago = time.time() - 3600
    os.utime(lock, (long_ago, long_ago))
    with pytest.raises(LedgerStorageError, match="File exists"):
        ledger.repository.move(ref, new=head, old="")
    ledger.repository.move(ref, new=head, old="")
    assert ledger.repository.resolve(ref) == head


def test_flushes_that_fail_leave_no_reports(ledger: Ledger) -> None:
    ledger.fill([1])
    for _ in range(3):
        with pytest.raises(LedgerError):
            ledger.repository.append([a_commit()], onto="ab" * 20)
    assert [*ledger.directory.glob("fast_import_crash_*")] == []


def test_a_repository_that_was_deleted_is_made_anew_and_no_other(ledger: Ledger) -> None:
    head = ledger.fill([1]).book.head
    ledger.repository.make_if_gone()
    assert ledger.repository.head() == head
    (ledger.directory / "HEAD").unlink()
    ledger.repository.make_if_gone()
    with pytest.raises(LedgerCorruptError):
        ledger.repository.head()
    shutil.rmtree(ledger.directory)
    with pytest.raises(LedgerCorruptError):
        ledger.repository.head()
    ledger.repository.make_if_gone()
    assert ledger.repository.head() == ""
    shown = plain_git(ledger.directory, "symbolic-ref", "HEAD")
    assert IDENTITY.ref in str(shown)


@pytest.mark.parametrize("program", ["a trap", "none"])
def test_no_program_that_the_environment_names_is_run_for_git(
    tmp_path: Path, repository: Path, program: str
) -> None:
    trap, script = tmp_path / "trap", tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {trap}\n")
    script.chmod(0o755)
    named = str(script) if program == "a trap" else str(tmp_path / "nowhere")
    variables = {"GIT_PYTHON_GIT_EXECUTABLE": named, "GIT_PYTHON_REFRESH": "raise"}
    for module in ("controller.clients.git.remote", "controller.clients.git.process"):
        command = [sys.executable, "-c", f"import {module}"]
        subprocess.run(command, cwd=repository, env={**os.environ, **variables}, check=True)
    assert not trap.exists()


def test_what_a_crash_left_of_a_flush_is_dropped(ledger: Ledger) -> None:
    head = ledger.fill([1]).book.head
    plain_git(ledger.directory, "update-ref", "refs/governor/flush/0123", head)
    assert Ledger(ledger.directory).book.head == head
    assert flush_refs(ledger) == ""


_KILLED = """
import sys
from pathlib import Path
from tests.ledgers import Ledger, a_record
ledger = Ledger(Path(sys.argv[1]))
number = ledger.book.state.seq
while True:
    ledger.flush(a_record(number + 1), a_record(number + 2))
    number += 2
    print(number, flush=True)
"""


@pytest.mark.requirement("record-before-effect.committed-once")
def test_killed_at_any_moment_it_has_every_flush_that_was_told_and_no_half_one(
    ledger: Ledger, repository: Path
) -> None:
    for crash in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", _KILLED, str(ledger.directory)],
            cwd=repository,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        with process.stdout as told:
            last = [int(told.readline()) for _ in range(2 + crash)][-1]
            process.kill()
            rest = [int(line) for line in told.read().split()]
        process.wait()
        ledger = Ledger(ledger.directory)
        assert ledger.book.state.seq >= max([last, *rest])
        assert ledger.book.state.seq % 2 == 0
        assert findings(ledger) == []


def test_many_packs_are_joined_and_leftovers_dropped(ledger: Ledger) -> None:
    packs = ledger.directory / "objects" / "pack"
    assert not ledger.fill([1] * 50).repository.tidy()
    ledger.fill([1], start=51)
    leftover, young = packs / "tmp_pack_old", packs / "tmp_pack_new"
    for file, age in ((leftover, 7200), (young, 0)):
        file.touch()
        os.utime(file, (time.time() - age, time.time() - age))
    assert ledger.repository.tidy()
    assert len(list(packs.glob("*.pack"))) < 10
    assert (leftover.exists(), young.exists()) == (False, True)
    assert findings(ledger) == []


def test_what_was_read_before_is_not_read_again(ledger: Ledger) -> None:
    head = ledger.fill([2]).book.head
    newer = ledger.fill([1], start=3).book.head
    found = [trailers.get("Seq") for trailers in ledger.repository.trailers(newer, after=head)]
    assert found == ["3", None]


def test_a_record_is_found_by_a_whole_trailer(ledger: Ledger) -> None:
    ledger.fill([12])
    found = ledger.book.find(Attempt("replica-a", 1))
    assert found is not None
    assert found["change"] == a_change(1)
    assert ledger.book.find(Attempt("replica-a", 13)) is None
    assert ledger.book.find(Attempt("replica.a", 1)) is None


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("../x", "a\n", id="a path that leaves"),
        pytest.param("/x", "a\n", id="an absolute path"),
        pytest.param("a//b", "a\n", id="an empty part"),
        pytest.param(".git/config", "a\n", id="git's own"),
        pytest.param("a\nM 100644 inline b", "a\n", id="a command"),
        pytest.param("a", "a\0b", id="a NUL"),
    ],
)
def test_what_git_could_not_store_is_refused_before(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"path|message"):
        Commit(path, b"", message, NOON)


def test_a_message_cannot_command_the_import(ledger: Ledger) -> None:
    message = "a\n\ndata 3\nabc\ndone\ncommit refs/heads/x\n"
    head = ledger.repository.append([a_commit(message=message)], onto=NO_COMMIT)
    assert plain_git(ledger.directory, "log", "-1", "--format=%B", head) == f"{message}\n"
    assert plain_git(ledger.directory, "for-each-ref", "refs/heads/x") == ""
