"""Stamps one write of an agent, labels whose it is, and keeps the reason for the committer.

Never denies: what cannot be stamped is `/validate`'s to refuse. Writes nothing for
a dry run, and changes nothing of those who are not governed. A reason that repeats a
confidential value of its write is kept nowhere: that it was there is.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from controller.admission.case import leaves_record
from controller.agents.identify import Agent, identify
from controller.apis.governance import Governance
from controller.apis.requests import AdmissionRequest, Operation
from controller.asks.asked import NOTHING_ASKED, asked_by, needs_of
from controller.asks.ownership import owner_after
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.rows import RowKind
from controller.mutation.room import has_room
from controller.mutation.stamp import Mutation, plan_mutation
from controller.records.redaction import repeats_confidential
from controller.records.stamps import REASON, annotation_of, read_stamp
from webhooks.admission import Gathers
from webhooks.callers import Callers

WITHHELD: Final = "(withheld by Governor: the reason repeats a confidential value of this object)"
"""What is kept in place of such a reason."""

Place: TypeAlias = tuple[str, ...]
Told: TypeAlias = "OrderedDict[Place, str]"
_REMEMBERED = 1024
"""Reasons; the second call about a write follows within its request."""


@dataclass(frozen=True, slots=True)
class Mutator:
    """Answers `/mutate`."""

    callers: Callers
    surroundings: Gathers
    outbox: Outbox
    stamp_key: bytes
    mint_change: Callable[[], str]
    clock_ms: Callable[[], int]
    told: Told = field(default_factory=OrderedDict[Place, str])
    """The latest reasons. A later mutating webhook makes the API server ask us once more, when
    the reason is off the object already, and the stamp then gets another id."""

    async def mutate(self, request: AdmissionRequest) -> Mutation:
        """What to change in one write.

        Raises:
            CallerUnknownError: nobody can say now whether this is an agent.
            KubeError: nor whether the write makes the object the agent's.
            OutboxError: its reason cannot be kept.
        """
        registry = await self.callers.registry_for(request.user)
        agent = identify(request.user, registry)
        if not isinstance(agent, Agent) or not leaves_record(request):
            return Mutation()
        owner = await self._owner(request, agent.mandate.name)
        mutation = plan_mutation(
            request, change=self.mint_change(), key=self.stamp_key, owner=owner
        )
        if mutation.change is not None and not has_room(request.obj):
            return Mutation()
        reason = self._reason(request, mutation, registry.governance)
        if reason is not None and mutation.change is not None:
            self._remember(request, mutation.change, reason)
            await self.outbox.append(
                reason.encode(), kind=RowKind.REASON, key=mutation.change, made_at=self.clock_ms()
            )
        return mutation

    async def _owner(self, request: AdmissionRequest, agent: str) -> str:
        """Whose the object is after the write: by what `/validate` will look up, too."""
        is_update = request.operation is Operation.UPDATE and not request.target.subresource
        if request.dry_run or not is_update:
            # A create is the agent's whatever it asks, and nothing else can be adopted.
            return owner_after(request, agent=agent, asked=NOTHING_ASKED)
        around = await self.surroundings.gather(needs_of(request), namespace=request.namespace)
        return owner_after(request, agent=agent, asked=asked_by(request, around, agent=agent))

    def _reason(
        self, request: AdmissionRequest, mutation: Mutation, governance: Governance
    ) -> str | None:
        """What the agent says, or said of this very write when we were first asked about it."""
        if mutation.reason is None:
            earlier = read_stamp(request.obj, key=self.stamp_key)
            is_fresh = earlier != read_stamp(request.old, key=self.stamp_key)
            return self.told.get(_place(request, earlier)) if is_fresh else None
        # Searched whole: the part that is kept may hold the beginning of a value only.
        whole = str(annotation_of(request.obj, REASON))
        is_telling = repeats_confidential(whole, request, governance=governance)
        return WITHHELD if is_telling else mutation.reason

    def _remember(self, request: AdmissionRequest, change: str, reason: str) -> None:
        self.told[_place(request, change)] = reason
        if len(self.told) > _REMEMBERED:
            self.told.popitem(last=False)


def _place(request: AdmissionRequest, change: str) -> Place:
    target = request.target
    return (change, target.group, target.path, request.namespace, request.name)
