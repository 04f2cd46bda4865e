"""Checks a ledger commit by commit, and says what is wrong where.

Pure, and in one pass: it remembers the last record and seal, not the history. It
must not repair, read or fetch anything, nor stop at the first finding. What it
cannot see without knowing a later head from elsewhere: that whole flushes are
missing at the end, or that someone with a key of his own wrote all of it anew.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from typing import Final

from controller.apis.json import Json
from controller.records.canonical import CanonicalError, parsed
from controller.records.chain import (
    RECORDS,
    SEALS,
    WRITER_EMAIL,
    WRITER_NAME,
    LedgerIdentity,
    digest_of,
    record_path,
    seal_path,
)
from controller.records.history import FileChange, HistoryStep, identity_of, trailers_of
from controller.records.record import message_of
from controller.records.seals import Seal, SealUnreadableError, is_signed, read_seal, seal_message

_MAX_SECONDS: Final = 253402300799  # the last second of the year 9999
_MAX_TOLD: Final = 200


class Code(StrEnum):
    """What was found."""

    NOT_APPEND_ONLY = "not-append-only"
    NOT_LINEAR = "not-linear"
    FOREIGN_FILE = "foreign-file"
    UNREADABLE = "unreadable"
    GAP = "gap"
    OUT_OF_ORDER = "out-of-order"
    CHAIN_BROKEN = "chain-broken"
    MISNAMED = "misnamed"
    MESSAGE_DIFFERS = "message-differs"
    FOREIGN_WRITER = "foreign-writer"
    RECORDED_TWICE = "recorded-twice"
    SEAL_FORGED = "seal-forged"
    SEAL_WRONG = "seal-wrong"
    SEAL_CHAIN_BROKEN = "seal-chain-broken"
    OUTBOX_WENT_BACK = "outbox-went-back"
    FOREIGN_KEY = "foreign-key"
    UNSEALED_TAIL = "unsealed-tail"
    TAIL_CUT = "tail-cut"
    REWRITTEN = "rewritten"
    NO_LEDGER = "no-ledger"
    NO_KEPT_HEAD = "no-kept-head"
    NOT_CURRENT = "not-current"
    DAMAGED = "damaged"
    KEY_CHANGED = "key-changed"
    BODY_MISSING = "body-missing"
    UNVOUCHED = "unvouched"


MEANINGS: Final[Mapping[Code, str]] = {
    Code.NOT_APPEND_ONLY: "a ledger's commits add one file each and touch no other",
    Code.NOT_LINEAR: "history was joined or cut: a commit follows exactly the one before",
    Code.FOREIGN_FILE: "it is neither a record nor a seal; Governor did not write it",
    Code.UNREADABLE: "it is damaged, or Governor did not write it",
    Code.GAP: "records were taken out",
    Code.OUT_OF_ORDER: "records were moved, repeated or put in",
    Code.CHAIN_BROKEN: "this record, or the one before, was changed after it was written",
    Code.MISNAMED: "the file was moved, or its commit dated anew",
    Code.MESSAGE_DIFFERS: "the commit message was written anew; only the record counts",
    Code.FOREIGN_WRITER: "who committed it, and when, is not as Governor writes it",
    Code.RECORDED_TWICE: "one write or attempt must have one record",
    Code.SEAL_FORGED: "the seal was changed, or made without the key",
    Code.SEAL_WRONG: "the seal is not of the records before it",
    Code.SEAL_CHAIN_BROKEN: "a seal was taken out, put in or changed",
    Code.OUTBOX_WENT_BACK: "the ledger was set back, or written by two at once",
    Code.FOREIGN_KEY: "the last seal is not signed by the key that the cluster knows",
    Code.UNSEALED_TAIL: "the flush that wrote them never ended, or they were put in later",
    Code.TAIL_CUT: "records at the end were taken out",
    Code.REWRITTEN: "the ledger has another record there: it was written anew",
    Code.NO_LEDGER: "the ledger is gone, or this is another repository",
    Code.NO_KEPT_HEAD: "it was taken out of the cluster, or this is another cluster",
    Code.NOT_CURRENT: "`governor log` and a bare `git log` show the one, the cluster vouches for "
    "the other",
    Code.DAMAGED: "objects are missing or changed; restore the repository from its remote",
    Code.KEY_CHANGED: "harmless if the keys were replaced then; else someone else sealed",
    Code.BODY_MISSING: "an outbox was lost; the digest in the record says what it was",
    Code.UNVOUCHED: "an earlier epoch's is whole as far as it says itself; or it is a forgery",
}
"""What each means, in words for whoever reads the report."""

_SEALED: Final = ("ledger", "from", "to", "count", "head")

WARNINGS: Final = frozenset({Code.KEY_CHANGED, Code.BODY_MISSING, Code.UNVOUCHED})
"""What is told, and is no breach of the ledger."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be."""

    code: Code
    where: str
    """A commit, a file, or a record's number."""
    detail: str

    @property
    def is_warning(self) -> bool:
        """Whether the ledger is whole all the same."""
        return self.code in WARNINGS


@dataclass(frozen=True, slots=True)
class ExpectedHead:
    """What is known from elsewhere: the ledger has this record, or goes on after it."""

    digest: str
    """The record's hash, or for one that was noted by hand the commit's id."""
    seq: int | None = None
    """Its number, where that is known too."""
    commit: str = ""
    """The id of the commit that sealed it, where that is known too."""
    public_key: str = ""
    """Of the signer; empty: not known."""

    @property
    def names(self) -> frozenset[str]:
        """What must be met on the way."""
        return frozenset({self.digest, self.commit} - {""})


class ChainVerifier:
    """Takes a ledger's commits in order, oldest first.

    Attributes:
        records: how many there were.
        seals: how many there were.
        head: the hash of the last record.
        commit: the id of the last commit.
    """

    def __init__(
        self,
        identity: LedgerIdentity,
        *,
        expected: Sequence[ExpectedHead] = (),
    ) -> None:
        self.records = 0
        self.seals = 0
        self.head = identity.genesis
        self.commit = ""
        self._identity = identity
        self._expected = expected
        self._awaited = {name for head in expected for name in head.names}
        self._seq = 0
        self._seal = identity.genesis
        self._sealed_to = 0
        self._unsealed = 0
        self._key = ""
        self._replicas: dict[str, int] = {}
        self._keys: set[bytes] = set()

    def take(self, step: HistoryStep) -> Iterator[Finding]:
        """What is wrong with the next commit."""
        yield from self._lineage(step)
        yield from _headers(step)
        self._awaited.discard(step.commit)
        for change in step.changes:
            if change.status != "A" or change.mode != "100644":
                detail = f"{change.status} {change.path} (mode {change.mode})"
                yield Finding(Code.NOT_APPEND_ONLY, step.commit, detail)
        if len(step.changes) != 1:
            detail = f"it changes {len(step.changes)} files"
            yield Finding(Code.NOT_APPEND_ONLY, step.commit, detail)
        elif step.content is not None:
            yield from self._file(step, step.changes[0], step.content)
        elif step.changes[0].status == "A":
            yield Finding(Code.FOREIGN_FILE, step.commit, repr(step.changes[0].path))

    def finish(self) -> Iterator[Finding]:
        """What is wrong with the whole, after the last commit."""
        if self._unsealed:
            detail = f"{self._unsealed} records after the last seal"
            yield Finding(Code.UNSEALED_TAIL, f"record {self._seq}", detail)
        for expected in self._expected:
            yield from self._compare(expected)

    def _lineage(self, step: HistoryStep) -> Iterator[Finding]:
        follows = (self.commit,) if self.commit else ()
        if step.parents != follows:
            detail = f"its parents are {step.parents or 'none'}, not {follows or 'none'}"
            yield Finding(Code.NOT_LINEAR, step.commit, detail)
        self.commit = step.commit

    def _file(self, step: HistoryStep, change: FileChange, content: bytes) -> Iterator[Finding]:
        if change.path.startswith(f"{RECORDS}/"):
            yield from self._record(step, change.path, content)
        elif change.path.startswith(f"{SEALS}/"):
            yield from self._check_seal(step, change.path, content)
        else:
            yield Finding(Code.FOREIGN_FILE, step.commit, change.path)

    def _record(self, step: HistoryStep, path: str, content: bytes) -> Iterator[Finding]:
        self.records += 1
        self._unsealed += 1
        before, self.head = self.head, digest_of(content)
        self._awaited.discard(self.head)
        try:
            record = parsed(content)
        except CanonicalError as error:
            self._seq += 1
            yield Finding(Code.UNREADABLE, path, str(error))
            return
        seq = record.get("seq") if isinstance(record, dict) else None
        if not isinstance(record, dict) or type(seq) is not int:
            self._seq += 1
            yield Finding(Code.UNREADABLE, path, "it is no object with a number in `seq`")
            return
        yield from self._number(path, seq)
        if record.get("prev") != before:
            detail = f"prev is {_short(record.get('prev'))}, the record before has {_short(before)}"
            yield Finding(Code.CHAIN_BROKEN, path, detail)
        expected_path = record_path(seq, str(record.get("change")), _milliseconds(step))
        if path != expected_path:
            yield Finding(Code.MISNAMED, path, f"it should be {expected_path}")
        message = message_of(record, seq=self._seq, prev=str(record.get("prev")))
        yield from _compare_message(step, path, message)
        identity = identity_of(trailers_of(message))
        if identity and not self._is_new(identity):
            yield Finding(Code.RECORDED_TWICE, path, identity)
        if "bodyMissing" in record:
            yield Finding(Code.BODY_MISSING, path, str(record["bodyMissing"]))

    def _number(self, path: str, seq: int) -> Iterator[Finding]:
        expected = self._seq + 1
        if seq > expected:
            detail = f"records {expected} to {seq - 1} are not there"
            yield Finding(Code.GAP, path, detail)
        elif seq < expected:
            yield Finding(Code.OUT_OF_ORDER, path, f"record {seq} comes after {self._seq}")
        self._seq = seq

    def _is_new(self, name: str) -> bool:
        """Kept as 16 bytes each: a long ledger has millions."""
        key = hashlib.blake2b(name.encode(), digest_size=16).digest()
        if key in self._keys:
            return False
        self._keys.add(key)
        return True

    def _check_seal(self, step: HistoryStep, path: str, content: bytes) -> Iterator[Finding]:
        self.seals += 1
        try:
            seal, is_genuine = read_seal(content), is_signed(content)
        except SealUnreadableError as error:
            yield Finding(Code.UNREADABLE, path, str(error))
            return
        if not is_genuine:
            yield Finding(Code.SEAL_FORGED, path, "its signature is not of this content")
        if seal.prev != self._seal:
            detail = f"prev is {_short(seal.prev)}, the seal before has {_short(self._seal)}"
            yield Finding(Code.SEAL_CHAIN_BROKEN, path, detail)
        expected_path = seal_path(seal.last, _milliseconds(step))
        if path != expected_path:
            yield Finding(Code.MISNAMED, path, f"it should be {expected_path}")
        yield from _compare_message(step, path, seal_message(seal))
        yield from self._compare_seal(path, seal)
        yield from self._advance_replicas(path, seal)
        self._seal = digest_of(content)
        self._sealed_to, self._unsealed = seal.last, 0

    def _compare_seal(self, path: str, seal: Seal) -> Iterator[Finding]:
        found = (self._identity, self._sealed_to + 1, self._seq, self._unsealed, self.head)
        stated = (seal.identity, seal.first, seal.last, seal.count, seal.head)
        for name, is_so, says in zip(_SEALED, found, stated, strict=True):
            if is_so != says:
                yield Finding(
                    Code.SEAL_WRONG, path, f"{name} is {says}, but {is_so} by the records"
                )
        if self._key and seal.public_key != self._key:
            detail = f"it is signed by {_short(seal.public_key)}, those before by"
            yield Finding(Code.KEY_CHANGED, path, f"{detail} {_short(self._key)}")
        self._key = seal.public_key

    def _advance_replicas(self, path: str, seal: Seal) -> Iterator[Finding]:
        for replica, number in seal.replicas.items():
            before = self._replicas.get(replica, 0)
            if number < before:
                detail = f"{replica}: {number}, and {before} in a seal before"
                yield Finding(Code.OUTBOX_WENT_BACK, path, detail)
            self._replicas[replica] = number

    def _compare(self, expected: ExpectedHead) -> Iterator[Finding]:
        where = f"record {self._seq}"
        if not self._awaited.isdisjoint(expected.names):
            known = f"record {expected.seq or '?'} ({_short(expected.digest)})"
            is_cut = expected.seq is None or expected.seq > self._seq
            code = Code.TAIL_CUT if is_cut else Code.REWRITTEN
            yield Finding(code, where, f"{known} was in the ledger, and is not there")
        if expected.public_key and expected.public_key != self._key:
            detail = f"it is signed by {_short(self._key)}, not by {_short(expected.public_key)}"
            yield Finding(Code.FOREIGN_KEY, where, detail)


def _headers(step: HistoryStep) -> Iterator[Finding]:
    """Compare who wrote it, and when; nothing else belongs to a commit."""
    who = f"{WRITER_NAME} <{WRITER_EMAIL}> {step.at} +0000"
    expected = (f"author {who}", f"committer {who}")
    if step.headers != expected:
        found = "; ".join(step.headers)[:_MAX_TOLD]
        yield Finding(Code.FOREIGN_WRITER, step.commit, f"it says {found!r}")


def _compare_message(step: HistoryStep, path: str, stated: str) -> Iterator[Finding]:
    """Compare all of it: whoever reads or searches a bare `git log` goes by any line."""
    if step.message == stated:
        return
    lines = zip_longest(step.message.split("\n"), stated.split("\n"))
    is_so, says = next((one, other) for one, other in lines if one != other)
    detail = f"{_told(is_so)} in the message of {step.commit}, {_told(says)} by it"
    yield Finding(Code.MESSAGE_DIFFERS, path, detail)


def _told(line: str | None) -> str:
    return repr(line[:_MAX_TOLD]) if line is not None else "nothing"


def _milliseconds(step: HistoryStep) -> int:
    return min(step.at, _MAX_SECONDS) * 1000


def _short(digest: Json) -> str:
    return f"{str(digest)[:16]}…" if digest else "nothing"
