"""Knows the API server by its bearer token.

TLS tells the API server who the webhook is, and the webhook nothing about who asks:
without a token anybody who reaches the port can have reviews judged, reserved and
recorded in an agent's name. The API server shows a token once its
AdmissionConfiguration names a kubeconfig for webhooks (docs/architecture.md).

It decides about the header only: where tokens come from is the caller's business, and
so is what is answered to others. It logs nothing of what was shown.
"""

import hmac
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256

_SCHEME = b"bearer "
_HEADER = b"authorization"


class ExpectedCaller:
    """Who may ask for reviews."""

    def __init__(self, tokens: Callable[[], Collection[bytes]] | None) -> None:
        """Describe the caller.

        Args:
            tokens: gives those of the moment, any of which is accepted; none given, none
                accepted. None: no token is expected, and anybody may ask.
        """
        self._tokens = tokens

    @property
    def is_anybody(self) -> bool:
        """Whether no token is expected."""
        return self._tokens is None

    def accepts(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether a request with these headers is the API server's.

        Takes the same time whichever token was shown, right or wrong.

        Args:
            headers: as ASGI gives them: names in lower case. Two of `authorization` are
                no one's: what stands between us may have believed the other.
        """
        if self._tokens is None:
            return True
        shown = [value for name, value in headers if name == _HEADER]
        if len(shown) != 1 or shown[0][: len(_SCHEME)].lower() != _SCHEME:
            return False
        # Digests are of one length, so that a comparison does not tell that of the token.
        digest = sha256(shown[0][len(_SCHEME) :].strip(b" ")).digest()
        matches = [hmac.compare_digest(digest, sha256(token).digest()) for token in self._tokens()]
        return any(matches)
