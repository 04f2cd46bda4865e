"""Whose reviews are answered: the one caller's that shows a token of the moment."""

from collections.abc import Iterator

import pytest

from controller.admission.judge import Outcome
from controller.apis.requests import AdmissionRequest
from controller.mutation.stamp import Mutation
from tests.asgi import JSON as JSON_HEADER
from tests.asgi import call
from webhooks.app import WebhookApp
from webhooks.credentials import ExpectedCaller

pytestmark = pytest.mark.requirement("fail-closed.expected-caller")

TOKEN, OTHER = b"the-token-0123456789", b"another-token-0123456789"
JSON = (b"content-type", b"application/json")


def shown(value: bytes, *more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """The headers of a request that shows this."""
    return [JSON, (b"authorization", value), *more]


def test_without_a_token_anybody_may_ask() -> None:
    anybody = ExpectedCaller(None)
    assert anybody.is_anybody
    assert anybody.accepts([JSON])


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"Bearer " + TOKEN, id="as Go writes it"),
        pytest.param(b"bearer " + TOKEN, id="the scheme has no case"),
        pytest.param(b"Bearer   " + TOKEN + b" ", id="with more blanks"),
        pytest.param(b"Bearer " + OTHER, id="the other one, while tokens are changed"),
    ],
)
def test_a_token_of_the_moment_is_accepted(value: bytes) -> None:
    caller = ExpectedCaller(lambda: (TOKEN, OTHER))
    assert not caller.is_anybody
    assert caller.accepts(shown(value))


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="no header at all"),
        pytest.param([JSON], id="no token"),
        pytest.param(shown(b""), id="an empty header"),
        pytest.param(shown(b"Bearer"), id="the scheme alone"),
        pytest.param(shown(b"Bearer "), id="an empty token"),
        pytest.param(shown(TOKEN), id="no scheme"),
        pytest.param(shown(b"Basic " + TOKEN), id="another scheme"),
        pytest.param(shown(b"Bearer " + OTHER), id="another token"),
        pytest.param(shown(b"Bearer " + TOKEN[:-1]), id="a token cut short"),
        pytest.param(shown(b"Bearer " + TOKEN + b"x"), id="a token with more"),
        pytest.param(shown(b"Bearer " + TOKEN.upper()), id="the token in capitals"),
        pytest.param(shown(b"Bearer " + TOKEN + b"," + OTHER), id="two in one header"),
        pytest.param(
            shown(b"Bearer " + TOKEN, (b"authorization", b"Bearer " + OTHER)), id="two headers"
        ),
        pytest.param([JSON, (b"x-authorization", b"Bearer " + TOKEN)], id="another header"),
    ],
)
def test_whatever_else_is_shown_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    assert not ExpectedCaller(lambda: (TOKEN,)).accepts(headers)


def test_where_no_token_is_known_nobody_is_accepted() -> None:
    nobody = ExpectedCaller(lambda: ())
    assert not nobody.is_anybody
    assert not nobody.accepts(shown(b"Bearer "))
    assert not nobody.accepts(shown(b"Bearer " + TOKEN))


def test_the_tokens_are_asked_for_at_each_request() -> None:
    tokens = [TOKEN]
    caller = ExpectedCaller(lambda: tokens)
    assert caller.accepts(shown(b"Bearer " + TOKEN))
    tokens[:] = [OTHER]
    assert not caller.accepts(shown(b"Bearer " + TOKEN))
    assert caller.accepts(shown(b"Bearer " + OTHER))


class NeverAsked:
    """Judges and mutates nothing: a stranger's review must not come so far."""

    async def admit(self, request: AdmissionRequest) -> Outcome:
        """Fail."""
        raise AssertionError(f"judged {request.uid}")

    async def mutate(self, request: AdmissionRequest) -> Mutation:
        """Fail."""
        raise AssertionError(f"mutated {request.uid}")


@pytest.fixture
def guarded() -> WebhookApp:
    """The webhook's HTTP, which expects the token."""
    caller = ExpectedCaller(lambda: (TOKEN,))
    never = NeverAsked()
    return WebhookApp(admission=never, mutator=never, readiness=lambda: (), expected=caller)


@pytest.mark.parametrize("path", ["/validate", "/mutate"])
@pytest.mark.parametrize("shown_by", [{}, {"authorization": "Bearer a-token-that-was-guessed"}])
async def test_a_stranger_gets_401_before_its_body_is_read(
    guarded: WebhookApp, path: str, shown_by: dict[str, str]
) -> None:
    def body() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answered = await call(guarded, path=path, headers={**JSON_HEADER, **shown_by}, body=body())
    assert answered.status == 401
    assert answered.document == {"error": "only the API server may ask; send its bearer token"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_is_told_to_anybody(guarded: WebhookApp, path: str) -> None:
    assert (await call(guarded, method="GET", path=path, headers={})).status == 200
