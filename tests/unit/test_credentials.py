"""Whose reviews are answered: the one caller's that shows a token of the moment."""

import pytest

from webhooks.credentials import ExpectedCaller

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
