"""Why a condition has its status: one stable CamelCase word each, for programs.

People read the condition's message. A word is never renamed or reused for
something else: alerts and scripts depend on it.
"""

from enum import StrEnum


class Reason(StrEnum):
    """The reasons that Governor writes into conditions."""

    REGISTERED = "Registered"
    """Ready: this generation is in force on every replica."""
    IN_FORCE = "InForce"
    """Ready: these prices are those that budgets are charged by."""
    PENDING = "Pending"
    """Not ready: Governor has not acted on this generation yet."""
    INVALID = "Invalid"
    """Not ready: the resource says something that it must not say; the message names the field."""
    SUBJECT_CONFLICT = "SubjectConflict"
    """A subject stands in two mandates; writes by it are refused in both."""
    NO_CONFLICT = "NoConflict"
    """Every subject stands in this mandate only."""
    SUSPENDED = "Suspended"
    """The agent's writes are refused until it is resumed."""
    NOT_SUSPENDED = "NotSuspended"
    """The agent's writes are judged."""
