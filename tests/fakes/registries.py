"""Registries as the webhook meets them: what the watch brought, and what the API server holds.

The real one is `controller.feeds.registry.RegistryFeed`.
"""

from dataclasses import dataclass

from controller.agents.registry import Registry
from controller.clients.kube.errors import KubeError


@dataclass
class ScriptedRegistries:
    """Says what it was given; counts how often the API server was asked."""

    known: Registry | None
    stored: Registry | KubeError | None = None
    """What a fetch finds; None: what is known."""
    fetches: int = 0

    def current(self) -> Registry | None:
        """What the watch brought."""
        return self.known

    async def fetch(self) -> Registry | None:
        """What the API server holds."""
        self.fetches += 1
        if isinstance(self.stored, KubeError):
            raise self.stored
        return self.stored or self.known
