"""What a write asks for, and what must be known to say so: values only, nothing decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.apis.json import Json
from controller.apis.resources import NOTHING, Amounts


@dataclass(frozen=True, slots=True)
class AskProblem:
    """Why what an object asks for cannot be counted."""

    field: str
    """Its path, e.g. `spec.replicas`; empty: the object as a whole."""
    message: str
    is_passing: bool = False
    """The same write may be counted once what is under way is over."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one write asks for: of the object before it, and after it."""

    before: Amounts = field(default_factory=lambda: NOTHING)
    after: Amounts = field(default_factory=lambda: NOTHING)
    unit: Amounts = field(default_factory=lambda: NOTHING)
    """Of one Pod after it, `pods: 1` included; nothing where no Pods are made."""
    field: str = ""
    """What an agent changes to ask less: `spec.replicas`, `spec.containers`."""
    owner: str = ""
    """The agent that the object belonged to before the write; empty: nobody's."""
    count_field: str = ""
    """What an agent changes to have fewer Pods, where `field` says what each of them asks; empty:
    `field` does both, or is all there is."""
    problem: AskProblem | None = None
    """What could not be read; `before` and `after` are without it then."""


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """One object to be looked up."""

    group: str
    version: str
    resource: str
    """Plural."""
    namespace: str
    name: str
    uid: str = ""
    """Another object of that name is not the one; empty: any is."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be known beside the write itself."""

    nodes: bool = False
    """How many there are."""
    autoscalers: bool = False
    """Those of the request's namespace."""
    scaled: ObjectReference | None = None
    """What a scale or an autoscaler acts on."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was found of it."""

    nodes: int = 0
    autoscalers: tuple[Mapping[str, Json], ...] = ()
    """HorizontalPodAutoscalers in the request's namespace, as far as known."""
    scaled: Mapping[str, Json] | None = None
    """As stored; None: there is none."""
