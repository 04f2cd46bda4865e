"""`governor verify` on real repositories: what it says, and with which status it ends."""

import asyncio
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from controller.cli.verify import BLIND, verify
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.ledgerhead import HeadStore, KeptHead
from controller.records.chain import LedgerIdentity
from native.controlplane import ControlPlane
from tests.ledgers import CLUSTER, IDENTITY, NOON, OTHER_SEED, Forgery, Ledger, a_record

pytestmark = pytest.mark.integration

CONFIG_MAP = "/api/v1/namespaces/governor-system/configmaps/governor-ledger"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.git").fill([2, 3, 1])


def run(ledger: Path | Ledger, *options: str) -> Result:
    app = typer.Typer(add_completion=False)
    app.command()(verify)
    directory = ledger if isinstance(ledger, Path) else ledger.directory
    return CliRunner().invoke(app, ["--ledger", str(directory), *options])


def git(directory: Path, *arguments: str) -> str:
    command = ["git", f"--git-dir={directory}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_whole_ledger_is_verified(ledger: Ledger) -> None:
    result = run(ledger)
    assert result.exit_code == 0
    head = f"head {ledger.book.state.head}, commit {ledger.book.head}"
    told = f"verified 6 records, 3 seals, {head}"
    assert result.output.splitlines() == [f"{IDENTITY.ref}: {told}", BLIND]


def test_a_copy_is_as_good(ledger: Ledger, tmp_path: Path) -> None:
    git(ledger.directory, "clone", "-q", "--mirror", str(ledger.directory), str(tmp_path / "copy"))
    assert run(tmp_path / "copy").exit_code == 0


def test_a_head_that_was_noted_leaves_no_blind_spot(ledger: Ledger) -> None:
    result = run(ledger, "--expect-head", ledger.book.state.head)
    assert result.exit_code == 0
    assert BLIND not in result.output


@pytest.mark.requirement("history-append-only.verify")
def test_a_tail_that_was_cut_is_found_by_the_noted_head_and_not_without(ledger: Ledger) -> None:
    head, commit = ledger.book.state.head, ledger.book.head
    git(ledger.directory, "update-ref", IDENTITY.ref, f"{commit}~2")
    blind = run(ledger)
    assert blind.exit_code == 0
    assert BLIND in blind.output
    for known in (head, commit):
        result = run(ledger, "--expect-head", known)
        assert result.exit_code == 1
        assert "[tail-cut]" in result.output
        assert "NOT whole: 5 records, 2 seals" in result.output


@pytest.mark.requirement("history-append-only.verify")
def test_a_tail_that_was_cut_within_a_flush_is_found_at_once(ledger: Ledger) -> None:
    git(ledger.directory, "update-ref", IDENTITY.ref, f"{ledger.book.head}~1")
    result = run(ledger)
    assert result.exit_code == 1
    assert "[unsealed-tail]" in result.output


def test_a_ledger_that_is_gone_is_found_by_the_noted_head(ledger: Ledger) -> None:
    git(ledger.directory, "update-ref", "-d", IDENTITY.ref)
    result = run(ledger, "--expect-head", ledger.book.state.head)
    assert result.exit_code == 1
    assert "[no-ledger]" in result.output


def record_path_of(ledger: Ledger) -> str:
    listed = git(ledger.directory, "ls-tree", "-r", "--name-only", IDENTITY.ref)
    return next(path for path in listed.splitlines() if path.startswith("records/"))


@pytest.mark.requirement("history-append-only.verify")
@pytest.mark.parametrize(
    ("content", "letter"),
    [pytest.param(b"{}", "M", id="changed"), pytest.param(None, "D", id="deleted")],
)
def test_a_later_commit_that_touches_a_record_is_found(
    ledger: Ledger, content: bytes | None, letter: str
) -> None:
    path = record_path_of(ledger)
    ledger.forge(Forgery([(path, content)]))
    result = run(ledger)
    assert result.exit_code == 1
    assert f"[not-append-only] {ledger.repository.head()}: {letter} {path}" in result.output


@pytest.mark.requirement("history-append-only.verify")
def test_an_empty_commit_and_a_merge_are_found(ledger: Ledger) -> None:
    start = git(ledger.directory, "rev-list", "--max-parents=0", IDENTITY.ref).strip()
    ledger.forge(Forgery([]), Forgery([("records/x", b"{}")], merges=start))
    result = run(ledger)
    assert "it changes 0 files" in result.output
    assert "[not-linear]" in result.output


def test_what_is_no_record_is_found(ledger: Ledger) -> None:
    for path in ("README.md", r'"records/a\tb\001\nc"', "record", r'"\377"'):
        ledger.forge(Forgery([(path, b"x")], at=NOON))
    result = run(ledger)
    assert result.exit_code == 1
    assert result.output.count("finding [foreign-file]") == 4


def amend(ledger: Ledger, change: Callable[[bytes], bytes]) -> None:
    """Store the last commit anew with other bytes, as no plain `git commit` would."""
    command = ["git", f"--git-dir={ledger.directory}"]
    arguments = ["cat-file", "commit", ledger.repository.head()]
    raw = subprocess.run([*command, *arguments], capture_output=True, check=True).stdout
    changed = change(raw)
    assert changed != raw
    arguments = ["hash-object", "-t", "commit", "--literally", "-w", "--stdin"]
    ran = subprocess.run([*command, *arguments], input=changed, capture_output=True, check=True)
    git(ledger.directory, "update-ref", IDENTITY.ref, ran.stdout.decode().strip())


@pytest.mark.requirement("history-append-only.verify")
@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        pytest.param(b"seal records 6", b"seal records 5", "message-differs", id="a subject"),
        pytest.param(b"\nauthor Governor", b"\nauthor Mallory", "foreign-writer", id="an author"),
        pytest.param(b" +0000\n\n", b" +0200\n\n", "foreign-writer", id="a time zone"),
        pytest.param(b" +0000\n\n", b"\n\n", "foreign-writer", id="no time zone"),
        pytest.param(b"> 17", b"> when17", "foreign-writer", id="a date that is none"),
        pytest.param(b"> 17", b"> " + b"9" * 40, "foreign-writer", id="a date without end"),
        pytest.param(b"\ncommitter ", b"\nx ", "foreign-writer", id="no committer"),
        pytest.param(
            b" +0000\n\n", b" +0000\nencoding UTF-16\n\n", "foreign-writer", id="an encoding"
        ),
        pytest.param(b"\nSeal: ", b"\nSeal:\0", "message-differs", id="a NUL in the message"),
    ],
)
def test_a_commit_that_says_something_else_is_found(
    ledger: Ledger, old: bytes, new: bytes, code: str
) -> None:
    amend(ledger, lambda raw: raw.replace(old, new))
    result = run(ledger)
    assert result.exit_code == 1
    assert f"finding [{code}]" in result.output


@pytest.mark.requirement("history-append-only.verify")
def test_a_path_with_ends_of_lines_is_a_finding_on_one_line(ledger: Ledger) -> None:
    seal = git(ledger.directory, "rev-parse", f"{IDENTITY.ref}~1").strip()
    path = git(ledger.directory, "diff", "--name-only", seal, IDENTITY.ref).strip()
    content = git(ledger.directory, "show", f"{IDENTITY.ref}:{path}").encode()
    message = git(ledger.directory, "show", "-s", "--format=%B", IDENTITY.ref).rstrip("\n") + "\n"
    ledger.forge(Forgery([(f'"\\n{path}"', content)], message=message, at=NOON), onto=seal)
    result = run(ledger)
    assert result.exit_code == 1
    assert "finding [foreign-file]" in result.output
    words = {line.split(" ")[0] for line in result.output.splitlines()}
    assert words == {"finding", f"{IDENTITY.ref}:", "not"}


@pytest.mark.requirement("history-append-only.verify")
def test_a_record_that_no_parser_takes_is_a_finding(ledger: Ledger) -> None:
    content = b'{"a":' * 400 + b"1" + b"}" * 400
    ledger.forge(Forgery([("records/2026/11/25/12/0000000000/000000000007-x.json", content)]))
    result = run(ledger)
    assert result.exit_code == 1
    assert "[unreadable]" in result.output


def test_no_setting_of_the_repository_changes_what_is_read(ledger: Ledger) -> None:
    for name, value in (
        ("i18n.logOutputEncoding", "UTF-16"), ("i18n.commitEncoding", "UTF-16"),
        ("log.date", "relative"), ("diff.renames", "copies"), ("diff.noprefix", "true"),
        ("core.quotePath", "false"), ("log.decorate", "full"),
    ):  # fmt: skip
        git(ledger.directory, "config", name, value)
    assert run(ledger).exit_code == 0


@pytest.mark.parametrize(
    "name", [pytest.param("01", id="a number with a zero"), pytest.param("\u0661", id="no ASCII")]
)
def test_a_ledger_beside_it_is_not_vouched_for_by_its_neighbour(ledger: Ledger, name: str) -> None:
    """The name reads as the number of another epoch, which is whole."""
    ref = IDENTITY.ref.removesuffix("1") + name
    git(ledger.directory, "update-ref", ref, f"{IDENTITY.ref}~1")
    result = run(ledger)
    assert result.exit_code == 1
    assert f"finding [no-ledger] {ref}: it is not named by a cluster and an epoch" in result.output


def test_a_replaced_object_fools_nobody(ledger: Ledger) -> None:
    """`git replace` shows everyone else another history than the one that is stored."""
    real = git(ledger.directory, "rev-parse", f"{IDENTITY.ref}~1").strip()
    git(ledger.directory, "replace", real, f"{IDENTITY.ref}~3")
    assert run(ledger).exit_code == 0
    shutil.rmtree(ledger.directory / "refs" / "replace")
    assert run(ledger).exit_code == 0


def test_a_shallow_copy_is_not_whole(ledger: Ledger, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    origin = f"file://{ledger.directory}"
    git(ledger.directory, "clone", "-q", "--bare", "--depth=3", origin, str(copy))
    git(copy, "update-ref", IDENTITY.ref, "HEAD")
    result = run(copy)
    assert result.exit_code == 1
    assert "[gap]" in result.output


def objects_of(ledger: Ledger) -> Path:
    """All its objects as loose files, each on its own."""
    packs = ledger.directory / "objects" / "pack"
    for pack in list(packs.glob("*.pack")):
        moved = pack.rename(ledger.directory / pack.name)
        pack.with_suffix(".idx").unlink()
        with moved.open("rb") as stream:
            command = ["git", f"--git-dir={ledger.directory}", "unpack-objects", "-q"]
            subprocess.run(command, stdin=stream, check=True)
        moved.unlink()
    return ledger.directory / "objects"


@pytest.mark.requirement("history-append-only.verify")
@pytest.mark.parametrize("harm", ["is gone", "is garbled", "says something else"])
def test_damage_below_the_history_is_found(ledger: Ledger, harm: str) -> None:
    blob = git(ledger.directory, "rev-parse", f"{IDENTITY.ref}:{record_path_of(ledger)}").strip()
    file = objects_of(ledger) / blob[:2] / blob[2:]
    file.chmod(0o644)
    if harm == "is gone":
        file.unlink()
    elif harm == "is garbled":
        file.write_bytes(b"garbage")
    else:
        content = zlib.decompress(file.read_bytes()).replace(b"persisted", b"unwritten")
        file.write_bytes(zlib.compress(content))
    result = run(ledger)
    assert result.exit_code == 1
    assert "[damaged]" in result.output


def test_a_record_without_its_body_is_a_warning(ledger: Ledger) -> None:
    ledger.flush({**a_record(7), "bodyMissing": "lost: the outbox that held it is gone"})
    result = run(ledger)
    assert result.exit_code == 0
    assert "warning [body-missing]" in result.output
    assert "verified 7 records" in result.output


def test_nothing_that_the_repository_asks_for_is_run(ledger: Ledger, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {trap}\n")
    script.chmod(0o755)
    for name in (
        "core.fsmonitor", "core.sshCommand", "core.pager", "gpg.program", "diff.external",
        "core.editor", "core.askPass", "core.alternateRefsCommand", "alias.rev-list",
    ):  # fmt: skip
        git(ledger.directory, "config", name, str(script))
    git(ledger.directory, "config", "log.showSignature", "true")
    git(ledger.directory, "config", "core.hooksPath", str(tmp_path))
    assert run(ledger).exit_code == 0
    assert not trap.exists()


@pytest.mark.parametrize(
    ("made", "says"),
    [
        pytest.param(None, "is no bare Git repository", id="nothing there"),
        pytest.param("empty", "is no bare Git repository", id="an empty directory"),
        pytest.param("repository", "holds no ledger", id="a repository of other things"),
    ],
)
def test_what_is_no_ledger_is_a_wrong_call(tmp_path: Path, made: str | None, says: str) -> None:
    directory = tmp_path / "x"
    if made is not None:
        directory.mkdir()
    if made == "repository":
        command = ["git", "init", "-q", "--bare", str(directory)]  # on the PATH
        subprocess.run(command, check=True)
    result = run(directory)
    assert result.exit_code == 2
    assert says in result.output


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--expect-head", "HEAD"], id="a head that is no hash"),
        pytest.param(["--expect-head", "a" * 50], id="a head of another length"),
        pytest.param(["--kubeconfig", "/nowhere"], id="no kubeconfig"),
        pytest.param(["--nonsense"], id="an unknown option"),
    ],
)
def test_a_wrong_call_ends_with_two(ledger: Ledger, options: list[str]) -> None:
    assert run(ledger, *options).exit_code == 2


def test_without_git_it_ends_with_two(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    result = run(ledger)
    assert result.exit_code == 2
    assert "install git" in result.output


@pytest.fixture
def kept_head(control_plane: ControlPlane) -> Iterator[None]:
    """The cluster keeps no head before and after."""
    control_plane.admin.call("DELETE", CONFIG_MAP)
    yield
    control_plane.admin.call("DELETE", CONFIG_MAP)


def keep(control_plane: ControlPlane, head: KeptHead) -> KeptHead:
    async def write() -> KeptHead:
        async with connect(Kubeconfig(control_plane.admin_kubeconfig)) as client:
            store = HeadStore(client)
            return await store.write(head, over=await store.read())

    return asyncio.run(write())


def head_of(ledger: Ledger, *, public_key: str | None = None) -> KeptHead:
    state = ledger.book.state
    key = public_key or ledger.book.public_key
    return KeptHead(IDENTITY.ref, state.seq, state.head, ledger.book.head, key)


@pytest.mark.requirement("history-append-only.verify")
@pytest.mark.usefixtures("kept_head")
def test_the_clusters_head_shows_a_cut_tail(ledger: Ledger, control_plane: ControlPlane) -> None:
    options = ("--kubeconfig", str(control_plane.admin_kubeconfig))
    absent = run(ledger, *options)
    assert (absent.exit_code, "[no-kept-head]" in absent.output) == (1, True)
    keep(control_plane, head_of(ledger))
    whole = run(ledger, *options)
    assert whole.exit_code == 0
    assert BLIND not in whole.output
    ledger.fill([2], start=7)
    assert run(ledger, *options).exit_code == 0, "the ledger may be further than its kept head"
    keep(control_plane, head_of(ledger))
    git(ledger.directory, "update-ref", IDENTITY.ref, f"{ledger.book.head}~3")
    cut = run(ledger, *options)
    assert (cut.exit_code, "[tail-cut]" in cut.output) == (1, True)
    git(ledger.directory, "update-ref", "-d", IDENTITY.ref)
    gone = run(ledger, *options)
    assert (gone.exit_code, "[no-ledger]" in gone.output) == (1, True)


@pytest.mark.requirement("history-append-only.verify")
@pytest.mark.usefixtures("kept_head")
def test_the_clusters_head_vouches_for_no_ledger_beside_its_own(
    ledger: Ledger, control_plane: ControlPlane
) -> None:
    keep(control_plane, head_of(ledger))
    other = LedgerIdentity(CLUSTER, 2)
    Ledger(ledger.directory, other, seed=OTHER_SEED).fill([3])
    assert git(ledger.directory, "symbolic-ref", "HEAD").strip() == other.ref
    result = run(ledger, "--kubeconfig", str(control_plane.admin_kubeconfig))
    assert result.exit_code == 1
    assert f"finding [not-current] {other.ref}: " in result.output
    assert f"warning [unvouched] {other.ref}: " in result.output
    git(ledger.directory, "symbolic-ref", "HEAD", IDENTITY.ref)
    result = run(ledger, "--kubeconfig", str(control_plane.admin_kubeconfig))
    assert (result.exit_code, "warning [unvouched]" in result.output) == (0, True)


@pytest.mark.usefixtures("kept_head")
def test_the_clusters_key_shows_a_foreign_seal(ledger: Ledger, control_plane: ControlPlane) -> None:
    keep(control_plane, head_of(ledger, public_key="ab" * 32))
    result = run(ledger, "--kubeconfig", str(control_plane.admin_kubeconfig))
    assert result.exit_code == 1
    assert "[foreign-key]" in result.output
