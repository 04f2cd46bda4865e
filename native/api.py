"""A small blocking client for the API server: one call, one answer.

For launching and for tests that look at a cluster from outside. It decides
nothing, retries nothing, and must not be used where Governor decides: that is
the business of `controller.clients`.
"""

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class ApiError(Exception):
    """No answer came: refused, timed out, or cut off."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    text: str

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON of any shape; its reader knows which
        """The body as JSON."""
        return json.loads(self.text)


@dataclass(frozen=True, slots=True)
class Api:
    """Calls one server as one identity. Each call opens its own connection."""

    url: str
    authority: Path
    certificate: Path | None = None
    key: Path | None = None
    token: str | None = None
    timeout_seconds: float = 30.0
    """For each step of a call: to connect, to be answered."""

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one call; every status is an answer.

        Args:
            method: of HTTP.
            path: from the root, with its query.
            body: sent as JSON.
            content_type: of the body; a PATCH says by it which kind of patch it is.
            headers: further ones.

        Raises:
            ApiError: there was no answer.
        """
        payload = None if body is None else json.dumps(body)
        sent = {"Content-Type": content_type, **(headers or {})}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        connection = self._connection()
        try:
            connection.request(method, path, payload, sent)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode("utf-8", errors="replace"))
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(f"{method} {self.url}{path}: {error}") from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPSConnection:
        address = urlsplit(self.url)
        context = ssl.create_default_context(cafile=str(self.authority))
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return http.client.HTTPSConnection(
            address.hostname or "", address.port, timeout=self.timeout_seconds, context=context
        )
