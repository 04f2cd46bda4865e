"""What there is beside a write, as a test says it is."""

from dataclasses import dataclass, field

from controller.asks.asked import Needs, Surroundings
from controller.clients.kube.errors import KubeError


@dataclass
class ScriptedSurroundings:
    """Gives what it was told to, and notes what was asked."""

    answer: Surroundings | KubeError = field(default_factory=Surroundings)
    asked: list[Needs] = field(default_factory=list[Needs])

    async def gather(self, needs: Needs, *, namespace: str) -> Surroundings:
        """As scripted."""
        self.asked.append(needs)
        if isinstance(self.answer, KubeError):
            raise self.answer
        return self.answer
