"""Who Governor is: asked until the API server says so, in whatever order things start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import orjson
import pytest

from controller.apis.json import Json
from controller.clients.kube.backoff import Backoff
from controller.clients.kube.client import KubeClient
from controller.clients.kube.errors import ForbiddenError, KubeError, UnreachableError
from reconcilers.patience import until_answered

if TYPE_CHECKING:
    from controller.clients.kube.transport import Transport


@dataclass
class Oracle:
    """Says this, one after the other, and notes how long was waited in between."""

    answers: list[str | KubeError]
    waited: list[float] = field(default_factory=list[float])

    async def who_am_i(self) -> str:
        """The next answer."""
        answer = self.answers.pop(0)
        if isinstance(answer, KubeError):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        """Note, and return at once."""
        self.waited.append(seconds)


async def asked(oracle: Oracle) -> str:
    backoff = Backoff(first=1.0, factor=2.0, longest=8.0)
    return await until_answered(
        oracle.who_am_i,
        what="own username",
        backoff=backoff,
        random=lambda: 1.0,
        sleep=oracle.sleep,
    )


async def test_an_answer_is_taken_at_once() -> None:
    oracle = Oracle(["admin"])
    assert await asked(oracle) == "admin"
    assert oracle.waited == []


@pytest.mark.parametrize(
    ("fault", "waited"),
    [
        pytest.param(UnreachableError("refused"), [1.0, 2.0, 4.0, 8.0, 8.0], id="not up yet"),
        pytest.param(ForbiddenError("no"), [1.0, 2.0, 4.0, 8.0, 8.0], id="without the right"),
        pytest.param(
            UnreachableError("busy", retry_after=3.0), [3.0, 3.0, 4.0, 8.0, 8.0], id="asks for time"
        ),
        pytest.param(
            UnreachableError("busy", retry_after=3600.0), [8.0] * 5, id="asks for too much time"
        ),
    ],
)
async def test_it_is_asked_again_with_growing_delays_until_it_answers(
    fault: KubeError, waited: list[float]
) -> None:
    oracle = Oracle([fault] * 5 + ["admin"])
    assert await asked(oracle) == "admin"
    assert oracle.waited == waited


class Wire:
    """Answers every request with this; the fake of `Transport`."""

    def __init__(self, answer: Mapping[str, Json]) -> None:
        self._answer = answer
        self.requests: list[tuple[str, str, Json]] = []

    async def request(
        self, method: str, path: str, *, query: object = (), body: Json = None
    ) -> bytes:
        """The answer."""
        self.requests.append((method, path, body))
        return orjson.dumps(self._answer)


async def test_the_api_server_is_asked_by_a_self_review() -> None:
    wire = Wire({"status": {"userInfo": {"username": "admin", "groups": ["system:masters"]}}})
    assert await KubeClient(cast("Transport", wire)).who_am_i() == "admin"
    review: Json = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    assert wire.requests == [("POST", path, review)]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"status": None}, id="no status"),
        pytest.param({"status": {"userInfo": "admin"}}, id="no user info"),
        pytest.param({"status": {"userInfo": {"username": 7}}}, id="no string"),
        pytest.param({"status": {"userInfo": {"username": ""}}}, id="an empty name"),
    ],
)
async def test_an_answer_that_names_nobody_is_no_answer(answer: dict[str, Json]) -> None:
    with pytest.raises(UnreachableError, match="names no user"):
        await KubeClient(cast("Transport", Wire(answer))).who_am_i()
