"""Finds the mandates by which a request is to be judged: those of the watch, or newer ones.

It identifies nobody for good: the judge does, from the same registry.
"""

from typing import Protocol

from controller.agents.identify import NotGoverned, identify
from controller.agents.registry import Registry
from controller.apis.requests import UserInfo
from controller.clients.kube.errors import KubeError


class Registries(Protocol):
    """Where the mandates of the moment are known."""

    def current(self) -> Registry | None:
        """As far as the watch has brought them; None until they are first known."""
        ...

    async def fetch(self) -> Registry | None:
        """As the API server holds them now; None while that is unreadable.

        Raises:
            KubeError: the API server could not be asked.
        """
        ...


class CallerUnknownError(Exception):
    """Who sent this cannot be said now; the API server is to ask again."""


class Callers:
    """Looks callers up."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries

    async def registry_for(self, user: UserInfo) -> Registry:
        """The registry that says who this is.

        The registration selects agents only: a stranger may be an agent of a new mandate.
        The API server can know the registration before our watch brings the mandate that
        it was made for; letting strangers pass meanwhile would let the agent's first writes
        through.

        Raises:
            CallerUnknownError: nobody can say now.
        """
        registry = self._registries.current()
        if registry is None:
            raise CallerUnknownError("the mandates are not known yet")
        if isinstance(identify(user, registry), NotGoverned):
            return await self.newest()
        return registry

    async def newest(self) -> Registry:
        """The registry as the API server holds it now.

        Raises:
            CallerUnknownError: it could not be read.
        """
        try:
            registry = await self._registries.fetch()
        except KubeError as error:
            problem = f"the API server does not say who this is: {error}"
            raise CallerUnknownError(problem) from error
        if registry is None:
            raise CallerUnknownError("the mandates cannot be read")
        return registry
