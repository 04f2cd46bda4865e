"""The Account as Governor stores it: what one agent holds, and its writes under way.

Its documentation is what `kubectl explain` shows, for administrators who read one:
nobody but Governor writes it. This is the shape that the API server checks; what
the entries say is read in `controller.accounts.encoding`, without these models.
"""

import re
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from controller.apis.cel import cel_rule
from controller.apis.shapes import DNS_LABEL, ListOf, Pattern
from controller.apis.v1alpha1.wire import ApiVersion, Generation, ObjectMeta, WireModel

MAX_PENDING: Final = 200
"""Most entries of one account."""
MAX_WANTED: Final = 16
"""Most windows that wait to be opened."""
MAX_ENTRY_LENGTH: Final = 4096
"""Most characters of one entry: 200 of them stay well below what etcd takes."""

# Written as a whole, by one writer: as one field it costs managedFields one line.
_ATOMIC: JsonDict = {"x-kubernetes-map-type": "atomic"}

Amount: TypeAlias = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
ResourceVersion: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=20), Pattern("^[0-9]+$", "a resource version, such as 4711")
]

WINDOW_PATTERN: Final = "^(usd|changes)/[1-9][0-9]*$"
WindowName: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=32),
    Pattern(WINDOW_PATTERN, "a window: its resource and its seconds, such as usd/86400"),
]
Moment: TypeAlias = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]

EntryText: TypeAlias = Annotated[str, Field(min_length=1, max_length=MAX_ENTRY_LENGTH)]


class AccountFence(WireModel):
    """The state of the mandate that no reservation may be older than."""

    mandate_uid: Annotated[str, Field(alias="mandateUID", max_length=128)]
    """The UID of the mandate; one that is created anew under the same name has another."""
    generation: Generation
    """The `metadata.generation` of the mandate. A write that was judged by an older one is
    refused and judged anew."""
    suspended: bool
    """Whether nothing is reserved for the agent, which refuses every write of it: its mandate
    is suspended, or gone."""


class AccountWindow(WireModel):
    """One window of time, and what is spent in it so far."""

    model_config = ConfigDict(json_schema_extra=_ATOMIC)

    started_at: Moment
    """When it began, in milliseconds since 1970; its name says how long it lasts."""
    accrued_at: Moment
    """Up to when `spent` holds what the agent's objects cost, in milliseconds since 1970."""
    spent: Amount
    """In billionths of a US dollar (`usd`), or the number of changes (`changes`)."""


class AccountStatus(WireModel):
    """What the agent holds and has under way. Written by Governor only, as a whole."""

    fence: Annotated[AccountFence, Field(json_schema_extra=_ATOMIC)]
    """The state of the mandate that no reservation may be older than."""
    settled: (
        Annotated[dict[str, Amount], Field(max_length=256, json_schema_extra=_ATOMIC)] | None
    ) = None
    """What the agent's live objects hold: `cpu` in thousandths of a core, `memory` in bytes, `pods`
    as a number. Counted from the objects, never added up."""
    as_of: (
        Annotated[dict[str, ResourceVersion], Field(max_length=1024, json_schema_extra=_ATOMIC)]
        | None
    ) = None
    """By kind (as in `deployments.v1.apps`, of the core group `pods.v1.`) the resource version
    that `settled` was counted from. A count from an older view is never written."""
    pending: Annotated[ListOf[EntryText], Field(max_length=MAX_PENDING)] | None = None
    """The writes that were allowed and are not yet in the ledger, oldest first, at most 200;
    while it is full, the agent's writes are refused. Each is one JSON array as a text, whose
    form is Governor's own."""
    windows: (
        Annotated[dict[str, AccountWindow], Field(max_length=1024, json_schema_extra=_ATOMIC)]
        | None
    ) = None
    """What is spent, by window: its resource and its seconds, as in `usd/86400`. Budgets of one
    resource and length share a window."""
    wanted: Annotated[ListOf[WindowName], Field(max_length=MAX_WANTED)] | None = None
    """Windows that a policy asks for and that are to be opened, such as `changes/3600`, at most
    16."""
    prices: Annotated[str, Field(max_length=256)] | None = None
    """The UID and generation of the PriceBook that the windows are charged by."""
    asks_version: Generation | None = None
    """Which rules of counting `settled` was counted by. While it is another than that of a
    Governor, it adds nothing to it, and refuses what a quota or a budget in dollars limits."""


class Account(WireModel):
    """What one agent holds, and which of its writes are under way. Written by Governor only.

    Every write of an agent is first entered here, by replacing exactly the version that was
    read: that one step is the reservation, the record of the grant, and the check that the
    agent is not suspended. It is named like the agent's mandate.
    """

    api_version: ApiVersion
    kind: Literal["Account"]
    metadata: ObjectMeta
    status: AccountStatus
    """What the agent holds and has under way. Written by Governor only, as a whole."""

    @cel_rule(
        "size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",
        message="metadata.name must be a DNS label of at most 63 characters, without dots: an "
        "account is named like its mandate",
    )
    def is_named_like_a_mandate(self) -> bool:
        """No mandate could have another name, so no agent this account."""
        return (
            len(self.metadata.name) <= 63
            and re.fullmatch(DNS_LABEL, self.metadata.name) is not None
        )
