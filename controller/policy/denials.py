"""The denial: one reason why a write is refused, in the shape every agent can rely on.

A value, not a sentence: `controller.admission.explain` words it. The stable
codes of the guards and of faults are here; those of Rego rules are in the
METADATA of the rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from controller.apis.json import Json


class Code(StrEnum):
    """The codes that Governor itself gives; each is documented in docs/denials.md."""

    SUSPENDED = "suspended"
    UNREGISTERED_AGENT = "unregistered-agent"
    SUBJECT_CONFLICT = "subject-conflict"
    MANDATE_INVALID = "mandate-invalid"
    IDENTITY_MISMATCH = "identity-mismatch"
    PROTECTED_KIND = "protected-kind"
    PROTECTED_NAMESPACE = "protected-namespace"
    REQUEST_MALFORMED = "request-malformed"
    POLICY_ERROR = "policy-error"
    POLICY_TIMEOUT = "policy-timeout"
    ASK_UNREADABLE = "ask-unreadable"
    QUOTA_EXCEEDED = "quota-exceeded"
    BUDGET_EXCEEDED = "budget-exceeded"
    PRICE_UNKNOWN = "price-unknown"
    SCALE_NOT_OWNED = "scale-not-owned"
    OWNER_MISSING = "owner-missing"
    NOT_COUNTED_YET = "not-counted-yet"
    STAMP_MISSING = "stamp-missing"
    ATTEMPT_OVER = "attempt-over"
    RECORD_FAILED = "record-failed"


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a write is refused, and what would pass."""

    code: str
    """Stable, kebab-case."""
    message: str
    """One sentence."""
    rule: str
    """The title of the guard or rule that refused."""
    field: str | None = None
    """The path of what is wrong, e.g. `metadata.namespace`."""
    asked: Json = None
    limit: Json = None
    """What is granted."""
    remaining: Json = None
    """What is left of the limit, where it is used up."""
    passes: Json = None
    """A value in place of `asked` that would pass; None where no value does."""
    retry: bool = False
    """Whether the same write may pass later without anybody's doing."""

    def as_json(self) -> Mapping[str, Json]:
        """The machine-readable form, every key always present."""
        return {
            "code": self.code,
            "rule": self.rule,
            "field": self.field,
            "asked": self.asked,
            "limit": self.limit,
            "remaining": self.remaining,
            "passes": self.passes,
            "retry": self.retry,
        }
