"""Knows whether Governor's requests have the priority level that every governed write needs.

It reads, and only says what is missing: what is rendered and what counts as wrong is
`controller.registration.priority`'s; whoever may write it is `reconcilers.ground`.

An identity in `system:masters` is exempt from all levels whatever any schema says. Its
groups are not asked for: the objects are demanded of it all the same.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

from controller.clients.kube.client import Object
from controller.clients.kube.errors import NotFoundError
from controller.clients.kube.informer import Chance, Informer, ListsAndWatches, Pace
from controller.clients.kube.resources import Key, Resource
from controller.feeds.registry import ATTENTIVE
from controller.registration.priority import (
    PRIORITY_NAME,
    problems_of_flow_schema,
    problems_of_priority_level,
)

PRIORITY_LEVELS = Resource(
    "flowcontrol.apiserver.k8s.io",
    "v1",
    "prioritylevelconfigurations",
    "PriorityLevelConfiguration",
    namespaced=False,
)
FLOW_SCHEMAS = Resource(
    "flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema", namespaced=False
)

_KEY = Key("", PRIORITY_NAME)


class PriorityFeed:
    """The priority level and the flow schema named `governor`, as they are stored.

    Attributes:
        levels: an informer of the one PriorityLevelConfiguration.
        schemas: an informer of the one FlowSchema.
    """

    def __init__(
        self,
        client: ListsAndWatches,
        own_username: Callable[[], Awaitable[str]],
        *,
        pace: Pace | None = None,
        chance: Chance | None = None,
    ) -> None:
        """Describe whose level it is; nothing is asked before `run`.

        Args:
            client: whom to ask.
            own_username: learns as whom our requests come, however long that takes.
            pace: of the watches.
            chance: time and randomness.
        """
        self.levels = one_object(client, PRIORITY_LEVELS, PRIORITY_NAME, pace=pace, chance=chance)
        self.schemas = one_object(client, FLOW_SCHEMAS, PRIORITY_NAME, pace=pace, chance=chance)
        self._own_username = own_username
        self._username: str | None = None

    async def run(self) -> NoReturn:
        """Follow the API server until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.levels.run(), name="informer of the priority level")
            tasks.create_task(self.schemas.run(), name="informer of the flow schema")
            self._username = await self._own_username()
        raise AssertionError("an informer ended")

    def missing(self) -> tuple[str, ...]:
        """What keeps our requests from having seats of their own; empty when they have.

        Each as `priority level: …` or `flow schema: …`, with the fix.
        """
        levels = self._unknown(self.levels) or problems_of_priority_level(_stored(self.levels))
        return (
            *(f"priority level: {problem}" for problem in levels),
            *(f"flow schema: {problem}" for problem in self._schema_problems()),
        )

    def _schema_problems(self) -> tuple[str, ...]:
        if unknown := self._unknown(self.schemas):
            return unknown
        if self._username is None:
            return ("the API server has not said yet who we are",)
        return problems_of_flow_schema(_stored(self.schemas), username=self._username)

    def _unknown(self, informer: Informer[Object]) -> tuple[str, ...]:
        fault = informer.fault
        if isinstance(fault, NotFoundError):
            resource = informer.resource
            return (
                f"the API server does not serve {resource.group}/{resource.version}: "
                "enable that API, and API Priority and Fairness",
            )
        if not informer.synced.is_set():
            return (str(fault or "not listed yet"),)
        return ()


def one_object(
    client: ListsAndWatches,
    resource: Resource,
    name: str,
    *,
    pace: Pace | None = None,
    chance: Chance | None = None,
) -> Informer[Object]:
    """An informer that keeps one cluster-scoped object whole."""
    return Informer(
        client,
        resource,
        lambda body: body,
        selectors=[("fieldSelector", f"metadata.name={name}")],
        pace=pace or ATTENTIVE,
        chance=chance,
    )


def _stored(informer: Informer[Object]) -> Object | None:
    known = informer.get(_KEY)
    return None if known is None else known.value
