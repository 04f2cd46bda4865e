"""One admission request, as the decisions read it: values only, nothing decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from controller.apis.json import Json


@dataclass(frozen=True, slots=True)
class UserInfo:
    """`request.userInfo`: the effective identity, after any impersonation."""

    username: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


class Operation(StrEnum):
    """What the API server was asked to do."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


@dataclass(frozen=True, slots=True)
class Target:
    """The resource under review, and the kind of the object that the request carries.

    For a subresource they differ: `deployments/scale` in `apps` carries a
    `Scale` of `autoscaling/v1`.
    """

    group: str
    """The resource's API group; empty for the core group."""
    version: str
    kind: str
    resource: str
    """Plural, e.g. `deployments`."""
    subresource: str = ""
    api_version: str = ""
    """The resource's version where it is not the kind's: `apps/v1` `deployments/scale` carries
    a `Scale` of `autoscaling/v1`. Empty: the same."""

    @property
    def served_version(self) -> str:
        """The version in which the resource itself was written, and can be watched."""
        return self.api_version or self.version

    @property
    def path(self) -> str:
        """The resource in RBAC's form: `deployments` or `deployments/scale`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    @property
    def qualified(self) -> str:
        """The resource with its group, for people: `deployments.apps/scale`, `pods`."""
        name = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{name}/{self.subresource}" if self.subresource else name

    def with_qualified(self, qualified: str) -> "Target":
        """This target, but of the resource that a `qualified` text names.

        A group may contain dots, a resource contains none. The text does not
        tell version and kind: they stay as they are.
        """
        name, _, subresource = qualified.partition("/")
        resource, _, group = name.partition(".")
        return replace(self, group=group, resource=resource, subresource=subresource)


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """One call of the validating webhook, well-formed."""

    uid: str
    """The API server's id of this HTTP call; never the id of a change."""
    operation: Operation
    target: Target
    namespace: str
    """Empty for cluster-scoped objects."""
    name: str
    """The object's; within a deletecollection taken from the old object."""
    user: UserInfo
    obj: Mapping[str, Json] | None
    old: Mapping[str, Json] | None
    options: Mapping[str, Json] | None = None
    dry_run: bool = False
    is_collection: bool = False
    """One of the deletes of a deletecollection."""

    @property
    def verbs(self) -> tuple[str, ...]:
        """The RBAC verbs of which one must be granted.

        Admission cannot tell an update from a patch; a CONNECT is authorised
        by RBAC with the verb `create`.
        """
        if self.operation is Operation.UPDATE:
            return ("update", "patch")
        if self.operation is Operation.DELETE:
            return ("deletecollection",) if self.is_collection else ("delete",)
        return ("create",)
