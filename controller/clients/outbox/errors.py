"""What can go wrong with an outbox. Each message names the place and what to do."""


class OutboxError(Exception):
    """The outbox did not do what it was asked for; nothing was promised to the caller.

    A refused append may still be found later (its transaction was written, and the
    confirmation failed): a body without an entry states an attempt, nothing more.
    """


class OutboxFullError(OutboxError):
    """The disk is full, or a write failed. The outbox goes on by itself once writes succeed."""


class OutboxClosedError(OutboxError):
    """The outbox was closed; this process appends no more."""


class OutboxDamagedError(OutboxError):
    """One file cannot be read any more. The other replicas' files are not affected."""


class OutboxLostError(OutboxError):
    """The file that was appended to was removed or replaced; the next append finds another."""


class RowTooLargeError(OutboxError):
    """A body or a key is larger than an outbox takes; nothing was stored."""


class UnknownReplicaError(OutboxError):
    """No file of that replica is here: it was swept, or lies on another host."""
