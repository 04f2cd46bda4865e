"""Numbers, hashes, file names and seals of a ledger."""

import hashlib
from dataclasses import replace

import pytest

from controller.records.canonical import canonical, parsed
from controller.records.chain import (
    ChainState,
    LedgerIdentity,
    digest_of,
    record_content,
    record_path,
)
from controller.records.history import identity_of, trailers_of
from controller.records.seals import (
    Seal,
    SealUnreadableError,
    is_signed,
    public_key_of,
    read_seal,
    sealed,
    state_after,
)
from tests.ledgers import CLUSTER, IDENTITY, NOON, OTHER_SEED, SEED

SEAL = Seal(
    identity=IDENTITY,
    first=1,
    last=3,
    count=3,
    head="aa" * 32,
    prev=IDENTITY.genesis,
    replicas={"replica-a": 7},
    at=NOON,
)


def test_a_ledger_begins_with_the_hash_of_whose_it_is() -> None:
    form = f'{{"cluster":"{CLUSTER}","epoch":1}}'
    assert IDENTITY.genesis == hashlib.sha256(form.encode()).hexdigest()
    assert IDENTITY.genesis != LedgerIdentity(CLUSTER, 2).genesis
    assert IDENTITY.ref == f"refs/heads/ledger/{CLUSTER}/1"
    assert ChainState.start(IDENTITY).head == IDENTITY.genesis


@pytest.mark.parametrize(
    ("cluster", "epoch", "field"),
    [
        pytest.param("", 1, "cluster", id="no cluster"),
        pytest.param("../../heads/main", 1, "cluster", id="a path"),
        pytest.param("a b", 1, "cluster", id="a blank"),
        pytest.param("a.lock", 1, "cluster", id="a name that Git refuses"),
        pytest.param(CLUSTER, 0, "epoch", id="epoch zero"),
    ],
)
def test_an_identity_that_is_no_ref_is_refused(cluster: str, epoch: int, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        LedgerIdentity(cluster, epoch)


def test_a_record_holds_its_number_and_the_hash_before() -> None:
    content = record_content({"b": 1}, seq=4, prev="ff")
    assert content == b'{"b":1,"prev":"ff","seq":4}'
    assert digest_of(content) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("field", ["seq", "prev"])
def test_a_record_cannot_bring_its_own_place(field: str) -> None:
    with pytest.raises(ValueError, match="seq, prev"):
        record_content({field: 1}, seq=4, prev="ff")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        pytest.param("01JD8Z6V5M3Q2W1X0Y9Z8A7B6C", "01JD8Z6V5M3Q2W1X0Y9Z8A7B6C", id="a ULID"),
        pytest.param("../x", "unnamed", id="a path"),
        pytest.param("", "unnamed", id="nothing"),
        pytest.param("a" * 65, "unnamed", id="too long"),
        pytest.param("a\nb", "unnamed", id="two lines"),
    ],
)
def test_a_records_file_is_named_by_hour_number_and_change(change: str, name: str) -> None:
    path = record_path(1234, change, NOON)
    assert path == f"records/2026/11/25/12/0000000012/000000001234-{name}.json"


def test_no_directory_holds_more_than_a_hundred_records() -> None:
    folders = [record_path(seq, "x", NOON).rpartition("/")[0] for seq in range(1000)]
    assert max(folders.count(folder) for folder in folders) == 100


def test_a_seal_says_what_was_sealed() -> None:
    found = read_seal(sealed(SEAL, seed=SEED))
    assert found == replace(SEAL, public_key=public_key_of(SEED))


def test_a_chain_goes_on_from_its_seal() -> None:
    content = sealed(SEAL, seed=SEED)
    state = state_after(content)
    assert state == ChainState(3, SEAL.head, digest_of(content), NOON, {"replica-a": 7})


@pytest.mark.requirement("history-append-only.verify")
@pytest.mark.parametrize(
    "field", ["from", "to", "count", "head", "prev", "at", "publicKey", "signature", "ledger"]
)
def test_a_seal_that_was_changed_is_not_signed(field: str) -> None:
    value = parsed(sealed(SEAL, seed=SEED))
    assert isinstance(value, dict)
    other = parsed(sealed(replace(SEAL, identity=LedgerIdentity("x")), seed=OTHER_SEED))
    assert isinstance(other, dict)
    old = value[field]
    value[field] = old + 1 if isinstance(old, int) else other[field]
    if old == value[field]:
        value[field] = "bb" * 32
    assert is_signed(sealed(SEAL, seed=SEED))
    assert not is_signed(canonical(value))


@pytest.mark.parametrize("key", ["", "zz", "00", "00" * 31, "00" * 33])
def test_a_key_that_is_none_signs_nothing(key: str) -> None:
    value = parsed(sealed(SEAL, seed=SEED))
    assert isinstance(value, dict)
    assert not is_signed(canonical({**value, "publicKey": key}))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"version": 2}, "version", id="another version"),
        pytest.param({"to": "3"}, "to", id="a number as text"),
        pytest.param({"count": True}, "count", id="true is no number"),
        pytest.param({"head": None}, "head", id="no head"),
        pytest.param({"replicas": {"a": "1"}}, "replicas", id="a replica without a number"),
        pytest.param({"ledger": []}, "ledger", id="no ledger"),
        pytest.param({"ledger": {"cluster": "a/b", "epoch": 1}}, "cluster", id="no cluster"),
    ],
)
def test_what_is_no_seal_is_told_by_its_field(changes: dict[str, object], named: str) -> None:
    value = parsed(sealed(SEAL, seed=SEED))
    assert isinstance(value, dict)
    changed = canonical({**value, **changes})  # type: ignore[dict-item] # values of a table
    with pytest.raises(SealUnreadableError, match=named):
        read_seal(changed)


@pytest.mark.parametrize(
    ("message", "trailers"),
    [
        pytest.param("a\n\nSeq: 1\nPrev: ff\n", {"Seq": "1", "Prev": "ff"}, id="the last block"),
        pytest.param("a\n\nSeq: 9\n\nSeq: 1\n", {"Seq": "1"}, id="no block before it"),
        pytest.param("Seq: 1\n", {}, id="no subject"),
        pytest.param("a\n\nSeq: 1\nfree text\n", {}, id="no block with other lines"),
        pytest.param("a\n\n> Seq: 1\n", {}, id="no quotation"),
        pytest.param("", {}, id="nothing"),
    ],
)
def test_trailers_are_the_last_block_of_a_message(message: str, trailers: dict[str, str]) -> None:
    assert trailers_of(message) == trailers


def test_a_record_is_known_by_its_entry_else_by_its_attempt() -> None:
    assert identity_of({"Entry": "c/u/1", "Attempt": "r/1"}) == "Entry c/u/1"
    assert identity_of({"Attempt": "r/1"}) == "Attempt r/1"
    assert identity_of({"Seal": "1"}) == ""
