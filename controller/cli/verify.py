"""`governor verify`: whether a ledger is whole, in order, and only ever added to.

Reads a bare Git repository, and with `--kubeconfig` the head that the cluster keeps.
Ends with status 0 (whole), 1 (something found) or 2 (nothing could be verified). It
changes nothing, and runs nothing that the repository's own settings ask for.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from controller.cli.verdicts import printable
from controller.clients.git.errors import GitUnusableError, LedgerError
from controller.clients.git.process import GitProcess
from controller.clients.git.repository import LedgerRepository
from controller.clients.kube.config import Kubeconfig, KubeConfigError, connect
from controller.clients.kube.errors import KubeError
from controller.clients.kube.ledgerhead import HeadStore, KeptHead
from controller.records.chain import LedgerIdentity
from controller.records.verification import (
    MEANINGS,
    ChainVerifier,
    Code,
    ExpectedHead,
    Finding,
)

NOT_VERIFIED: Final = 2
MAX_SHOWN: Final = 100
BLIND: Final = (
    "not seen without --kubeconfig or --expect-head: whole flushes cut off at the end, "
    "or a ledger written anew from its start by someone with a key of his own"
)
_LEDGERS: Final = "refs/heads/ledger/"
_HEX: Final = frozenset("0123456789abcdef")
# An index beside the objects could tell another history than they do.
_OBJECTS_ONLY: Final = ("core.commitGraph=false", "core.multiPackIndex=false")

_Ledger = Annotated[Path, typer.Option("--ledger", help="The ledger's bare Git repository.")]
_Kubeconfig = Annotated[
    Path | None, typer.Option(help="The cluster that keeps the ledger's head, as a kubeconfig.")
]
_ExpectHead = Annotated[
    str | None,
    typer.Option(help="Hash of a record, or id of a commit, that the ledger is known to have."),
]


class VerifyError(Exception):
    """Nothing can be verified; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What one ledger is like."""

    ref: str
    records: int
    seals: int
    head: str
    """The hash of the last record."""
    commit: str
    """The id of the last commit."""
    findings: tuple[Finding, ...]


def verify(
    ledger: _Ledger, kubeconfig: _Kubeconfig = None, expect_head: _ExpectHead = None
) -> None:
    """Say whether a ledger is whole: no record lost, changed, moved or put in.

    Ends with 0 if it is, 1 if something is found, 2 if it cannot be verified.
    """
    try:
        kept = asyncio.run(_read_kept(kubeconfig)) if kubeconfig is not None else None
        noted = _noted_head(expect_head)
        verified = [*verify_repository(ledger, kept=kept, noted=noted)]
    except (VerifyError, LedgerError) as error:
        _say(f"governor verify: {error}", is_error=True)
        raise typer.Exit(NOT_VERIFIED) from None
    findings = [finding for one in verified for finding in one.findings]
    if kubeconfig is not None and kept is None:
        findings.append(Finding(Code.NO_KEPT_HEAD, "cluster", "it keeps no head of a ledger"))
    _tell(verified, findings, is_blind=kubeconfig is None and expect_head is None)
    raise typer.Exit(1 if any(not finding.is_warning for finding in findings) else 0)


def verify_repository(
    directory: Path, *, kept: KeptHead | None = None, noted: ExpectedHead | None = None
) -> Iterator[Verified]:
    """Verify every ledger in a repository.

    Args:
        directory: the bare repository.
        kept: the head that the cluster keeps; None: not known.
        noted: a head that someone noted; of the ledger that HEAD names.

    Raises:
        VerifyError: there is no repository, or no git.
        LedgerError: git cannot be run.
    """
    git = GitProcess(directory, options=_OBJECTS_ONLY)
    refs, current = _refs_of(git)
    damage = tuple(_damage(git))
    wanted = {*refs, *([kept.ref] if kept is not None else []), *([current] if noted else [])}
    for ref in sorted(wanted):
        expected = [noted] if noted is not None and ref == current else []
        if kept is not None and kept.ref == ref:
            expected.append(ExpectedHead(kept.hash, kept.seq, kept.commit, kept.public_key))
        told = [*damage, *_standing(ref, current if current in refs else "", kept=kept)]
        if not expected and (kept is not None or noted is not None):
            told.append(Finding(Code.UNVOUCHED, ref, "no head that is known is of this ledger"))
        yield _verify_one(git, ref, expected=expected, told=told)
    if not wanted:
        raise VerifyError(f"--ledger: {directory} holds no ledger (no ref below {_LEDGERS})")


def _refs_of(git: GitProcess) -> tuple[list[str], str]:
    """The refs of all ledgers, and the one that HEAD names."""
    if not (git.directory / "HEAD").is_file():
        raise VerifyError(f"--ledger: {git.directory} is no bare Git repository")
    try:
        git.require_usable()
        listed = git.run("for-each-ref", "--format=%(refname)", _LEDGERS).split(b"\n")
        refs = [name.decode(errors="replace") for name in listed if name]
        _, head, _ = git.ask("symbolic-ref", "--quiet", "HEAD")
    except GitUnusableError as error:
        raise VerifyError(str(error)) from error
    except LedgerError as error:
        raise VerifyError(f"--ledger: {error}") from error
    return refs, head.decode(errors="replace").strip()


def _damage(git: GitProcess) -> Iterator[Finding]:
    """What Git itself finds wrong with the objects."""
    arguments = ("--full", "--no-dangling", "--no-progress", "--no-reflogs")
    status, output, words = git.ask("fsck", *arguments)
    if status != 0:
        told = " ".join(f"{output.decode(errors='replace')} {words}".split())
        yield Finding(Code.DAMAGED, str(git.directory), told[:1000])


def _standing(ref: str, current: str, *, kept: KeptHead | None) -> Iterator[Finding]:
    """Whether the ledger that is shown first is the one that the cluster knows."""
    if kept is not None and ref == current != kept.ref:
        detail = f"HEAD names it, and the head that the cluster keeps is of {kept.ref}"
        yield Finding(Code.NOT_CURRENT, ref, detail)


def _verify_one(
    git: GitProcess, ref: str, *, expected: Sequence[ExpectedHead], told: Iterable[Finding]
) -> Verified:
    try:
        cluster, _, epoch = ref.removeprefix(_LEDGERS).partition("/")
        identity = LedgerIdentity(cluster, int(epoch))
    except ValueError:
        identity = None
    if identity is None or identity.ref != ref:  # `01` is not the name of epoch 1
        finding = Finding(Code.NO_LEDGER, ref, "it is not named by a cluster and an epoch")
        return Verified(ref, 0, 0, "", "", (*told, finding))
    verifier = ChainVerifier(identity, expected=expected)
    findings = (*told, *_walk(LedgerRepository(git, identity), verifier))
    return Verified(ref, verifier.records, verifier.seals, verifier.head, verifier.commit, findings)


def _walk(repository: LedgerRepository, verifier: ChainVerifier) -> Iterator[Finding]:
    """All findings of one ledger; what cannot be read ends it with one more."""
    try:
        head = repository.head()
        if not head:
            yield Finding(Code.NO_LEDGER, repository.ref, "there is no such ref")
        for step in repository.steps(head):
            yield from verifier.take(step)
    except LedgerError as error:
        yield Finding(Code.DAMAGED, repository.ref, str(error))
    yield from verifier.finish()


def _noted_head(text: str | None) -> ExpectedHead | None:
    if text is None:
        return None
    if len(text) not in {40, 64} or not _HEX.issuperset(text):
        problem = f"--expect-head: {text!r} is neither a record's hash nor a commit's id"
        raise VerifyError(f"{problem}: 64 or 40 characters of lower-case hex")
    return ExpectedHead(text)


async def _read_kept(kubeconfig: Path) -> KeptHead | None:
    try:
        async with connect(Kubeconfig(kubeconfig)) as client:
            return await HeadStore(client).read()
    except (KubeConfigError, KubeError, OSError) as error:
        raise VerifyError(f"--kubeconfig: {error}") from error


def _tell(verified: Sequence[Verified], findings: Sequence[Finding], *, is_blind: bool) -> None:
    for finding in findings[:MAX_SHOWN]:
        kind = "warning" if finding.is_warning else "finding"
        told = f"{finding.where}: {finding.detail}; {MEANINGS[finding.code]}"
        _say(f"{kind} [{finding.code}] {told}")
    if len(findings) > MAX_SHOWN:
        _say(f"and {len(findings) - MAX_SHOWN} more findings")
    for one in verified:
        is_whole = all(finding.is_warning for finding in one.findings)
        word = "verified" if is_whole else "NOT whole:"
        counted = f"{one.records} records, {one.seals} seals"
        _say(f"{one.ref}: {word} {counted}, head {one.head}, commit {one.commit or 'none'}")
    if is_blind:
        _say(BLIND)


def _say(text: str, *, is_error: bool = False) -> None:
    """One line, whatever a file, its name or a message has in it."""
    typer.echo(printable(text.replace("\n", "�")), err=is_error)
