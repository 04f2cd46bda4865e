"""Several processes in front of one account: forwarded, folded, and never entered twice."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from controller.accounts.account import Account
from controller.accounts.charges import charge
from controller.accounts.reserve import (
    AlreadySettled,
    Exhausted,
    Proposal,
    Reservation,
    Reserved,
    Suspended,
    reserve,
)
from controller.accounts.wire import encode_proposal, encode_verdict
from controller.clients.frames import Payload
from controller.clients.kube.accounts import Stored
from controller.clients.kube.errors import UnreachableError
from controller.clients.peers.connection import Address
from controller.clients.peers.errors import PeerRefusedError, PeerUnavailableError
from controller.clients.peers.server import Answers
from tests.accounts import NOON, a_proposal, an_account
from tests.fakes.accounts import FakeAccountFeed, FakeAccounts
from tests.peers import Folder, answering, silent
from webhooks.forwarding import MAX_AGE_MS, Forwarding, Pace, answer_peers
from webhooks.preference import preferred_writer
from webhooks.reservations import Reservations
from webhooks.server import listen

AGENT = "migrator"
PACE = Pace(answer=5.0, connect=5.0, rest=0.0)
HASTY = Pace(answer=0.05, connect=0.05, rest=0.0)


def writer_beside(other: str) -> str:
    """A name that prefers to write the account, of itself and another."""
    names = (name for name in map(str, itertools.count()) if name != other)
    return next(name for name in names if preferred_writer(AGENT, (name, other)) == name)


WRITER = writer_beside("a")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """One CA for all of them: to issue certificates takes its time."""
    return Folder.at(tmp_path_factory.mktemp("certificates"))


@dataclass
class Swaps:
    """One process's way to the store: what it swaps is counted."""

    store: FakeAccounts
    count: int = 0

    async def read(self, agent: str) -> Stored:
        """Read the account."""
        return await self.store.read(agent)

    async def swap(self, stored: Stored, account: Account) -> Stored:
        """Swap it."""
        self.count += 1
        return await self.store.swap(stored, account)


@dataclass
class Process:
    """One webhook process, as far as accounts are concerned."""

    name: str
    swaps: Swaps
    feed: FakeAccountFeed
    forwarding: Forwarding
    reservations: Reservations

    def reserve(self, proposal: Proposal) -> "asyncio.Task[Reservation]":
        """One caller."""
        return asyncio.create_task(self.reservations.reserve(AGENT, proposal))


@dataclass
class World:
    """One stored account, and who is known to live."""

    folder: Folder
    store: FakeAccounts = field(default_factory=FakeAccounts)
    peers: dict[str, Address] = field(default_factory=dict[str, Address])
    made: list[Process] = field(default_factory=list[Process])

    @property
    def changes(self) -> list[str]:
        """What is entered, in order."""
        return [entry.change for entry in self.store.now(AGENT).account.pending]

    def process(
        self,
        name: str,
        *,
        pace: Pace = PACE,
        knows: Mapping[str, Address] | None = None,
        has_listed: bool = True,
        decide: Callable[[Account, Proposal], Reservation] = reserve,
    ) -> Process:
        """Another one; it is not known to live."""
        peers = self.peers if knows is None else knows
        feed = FakeAccountFeed(*[self.store.now(AGENT)] if has_listed else [])
        swaps = Swaps(self.store)
        forwarding = Forwarding(name, lambda: peers, self.folder.to_connect, pace=pace)
        reservations = Reservations(swaps, feed, forwards=forwarding, decide=decide)
        self.made.append(Process(name, swaps, feed, forwarding, reservations))
        return self.made[-1]

    @asynccontextmanager
    async def living(self, name: str, answers: Answers) -> AsyncGenerator[None]:
        """Make a process answer its peers, and be known to."""
        async with answering(answers, self.folder) as self.peers[name]:
            yield
            self.hang_up()

    def hang_up(self) -> None:
        """All of them; else who waits for a connection to end would wait for long."""
        for process in self.made:
            process.forwarding.close()


@pytest.fixture
async def world(folder: Folder) -> World:
    found = World(folder)
    await found.store.create(an_account())
    return found


def answers_of(process: Process) -> Answers:
    return answer_peers(process.reservations, clock_ms=lambda: NOON)


async def test_the_preferred_writer_enters_what_the_others_forward(world: World) -> None:
    asker, writer = world.process("a"), world.process(WRITER)
    async with world.living(WRITER, answers_of(writer)):
        verdict = await asker.reserve(a_proposal())

    assert isinstance(verdict, Reserved)
    assert verdict.entry == a_proposal().entry
    assert world.changes == [a_proposal().entry.change]
    assert (asker.swaps.count, writer.swaps.count) == (0, 1)


async def test_what_several_processes_ask_at_once_is_folded_by_one_and_nobody_conflicts(
    world: World,
) -> None:
    names = ["a", "b", "c"]
    processes = {name: world.process(name) for name in names}
    async with AsyncExitStack() as stack:
        for name, process in processes.items():
            await stack.enter_async_context(world.living(name, answers_of(process)))
        asked = [processes[names[n % 3]].reserve(a_proposal(n)) for n in range(90)]
        verdicts = await asyncio.gather(*asked)

    assert {type(verdict) for verdict in verdicts} == {Reserved}
    assert len(world.changes) == len({*world.changes}) == 90
    writer = preferred_writer(AGENT, names)
    assert {name for name in names if processes[name].swaps.count} == {writer}
    assert world.store.swaps == world.store.writes < 45


async def test_the_preferred_writer_asks_nobody(world: World) -> None:
    writer = world.process(WRITER)
    async with silent() as world.peers[WRITER], silent() as world.peers["a"]:
        assert isinstance(await writer.reserve(a_proposal()), Reserved)
    assert writer.swaps.count == 1


@pytest.mark.requirement("never-oversold.forwarded")
async def test_what_was_forwarded_is_swapped_where_it_arrives(world: World) -> None:
    """Also where another process has become the preferred one meanwhile."""
    other = writer_beside(WRITER)
    asker, third = world.process("a"), world.process(other, knows={})
    async with answering(answers_of(third), world.folder) as address:
        middle = world.process(WRITER, knows={WRITER: address, other: address})
        async with world.living(WRITER, answers_of(middle)):
            assert isinstance(await asker.reserve(a_proposal()), Reserved)
    assert (asker.swaps.count, middle.swaps.count, third.swaps.count) == (0, 1, 0)


def always(verdict: Reservation) -> Callable[[Account, Proposal], Reservation]:
    """Rules of an account that say the same of everything."""

    def decide(_account: Account, _proposal: Proposal) -> Reservation:
        return verdict

    return decide


def refusing(error: Exception) -> Answers:
    async def refuse(_: Payload) -> bytes:
        raise error

    return refuse


async def garbling(_: Payload) -> bytes:
    return b'["reserved", "all of it"]'


async def never(_: Payload) -> bytes:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param(garbling, id="garbage"),
        pytest.param(never, id="nothing, for too long"),
        pytest.param(refusing(PeerRefusedError("no")), id="a refusal"),
        pytest.param(refusing(PeerUnavailableError("?")), id="that its swap failed"),
        pytest.param(refusing(RuntimeError("bug")), id="a closed connection"),
    ],
)
async def test_whatever_else_a_peer_answers_the_asker_swaps_itself(
    world: World, answers: Answers
) -> None:
    asker = world.process("a", pace=replace(PACE, answer=0.05))
    async with world.living(WRITER, answers):
        assert isinstance(await asker.reserve(a_proposal()), Reserved)
    assert (asker.swaps.count, world.changes) == (1, [a_proposal().entry.change])


async def test_a_peer_that_is_not_there_costs_nothing(world: World) -> None:
    with listen("127.0.0.1", 0) as closed:
        world.peers[WRITER] = Address("127.0.0.1", closed.getsockname()[1])
    asker = world.process("a")
    assert isinstance(await asker.reserve(a_proposal()), Reserved)
    assert asker.swaps.count == 1


async def test_a_peer_that_does_not_even_shake_hands_is_not_waited_for(world: World) -> None:
    asker = world.process("a", pace=HASTY)
    async with silent() as world.peers[WRITER]:
        assert isinstance(await asyncio.wait_for(asker.reserve(a_proposal()), 5), Reserved)
        world.hang_up()


async def test_somebody_who_is_no_peer_is_told_nothing(world: World, tmp_path: Path) -> None:
    told: list[bytes] = []

    async def answer(content: Payload) -> bytes:
        told.append(bytes(content))
        return encode_verdict(Suspended())

    async with answering(answer, Folder.at(tmp_path)) as world.peers[WRITER]:
        asker = world.process("a")
        assert isinstance(await asker.reserve(a_proposal()), Reserved)
    assert told == []


async def test_a_peer_that_failed_is_left_alone_for_a_while_and_asked_again_after(
    world: World,
) -> None:
    asked: list[int] = []

    async def answer(_: Payload) -> bytes:
        asked.append(1)
        raise PeerUnavailableError("its swap failed")

    asker = world.process("a", pace=replace(PACE, rest=0.3))
    loop = asyncio.get_running_loop()
    async with world.living(WRITER, answer):
        began = loop.time()
        for number in range(10):
            await asker.reserve(a_proposal(number))
        assert len(asked) == 1 or loop.time() - began > 0.3
        async with asyncio.timeout(10):
            while len(asked) < 2:
                await asker.reserve(a_proposal(50))
    assert asker.swaps.count >= 10


async def test_an_account_that_is_not_known_here_is_not_forwarded(world: World) -> None:
    asker = world.process("a", has_listed=False)
    async with silent() as world.peers[WRITER]:
        assert isinstance(await asyncio.wait_for(asker.reserve(a_proposal()), 5), Reserved)
    assert asker.swaps.count == 1


# --- an answer that is lost --------------------------------------------------------------------


@pytest.mark.requirement("never-oversold.forwarded")
async def test_an_entry_that_a_peer_made_and_did_not_tell_of_is_found_not_made_again(
    world: World,
) -> None:
    asker, writer = world.process("a"), world.process(WRITER)

    async def enters_and_hangs_up(content: Payload) -> bytes:
        await answers_of(writer)(content)
        raise RuntimeError("the connection breaks")

    async with world.living(WRITER, enters_and_hangs_up):
        verdict = await asker.reserve(a_proposal())

    assert isinstance(verdict, Reserved)
    assert world.changes == [a_proposal().entry.change]
    assert charge(world.store.now(AGENT).account) == {"pods": 1}
    assert (asker.swaps.count, writer.swaps.count) == (1, 1), "who is in doubt asks the store"


@pytest.mark.requirement("never-oversold.forwarded")
async def test_a_peer_that_comes_to_it_late_finds_the_entry_that_the_asker_made(
    world: World,
) -> None:
    asker, writer = world.process("a", pace=replace(PACE, answer=0.02)), world.process(WRITER)
    late: list[bytes] = []

    async def later(content: Payload) -> bytes:
        late.append(bytes(content))
        await asyncio.Event().wait()
        raise AssertionError

    async with world.living(WRITER, later):
        assert isinstance(await asker.reserve(a_proposal()), Reserved)
    await answers_of(writer)(late[0])

    assert world.changes == [a_proposal().entry.change]
    assert charge(world.store.now(AGENT).account) == {"pods": 1}


@pytest.mark.requirement("never-oversold.forwarded")
@pytest.mark.parametrize(
    ("verdict", "answers"),
    [
        pytest.param(Exhausted("pods", 1, 1, 1), UnreachableError, id="a refusal is not final"),
        pytest.param(Suspended(), Suspended, id="a suspension is: it holds for peers, too"),
        pytest.param(
            AlreadySettled(a_proposal().entry), AlreadySettled, id="so is what is over already"
        ),
    ],
)
async def test_while_a_peer_may_yet_enter_it_no_refusal_is_taken_for_proof(
    world: World, verdict: Reservation, answers: type[object]
) -> None:
    """The asker would withdraw the body, and the entry that comes late would have none."""
    asker = world.process("a", pace=replace(PACE, answer=0.02), decide=always(verdict))
    async with world.living(WRITER, never):
        (told,) = await asyncio.gather(asker.reserve(a_proposal()), return_exceptions=True)
    assert type(told) is answers


async def test_a_refusal_after_a_peer_surely_did_nothing_is_one(world: World) -> None:
    exhausted = Exhausted("pods", 1, 1, 1)
    asker = world.process("a", decide=always(exhausted))
    async with world.living(WRITER, refusing(PeerRefusedError("no"))):
        assert await asker.reserve(a_proposal()) == exhausted


# --- what a peer takes -------------------------------------------------------------------------


@pytest.mark.requirement("never-oversold.forwarded")
async def test_a_proposal_that_lay_about_for_too_long_is_not_entered(world: World) -> None:
    writer = world.process(WRITER)
    answers = answer_peers(writer.reservations, clock_ms=lambda: NOON + MAX_AGE_MS + 1)
    with pytest.raises(PeerRefusedError, match="too old"):
        await answers(encode_proposal(AGENT, a_proposal()))
    assert world.changes == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="another JSON"),
        pytest.param(b"[" * 100_000, id="a depth that nobody wrote"),
        pytest.param(b"\xff\xfe", id="no text"),
    ],
)
async def test_what_is_no_proposal_is_refused(world: World, content: bytes) -> None:
    with pytest.raises(PeerRefusedError, match="the proposal"):
        await answers_of(world.process(WRITER))(content)
    assert world.store.swaps == 0


async def test_what_an_account_cannot_hold_is_refused_as_that(world: World) -> None:
    entry = replace(a_proposal().entry, name="n" * 5000)
    asked = encode_proposal(AGENT, a_proposal(entry=entry))
    with pytest.raises(PeerRefusedError, match="shorter names"):
        await answers_of(world.process(WRITER))(asked)


async def test_an_api_server_that_does_not_answer_the_peer_is_no_refusal(world: World) -> None:
    async def break_down(_: object) -> None:
        raise UnreachableError("down")

    world.store.before_swap = break_down
    with pytest.raises(PeerUnavailableError, match="down"):
        await answers_of(world.process(WRITER))(encode_proposal(AGENT, a_proposal()))
