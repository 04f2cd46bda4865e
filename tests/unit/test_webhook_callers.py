"""Who a caller is: by the watch if it knows them, else by the API server, else nobody can say."""

import pytest

from controller.agents.registry import Registry
from controller.apis.requests import UserInfo
from controller.clients.kube.errors import ForbiddenError, KubeError, UnreachableError
from tests.builders import a_mandate, a_person, a_registry, a_user
from tests.fakes.registries import ScriptedRegistries
from webhooks.callers import Callers, CallerUnknownError

EMPTY = a_registry()
WITH_AGENT = a_registry(a_mandate())


@pytest.mark.parametrize(
    ("known", "stored", "user", "expected", "fetches"),
    [
        pytest.param(WITH_AGENT, None, a_user(), WITH_AGENT, 0, id="a known agent"),
        pytest.param(
            a_registry(dedicated=("team-data",)),
            WITH_AGENT,
            a_user(),
            a_registry(dedicated=("team-data",)),
            0,
            id="one who is refused anyhow",
        ),
        pytest.param(EMPTY, WITH_AGENT, a_user(), WITH_AGENT, 1, id="an agent of a new mandate"),
        pytest.param(WITH_AGENT, EMPTY, a_person(), EMPTY, 1, id="a person"),
    ],
)
@pytest.mark.requirement("fail-closed.lagging-watch")
async def test_strangers_are_looked_up_once_and_nobody_else_is(
    known: Registry, stored: Registry | None, user: UserInfo, expected: Registry, fetches: int
) -> None:
    registries = ScriptedRegistries(known, stored=stored)
    assert await Callers(registries).registry_for(user) == expected
    assert registries.fetches == fetches


@pytest.mark.requirement("fail-closed.not-ready")
@pytest.mark.parametrize("user", [a_user(), a_person()], ids=["an agent", "a person"])
async def test_before_the_mandates_are_known_nobody_is(user: UserInfo) -> None:
    registries = ScriptedRegistries(None, stored=WITH_AGENT)
    with pytest.raises(CallerUnknownError, match="not known yet"):
        await Callers(registries).registry_for(user)
    assert registries.fetches == 0


@pytest.mark.requirement("fail-closed.lagging-watch")
@pytest.mark.parametrize("fault", [UnreachableError("no route"), ForbiddenError("no rights")])
async def test_a_stranger_whom_the_api_server_does_not_tell_stays_unknown(
    fault: KubeError,
) -> None:
    with pytest.raises(CallerUnknownError, match=str(fault)) as raised:
        await Callers(ScriptedRegistries(EMPTY, stored=fault)).registry_for(a_person())
    assert raised.value.__cause__ is fault


async def test_mandates_that_cannot_be_read_say_nothing_of_anybody() -> None:
    class Unreadable(ScriptedRegistries):
        async def fetch(self) -> Registry | None:
            return None

    with pytest.raises(CallerUnknownError, match="cannot be read"):
        await Callers(Unreadable(EMPTY)).newest()


@pytest.mark.requirement("never-oversold.fence-copied")
async def test_the_newest_are_read_though_others_are_known() -> None:
    registries = ScriptedRegistries(EMPTY, stored=WITH_AGENT)
    assert await Callers(registries).newest() == WITH_AGENT
