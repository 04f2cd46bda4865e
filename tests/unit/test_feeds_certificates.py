"""The webhook's certificates: made once, renewed in time, trusted through a rotation."""

import asyncio
import socket
import ssl
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.clients.certificates import (
    CertificateError,
    Pair,
    Validity,
    is_issued_by,
    write_private,
)
from controller.feeds.certificates import (
    CertificateFeed,
    CertificatePolicy,
    Certificates,
    ensure_certificates,
    renew,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = CertificatePolicy(sans=("127.0.0.1", "governor.governor-system.svc"))
DAY = timedelta(days=1)


def authorities(bundle: bytes) -> list[bytes]:
    end = b"-----END CERTIFICATE-----\n"
    return [part + end for part in bundle.split(end) if part.strip()]


def is_trusted(certificate: bytes, bundle: bytes) -> bool:
    return any(is_issued_by(certificate, authority) for authority in authorities(bundle))


def test_the_folder_is_filled_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    first = ensure_certificates(folder, POLICY, now=START)
    again = ensure_certificates(folder, POLICY, now=START + DAY)
    assert again == first
    assert is_trusted(first.content, first.bundle)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("ca.pem", "server.pem", "peer.pem"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert b"PRIVATE KEY" not in first.bundle


def test_nothing_is_written_while_nothing_is_due(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, POLICY, now=START)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    before.pop(".lock")
    ensure_certificates(tmp_path, POLICY, now=START + DAY)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    after.pop(".lock")
    assert after == before


@pytest.mark.parametrize(
    ("days", "is_renewed"),
    [
        pytest.param(0, False, id="fresh"),
        pytest.param(19, False, id="more than a third left"),
        pytest.param(21, True, id="less than a third left"),
        pytest.param(40, True, id="expired"),
    ],
)
def test_a_server_certificate_is_renewed_when_a_third_is_left(
    days: int, *, is_renewed: bool
) -> None:
    held = renew(None, POLICY, now=START)
    due = renew(held, POLICY, now=START + days * DAY)
    assert (due.server != held.server) is is_renewed
    assert due.signing == held.signing


def test_a_new_authority_joins_the_bundle_before_it_signs_and_the_old_stays_after() -> None:
    first = renew(None, POLICY, now=START)
    ageing = START + 300 * DAY
    joined = renew(first, POLICY, now=ageing)
    assert joined.signing == first.signing
    assert joined.coming is not None
    assert is_issued_by(joined.server.certificate, first.signing.certificate)
    too_early = renew(joined, POLICY, now=ageing + POLICY.settling / 2)
    assert too_early == joined
    signs = renew(joined, POLICY, now=ageing + POLICY.settling)
    assert signs.signing == joined.coming
    assert signs.coming is None
    assert signs.previous == first.signing.certificate
    assert is_issued_by(signs.server.certificate, signs.signing.certificate)
    later = renew(signs, POLICY, now=START + 366 * DAY)
    assert later.previous is None


def test_an_expired_authority_is_replaced_by_the_one_that_was_to_come() -> None:
    joined = renew(renew(None, POLICY, now=START), POLICY, now=START + 300 * DAY)
    due = renew(joined, POLICY, now=START + 400 * DAY)
    assert due.signing == joined.coming
    assert is_issued_by(due.server.certificate, due.signing.certificate)


def test_an_authority_that_expired_with_no_other_at_hand_is_made_anew() -> None:
    held = renew(None, POLICY, now=START)
    due = renew(held, POLICY, now=START + 1000 * DAY)
    assert due.signing != held.signing
    assert (due.coming, due.previous) == (None, None)


@given(st.lists(st.integers(0, 120), min_size=1, max_size=12))
def test_what_is_shown_is_always_valid_and_was_in_the_bundle_of_the_look_before(
    hours: list[int],
) -> None:
    """Whatever the time between looks, unless it outlasts the certificates themselves."""
    policy = CertificatePolicy(
        sans=("127.0.0.1",),
        authority_lifetime=timedelta(hours=400),
        server_lifetime=timedelta(hours=360),
        settling=timedelta(hours=1),
    )
    now = START
    held = renew(None, policy, now=now)
    for passed in hours:
        bundle = _bundle(held)
        now += timedelta(hours=passed)
        due = renew(held, policy, now=now)
        validity = due.server.validity
        assert validity.not_before <= now < validity.not_after
        assert is_trusted(due.server.certificate, _bundle(due))
        if now < held.server.validity.not_after:
            # Another process may show it until its next look.
            assert is_trusted(held.server.certificate, _bundle(due))
        assert is_trusted(due.server.certificate, bundle)
        held = due


def _bundle(held: Certificates) -> bytes:
    coming = held.coming.certificate if held.coming else b""
    return held.signing.certificate + coming + (held.previous or b"")


def test_a_name_that_is_missing_is_added_and_a_name_more_is_kept(tmp_path: Path) -> None:
    one = ensure_certificates(tmp_path, POLICY, now=START)
    more = ensure_certificates(tmp_path, replace(POLICY, sans=("::1",)), now=START)
    assert more.content != one.content
    assert more.bundle == one.bundle
    # Two processes that ask for different names do not take turns.
    for sans in (POLICY.sans, ("0:0:0:0:0:0:0:1",), ("127.0.0.1",)):
        again = ensure_certificates(tmp_path, replace(POLICY, sans=sans), now=START + DAY)
        assert again == more
    # Nor does a renewal by the one drop what the other needs.
    late = START + 25 * DAY
    renewed = ensure_certificates(tmp_path, replace(POLICY, sans=("::1",)), now=late)
    assert renewed.content != more.content
    assert ensure_certificates(tmp_path, POLICY, now=late) == renewed


@pytest.mark.parametrize(
    ("file", "content"),
    [
        pytest.param("ca.pem", b"", id="the CA's file is empty"),
        pytest.param("ca.pem", b"garbage", id="the CA's file is garbage"),
        pytest.param("server.pem", b"garbage", id="the server's file is garbage"),
        pytest.param("server.pem", None, id="the server's file is gone"),
        pytest.param("peer.pem", b"garbage", id="the peers' file is garbage"),
    ],
)
def test_a_folder_that_cannot_be_read_is_filled_anew(
    tmp_path: Path, file: str, content: bytes | None
) -> None:
    ensure_certificates(tmp_path, POLICY, now=START)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    mended = ensure_certificates(tmp_path, POLICY, now=START)
    assert is_trusted(mended.content, mended.bundle)
    assert ensure_certificates(tmp_path, POLICY, now=START) == mended


def test_peers_have_a_certificate_of_their_own_that_is_renewed_with_the_authority(
    tmp_path: Path,
) -> None:
    first = ensure_certificates(tmp_path, POLICY, now=START)
    ageing = START + 300 * DAY
    coming = ensure_certificates(tmp_path, POLICY, now=ageing)
    signing = ensure_certificates(tmp_path, POLICY, now=ageing + POLICY.settling + DAY)

    assert len({found.peer_content for found in (first, coming, signing)}) == 3
    for found in (first, coming, signing):
        assert is_trusted(found.peer_content, found.bundle)
    assert is_trusted(signing.peer_content, coming.bundle)
    assert is_trusted(coming.peer_content, signing.bundle)


def test_a_folder_of_an_older_governor_gets_a_certificate_for_peers(tmp_path: Path) -> None:
    older = ensure_certificates(tmp_path, POLICY, now=START)
    (tmp_path / "peer.pem").unlink()
    mended = ensure_certificates(tmp_path, POLICY, now=START)

    assert (mended.content, mended.bundle) == (older.content, older.bundle)
    assert mended.peer_content not in (older.content, older.peer_content)
    assert is_trusted(mended.peer_content, mended.bundle)


def test_a_key_of_another_authority_is_not_used(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, POLICY, now=START)
    other = renew(None, POLICY, now=START).signing.pair
    certificate = (tmp_path / "ca.pem").read_bytes().partition(b"-----BEGIN PRIVATE")[0]
    write_private(tmp_path / "ca.pem", certificate + other.key)
    mended = ensure_certificates(tmp_path, POLICY, now=START)
    assert certificate not in mended.bundle
    assert is_trusted(mended.content, mended.bundle)


def test_a_crash_between_promotion_and_tidying_loses_no_trust(tmp_path: Path) -> None:
    first = ensure_certificates(tmp_path, POLICY, now=START)
    ageing = START + 300 * DAY
    ensure_certificates(tmp_path, POLICY, now=ageing)
    coming = (tmp_path / "ca-next.pem").read_bytes()
    # What the disk holds if we die right after the new signing CA was written.
    write_private(tmp_path / "ca-previous.pem", authorities(first.bundle)[0])
    write_private(tmp_path / "ca.pem", coming)
    mended = ensure_certificates(tmp_path, POLICY, now=ageing + POLICY.settling)
    assert authorities(first.bundle)[0] in mended.bundle
    assert is_trusted(mended.content, mended.bundle)
    assert len(authorities(mended.bundle)) == 2


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CertificateError, match=r"file.*cannot be written"):
        ensure_certificates(tmp_path / "file" / "certificates", POLICY, now=START)


def test_a_file_without_names_is_not_served(tmp_path: Path) -> None:
    held = renew(None, POLICY, now=START)
    nameless = held.signing.issue_client("x", validity=Validity.lasting(DAY, now=START))
    due = renew(replace(held, server=nameless), POLICY, now=START)
    assert due.server != nameless
    assert isinstance(due.server, Pair)


# --- the feed ----------------------------------------------------------------------------------


class Clock:
    """A clock that the test sets."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The time as set."""
        return self.now


async def test_a_running_server_shows_the_renewed_certificate_to_new_connections(
    tmp_path: Path,
) -> None:
    # A third of twenty days is left within a week of the real time, which TLS itself reads.
    clock = Clock(datetime.now(UTC) - 15 * DAY)
    policy = replace(POLICY, server_lifetime=20 * DAY)
    feed = CertificateFeed(tmp_path, policy, clock=clock)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    feed.serve_with(context)
    before = feed.current.content
    server = await asyncio.start_server(_say_nothing, "127.0.0.1", 0, ssl=context)
    port: int = server.sockets[0].getsockname()[1]
    async with server:
        assert await asyncio.to_thread(_shown, port, feed.current.bundle) == before
        clock.now = datetime.now(UTC)
        await feed.refresh()
        shown = await asyncio.to_thread(_shown, port, feed.current.bundle)
    assert shown == feed.current.content != before


async def _say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


def _shown(port: int, bundle: bytes) -> bytes:
    context = ssl.create_default_context(cadata=bundle.decode())
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as secured,
    ):
        der = secured.getpeercert(binary_form=True)
    assert der is not None
    return ssl.DER_cert_to_PEM_cert(der).encode()


async def test_listeners_hear_of_a_renewal_once_also_of_one_by_another_process(
    tmp_path: Path,
) -> None:
    clock = Clock(START)
    ours, theirs = (CertificateFeed(tmp_path, POLICY, clock=clock) for _ in range(2))
    heard: list[bytes] = []
    ours.subscribe(lambda renewed: heard.append(renewed.content))
    await ours.refresh()
    assert heard == []
    clock.now += 25 * DAY
    await theirs.refresh()
    await ours.refresh()
    await ours.refresh()
    assert heard == [theirs.current.content]
    assert ours.current == theirs.current


async def test_a_fault_is_waited_out(tmp_path: Path) -> None:
    clock = Clock(START)
    looks = _Looks(3)
    feed = CertificateFeed(tmp_path, POLICY, clock=clock, sleep=looks.sleep)
    faults = iter([ssl.SSLError("half a file"), None])

    def load(_renewed: object) -> None:
        fault = next(faults)
        if fault is not None:
            raise fault

    feed.subscribe(load)
    before = feed.current
    clock.now += 25 * DAY
    with pytest.raises(_EnoughError):
        await feed.run()
    assert feed.current != before
    assert next(faults, "used up") == "used up"


class _EnoughError(Exception):
    """The test has seen enough."""


class _Looks:
    def __init__(self, number: int) -> None:
        self._left = number

    async def sleep(self, _seconds: float) -> None:
        """Return at once, so many times."""
        if self._left == 0:
            raise _EnoughError
        self._left -= 1
