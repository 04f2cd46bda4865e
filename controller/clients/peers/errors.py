"""What goes wrong between two processes of one Governor, as one small family."""

from typing import ClassVar


class PeerError(Exception):
    """The peer did not answer as it should."""

    is_certain: ClassVar[bool] = False
    """Whether it surely did nothing: what was asked may have been done unless it says so."""


class PeerUnavailableError(PeerError):
    """The connection broke, or never was, or it does not know itself what it did."""


class PeerTimeoutError(PeerError):
    """It did not answer in time."""


class PeerProtocolError(PeerError):
    """It sent what no peer sends."""


class PeerRefusedError(PeerError):
    """It says that it did not do what was asked."""

    is_certain: ClassVar[bool] = True
