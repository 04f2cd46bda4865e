"""Certificates of our own CA: who trusts them, for how long, and who can read them."""

import ipaddress
import os
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controller.clients.certificates import (
    CLOCK_SKEW,
    Authority,
    CertificateError,
    Pair,
    Validity,
    generate_signing_key,
    is_issued_by,
    write_private,
)

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
YEAR = Validity.lasting(timedelta(days=365), now=NOON)
DAY = Validity.lasting(timedelta(days=1), now=NOON)


@pytest.fixture
def authority() -> Authority:
    """A CA for a year."""
    return Authority.create("governor test CA", validity=YEAR)


def parsed(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def current() -> Validity:
    """From now on, for certificates that a real TLS library is to accept."""
    return Validity.lasting(timedelta(hours=1), now=datetime.now(UTC))


def test_a_server_certificate_has_the_names_that_clients_connect_to(authority: Authority) -> None:
    leaf = parsed(
        authority.issue_server("webhook", sans=["127.0.0.1", "::1", "governor.svc"], validity=DAY)
    )

    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert names.get_values_for_type(x509.DNSName) == ["governor.svc"]
    assert set(names.get_values_for_type(x509.IPAddress)) == {
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    }
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_client_certificate_carries_user_and_groups_as_kubernetes_reads_them(
    authority: Authority,
) -> None:
    leaf = parsed(authority.issue_client("erin", groups=["editors", "viewers"], validity=DAY))

    def values(oid: x509.ObjectIdentifier) -> list[str | bytes]:
        return [attribute.value for attribute in leaf.subject.get_attributes_for_oid(oid)]

    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert values(NameOID.COMMON_NAME) == ["erin"]
    assert values(NameOID.ORGANIZATION_NAME) == ["editors", "viewers"]
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_peer_may_both_serve_and_call(authority: Authority) -> None:
    leaf = parsed(authority.issue_peer("replica-0", sans=["127.0.0.1"], validity=DAY))

    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_keys_are_p256_and_never_shared(authority: Authority) -> None:
    one, other = (authority.issue_client(name, validity=DAY) for name in ("one", "other"))

    key = parsed(one).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert one.key != other.key
    assert parsed(one).serial_number != parsed(other).serial_number


def test_a_certificate_holds_from_just_before_now_until_its_lifetime_ends(
    authority: Authority,
) -> None:
    validity = authority.issue_client("erin", validity=DAY).validity

    assert validity == Validity(NOON - CLOCK_SKEW, NOON + timedelta(days=1))


def test_no_leaf_outlives_its_ca(authority: Authority) -> None:
    decade = Validity.lasting(timedelta(days=3650), now=NOON + timedelta(days=1))

    leaf = authority.issue_client("erin", validity=decade)

    assert leaf.validity.not_after == YEAR.not_after


def test_once_the_ca_is_over_nothing_is_issued(authority: Authority) -> None:
    later = Validity.lasting(timedelta(days=1), now=NOON + timedelta(days=400))

    with pytest.raises(CertificateError, match="validity: ends"):
        authority.issue_client("erin", validity=later)


def test_a_leaf_is_issued_by_its_own_ca_only(authority: Authority) -> None:
    leaf = authority.issue_client("erin", validity=DAY).certificate
    namesake = Authority.create("governor test CA", validity=YEAR)
    stranger = Authority.create("another CA", validity=YEAR)

    assert is_issued_by(leaf, authority.certificate)
    assert not is_issued_by(leaf, namesake.certificate)
    assert not is_issued_by(leaf, stranger.certificate)


def test_a_ca_that_was_written_can_issue_again(authority: Authority, tmp_path: Path) -> None:
    files = authority.pair.write(tmp_path, "ca")

    loaded = Authority.load(Pair(files.certificate.read_bytes(), files.key.read_bytes()))

    leaf = loaded.issue_server("webhook", sans=["localhost"], validity=DAY)
    assert is_issued_by(leaf.certificate, authority.certificate)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """Connect over a socket pair; gives the user that the server saw."""
    near, far = socket.socketpair()
    seen: list[str] = []

    def serve() -> None:
        try:
            with server.wrap_socket(far, server_side=True) as connection:
                peer = connection.getpeercert() or {}
                subject = peer.get("subject", ())
                seen.extend(str(pair) for name in subject for pair in name)
                connection.sendall(b"!")
        except (ssl.SSLError, OSError):
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(near, server_hostname="localhost") as connection:
            connection.recv(1)
    finally:
        near.close()
        thread.join(10)
    return " ".join(seen)


def contexts(trusted: Authority, issuer: Authority, folder: Path) -> tuple[ssl.SSLContext, ...]:
    """A server and a client whose certificates ``issuer`` made, and who trust ``trusted``."""
    server_files = issuer.issue_server("s", sans=["localhost"], validity=current()).write(
        folder, "server"
    )
    client_files = issuer.issue_client("erin", validity=current()).write(folder, "client")
    anchor = trusted.certificate.decode()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=anchor)
    server.load_cert_chain(server_files.certificate, server_files.key)
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cadata=anchor)
    client.load_cert_chain(client_files.certificate, client_files.key)
    return server, client


def test_both_ends_of_a_tls_connection_trust_the_ca(tmp_path: Path) -> None:
    authority = Authority.create("live CA", validity=current())

    seen = handshake(*contexts(authority, authority, tmp_path))

    assert "erin" in seen


def test_a_tls_client_does_not_trust_another_ca_of_the_same_name(tmp_path: Path) -> None:
    trusted, issuer = (Authority.create("live CA", validity=current()) for _ in range(2))

    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(*contexts(trusted, issuer, tmp_path))


@pytest.mark.parametrize(
    ("sans", "reason"),
    [
        pytest.param([], "give at least one", id="none"),
        pytest.param(["not a name"], "neither an IP address nor a DNS name", id="a sentence"),
        pytest.param([""], "neither an IP address nor a DNS name", id="an empty name"),
        pytest.param(["https://localhost"], "neither an IP address", id="a URL"),
        pytest.param(["127.0.0.1:443"], "neither an IP address", id="an address with a port"),
    ],
)
def test_a_server_without_usable_names_is_refused(
    authority: Authority, sans: list[str], reason: str
) -> None:
    with pytest.raises(CertificateError, match=f"sans: .*{reason}"):
        authority.issue_server("webhook", sans=sans, validity=DAY)


@pytest.mark.parametrize(
    "user", [pytest.param("", id="empty"), pytest.param("u" * 65, id="longer than X.509 allows")]
)
def test_a_name_that_x509_cannot_hold_is_refused(authority: Authority, user: str) -> None:
    with pytest.raises(CertificateError, match="name of "):
        authority.issue_client(user, validity=DAY)


@pytest.mark.parametrize(
    ("begin", "end", "reason"),
    [
        pytest.param(NOON, NOON, "ends .* before it begins", id="no time at all"),
        pytest.param(NOON, NOON - timedelta(1), "ends .* before it begins", id="backwards"),
        pytest.param(NOON.replace(tzinfo=None), NOON, "time zone", id="a naive beginning"),
        pytest.param(NOON, NOON.replace(tzinfo=None), "time zone", id="a naive end"),
    ],
)
def test_a_validity_that_is_none_is_refused(begin: datetime, end: datetime, reason: str) -> None:
    with pytest.raises(CertificateError, match=f"validity: .*{reason}"):
        Validity(begin, end)


def test_only_a_ca_with_its_own_key_is_loaded(authority: Authority) -> None:
    leaf = authority.issue_client("erin", validity=DAY)
    private, _ = generate_signing_key()

    with pytest.raises(CertificateError, match="is not a CA"):
        Authority.load(leaf)
    with pytest.raises(CertificateError, match="belongs to another certificate"):
        Authority.load(Pair(authority.certificate, leaf.key))
    with pytest.raises(CertificateError, match="certificate: is not PEM"):
        Authority.load(Pair(b"nonsense", private))
    with pytest.raises(CertificateError, match="key: is not a PEM private key"):
        Authority.load(Pair(authority.certificate, b"nonsense"))


def test_a_key_does_not_show_in_a_log(authority: Authority) -> None:
    assert "PRIVATE" not in repr(authority)


def test_files_are_for_their_owner_only_whatever_the_umask(
    authority: Authority, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        files = authority.pair.write(tmp_path, "ca")
    finally:
        os.umask(before)

    for path in (files.certificate, files.key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_rewrite_replaces_the_file_and_leaves_no_draft(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"old")
    write_private(tmp_path / "key", b"new")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"key": b"new"}


def test_a_folder_that_is_not_there_is_a_named_error(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"absent/ca\.key: cannot be written: No such file"):
        authority.pair.write(tmp_path / "absent", "ca")
