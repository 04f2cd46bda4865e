"""Names one reserved write, and everything that its evidence is compared with.

Values only. An entry says what was validated; whether the write took effect is
decided in `controller.accounts.evidence`, never here.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from controller.apis.resources import NOTHING, Amounts


class WatchedKind(NamedTuple):
    """One resource in one version: what is listed and watched as a whole."""

    group: str
    """Empty for the core group."""
    version: str
    resource: str
    """Plural, without a subresource."""

    def __str__(self) -> str:
        """Kubectl's form, `deployments.v1.apps`; of the core group `pods.v1.`."""
        return f"{self.resource}.{self.version}.{self.group}"

    @classmethod
    def parse(cls, text: str) -> "WatchedKind":
        """Read what `str` wrote.

        Raises:
            ValueError: it is not of that form.
        """
        resource, _, rest = text.partition(".")
        version, dot, group = rest.partition(".")
        if not resource or not version or not dot:
            raise ValueError(f"{text!r} is not of the form resource.version.group")
        return cls(group, version, resource)


class Action(StrEnum):
    """What was validated, by the kind of trace that it leaves."""

    CREATE = "create"
    """Proven by its uid."""
    UPDATE = "update"
    """Proven by the stamp and the content of the direct successor."""
    DELETE = "delete"
    """The successor is the deletion: that it is gone can be proven, never by whom."""
    VALUE = "value"
    """No stamp survives (scale, resize, managedFields only): the successor has the same value."""
    UNTRACED = "untraced"
    """Nothing that a watch could see (exec, eviction, a token)."""
    NOTHING = "nothing"
    """Object and oldObject are equal: the API server does not write."""


class Outcome(StrEnum):
    """What became of a write. Only `persisted`, `lost` and `no-op` are claims."""

    PERSISTED = "persisted"
    LOST = "lost"
    """It was not persisted."""
    GONE = "gone"
    """The object was deleted; by whom is not proven."""
    MATCHES = "matches"
    """The object then had the value; who set it is not proven."""
    UNKNOWN = "unknown"
    """Versions were missed, the evidence never came, or its id was seen on other content."""
    ALLOWED = "allowed"
    """It was let through, and leaves nothing that could be watched."""
    NO_OP = "no-op"
    """It changed nothing."""


class Attempt(NamedTuple):
    """Which record of which replica's outbox holds the body of a write."""

    replica: str
    number: int


class EntryKey(NamedTuple):
    """The identity of an entry: the same key again is the same entry."""

    change: str
    uid: str
    version: int
    """The old resource version; of a create 0, for it has none."""

    def __str__(self) -> str:
        return f"{self.change}/{self.uid}/{self.version}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One write that may take effect, from its reservation until its record is committed."""

    change: str
    """The id that the stamp carries, or for a write without a stamp one minted for it."""
    attempt: Attempt
    action: Action
    kind: WatchedKind
    namespace: str
    name: str
    uid: str
    """Of the object; empty where the request does not tell it (some `UNTRACED`)."""
    version: int
    """The old resource version that it was validated against; of a create the account's
    `as_of` of its kind when it was reserved (0: that kind was not watched)."""
    made_at: int
    """When its validate call began, milliseconds since the epoch."""
    digest: str = ""
    """Of the content validated (`controller.records.content`); of a `VALUE` the target value."""
    old_change: str = ""
    """The change id that the oldObject's stamp carries; empty without one."""
    old_digest: str = ""
    """Of the oldObject's content."""
    before: Amounts = field(default_factory=lambda: NOTHING)
    after: Amounts = field(default_factory=lambda: NOTHING)
    record: str = ""
    """SHA-256 of the body in the outbox, hex."""
    outcome: Outcome | None = None
    """None while it is open. The first outcome stands."""

    @property
    def key(self) -> EntryKey:
        """Its identity."""
        version = 0 if self.action is Action.CREATE else self.version
        return EntryKey(self.change, self.uid, version)

    @property
    def is_open(self) -> bool:
        """Whether it still counts."""
        return self.outcome is None

    def decided(self, outcome: Outcome) -> "Entry":
        """The same entry with its outcome; one that has one keeps it."""
        return self if self.outcome is not None else replace(self, outcome=outcome)
