"""Reserves writes in the Accounts: one writer per account folds all that waits into one swap.

Theory of operation. Naive retries collapse when a few requests compete for one
object; a single writer that takes everything that waits into one compare-and-swap
does not (measured: 17,000 against 60 a second). What a proposal is answered rests on
an account that was current while its caller waited: either the swap that wrote the
answers succeeded, or nothing had to be written and the account was read after the
caller had asked. So a refusal is never a stale one, and a resend that finds its entry
is checked against the fence of this moment. It lets the settler have its turn (`turns`).

It must not: answer before the swap did, take anything back (an entry whose caller has
left waits for evidence), decide what an account may hold (`controller.accounts.reserve`
does), or let one caller's fault or departure touch the others of the fold.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias, TypeVar

from controller.accounts.account import MAX_PENDING, Account
from controller.accounts.charges import charge
from controller.accounts.encoding import check_writable
from controller.accounts.reserve import (
    AlreadySettled,
    Proposal,
    Reservation,
    Reserved,
    Suspended,
    Uncounted,
    Unopened,
    reserve,
)
from controller.apis.resources import NOTHING, Amounts
from controller.clients.kube.errors import ConflictError, KubeError, UnreachableError
from webhooks.accounts import Accounts, KnownAccounts, News
from webhooks.forwarding import Forwards
from webhooks.turns import Manners, Turns

Decide: TypeAlias = Callable[[Account, Proposal], Reservation]

T = TypeVar("T")

_STANDING = (Reserved, AlreadySettled, Suspended)
"""Verdicts that stay true if the same proposal is entered after them: it is found, or refused."""


class OverloadedError(KubeError):
    """More writes of one agent wait for its account than may. Nothing was reserved."""

    retryable = True


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often; beyond it, callers are told to come again."""

    seconds: float = 3.0
    """For one request to the API server: below the deadline of the webhook, for a request that
    hangs holds up all later ones of its account."""
    conflicts: int = 20
    """How often one caller loses to other writers of its account."""
    waiting: int = 400
    """How many callers may wait for one account."""
    tries: int = 3
    """How often one caller asks, where the settler is still to open windows or to count."""
    settler_seconds: float = 3.0
    """For how long it waits for the settler, all in all."""


@dataclass(frozen=True, slots=True)
class Consulted:
    """What would have become of a proposal."""

    verdict: Reservation
    resource_version: str
    """Of the account that says so."""


class Reservations:
    """The accounts' writer in this process."""

    def __init__(
        self,
        store: Accounts,
        feed: KnownAccounts,
        *,
        forwards: Forwards | None = None,
        decide: Decide = reserve,
        patience: Patience | None = None,
        manners: Manners | None = None,
    ) -> None:
        """Describe where accounts are, and who may write them in our place.

        Args:
            store: where they are stored.
            feed: what is known of them.
            forwards: where proposals are forwarded to; None: this process writes all.
            decide: the account's rules.
            patience: how long and how often.
            manners: towards the settler.
        """
        self._store = store
        self._feed = feed
        self._forwards = forwards
        self._decide = decide
        self._patience = patience or Patience()
        self._manners = manners or Manners()
        self._news = News(feed)
        # One per agent that ever reserved, for good: it is small, and remembers doubts.
        self._writers: dict[str, _Writer] = {}
        feed.subscribe(self._on_news)

    async def reserve(self, agent: str, proposal: Proposal) -> Reservation:
        """Enter a write in its agent's account, or say why not.

        Where the account lacks what the limits are held by, and the settler will bring it,
        that is waited for, but not for long.

        A caller that is cancelled may find its entry there or not; it must not let the
        write through.

        Raises:
            EntryUnwritableError: no account can hold this entry.
            KubeError: no answer: nothing may be let through. What was asked may have been
                entered; the same proposal again finds it.
        """
        check_writable(proposal.entry)
        until = asyncio.get_running_loop().time() + self._patience.settler_seconds
        verdict = await self._enter_anywhere(agent, proposal)
        for _ in range(1, self._patience.tries):
            if not _may_pass(verdict):
                break
            if not await self._news.wait(agent, partial(self._has_all, agent, proposal), until):
                break
            verdict = await self._enter_anywhere(agent, proposal)
        return verdict

    async def enter(self, agent: str, proposal: Proposal) -> Reservation:
        """As `reserve`, but by a swap of this process, and without waiting for the settler.

        For what other processes forwarded.

        Raises:
            EntryUnwritableError: no account can hold this entry.
            KubeError: no answer; what was asked may have been entered.
        """
        check_writable(proposal.entry)
        return await self._writer(agent).ask(proposal)

    async def _enter_anywhere(self, agent: str, proposal: Proposal) -> Reservation:
        """By the account's preferred writer, else by ourselves."""
        known = self._feed.get(agent)
        if self._forwards is None or known is None:
            return await self._writer(agent).ask(proposal)
        forwarded = await self._forwards.forward(agent, proposal, known.account)
        if forwarded.verdict is not None:
            return forwarded.verdict
        verdict = await self._writer(agent).ask(proposal)
        if not forwarded.is_certain and not isinstance(verdict, _STANDING):
            # A refusal would be taken for proof that nothing is entered.
            raise UnreachableError(f"another process may yet enter it: {type(verdict).__name__}")
        return verdict

    def _has_all(self, agent: str, proposal: Proposal) -> bool:
        """Whether the account, as far as it is known, has what the limits are held by."""
        known = self._feed.get(agent)
        return known is not None and not _may_pass(self._decide(known.account, proposal))

    def usage(self, agent: str) -> Amounts:
        """What an agent holds with all that was granted, as far as is known: advice only."""
        known = self._feed.get(agent)
        return NOTHING if known is None else charge(known.account)

    def backlog(self, agent: str) -> int:
        """How many writes of an agent are pending if, as far as is known, no more may be; else 0.

        For a caller that would write something down before it asks.
        """
        known = self._feed.get(agent)
        pending = 0 if known is None else len(known.account.pending)
        return pending if pending >= MAX_PENDING else 0

    async def consult(self, agent: str, proposal: Proposal) -> Consulted:
        """Say what would become of a write, by the account as it is now; enters nothing.

        Raises:
            EntryUnwritableError: no account can hold this entry.
            KubeError: the account could not be read.
        """
        check_writable(proposal.entry)
        stored = await _within(self._patience.seconds, self._store.read(agent))
        return Consulted(self._decide(stored.account, proposal), stored.resource_version)

    def _writer(self, agent: str) -> "_Writer":
        writer = self._writers.get(agent)
        if writer is None:
            turns = Turns(self._manners)
            writer = _Writer(agent, self._store, self._feed, self._decide, self._patience, turns)
            self._writers[agent] = writer
        return writer

    def _on_news(self, agent: str) -> None:
        writer = self._writers.get(agent)
        if writer is not None:
            writer.news.set()


def _may_pass(verdict: Reservation) -> bool:
    """Whether the settler's next swap may change it."""
    return isinstance(verdict, Uncounted | Unopened)


@dataclass(eq=False, slots=True)
class _Caller:
    """One proposal, and who waits for its answer."""

    proposal: Proposal
    answer: "asyncio.Future[Reservation]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    conflicts: int = 0

    def fail(self, fault: Exception) -> None:
        if not self.answer.done():  # cancelled meanwhile
            self.answer.set_exception(fault)


@dataclass(eq=False, slots=True)
class _Writer:
    """Folds what waits for one account; runs only while something does."""

    agent: str
    store: Accounts
    feed: KnownAccounts
    decide: Decide
    patience: Patience
    turns: Turns
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when another version of the account is known."""
    callers: list[_Caller] = field(default_factory=list[_Caller])
    """Who waits, in order. Each leaves by itself, answered or cancelled."""
    is_in_doubt: bool = False
    """What is known may be outdated: read before anything else."""
    task: "asyncio.Task[None] | None" = None

    async def ask(self, proposal: Proposal) -> Reservation:
        if len(self.callers) >= self.patience.waiting:
            raise OverloadedError(
                f"{self.patience.waiting} writes of {self.agent} wait for its account already"
            )
        caller = _Caller(proposal)
        self.callers.append(caller)
        if self.task is None or self.task.done():
            # Not of the caller: its deadline must not cancel a swap that carries others.
            self.task = asyncio.create_task(self._run(), name=f"account writer of {self.agent}")
        try:
            return await caller.answer
        finally:
            self.callers.remove(caller)

    async def _run(self) -> None:
        while fold := self._waiting():
            try:
                await self._give_way()
                if fold := self._waiting():  # all may have left, and others come
                    await self._attempt(fold)
            except Exception as fault:  # noqa: BLE001 - every caller raises it, and none may hang
                self._fail(fold, fault)
            except BaseException:
                # We are stopped, and nobody else would ever answer them.
                self._fail(self.callers, UnreachableError(f"the writer of {self.agent} stopped"))
                raise

    def _waiting(self) -> Sequence[_Caller]:
        return [caller for caller in self.callers if not caller.answer.done()]

    async def _give_way(self) -> None:
        """Pause until the settler was here, if it is its turn, but not for long."""
        seconds = self.turns.pause()
        if not seconds:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._was_settled():
                    self.news.clear()
                    await self.news.wait()

    def _was_settled(self) -> bool:
        known = self.feed.get(self.agent)
        return known is not None and self.turns.is_settled_in(known.account)

    def _fail(self, callers: Sequence[_Caller], fault: Exception) -> None:
        self.is_in_doubt = True
        for caller in callers:
            caller.fail(fault)

    async def _attempt(self, fold: Sequence[_Caller]) -> None:
        """At most one read and one swap; who is not answered by them is asked for again."""
        base = None if self.is_in_doubt else self.feed.get(self.agent)
        is_current = base is None
        if base is None:
            base = await _within(self.patience.seconds, self.store.read(self.agent))
        before = base.account
        account, verdicts = self._folded(before, fold)
        if account != before:
            try:
                base = await _within(self.patience.seconds, self.store.swap(base, account))
            except ConflictError as conflict:
                self._lost(fold, conflict)
                return
            self.turns.wrote(before, base.account)
        elif not is_current:
            # Nothing to write, so nothing that would prove that we know the newest version.
            self.is_in_doubt = True
            return
        self.is_in_doubt = False
        self.feed.adopt(base)
        for caller, verdict in zip(fold, verdicts, strict=True):
            if not caller.answer.done():
                caller.answer.set_result(verdict)

    def _folded(
        self, account: Account, fold: Sequence[_Caller]
    ) -> tuple[Account, Sequence[Reservation]]:
        verdicts: list[Reservation] = []
        for caller in fold:
            verdict = self.decide(account, caller.proposal)
            if isinstance(verdict, Reserved | Unopened):
                account = verdict.account
            verdicts.append(verdict)
        return account, verdicts

    def _lost(self, fold: Sequence[_Caller], conflict: ConflictError) -> None:
        """Another writer was first: read what it wrote, and decide all of it again."""
        self.is_in_doubt = True
        for caller in fold:
            caller.conflicts += 1
            if caller.conflicts >= self.patience.conflicts:
                caller.fail(conflict)


async def _within(seconds: float, doing: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await doing
    except TimeoutError as late:
        raise UnreachableError(f"the account: no answer within {seconds} s") from late
