"""Keeps a ledger in step with its remote: fast-forward only, in either direction.

What the remote was last seen to have is kept in a ref of our own, so that one that
lost commits is told from one to which another leader has pushed. It must never force
a push, nor drop a local commit without a ref that keeps it.
"""

from typing import Final

from git.util import remove_password_if_present

from controller.clients.git.errors import (
    LedgerMovedError,
    RemoteError,
    RemoteRewrittenError,
)
from controller.clients.git.repository import NO_COMMIT, LedgerRepository

TIMEOUT_SECONDS: Final = 120.0


class LedgerRemote:
    """One remote of one ledger. Everything here blocks."""

    def __init__(
        self, repository: LedgerRepository, url: str, *, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        """Ask nobody yet.

        Args:
            repository: the local one.
            url: as Git takes it.
            timeout: seconds after which a hanging transfer is ended.
        """
        self._repository = repository
        self._url = url
        self._shown = str(remove_password_if_present([url])[0])
        self._timeout = timeout
        self._was_empty = False
        identity = repository.identity
        self._seen = f"refs/governor/remote/{identity.cluster}/{identity.epoch}"

    def push(self) -> str:
        """Push the ledger; the head that both have now.

        Raises:
            LedgerMovedError: another leader has pushed; the local ref is at the remote's head.
            RemoteRewrittenError: the remote lost commits; nothing was changed on either side.
            RemoteError: it cannot be reached, or refuses.
        """
        head = self._repository.head()
        there = self._agree(head)
        if there == head:
            return head
        ref = self._repository.ref
        self._ask("push", "--atomic", "--quiet", self._url, f"{head}:{ref}")
        self._note(head)
        return head

    def catch_up(self) -> str:
        """Take over what the remote has and we lack; the local head afterwards.

        Raises:
            RemoteRewrittenError: the remote lost commits; nothing was changed.
            RemoteError: it cannot be reached.
        """
        head = self._repository.head()
        try:
            self._agree(head)
        except LedgerMovedError:
            return self._repository.head()
        return head

    def _agree(self, head: str) -> str:
        """The remote's head, which is ours or comes before it."""
        there = self._look()
        self._was_empty |= there == NO_COMMIT
        seen = self._repository.resolve(self._seen)
        if not self._repository.leads_to(seen, there):
            problem = f"{self._shown}: {self._repository.ref} had {seen}, and no longer leads there"
            raise RemoteRewrittenError(
                f"{problem}; nothing is pushed: find out who rewrote it, then restore it from here"
            )
        if self._repository.leads_to(there, head):
            self._note(there)
            return there
        self._take_over(there, head=head, is_known=seen != NO_COMMIT or self._was_empty)
        self._note(there)
        raise LedgerMovedError(f"{self._shown}: another leader has pushed {there}; taken over")

    def _take_over(self, there: str, *, head: str, is_known: bool) -> None:
        """Go to the remote's head. What was only here was never published, and stays in a ref."""
        repository = self._repository
        if not repository.leads_to(head, there):
            if not is_known:
                problem = f"{self._shown} has another history of {repository.ref} than is here"
                raise RemoteRewrittenError(f"{problem}; use an empty remote, or another epoch")
            repository.move(f"refs/governor/abandoned/{head}", new=head, old=NO_COMMIT)
        repository.move(repository.ref, new=there, old=head)

    def _look(self) -> str:
        """The remote's head, fetched; nothing if it has none."""
        ref = self._repository.ref
        listed = self._ask("ls-remote", self._url, ref).decode("ascii", "replace").split()
        if not listed:
            return NO_COMMIT
        there = listed[0]
        if not self._repository.leads_to(there, there):
            arguments = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc")
            self._ask("fetch", *arguments, self._url, ref)
        return there

    def _note(self, there: str) -> None:
        seen = self._repository.resolve(self._seen)
        if there not in {NO_COMMIT, seen}:
            self._repository.move(self._seen, new=there, old=seen)

    def _ask(self, command: str, *arguments: str) -> bytes:
        status, output, words = self._repository.git.ask(command, *arguments, timeout=self._timeout)
        if status != 0:
            told = " ".join(words.split()).replace(self._url, self._shown)[:1000]
            said = told or f"git {command} ended with {status}"
            raise RemoteError(f"{self._shown}: {said}; records wait here until it takes them")
        return output
