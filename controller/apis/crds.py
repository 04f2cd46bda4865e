"""The kinds Governor serves, each as its CustomResourceDefinition.

This is the one list of kinds, with what `kubectl get` shows of each. It builds
plain values; `generate` writes them.
"""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from controller.apis.schema import Node, structural_schema
from controller.apis.v1alpha1.account import Account
from controller.apis.v1alpha1.governance import Governance
from controller.apis.v1alpha1.mandate import Mandate
from controller.apis.v1alpha1.pricebook import PriceBook
from controller.apis.v1alpha1.wire import GROUP, VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    json_path: str
    description: str
    type: str = "string"
    only_when_wide: bool = False
    """Shown with `-o wide` only."""

    def to_json(self) -> dict[str, Any]:
        """Give the column as a CustomResourceDefinition has it."""
        column = {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "jsonPath": self.json_path,
        }
        return {**column, "priority": 1} if self.only_when_wide else column


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One cluster-scoped kind and its names."""

    model: type[BaseModel]
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    content: str = "spec"
    """The field that every object of it must have."""
    has_status: bool = True
    """`status` is a subresource, written apart from what people write."""

    @property
    def name(self) -> str:
        """The kind as resources state it, such as `Mandate`."""
        return self.model.__name__

    @property
    def crd_name(self) -> str:
        """The CustomResourceDefinition's own name."""
        return f"{self.plural}.{GROUP}"


def _condition(type_: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{field}'


def _limit(name: str, resource: str, description: str) -> Column:
    return Column(name=name, json_path=f".spec.quota.{resource}", description=description)


def _held(name: str, resource: str, description: str) -> Column:
    return Column(
        name=name,
        json_path=f".status.settled.{resource}",
        description=description,
        type="integer",
    )


def _price(name: str, resource: str, description: str) -> Column:
    return Column(
        name=name,
        json_path=f'.spec.prices[?(@.resource=="{resource}")].usdPerHour',
        description=description,
    )


_READY = Column(
    name="Ready",
    json_path=_condition("Ready", "status"),
    description="Whether the newest generation is in force.",
)
_REASON = Column(
    name="Reason",
    json_path=_condition("Ready", "reason"),
    description="Why it is in force or not, as one word.",
)
_AGE = Column(
    name="Age",
    json_path=".metadata.creationTimestamp",
    description="Time since its creation.",
    type="date",
)
_OBSERVED = Column(
    name="Observed",
    json_path=".status.observedGeneration",
    description="The generation that Governor acted on last.",
    type="integer",
    only_when_wide=True,
)
_MESSAGE = Column(
    name="Message",
    json_path=_condition("Ready", "message"),
    description="Why it is in force or not, as a sentence.",
    only_when_wide=True,
)

MANDATE: Final = Kind(
    model=Mandate,
    plural="mandates",
    short_name="mdt",
    columns=(
        Column(
            name="Enforcement",
            json_path=".spec.enforcement",
            description="What becomes of a write that the rules do not allow.",
        ),
        Column(
            name="Suspended",
            json_path=".spec.suspend",
            description="Whether every write of the agent is to be refused.",
            type="boolean",
        ),
        _limit("CPU", "cpu", "The most CPU cores that its objects may hold at once."),
        _limit("Memory", "memory", "The most memory that its objects may hold at once."),
        _limit("Pods", "pods", "The most Pods that it may have at once."),
        _READY,
        _REASON,
        _AGE,
        _OBSERVED,
        _MESSAGE,
    ),
)
GOVERNANCE: Final = Kind(
    model=Governance,
    plural="governances",
    short_name="gov",
    columns=(_READY, _REASON, _AGE, _OBSERVED, _MESSAGE),
)
ACCOUNT: Final = Kind(
    model=Account,
    plural="accounts",
    short_name="acct",
    columns=(
        Column(
            name="Suspended",
            json_path=".status.fence.suspended",
            description="Whether the agent's writes are refused: nothing is reserved for it.",
            type="boolean",
        ),
        Column(
            name="Generation",
            json_path=".status.fence.generation",
            description="The generation of the mandate that no write may be judged older than.",
            type="integer",
        ),
        _held("MilliCPU", "cpu", "Thousandths of a CPU core that its live objects hold."),
        _held("Bytes", "memory", "Bytes of memory that its live objects hold."),
        _held("Pods", "pods", "Pods that its live objects hold."),
        _AGE,
        Column(
            name="Mandate",
            json_path=".status.fence.mandateUID",
            description="The UID of the mandate.",
            only_when_wide=True,
        ),
        Column(
            name="Prices",
            json_path=".status.prices",
            description="The UID and generation of the PriceBook that it is charged by.",
            only_when_wide=True,
        ),
    ),
    content="status",
    # One swap writes the whole of it, and nobody else writes any of it.
    has_status=False,
)
PRICEBOOK: Final = Kind(
    model=PriceBook,
    plural="pricebooks",
    short_name="pb",
    columns=(
        _price("CPU", "cpu", "US dollars for an hour of one CPU core."),
        _price("GiB", "memory", "US dollars for an hour of one GiB of memory."),
        _price("Pod", "pods", "US dollars for an hour of one Pod."),
        _READY,
        _REASON,
        _AGE,
        _OBSERVED,
        _MESSAGE,
    ),
)
KINDS: Final = (MANDATE, GOVERNANCE, ACCOUNT, PRICEBOOK)


def custom_resource_definition(kind: Kind) -> dict[str, Any]:
    """Build the CustomResourceDefinition of one kind."""
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        **({"subresources": {"status": {}}} if kind.has_status else {}),
        "additionalPrinterColumns": [column.to_json() for column in kind.columns],
        "schema": {"openAPIV3Schema": _object_schema(kind)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": ["governor"],
            },
            "versions": [version],
        },
    }


def _object_schema(kind: Kind) -> Node:
    """Leave the fields that every object has to the API server, which forbids their schemas."""
    schema = structural_schema(kind.model)
    own = {
        name: schema["properties"][name]
        for name in ("spec", "status")
        if name in schema["properties"]
    }
    common = {
        "apiVersion": {
            "type": "string",
            "description": f"The group and version of this kind: {GROUP}/{VERSION}.",
        },
        "kind": {"type": "string", "description": f"The kind of this object: {kind.name}."},
        "metadata": {"type": "object"},
    }
    return {**schema, "properties": {**common, **own}, "required": [kind.content]}
