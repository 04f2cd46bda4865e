"""The two answerers behind the webhook's HTTP, reduced to the judgement.

Nothing is recorded or reserved: what the real ones (`webhooks.admission`,
`webhooks.mutation`) add is tested with them.
"""

from dataclasses import dataclass

from controller.admission.judge import Outcome, Postponed
from controller.admission.reviewer import Reviewer
from controller.apis.requests import AdmissionRequest
from controller.mutation.stamp import Mutation
from webhooks.app import Readiness, WebhookApp
from webhooks.callers import Callers, CallerUnknownError, Registries
from webhooks.credentials import ExpectedCaller


@dataclass(frozen=True, slots=True)
class JudgesOnly:
    """Has every write judged, and keeps no trace of it."""

    reviewer: Reviewer
    callers: Callers

    async def admit(self, request: AdmissionRequest) -> Outcome:
        """The judge's outcome."""
        try:
            registry = await self.callers.registry_for(request.user)
        except CallerUnknownError as error:
            return Postponed("", str(error))
        return await self.reviewer.review(request, registry)


class MutatesNothing:
    """Has nothing to change in any write."""

    async def mutate(self, request: AdmissionRequest) -> Mutation:
        """No change."""
        del request
        return Mutation()


def an_app_that_judges(
    reviewer: Reviewer,
    registries: Registries,
    *,
    readiness: Readiness = lambda: (),
    expected: ExpectedCaller | None = None,
) -> WebhookApp:
    """The real HTTP in front of a judge."""
    return WebhookApp(
        admission=JudgesOnly(reviewer, Callers(registries)),
        mutator=MutatesNothing(),
        readiness=readiness,
        expected=expected or ExpectedCaller(None),
    )
