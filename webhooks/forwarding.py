"""Forwards proposals to the process that prefers to write their account.

Measured: three processes that each swap one account conflict all the time, and their
slowest answers take five times as long as those of one writer that the others forward to.
It is an optimisation: whatever goes wrong, the caller swaps itself, and a proposal is
found by its entry's key wherever it was entered first. So it never waits long for a
peer, never asks a second one, and never passes on what was forwarded to it.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from controller.accounts.account import Account
from controller.accounts.encoding import EntryUnwritableError
from controller.accounts.reserve import Proposal, Reservation
from controller.accounts.wire import (
    GarbledError,
    decode_proposal,
    decode_verdict,
    encode_proposal,
    encode_verdict,
)
from controller.clients.frames import Payload
from controller.clients.kube.errors import KubeError
from controller.clients.peers.connection import Address, PeerConnection, connect
from controller.clients.peers.errors import (
    PeerError,
    PeerRefusedError,
    PeerUnavailableError,
)
from webhooks.preference import preferred_writer

_log = structlog.stdlib.get_logger("governor.webhook")

MAX_AGE_MS: Final = 10_000
"""A proposal whose review began longer ago is not entered for others: its asker has swapped
itself, and the entry may have come and gone, if a process was stopped for so long."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What became of a proposal that was to be forwarded."""

    verdict: Reservation | None
    """Of the peer; None: there is none, the caller is to swap itself."""
    is_certain: bool = True
    """Without a verdict: whether the peer surely neither entered it nor will."""


MINE: Final = Forwarded(None)
"""Nobody else was asked."""


class Forwards(Protocol):
    """Where proposals may be forwarded to."""

    async def forward(self, agent: str, proposal: Proposal, account: Account) -> Forwarded:
        """Have the account's preferred writer enter it, unless that is this process.

        Args:
            agent: whose account.
            proposal: what to enter.
            account: as far as it is known here; what verdicts are told of.
        """
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a peer is waited for, seconds; far below a review's deadline."""

    answer: float = 1.5
    connect: float = 0.5
    rest: float = 1.0
    """For so long a peer that failed is not asked again."""


class Forwarding:
    """The peers of this process, and one connection to each that was ever asked."""

    def __init__(
        self,
        own: str,
        peers: Callable[[], Mapping[str, Address]],
        tls: Callable[[], ssl.SSLContext],
        *,
        pace: Pace | None = None,
    ) -> None:
        """Describe who there is; nobody is asked yet.

        Args:
            own: the name of this process.
            peers: who lives now. This process among them, once it is known to the others.
            tls: what the next connection shows and believes.
            pace: how long a peer is waited for.
        """
        self._own = own
        self._peers = peers
        self._tls = tls
        self._pace = pace or Pace()
        self._lines: dict[str, _Line] = {}

    async def forward(self, agent: str, proposal: Proposal, account: Account) -> Forwarded:
        """Have the account's preferred writer enter it; see `Forwards`."""
        peers = self._peers()
        writer = preferred_writer(agent, peers)
        if writer is None or writer == self._own:
            return MINE
        try:
            connection = await self._line(writer, peers[writer]).connection()
            asked = encode_proposal(agent, proposal)
        except (PeerError, EntryUnwritableError):
            return MINE
        try:
            answer = await connection.question(asked, timeout_seconds=self._pace.answer)
            return Forwarded(decode_verdict(answer, account))
        except (PeerError, GarbledError) as error:
            _log.warning("not forwarded", agent=agent, peer=writer, error=str(error))
            if not isinstance(error, PeerRefusedError):
                self._line(writer, peers[writer]).rest(hang_up=isinstance(error, GarbledError))
            return Forwarded(None, is_certain=isinstance(error, PeerError) and error.is_certain)

    def close(self) -> None:
        """Hang up; what is in flight is swapped by its callers."""
        for line in self._lines.values():
            line.close()

    def _line(self, peer: str, address: Address) -> "_Line":
        known = self._lines.get(peer)
        if known is None or known.address != address:
            if known is not None:
                known.close()
            self._forget_the_dead()
            known = _Line(address, self._tls, self._pace)
            self._lines[peer] = known
        return known

    def _forget_the_dead(self) -> None:
        for gone in self._lines.keys() - self._peers().keys():
            self._lines.pop(gone).close()


class _Line:
    """The connection to one peer: opened once for all who ask, and not again for a while."""

    def __init__(self, address: Address, tls: Callable[[], ssl.SSLContext], pace: Pace) -> None:
        self.address = address
        self._tls = tls
        self._pace = pace
        self._connection: PeerConnection | None = None
        self._opening: asyncio.Task[PeerConnection] | None = None
        self._resting_until = 0.0

    async def connection(self) -> PeerConnection:
        """An open connection.

        Raises:
            PeerUnavailableError: there is none, and nothing was asked.
        """
        if asyncio.get_running_loop().time() < self._resting_until:
            raise PeerUnavailableError("it failed a moment ago")
        if self._connection is not None and self._connection.is_open:
            return self._connection
        if self._opening is None or self._opening.done():
            # Not of the caller: its deadline must not take the connection from the others.
            self._opening = asyncio.create_task(self._open(), name="connection to a peer")
        opening = self._opening
        await asyncio.wait({opening})
        if opening.cancelled():
            raise PeerUnavailableError("this process hung up")
        return opening.result()

    async def _open(self) -> PeerConnection:
        try:
            async with asyncio.timeout(self._pace.connect):
                self._connection = await connect(self.address, self._tls())
        except TimeoutError as late:
            self.rest(hang_up=False)
            raise PeerUnavailableError("it does not let us connect in time") from late
        except (PeerError, OSError) as error:
            self.rest(hang_up=False)
            raise PeerUnavailableError(str(error)) from error
        _log.info("connected to a peer", host=self.address.host, port=self.address.port)
        return self._connection

    def rest(self, *, hang_up: bool) -> None:
        """Ask nothing for a while."""
        self._resting_until = asyncio.get_running_loop().time() + self._pace.rest
        if hang_up:
            self.close()

    def close(self) -> None:
        """Hang up."""
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.close(PeerUnavailableError("this process hung up"))


class Enters(Protocol):
    """Writes accounts itself."""

    async def enter(self, agent: str, proposal: Proposal) -> Reservation:
        """Enter a proposal by a swap of this process."""
        ...


def answer_peers(
    entering: Enters, *, clock_ms: Callable[[], int]
) -> Callable[[Payload], Awaitable[bytes]]:
    """What answers the proposals that peers forward: entered here, never passed on."""

    async def answer(content: Payload) -> bytes:
        try:
            agent, proposal = decode_proposal(content)
        except GarbledError as garbled:
            raise PeerRefusedError(f"the proposal: {garbled}") from garbled
        if clock_ms() - proposal.entry.made_at > MAX_AGE_MS:
            raise PeerRefusedError("the proposal is too old; or the clocks differ")
        try:
            return encode_verdict(await entering.enter(agent, proposal))
        except EntryUnwritableError as unwritable:
            raise PeerRefusedError(str(unwritable)) from unwritable
        except KubeError as error:
            raise PeerUnavailableError(f"the account: {error}") from error

    return answer
