"""Stamps one write of an agent, and puts its reason where the committer finds it.

Never denies: what cannot be stamped is `/validate`'s to refuse. Writes nothing for
a dry run, and changes nothing of those who are not governed. A reason that repeats a
confidential value of its write is kept nowhere: that it was there is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from controller.admission.case import leaves_record
from controller.agents.identify import Agent, identify
from controller.apis.requests import AdmissionRequest
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.rows import RowKind
from controller.mutation.room import has_room
from controller.mutation.stamp import Mutation, plan_mutation
from controller.records.redaction import repeats_confidential
from controller.records.stamps import REASON, annotation_of
from webhooks.callers import Callers

WITHHELD: Final = "(withheld by Governor: the reason repeats a confidential value of this object)"
"""What is kept in place of such a reason."""


@dataclass(frozen=True, slots=True)
class Mutator:
    """Answers `/mutate`."""

    callers: Callers
    outbox: Outbox
    stamp_key: bytes
    mint_change: Callable[[], str]
    clock_ms: Callable[[], int]

    async def mutate(self, request: AdmissionRequest) -> Mutation:
        """What to change in one write.

        Raises:
            CallerUnknownError: nobody can say now whether this is an agent.
            OutboxError: its reason cannot be kept.
        """
        registry = await self.callers.registry_for(request.user)
        is_agent = isinstance(identify(request.user, registry), Agent)
        if not is_agent or not leaves_record(request):
            return Mutation()
        mutation = plan_mutation(request, change=self.mint_change(), key=self.stamp_key)
        if mutation.change is not None and not has_room(request.obj):
            return Mutation()
        if mutation.reason is not None and mutation.change is not None:
            # Searched whole: the part that is kept may hold the beginning of a value only.
            whole = str(annotation_of(request.obj, REASON))
            is_told = repeats_confidential(whole, request, governance=registry.governance)
            await self.outbox.append(
                (WITHHELD if is_told else mutation.reason).encode(),
                kind=RowKind.REASON,
                key=mutation.change,
                made_at=self.clock_ms(),
            )
        return mutation
