"""One connection to an engine: many questions in flight, each answered by its id.

A connection that breaks a promise is closed for good, with every question on it. It
does not read what is in a frame, start processes, or try again.
"""

import asyncio
from typing import Final

from controller.clients.engine.protocol import (
    ANSWER,
    FAULT,
    LOADED,
    PONG,
    REJECTED,
    evaluate_frame,
)
from controller.clients.frames import Asker, Faults, Reply
from controller.policy.engine import (
    EngineError,
    EngineProtocolError,
    EngineTimeoutError,
    EngineUnavailableError,
)

_REPLIES: Final = frozenset({LOADED, ANSWER, PONG, REJECTED, FAULT})
_FAULTS: Final[Faults[EngineError]] = Faults(
    who="the engine",
    what="evaluations",
    unavailable=EngineUnavailableError,
    late=EngineTimeoutError,
    garbled=EngineProtocolError,
)


class EngineConnection(Asker[EngineError]):
    """The asker's end of the socket.

    `max_payload` is the size in bytes beyond which a reply is not believed.
    """

    def __init__(self, *, max_payload: int) -> None:
        super().__init__(_FAULTS, max_payload=max_payload, replies=_REPLIES)

    def evaluate(
        self,
        document: bytes,
        *,
        now_ns: int,
        timeout_seconds: float,
        grace_seconds: float,
        flags: int,
    ) -> asyncio.Future[Reply]:
        """Ask for an evaluation; see `ask` for what the future brings."""
        request = self.next_id()
        question = evaluate_frame(
            document, request=request, now_ns=now_ns, timeout_seconds=timeout_seconds, flags=flags
        )
        return self.send(question, request, timeout_seconds + grace_seconds)

    def on_overdue(self) -> None:
        """Close: an engine that misses its deadline cannot be told to stop."""
        self.close(EngineUnavailableError("the engine ignored a deadline and was stopped"))
