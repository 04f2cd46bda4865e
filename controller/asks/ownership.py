"""Says whose an object is: by the label that only Governor sets and no agent can change.

It reads and decides the label's value; `/mutate` writes it, `/validate` demands it. Who
sent a write is not asked here.
"""

from collections.abc import Mapping
from typing import Final

from controller.accounts.charges import increase
from controller.apis.json import Json, section_of
from controller.apis.requests import AdmissionRequest, Operation
from controller.asks.values import Asked

AGENT: Final = "governor.dev/agent"
"""The label that names the agent an object belongs to."""


def owner_of(obj: Mapping[str, Json] | None) -> str:
    """The agent that an object belongs to; empty: nobody's."""
    label = _label_of(obj)
    return label if isinstance(label, str) else ""


def controller_of(obj: Mapping[str, Json] | None) -> str:
    """The uid of the owner whose controller made the object; empty: none."""
    references = section_of(obj, "metadata").get("ownerReferences")
    for reference in references if isinstance(references, list) else ():
        if isinstance(reference, dict) and reference.get("controller") is True:
            uid = reference.get("uid")
            return uid if isinstance(uid, str) else ""
    return ""


def owner_after(request: AdmissionRequest, *, agent: str, asked: Asked) -> str:
    """Whose the object is once the agent's write took effect: what the label must say.

    A create is the agent's, and so is what it makes ask more (adoption). Every other
    write keeps what is stored: an agent can neither take the label off nor rename it.
    """
    if request.target.subresource or request.operation is Operation.DELETE:
        # No subresource may change it: what it raises cannot be adopted through it.
        return asked.owner or owner_of(request.old)
    if request.operation is Operation.CREATE:
        return agent
    stored = owner_of(request.old)
    return agent if increase(asked.before, asked.after) else stored


def label_after(request: AdmissionRequest, *, owner: str) -> Json:
    """What the label must hold for the object to be `owner`'s; None: there must be none.

    One that says so already stays to the letter, be it the empty one that a person set.
    """
    if owner_of(request.old) == owner:
        return _label_of(request.old)
    return owner or None


def owner_is_kept(request: AdmissionRequest, *, agent: str, asked: Asked) -> bool:
    """Whether the label of a write's final object is what it must be.

    Args:
        request: as it came. In a redacted one the label may be a mark.
        agent: who sent it.
        asked: what it asks, before and after.
    """
    if request.obj is None:
        return True
    owner = owner_after(request, agent=agent, asked=asked)
    return _label_of(request.obj) == label_after(request, owner=owner)


def _label_of(obj: Mapping[str, Json] | None) -> Json:
    labels = section_of(obj, "metadata").get("labels")
    return labels.get(AGENT) if isinstance(labels, dict) else None
