"""The webhook's own CA and serving certificate: made once, reused, renewed in time.

They live in a folder that several processes may share; a file lock keeps them from
renewing at once. Each file holds a certificate and its key together, so that no
reader ever finds the one without the other.

Order of a rotation, so that the API server trusts every certificate it is shown:
the next CA first only joins the bundle; once it has been there for the settling
time, and the registration has surely carried it to the API server, it signs; the
one before stays in the bundle until it expires.

It renews, and tells who listens; who registers the bundle and which server shows
the certificate is no business of this module.
"""

import asyncio
import contextlib
import fcntl
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import structlog
from cryptography import x509

from controller.clients.certificates import (
    CLOCK_SKEW,
    Authority,
    CertificateError,
    Pair,
    Validity,
    is_issued_by,
    write_private,
)
from controller.clients.peers.tls import PEER_NAME

log = structlog.get_logger("governor.feeds")

_KEY = b"-----BEGIN PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class CertificatePolicy:
    """What the certificate is for, and how long things last."""

    sans: tuple[str, ...]
    """The DNS names and IP addresses under which the API server reaches the webhook; names that
    the certificate in the folder has beside these are kept."""
    authority_lifetime: timedelta = timedelta(days=365)
    server_lifetime: timedelta = timedelta(days=30)
    settling: timedelta = timedelta(hours=1)
    """How long a new CA is in the bundle before it signs."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """What is in the folder."""

    signing: Authority
    coming: Authority | None
    """In the bundle, but does not sign yet."""
    previous: bytes | None
    """The certificate (PEM) of the CA that signed before."""
    server: Pair
    peer: Pair
    """What the processes that share the folder show each other."""


@dataclass(frozen=True, slots=True)
class ServingCertificate:
    """What a server shows, and what its clients must trust."""

    file: Path
    """Certificate and key, PEM, readable by the owner only."""
    peer_file: Path
    """Likewise, for conversations between Governor's own processes."""
    bundle: bytes
    """Every CA that may have signed what the webhook shows, PEM."""
    content: bytes
    """The certificate itself, PEM, to tell one from the next."""
    peer_content: bytes
    """Likewise, of the peers'."""


def renew(held: Certificates | None, policy: CertificatePolicy, *, now: datetime) -> Certificates:
    """What should be in the folder now; the same value where nothing is due."""
    if held is None or _is_expired(held.signing.pair, now):
        held = _renewed_from_scratch(held, policy, now)
    elif held.coming is None and _is_ageing(held.signing.pair, now):
        coming = _new_authority(policy, now)
        held = replace(held, coming=coming)
    elif held.coming is not None and _has_settled(held.coming.pair, policy, now):
        held = replace(held, signing=held.coming, coming=None, previous=held.signing.certificate)
    if held.previous is not None and _is_expired(Pair(held.previous, b""), now):
        held = replace(held, previous=None)
    if _must_be_reissued(held.server, held.signing, policy, now):
        held = replace(held, server=_issue(held.signing, _names(policy, held.server), policy, now))
    if _must_peer_be_reissued(held.peer, held.signing, now):
        held = replace(held, peer=_issue_peer(held.signing, policy, now))
    return held


def ensure_certificates(
    directory: Path, policy: CertificatePolicy, *, now: datetime
) -> ServingCertificate:
    """Read the folder, renew what is due, and say what to serve. Blocks on the disk.

    What cannot be read (half a file, the key of another) is made anew.

    Args:
        directory: made if absent, readable by the owner only.
        policy: what the certificate is for.
        now: aware.

    Raises:
        CertificateError: the folder cannot be written, or a name in `sans` is none.
    """
    with _locked(directory):
        held = _read(directory)
        due = renew(held, policy, now=now)
        if due != held:
            _write(directory, due)
            log.info("certificates renewed", until=str(due.server.validity.not_after))
    authorities = [due.signing.certificate]
    if due.coming is not None:
        authorities.append(due.coming.certificate)
    if due.previous is not None:
        authorities.append(due.previous)
    return ServingCertificate(
        file=directory / _SERVER,
        peer_file=directory / _PEER,
        bundle=b"".join(authorities),
        content=due.server.certificate,
        peer_content=due.peer.certificate,
    )


class CertificateFeed:
    """Keeps the folder current, and whoever listens.

    Attributes:
        current: what to serve and register now.
    """

    def __init__(
        self,
        directory: Path,
        policy: CertificatePolicy,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        every_seconds: float = 60.0,
    ) -> None:
        """Make or read the certificates at once.

        Raises:
            CertificateError: see `ensure_certificates`.
        """
        self._directory = directory
        self._policy = policy
        self._clock = clock
        self._sleep = sleep
        self._every = every_seconds
        self._listeners: list[Callable[[ServingCertificate], None]] = []
        self.current = ensure_certificates(directory, policy, now=clock())

    def subscribe(self, listener: Callable[[ServingCertificate], None]) -> None:
        """Call `listener` after each renewal, by this process or by another one."""
        self._listeners.append(listener)

    def serve_with(self, context: ssl.SSLContext) -> None:
        """Show the certificate in this server's context, now and after each renewal.

        New connections get the new one; those that are open keep what they were shown.
        """
        context.load_cert_chain(self.current.file)
        self.subscribe(lambda renewed: context.load_cert_chain(renewed.file))

    async def run(self) -> NoReturn:
        """Look every minute until cancelled.

        Faults, such as a full disk, are waited out: renewal begins with a third of the
        lifetime left.
        """
        while True:
            await self._sleep(self._every)
            try:
                await self.refresh()
            except (CertificateError, ssl.SSLError) as fault:
                log.warning("certificates not renewed", error=str(fault))

    async def refresh(self) -> None:
        """Look once.

        Raises:
            CertificateError: see `ensure_certificates`.
            ssl.SSLError: a listener could not load the certificate; the next look tries again.
        """
        found = await asyncio.to_thread(
            ensure_certificates, self._directory, self._policy, now=self._clock()
        )
        if found == self.current:
            return
        for listener in self._listeners:
            listener(found)
        self.current = found


def _renewed_from_scratch(
    held: Certificates | None, policy: CertificatePolicy, now: datetime
) -> Certificates:
    """The CA that was to come if there is one, else a new one: nothing valid is left to settle."""
    coming = held.coming if held is not None else None
    if coming is None or _is_expired(coming.pair, now):
        coming = _new_authority(policy, now)
    names = _names(policy, None if held is None else held.server)
    server, peer = _issue(coming, names, policy, now), _issue_peer(coming, policy, now)
    return Certificates(signing=coming, coming=None, previous=None, server=server, peer=peer)


def _new_authority(policy: CertificatePolicy, now: datetime) -> Authority:
    validity = Validity.lasting(policy.authority_lifetime, now=now)
    # The date keeps the subjects of two CAs apart: some verifiers pick by subject alone.
    return Authority.create(f"governor-webhook-ca {now:%Y-%m-%dT%H:%M:%SZ}", validity=validity)


def _issue(
    authority: Authority, names: frozenset[str], policy: CertificatePolicy, now: datetime
) -> Pair:
    validity = Validity.lasting(policy.server_lifetime, now=now)
    return authority.issue_server("governor-webhook", sans=sorted(names), validity=validity)


def _issue_peer(authority: Authority, policy: CertificatePolicy, now: datetime) -> Pair:
    validity = Validity.lasting(policy.server_lifetime, now=now)
    return authority.issue_peer(PEER_NAME, sans=[PEER_NAME], validity=validity)


def _must_be_reissued(
    server: Pair, signing: Authority, policy: CertificatePolicy, now: datetime
) -> bool:
    return (
        _is_ageing(server, now)
        or not is_issued_by(server.certificate, signing.certificate)
        or not _names(policy, None) <= _names_of(server)
    )


def _must_peer_be_reissued(peer: Pair, signing: Authority, now: datetime) -> bool:
    is_ours = is_issued_by(peer.certificate, signing.certificate)
    return _is_ageing(peer, now) or not is_ours or PEER_NAME not in _names_of(peer)


def _is_expired(pair: Pair, now: datetime) -> bool:
    return pair.validity.not_after <= now


def _is_ageing(pair: Pair, now: datetime) -> bool:
    validity = pair.validity
    return validity.not_after - now < (validity.not_after - validity.not_before) / 3


def _has_settled(coming: Pair, policy: CertificatePolicy, now: datetime) -> bool:
    return coming.validity.not_before + CLOCK_SKEW + policy.settling <= now


def _names(policy: CertificatePolicy, held: Pair | None) -> frozenset[str]:
    """What is asked for, and what was before.

    Processes that share a folder may ask for different names, and would otherwise
    take turns in issuing.
    """
    wanted = frozenset(map(_canonical, policy.sans))
    return wanted if held is None else wanted | _names_of(held)


def _names_of(server: Pair) -> frozenset[str]:
    extensions = x509.load_pem_x509_certificate(server.certificate).extensions
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return frozenset([*names.get_values_for_type(x509.DNSName), *addresses])


def _canonical(san: str) -> str:
    """As a certificate gives it back: an IPv6 address can be written in many ways."""
    try:
        return str(ipaddress.ip_address(san))
    except ValueError:
        return san


_SIGNING, _COMING, _PREVIOUS, _SERVER = "ca.pem", "ca-next.pem", "ca-previous.pem", "server.pem"
_PEER = "peer.pem"


@contextlib.contextmanager
def _locked(directory: Path) -> Generator[None]:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (directory / ".lock").open("w", encoding="ascii")
    except OSError as error:
        raise CertificateError(f"{directory}: cannot be written: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(directory: Path) -> Certificates | None:
    signing, server = _read_pair(directory / _SIGNING), _read_pair(directory / _SERVER)
    if signing is None or server is None:
        return None
    # A folder of an older Governor has none: the server's is none of a peer, and is replaced.
    peer = _read_pair(directory / _PEER)
    coming = _read_pair(directory / _COMING)
    if coming == signing:
        coming = None  # a crash between the promotion and the removal of the file
    previous = _read_pair(directory / _PREVIOUS)
    try:
        return Certificates(
            signing=Authority.load(signing),
            coming=None if coming is None else Authority.load(coming),
            previous=None if previous is None else previous.certificate,
            server=server,
            peer=peer or server,
        )
    except CertificateError as unusable:
        log.warning("certificates unusable, made anew", error=str(unusable))
        return None


def _read_pair(path: Path) -> Pair | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CertificateError(f"{path}: cannot be read: {error.strerror}") from error
    certificate, marker, key = content.partition(_KEY)
    pair = Pair(certificate, marker + key)
    try:
        _ = pair.validity
    except CertificateError as unusable:
        log.warning("certificate unusable, made anew", file=path.name, error=str(unusable))
        return None
    return pair


def _write(directory: Path, due: Certificates) -> None:
    """The trust before what needs it: a crash in between leaves a folder that works."""
    if due.previous is not None:
        write_private(directory / _PREVIOUS, due.previous)
    for name, authority in ((_SIGNING, due.signing), (_COMING, due.coming)):
        if authority is not None:
            write_private(directory / name, authority.pair.certificate + authority.pair.key)
    write_private(directory / _PEER, due.peer.certificate + due.peer.key)
    write_private(directory / _SERVER, due.server.certificate + due.server.key)
    for name, content in ((_COMING, due.coming), (_PREVIOUS, due.previous)):
        if content is None:
            (directory / name).unlink(missing_ok=True)
