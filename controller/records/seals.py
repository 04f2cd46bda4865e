"""The seal of one flush: how far the ledger goes, signed by who wrote it.

A chain alone can be computed anew by anyone who can write the repository; a seal
cannot, without the key. Seals are chained too. It must not say anything of a
record's content, nor choose a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from controller.apis.json import Json
from controller.records.canonical import CanonicalError, canonical, parsed
from controller.records.chain import ChainState, LedgerIdentity, digest_of

VERSION: Final = 1
_SIGNATURE: Final = "signature"


class SealUnreadableError(ValueError):
    """The file is not a seal; the message names the field."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What one flush says about itself and the ledger so far."""

    identity: LedgerIdentity
    first: int
    """The number of the flush's first record."""
    last: int
    count: int
    head: str
    """The hash of the last record."""
    prev: str
    """The hash of the seal before."""
    replicas: Mapping[str, int]
    """Per replica the record number of its outbox up to which everything is dealt with."""
    at: int
    """Milliseconds since the epoch."""
    public_key: str = ""
    """The signer's, hex; set by `sealed`."""


def public_key_of(seed: bytes) -> str:
    """The public half of a private seed of 32 bytes, hex."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex()


def sealed(seal: Seal, *, seed: bytes) -> bytes:
    """The file of a seal, signed with the private seed of 32 bytes."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    statement = _statement(seal, key.public_key().public_bytes_raw().hex())
    signature = key.sign(canonical(statement)).hex()
    return canonical({**statement, _SIGNATURE: signature})


def seal_message(seal: Seal) -> str:
    """The message of its commit."""
    trailers = f"Seal: {seal.last}\nCount: {seal.count}\nHead: {seal.head}"
    return f"seal records {seal.first} to {seal.last}\n\n{trailers}\n"


def state_after(content: bytes) -> ChainState:
    """Where the chain stands after this seal.

    Raises:
        SealUnreadableError: it is no seal.
    """
    seal = read_seal(content)
    return ChainState(seal.last, seal.head, digest_of(content), seal.at, seal.replicas)


def is_signed(content: bytes) -> bool:
    """Whether the signature is of this content, by the key that it names.

    Whether that key is the right one is another question.

    Raises:
        SealUnreadableError: it is no seal.
    """
    value = _parsed(content)
    signature = _text(value, _SIGNATURE)
    statement = {key: item for key, item in value.items() if key != _SIGNATURE}
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(_text(value, "publicKey")))
        key.verify(bytes.fromhex(signature), canonical(statement))
    except (InvalidSignature, ValueError):  # the latter: no hex, or not 32 bytes
        return False
    return True


def read_seal(content: bytes) -> Seal:
    """The seal that a file holds; its signature is not looked at.

    Raises:
        SealUnreadableError: it is not one.
    """
    value = _parsed(content)
    if value.get("version") != VERSION:
        raise SealUnreadableError(f"version: {value.get('version')!r} is unknown; know {VERSION}")
    return Seal(
        identity=_identity(value.get("ledger")),
        first=_number(value, "from"),
        last=_number(value, "to"),
        count=_number(value, "count"),
        head=_text(value, "head"),
        prev=_text(value, "prev"),
        replicas=_replicas(value.get("replicas")),
        at=_number(value, "at"),
        public_key=_text(value, "publicKey"),
    )


def _statement(seal: Seal, public_key: str) -> dict[str, Json]:
    return {
        "version": VERSION,
        "ledger": {"cluster": seal.identity.cluster, "epoch": seal.identity.epoch},
        "from": seal.first,
        "to": seal.last,
        "count": seal.count,
        "head": seal.head,
        "prev": seal.prev,
        "replicas": dict(seal.replicas),
        "at": seal.at,
        "publicKey": public_key,
    }


def _parsed(content: bytes) -> dict[str, Json]:
    try:
        value = parsed(content)
    except CanonicalError as error:
        raise SealUnreadableError(str(error)) from error
    if not isinstance(value, dict):
        raise SealUnreadableError("it is no object")
    return value


def _identity(value: Json) -> LedgerIdentity:
    if not isinstance(value, dict):
        raise SealUnreadableError("ledger: it is no object")
    try:
        return LedgerIdentity(_text(value, "cluster"), _number(value, "epoch"))
    except ValueError as error:
        raise SealUnreadableError(f"ledger: {error}") from error


def _replicas(value: Json) -> Mapping[str, int]:
    if not isinstance(value, dict) or any(type(number) is not int for number in value.values()):
        raise SealUnreadableError("replicas: it is no object of integers")
    return cast("dict[str, int]", value)


def _text(value: Mapping[str, Json], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise SealUnreadableError(f"{name}: it is no string")
    return found


def _number(value: Mapping[str, Json], name: str) -> int:
    found = value.get(name)
    if type(found) is not int:
        raise SealUnreadableError(f"{name}: it is no integer")
    return found
