"""Finds among the given files what the asks of a write depend on, and says what is missing.

In a cluster the webhook looks it up (`controller.feeds.surroundings`); here only what is
named on the command line exists. It counts nothing itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, NamedTuple

from controller.admission.review import metadata_text
from controller.apis.json import Json
from controller.asks.asked import Surroundings, needs_of
from controller.asks.workloads import AUTOSCALER
from controller.cli.kinds import Kinds
from controller.cli.manifests import Manifest
from controller.cli.offline import Write, is_review

_MISSING_SCALED: Final = "what it scales is not in the files; give its stored version with --old"
_MISSING_NODES: Final = "how many nodes there are is not known here"


class _Place(NamedTuple):
    group: str
    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Every object that is written or stored, by where it is."""

    objects: Mapping[_Place, Mapping[str, Json]] = field(
        default_factory=lambda: MappingProxyType(dict[_Place, Mapping[str, Json]]())
    )

    def around(self, write: Write) -> Write:
        """The same write, with what its asks depend on as far as it is known."""
        needs, request = needs_of(write.request), write.request
        autoscalers = tuple(
            obj
            for place, obj in self.objects.items()
            if (place.group, place.resource) == AUTOSCALER and place.namespace == request.namespace
        )
        scaled = None
        if needs.scaled is not None:
            wanted = needs.scaled
            scaled = self.objects.get(
                _Place(wanted.group, wanted.resource, wanted.namespace, wanted.name)
            )
        unknown = _MISSING_NODES if needs.nodes else ""
        if needs.scaled is not None and scaled is None:
            unknown = _MISSING_SCALED
        found = Surroundings(autoscalers=autoscalers if needs.autoscalers else (), scaled=scaled)
        return replace(write, around=found, unknown=unknown)


def neighbours_of(
    writes: Iterable[Write], olds: Iterable[Manifest], *, kinds: Kinds, namespace: str
) -> Neighbours:
    """All objects in the files; of one that is stored and written, the stored version.

    Args:
        writes: to be judged.
        olds: the stored versions.
        kinds: all that are known.
        namespace: of objects that name none.
    """
    found: dict[_Place, Mapping[str, Json]] = {}
    for write in writes:
        request = write.request
        obj = request.old if request.old is not None else request.obj
        if obj is not None and not request.target.subresource:
            target = request.target
            place = _Place(target.group, target.resource, request.namespace, request.name)
            found[place] = obj
    for manifest in olds:
        if not is_review(manifest):
            resource = kinds.kind_of(manifest).resource
            there = metadata_text(manifest.body, "namespace") or namespace
            name = metadata_text(manifest.body, "name")
            found[_Place(resource.group, resource.plural, there, name)] = manifest.body
    return Neighbours(MappingProxyType(found))
