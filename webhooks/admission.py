"""Takes one write from the question to the answer: judged, recorded, reserved.

A shell: the verdict is the reviewer's, the reservation the account's. What it holds
is the order: nothing is judged before secrets are replaced, nothing reserved before
its body is durable, nothing allowed before it is reserved.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from controller.accounts.encoding import EntryUnwritableError
from controller.accounts.entries import Entry
from controller.accounts.reserve import Backlog, Proposal, StaleMandate, Suspended
from controller.admission.case import (
    Case,
    RecordKeys,
    body_of,
    entry_of,
    fold_of,
    lacks_room,
    open_case,
    probe_of,
)
from controller.admission.judge import Denied, Granted, Outcome, Postponed
from controller.admission.reservation import (
    conclude_reservation,
    no_room_for_stamp,
    record_failed,
    refuse,
    stamp_is_missing,
)
from controller.admission.reviewer import Reviewer
from controller.agents.registry import Registry
from controller.apis.mandates import Mandate
from controller.apis.requests import AdmissionRequest
from controller.clients.kube.errors import KubeError
from controller.clients.outbox.errors import OutboxError
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.rows import RowKind
from controller.mutation.room import annotation_bytes
from controller.records.stamps import MissingStamp
from webhooks.callers import Callers, CallerUnknownError
from webhooks.reservations import Reservations

_log = structlog.stdlib.get_logger("governor.webhook")


@dataclass(frozen=True, slots=True)
class Admission:
    """Answers `/validate`."""

    callers: Callers
    reviewer: Reviewer
    outbox: Outbox
    reservations: Reservations
    keys: RecordKeys
    clock_ms: Callable[[], int]
    deadline_seconds: float
    """Shorter than the registration's timeout: past it nothing is allowed any more, and what
    was reserved waits for its evidence."""

    async def admit(self, request: AdmissionRequest) -> Outcome:
        """Judge one write, and have it recorded and reserved if it is granted."""
        made_at = self.clock_ms()
        try:
            async with asyncio.timeout(self.deadline_seconds):
                return await self._admit(request, made_at)
        except TimeoutError:
            return Postponed("", f"no verdict within {self.deadline_seconds:g} s")
        except CallerUnknownError as error:
            return Postponed("", str(error))

    async def _admit(self, request: AdmissionRequest, made_at: int) -> Outcome:
        registry = await self.callers.registry_for(request.user)
        outcome = await self._admit_by(registry, request, made_at)
        if outcome is None:
            outcome = await self._admit_by(await self.callers.newest(), request, made_at)
        return outcome or Postponed("", "the account speaks of another mandate; ask again")

    async def _admit_by(
        self, registry: Registry, request: AdmissionRequest, made_at: int
    ) -> Outcome | None:
        """The outcome by these mandates; None where the account knows of newer ones."""
        case = open_case(request, registry, keys=self.keys, made_at=made_at)
        outcome: Outcome | None
        outcome = await self.reviewer.review(case.request, registry, change=case.change)
        if isinstance(outcome, Granted) and case.agent is not None:
            outcome = await self._take_in(case, outcome, case.agent.mandate)
        if isinstance(outcome, Denied):
            await self._record_denial(case, outcome)
        return outcome

    async def _take_in(self, case: Case, granted: Granted, mandate: Mandate) -> Outcome | None:
        if case.is_recorded and lacks_room(case):
            return refuse(granted, no_room_for_stamp(annotation_bytes(case.request.obj)))
        if case.is_recorded and isinstance(case.traced, MissingStamp):
            return refuse(granted, stamp_is_missing())
        try:
            if not case.is_recorded:
                return await self._ask_fence(case, granted, mandate)
            if case.request.dry_run:
                return await self._consult(case, granted, mandate)
            return await self._reserve(case, granted, mandate)
        except KubeError as error:
            return Postponed(granted.change, f"the account: {error}")
        except (OutboxError, EntryUnwritableError) as error:
            return refuse(granted, record_failed(str(error)))

    async def _ask_fence(self, case: Case, granted: Granted, mandate: Mandate) -> Outcome | None:
        """What leaves no record stops all the same where its agent does, however our watch lags."""
        proposal = _proposal(probe_of(case, granted.change), mandate)
        consulted = await self.reservations.consult(mandate.name, proposal)
        if isinstance(consulted.verdict, StaleMandate):
            return None
        is_stopped = isinstance(consulted.verdict, Suspended)
        return conclude_reservation(granted, consulted.verdict) if is_stopped else granted

    async def _consult(self, case: Case, granted: Granted, mandate: Mandate) -> Outcome | None:
        """The account's verdict as of now, without a trace."""
        proposal = _proposal(entry_of(case, granted.change), mandate)
        consulted = await self.reservations.consult(mandate.name, proposal)
        if isinstance(consulted.verdict, StaleMandate):
            return None
        account = consulted.resource_version
        return conclude_reservation(granted, consulted.verdict, account=account)

    async def _reserve(self, case: Case, granted: Granted, mandate: Mandate) -> Outcome | None:
        """Record, then reserve: in this order, so that no entry is without its body."""
        backlog = self.reservations.backlog(mandate.name)
        if backlog:  # or every repetition would leave a body, for as long as the ledger is down
            return conclude_reservation(granted, Backlog(backlog))
        body = body_of(case, granted)
        key = str(entry_of(case, granted.change).key)
        attempt = await self.outbox.append(body, kind=RowKind.BODY, key=key, made_at=case.made_at)
        record = hashlib.sha256(body).hexdigest()
        entry = entry_of(case, granted.change, attempt=attempt, record=record)
        tried = await self.reservations.reserve(mandate.name, _proposal(entry, mandate))
        return None if isinstance(tried, StaleMandate) else conclude_reservation(granted, tried)

    async def _record_denial(self, case: Case, denied: Denied) -> None:
        """What was denied is recorded too; the refusal stands even where that fails."""
        if case.request.dry_run or not case.is_recorded:
            return
        try:
            await self.outbox.append_denial(
                body_of(case, denied), fold=fold_of(case, denied), made_at=case.made_at
            )
        except OutboxError as error:
            _log.error("denial not recorded", change=denied.change, error=str(error))


def _proposal(entry: Entry, mandate: Mandate) -> Proposal:
    return Proposal(entry, mandate_uid=mandate.uid, mandate_generation=mandate.generation)
