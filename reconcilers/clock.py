"""Asks how far a kind is by now, for entries past their deadline: the clock alone proves nothing.

Whatever the API server stores for such an entry is stored before that is read. What the
answer means is decided in `controller.accounts.settle`.
"""

from collections.abc import Collection, Mapping

import structlog

from controller.accounts.account import Account
from controller.accounts.entries import EntryKey, WatchedKind
from controller.clients.kube.errors import KubeError
from controller.clients.kube.exact import newest_version
from controller.clients.kube.informer import ListsAndWatches
from reconcilers.attention import Memory, Overdue
from reconcilers.histories import Histories
from reconcilers.needs import Times, awaited

log = structlog.get_logger("governor.reconcilers")


class Clock:
    """Reads positions past deadlines, each once per entry."""

    def __init__(self, client: ListsAndWatches, histories: Histories, times: Times) -> None:
        """Ask nothing yet."""
        self._client = client
        self._histories = histories
        self._times = times

    async def ask(
        self,
        account: Account,
        memory: Memory,
        *,
        unwatchable: Collection[WatchedKind],
        now: float,
    ) -> Mapping[EntryKey, int]:
        """For each entry past its deadline, how far its kind must have been seen.

        Args:
            account: as it is to be settled.
            memory: of its agent; what is read is noted there.
            unwatchable: kinds that nobody can watch; there is nothing to ask.
            now: seconds since the epoch.
        """
        late = [entry for entry in awaited(account) if now >= self._times.deadline(entry)]
        memory.retain(late)
        unread = [entry for entry in late if entry.key not in memory.overdue]
        for kind in sorted({entry.kind for entry in unread} - set(unwatchable)):
            read_at = await self.newest(kind)
            if read_at is not None:
                memory.overdue |= {
                    e.key: Overdue(e.made_at, read_at) for e in unread if e.kind == kind
                }
        unseen = {entry.key: 0 for entry in late if entry.kind in unwatchable}
        return {key: known.read_at for key, known in memory.overdue.items()} | unseen

    async def newest(self, kind: WatchedKind) -> int | None:
        """How far the kind is by now; None: it cannot be told at present."""
        resource = self._histories.resource(kind)
        if resource is None:
            return None
        try:
            return await newest_version(self._client, resource)
        except KubeError as fault:
            # One kind's API server that is down keeps no other entry from its outcome.
            log.warning("cannot tell how far it is", kind=str(kind), error=str(fault))
            return None
