"""How processes log: one JSON object a line on standard error.

The form only; what is logged, and that no secret is, is decided where it is logged. A
line that cannot be written is dropped: a full disk must not change what is answered.
"""

import sys
from contextlib import suppress
from typing import BinaryIO, cast

import orjson
import structlog


def log_as_json() -> None:
    """Set it for this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(serializer=_dump),
        ],
        logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", Forgiving(sys.stderr.buffer))),
        cache_logger_on_first_use=True,
    )


class Forgiving:
    """What loggers need of a file; what cannot be written now is kept for later, or dropped."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, line: bytes) -> None:
        """Write, if possible."""
        with suppress(OSError):
            self._file.write(line)

    def flush(self) -> None:
        """Likewise."""
        with suppress(OSError):
            self._file.flush()


def _dump(event: object, **_: object) -> bytes:
    return orjson.dumps(event, default=str)
