"""How processes log: one JSON object a line on standard error.

The form only; what is logged, and that no secret is, is decided where it is logged.
"""

import sys

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
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def _dump(event: object, **_: object) -> bytes:
    return orjson.dumps(event, default=str)
