"""Reads the lines of a watch: what happened to which object, or which fault it reports.

Pure: no I/O, and nothing is concluded from an event.
"""

from controller.apis.decoding import decoded
from controller.apis.json import Json
from controller.clients.kube.client import Object
from controller.clients.kube.errors import KubeError, UnreachableError, error_from_status
from controller.clients.kube.resources import Resource


def event_of(line: bytes, resource: Resource) -> tuple[str, Object]:
    """The type of an event (`ADDED`, `BOOKMARK`, …) and the object that it is about.

    Raises:
        UnreachableError: it is no event: a proxy's words, or a line that was cut.
    """
    try:
        event = decoded(line)
    except ValueError as garbled:
        raise UnreachableError(f"watch {resource.plural}: not JSON: {garbled}") from garbled
    if not isinstance(event, dict):
        raise UnreachableError(f"watch {resource.plural}: an event that is no object")
    body = event.get("object")
    return text_of(event, "type"), body if isinstance(body, dict) else {}


def fault_of(status: Object, resource: Resource) -> KubeError:
    """The fault that the `Status` of an `ERROR` event stands for."""
    code = status.get("code")
    return error_from_status(
        code if isinstance(code, int) else 500,
        reason=str(status.get("reason") or ""),
        message=str(status.get("message") or "no message"),
        doing=f"watch {resource.plural}",
    )


def metadata_of(body: Object) -> dict[str, Json]:
    """An object's metadata; empty where it has none."""
    metadata = body.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def text_of(parent: Object, field: str) -> str:
    """A field that is a text; empty for anything else, which may be too deep to be written."""
    value = parent.get(field)
    return value if isinstance(value, str) else ""


def went_back(before: str | None, after: str) -> bool:
    """Whether a resource version is older than one seen before it."""
    if before is None or not (before.isdecimal() and after.isdecimal()):
        return False
    return int(after) < int(before)
