"""X.509 for the servers and clients that Governor itself runs.

Issues ECDSA P-256 certificates from a CA of our own, and writes them as PEM
files that only their owner can read. It decides nothing about who may have
which name, and it must not read the clock or choose a validity: both are given
to it, so that a rotation can be tested without waiting for one.
"""

import ipaddress
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from uuid import uuid4

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLOCK_SKEW = timedelta(minutes=5)
"""How far a certificate is dated back, for peers whose clocks run behind ours."""

_DNS_NAME = re.compile(r"(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")


class CertificateError(Exception):
    """A certificate cannot be issued, read or written; the message names what is wrong."""


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a certificate holds. Both ends are aware datetimes."""

    not_before: datetime
    not_after: datetime

    def __post_init__(self) -> None:
        """Refuse ends without a time zone, or in the wrong order."""
        if self.not_before.tzinfo is None or self.not_after.tzinfo is None:
            raise CertificateError("validity: give both ends a time zone, such as UTC")
        if self.not_after <= self.not_before:
            raise CertificateError(
                f"validity: ends ({self.not_after}) before it begins ({self.not_before})"
            )

    @classmethod
    def lasting(cls, lifetime: timedelta, *, now: datetime) -> Self:
        """From just before ``now`` (see `CLOCK_SKEW`) until ``lifetime`` after it."""
        return cls(now - CLOCK_SKEW, now + lifetime)

    def within(self, other: Self) -> Self:
        """Cut this validity to the other: no leaf outlives its CA."""
        return type(self)(
            max(self.not_before, other.not_before), min(self.not_after, other.not_after)
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    @property
    def validity(self) -> Validity:
        """From when to when the certificate holds."""
        loaded = _load_certificate(self.certificate)
        return Validity(loaded.not_valid_before_utc, loaded.not_valid_after_utc)

    def write(self, directory: Path, name: str) -> "Files":
        """Write ``name.crt`` and ``name.key``, readable by the owner only.

        The key comes first: whoever watches for the certificate finds both.

        Raises:
            CertificateError: the directory cannot be written to.
        """
        files = Files(directory / f"{name}.crt", directory / f"{name}.key")
        write_private(files.key, self.key)
        write_private(files.certificate, self.certificate)
        return files


@dataclass(frozen=True, slots=True)
class Files:
    """Where a pair lies on disk."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that can issue. Hold it where the private key may be held, nowhere else."""

    pair: Pair

    @classmethod
    def create(cls, common_name: str, *, validity: Validity) -> Self:
        """Make a self-signed CA with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _subject(common_name)
        builder = (
            _unsigned(name, key.public_key(), issuer=name, validity=validity)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
        )
        return cls(_pair(builder.sign(key, hashes.SHA256()), key))

    @classmethod
    def load(cls, pair: Pair) -> Self:
        """Take up a CA that was written before.

        Raises:
            CertificateError: not PEM, not a CA, or the key of another certificate.
        """
        certificate = _load_certificate(pair.certificate)
        if not _is_authority(certificate):
            raise CertificateError("certificate: is not a CA (basicConstraints CA:TRUE is missing)")
        if _load_key(pair.key).public_key() != certificate.public_key():
            raise CertificateError("key: belongs to another certificate")
        return cls(pair)

    @property
    def certificate(self) -> bytes:
        """The CA's own certificate, PEM: what a peer must trust."""
        return self.pair.certificate

    def issue_server(self, common_name: str, *, sans: Iterable[str], validity: Validity) -> Pair:
        """Issue a certificate that a TLS server shows.

        Args:
            common_name: for people; no client verifies it.
            sans: the DNS names and IP addresses that clients connect to; at least one.
            validity: cut to the CA's own.

        Raises:
            CertificateError: no SAN, or one that is neither a DNS name nor an address.
        """
        names = [_general_name(san) for san in sans]
        if not names:
            raise CertificateError("sans: give at least one DNS name or IP address")
        return self._issue(
            _subject(common_name),
            usages=[ExtendedKeyUsageOID.SERVER_AUTH],
            sans=names,
            validity=validity,
        )

    def issue_client(self, user: str, *, groups: Iterable[str] = (), validity: Validity) -> Pair:
        """Issue a certificate that the API server takes for this user in these groups.

        Raises:
            CertificateError: a name is empty or longer than X.509 allows (64).
        """
        return self._issue(
            _subject(user, groups),
            usages=[ExtendedKeyUsageOID.CLIENT_AUTH],
            sans=[],
            validity=validity,
        )

    def issue_peer(self, common_name: str, *, sans: Iterable[str], validity: Validity) -> Pair:
        """Issue a certificate for both ends of mutual TLS, as between replicas."""
        return self._issue(
            _subject(common_name),
            usages=[ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
            sans=[_general_name(san) for san in sans],
            validity=validity,
        )

    def _issue(
        self,
        subject: x509.Name,
        *,
        usages: list[x509.ObjectIdentifier],
        sans: list[x509.GeneralName],
        validity: Validity,
    ) -> Pair:
        authority = _load_certificate(self.pair.certificate)
        signer = _load_key(self.pair.key)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _unsigned(
                subject,
                key.public_key(),
                issuer=authority.subject,
                validity=validity.within(self.pair.validity),
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                critical=False,
            )
        )
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        return _pair(builder.sign(signer, hashes.SHA256()), key)


def is_issued_by(certificate: bytes, authority: bytes) -> bool:
    """Whether the CA (PEM) signed the certificate (PEM). Does not look at validity."""
    try:
        _load_certificate(certificate).verify_directly_issued_by(_load_certificate(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def generate_signing_key() -> tuple[bytes, bytes]:
    """Make a P-256 key for signing tokens: the private and the public half, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return _key_pem(key), public


def write_private(path: Path, content: bytes) -> None:
    """Replace a file at once, readable by its owner only, whatever the umask.

    Raises:
        CertificateError: the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise CertificateError(f"{path}: cannot be written: {error.strerror}") from error


def _unsigned(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    *,
    issuer: x509.Name,
    validity: Validity,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.not_before.astimezone(UTC))
        .not_valid_after(validity.not_after.astimezone(UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _subject(common_name: str, organizations: Iterable[str] = ()) -> x509.Name:
    try:
        return x509.Name(
            [
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )
    except ValueError as error:
        raise CertificateError(f"name of {common_name!r}: {error}") from error


def _general_name(san: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(san))
    except ValueError:
        if not _DNS_NAME.fullmatch(san):
            raise CertificateError(
                f"sans: {san!r} is neither an IP address nor a DNS name"
            ) from None
        return x509.DNSName(san)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _load_certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise CertificateError(f"certificate: is not PEM: {error}") from error


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"key: is not a PEM private key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("key: is not an elliptic-curve key")
    return key


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return constraints.value.ca
