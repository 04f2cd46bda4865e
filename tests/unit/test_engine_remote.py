"""A remote OPA server: what it answers is believed only if it is what was asked for."""

import asyncio
from collections.abc import Mapping
from typing import Any, Self, cast

import aiohttp
import pytest

from controller.clients.engine.remote import (
    RemoteEngine,
    RemoteSettings,
    RemoteSettingsError,
    client_for,
)
from controller.policy.engine import (
    EngineError,
    EngineProtocolError,
    EngineTimeoutError,
    EngineUnavailableError,
    Evaluation,
    UnitResult,
)

UNITS = ("governor.a", "governor.b")


def reply(result: object, revision: object = "r1") -> dict[str, Any]:
    """What a server with one bundle answers."""
    return {"result": result, "provenance": {"bundles": {"main": {"revision": revision}}}}


def failure(status: int) -> aiohttp.ClientResponseError:
    request = cast("aiohttp.RequestInfo", None)
    return aiohttp.ClientResponseError(request, (), status=status, message="said so")


class ScriptedClient:
    """Answers each rule by a script: a reply, an exception, or never."""

    def __init__(self, replies: Mapping[str, object]) -> None:
        self._replies = replies
        self.is_open = False

    async def __aenter__(self) -> Self:
        self.is_open = True
        return self

    async def __aexit__(self, *details: object) -> None:
        self.is_open = False

    async def query_rule(
        self,
        input_data: dict[str, Any],
        package_path: str,
        rule_name: str,
        query_params: Mapping[str, str],
    ) -> object:
        """Give what the script says for the rule, else for all."""
        assert query_params == {"provenance": "true", "strict-builtin-errors": "true"}
        assert input_data == {"n": 1}
        answer = self._replies.get(f"{package_path}.{rule_name}", self._replies.get("*"))
        if isinstance(answer, BaseException):
            raise answer
        if answer is None:
            await asyncio.Event().wait()
        return answer


async def evaluate(replies: Mapping[str, object]) -> Evaluation:
    client = ScriptedClient(replies)
    engine = RemoteEngine(RemoteSettings("http://opa:8181", UNITS), client=client)
    await engine.start()
    assert client.is_open
    try:
        return await engine.evaluate({"n": 1}, now_ns=0, timeout_seconds=0.2)
    finally:
        await engine.stop()
        assert not client.is_open


async def test_every_unit_answers_with_all_its_sets() -> None:
    evaluation = await evaluate({"*": reply([]), "governor.b.deny": reply([{"code": "x"}])})
    assert evaluation.results == (
        UnitResult("governor.a", {"deny": [], "warn": [], "cap": []}),
        UnitResult("governor.b", {"deny": [{"code": "x"}], "warn": [], "cap": []}),
    )


async def test_the_digest_is_of_the_revisions() -> None:
    first, same, other = [
        (await evaluate({"*": reply([], revision)})).digest for revision in ("r1", "r1", "r2")
    ]
    assert first == same
    assert first != other


async def test_a_unit_with_one_of_the_rules_has_the_others_empty() -> None:
    without = {"provenance": reply([])["provenance"]}
    replies = {"*": reply([1]), "governor.a.warn": without, "governor.a.cap": without}
    evaluation = await evaluate(replies)
    assert evaluation.results[0].value == {"deny": [1], "warn": [], "cap": []}


async def test_a_unit_with_none_of_the_rules_is_not_silent() -> None:
    without = {"provenance": reply([])["provenance"]}
    lacking = {f"governor.a.{rule}": without for rule in ("deny", "warn", "cap")}
    replies = {"*": reply([]), **lacking}
    (missing, there) = (await evaluate(replies)).results
    assert missing == UnitResult("governor.a", error="the remote OPA has no policy governor.a")
    assert there.error is None


async def test_an_evaluation_that_fails_is_its_units_error() -> None:
    evaluation = await evaluate({"*": reply([]), "governor.b.warn": failure(500)})
    fine, failed = evaluation.results
    assert fine.error is None
    assert failed.value is None
    assert failed.error == "governor.b.warn: the remote OPA could not evaluate it"


FAULTS: dict[str, tuple[Mapping[str, object], type[EngineError], str]] = {
    "a changed bundle": (
        {"*": reply([]), "governor.b.deny": reply([], "r2")},
        EngineUnavailableError,
        "changed its policies",
    ),
    "no bundle": ({"*": {"result": []}}, EngineProtocolError, "names no bundle revision"),
    "no revision": ({"*": reply([], None)}, EngineProtocolError, "names no bundle revision"),
    "an empty revision": ({"*": reply([], "")}, EngineProtocolError, "names no bundle revision"),
    "a rule that is no set": ({"*": reply({"a": 1})}, EngineProtocolError, "no set"),
    "a rule that is false": ({"*": reply(result=False)}, EngineProtocolError, "no set"),
    "no object": ({"*": []}, EngineProtocolError, "no object"),
    "no JSON": ({"*": ValueError("Expecting value")}, EngineProtocolError, "did not answer JSON"),
    "a refusal": ({"*": failure(401)}, EngineUnavailableError, "answered 401 said so.*token"),
    "no connection": (
        {"*": aiohttp.ClientConnectionError("refused")},
        EngineUnavailableError,
        "cannot reach http://opa:8181: refused",
    ),
    "silence": ({}, EngineTimeoutError, "did not answer in time"),
}


@pytest.mark.parametrize(("replies", "error", "message"), FAULTS.values(), ids=FAULTS.keys())
async def test_faults_are_errors_of_the_port(
    replies: Mapping[str, object], error: type[EngineError], message: str
) -> None:
    with pytest.raises(error, match=message):
        await evaluate(replies)


@pytest.mark.parametrize("url", ["opa:8181", "ftp://opa", "http://", "http://opa/v1", ""])
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(RemoteSettingsError, match="give http://host:port"):
        client_for(RemoteSettings(url, UNITS))


def test_the_token_is_not_shown() -> None:
    assert "s3cret" not in repr(RemoteSettings("http://opa", UNITS, token="s3cret"))
