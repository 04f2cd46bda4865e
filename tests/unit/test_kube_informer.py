"""The informer's loop against scripted answers: what a real server rarely says, and all timing.

The script stands in for `KubeClient` at its port only; the real server is in
`tests/integration/test_kube_informer.py`.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import TypeAlias

import orjson
import pytest

from controller.clients.kube.backoff import Backoff
from controller.clients.kube.client import Object, Page
from controller.clients.kube.errors import (
    ExpiredError,
    ForbiddenError,
    KubeError,
    UnreachableError,
)
from controller.clients.kube.informer import Chance, Informer, Pace
from controller.clients.kube.resources import MANDATES, Key, Resource
from controller.clients.kube.store import Change
from controller.clients.kube.transport import Query

Step: TypeAlias = "Listed | Watched | KubeError"


@dataclass
class Listed:
    """One page as the answer to a list."""

    objects: list[Object]
    version: str = "10"
    continue_token: str = ""


@dataclass
class Watched:
    """A watch that says this, and then ends well or breaks."""

    lines: list[bytes] = field(default_factory=list[bytes])
    then: KubeError | None = None
    seconds: float = 60.0
    """How long it lasted."""


class ScriptEndedError(Exception):
    """The informer asked for more than the script has."""


class Script:
    """Answers list and watch in the order of its steps, and notes what was asked."""

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.asked: list[str] = []
        self.slept: list[float] = []
        self.now = 0.0

    def clock(self) -> float:
        """Seconds, moved by watches only."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Note, and return at once."""
        self.slept.append(seconds)

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        limit: int = 500,
        continue_token: str = "",
        selectors: Query = (),
    ) -> Page:
        """One step, which must be a page."""
        self.asked.append(f"list {limit} {continue_token}".strip())
        step = self._next()
        assert isinstance(step, Listed), f"a list was asked for, the script has {step}"
        return Page(tuple(step.objects), step.version, step.continue_token)

    @contextlib.asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        lasting: int,
        silence: float,
        namespace: str = "",
        selectors: Query = (),
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """One step, which must be a watch."""
        self.asked.append(f"watch {resource_version}")
        step = self._next()
        assert isinstance(step, Watched), f"a watch was asked for, the script has {step}"
        yield self._pieces(step)

    async def _pieces(self, step: Watched) -> AsyncIterator[bytes]:
        for line in step.lines:
            yield line + b"\n"
        self.now += step.seconds
        if step.then is not None:
            raise step.then

    def _next(self) -> Listed | Watched:
        if not self._steps:
            raise ScriptEndedError
        step = self._steps.pop(0)
        if isinstance(step, KubeError):
            raise step
        return step


def an_object(name: str, version: int, *, uid: str = "u", value: int = 0) -> Object:
    return {
        "metadata": {"name": name, "uid": uid, "resourceVersion": str(version)},
        "value": value,
    }


def event(kind: str, name: str, version: int, *, value: int = 0) -> bytes:
    return orjson.dumps({"type": kind, "object": an_object(name, version, value=value)})


def bookmark(version: int) -> bytes:
    body = {"metadata": {"resourceVersion": str(version)}}
    return orjson.dumps({"type": "BOOKMARK", "object": body})


def an_error(code: int, reason: str) -> bytes:
    status = {"kind": "Status", "code": code, "reason": reason, "message": "no"}
    return orjson.dumps({"type": "ERROR", "object": status})


async def follow(script: Script) -> tuple[Informer[object], list[Change[object]]]:
    """Run the informer to the end of the script."""
    pace = Pace(page_size=2, backoff=Backoff(first=1.0, factor=2.0, longest=8.0))
    chance = Chance(clock=script.clock, sleep=script.sleep, random=lambda: 1.0)
    informer: Informer[object] = Informer(
        script, MANDATES, lambda body: body.get("value"), pace=pace, chance=chance
    )
    told: list[Change[object]] = []
    informer.subscribe(told.append)
    with pytest.raises(ScriptEndedError):
        await informer.run()
    return informer, told


def values(informer: Informer[object]) -> dict[str, object]:
    return {key.name: value for key, value in informer.snapshot().items()}


async def test_pages_are_joined_before_anything_is_told() -> None:
    script = Script(
        Listed([an_object("a", 1), an_object("b", 2)], continue_token="next"),
        Listed([an_object("c", 3)], version="10"),
    )
    informer, told = await follow(script)
    assert script.asked == ["list 2", "list 2 next", "watch 10"]
    assert [change.key.name for change in told] == ["a", "b", "c"]
    assert informer.synced.is_set()


async def test_a_list_that_expires_between_pages_is_begun_again_and_tells_nothing_twice() -> None:
    script = Script(
        Listed([an_object("a", 1)], continue_token="next"),
        ExpiredError("too old"),
        Listed([an_object("a", 1)], version="12"),
    )
    informer, told = await follow(script)
    assert script.asked == ["list 2", "list 2 next", "list 2", "watch 12"]
    assert [change.key.name for change in told] == ["a"]
    assert values(informer) == {"a": 0}


async def test_a_watch_that_ended_well_is_resumed_at_once_after_the_last_event() -> None:
    script = Script(Listed([]), Watched([event("ADDED", "a", 11), bookmark(15)]))
    await follow(script)
    assert script.asked == ["list 2", "watch 10", "watch 15"]
    assert script.slept == []


async def test_a_watch_that_broke_is_resumed_after_a_delay_without_a_list() -> None:
    script = Script(Listed([]), Watched([event("ADDED", "a", 11)], UnreachableError("reset")))
    informer, _ = await follow(script)
    assert script.asked == ["list 2", "watch 10", "watch 11"]
    assert script.slept == [1.0]
    assert values(informer) == {"a": 0}


async def test_delays_grow_until_something_is_heard_again() -> None:
    broken = UnreachableError("refused")
    script = Script(Listed([]), broken, broken, broken, Watched([bookmark(12)], broken), broken)
    await follow(script)
    assert script.slept == [1.0, 2.0, 4.0, 1.0, 2.0]


async def test_lists_that_work_before_watches_that_fail_do_not_keep_the_delay_short() -> None:
    expired = Watched([an_error(410, "Expired")])
    script = Script(Listed([]), expired, Listed([]), expired, Listed([]), expired)
    await follow(script)
    assert script.slept == [1.0, 2.0, 4.0]


async def test_resuming_is_given_up_for_a_list_when_it_keeps_failing() -> None:
    broken = UnreachableError("refused")
    script = Script(
        Listed([an_object("gone", 1)]), *[broken] * 5, Listed([an_object("new", 20)], version="20")
    )
    informer, told = await follow(script)
    assert script.asked == ["list 2", *["watch 10"] * 5, "list 2", "watch 20"]
    assert values(informer) == {"new": 0}
    assert [(c.key.name, c.new is None) for c in told] == [
        ("gone", False),
        ("gone", True),
        ("new", False),
    ]


@pytest.mark.parametrize(
    ("said", "resumed"),
    [
        pytest.param(an_error(410, "Expired"), False, id="410: the version is too old"),
        pytest.param(an_error(403, "Forbidden"), False, id="403: rights were taken"),
        pytest.param(an_error(500, "InternalError"), True, id="500: the server failed"),
        pytest.param(an_error(429, "TooManyRequests"), True, id="429: later"),
        pytest.param(b'{"type": "ERROR", "object": {}}', True, id="an error without a word"),
        pytest.param(b"{not json", True, id="garbage"),
        pytest.param(b"[]", True, id="JSON, but no event"),
        pytest.param(event("MODIFIED", "a", 3), False, id="a version from before: a backup"),
        pytest.param(b'{"type": "ADDED", "object": {}}', False, id="an object without version"),
    ],
)
async def test_what_a_watch_should_not_say_is_survived(said: bytes, *, resumed: bool) -> None:
    script = Script(Listed([an_object("a", 1)]), Watched([said]), Listed([an_object("a", 1)]))
    if resumed:
        script = Script(Listed([an_object("a", 1)]), Watched([said]), Watched([bookmark(30)]))
    informer, told = await follow(script)
    assert script.asked[2] == ("watch 10" if resumed else "list 2")
    assert values(informer) == {"a": 0}
    assert len(told) == 1


@pytest.mark.requirement("record-before-effect.gaps-known")
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b'"\\ud800"', id="half of a surrogate pair"),
        pytest.param(b'"\xff"', id="no UTF-8"),
        pytest.param(b"1e999", id="a number beyond every double"),
        pytest.param(b"[" * 1_200 + b"]" * 1_200, id="deeper than is read at once"),
        pytest.param(b'{"a":' * 9_000 + b"1" + b"}" * 9_000, id="as deep as anything is stored"),
    ],
)
async def test_a_watch_goes_on_past_an_object_that_only_few_can_read(value: bytes) -> None:
    odd = event("ADDED", "odd", 11, value=7).replace(b"7", value)
    script = Script(Listed([]), Watched([odd, event("ADDED", "next", 12)]), Watched())
    informer, _ = await follow(script)
    assert script.asked[:3] == ["list 2", "watch 10", "watch 12"]
    assert set(values(informer)) == {"odd", "next"}


async def test_a_name_that_is_no_text_is_none_however_deep_it_is() -> None:
    deep = b'{"a":' * 1_000 + b"1" + b"}" * 1_000
    odd = event("ADDED", "odd", 11).replace(b'"odd"', deep).replace(b'"u"', deep)
    informer, _ = await follow(Script(Listed([]), Watched([odd]), Watched()))
    assert values(informer) == {"": 0}


async def test_an_outage_never_empties_the_store_and_says_why() -> None:
    refused = ForbiddenError("mandates is forbidden")
    script = Script(Listed([an_object("a", 1)]), refused, refused, refused)
    informer, _ = await follow(script)
    assert values(informer) == {"a": 0}
    assert informer.fault is refused
    assert informer.synced.is_set()


async def test_a_watch_that_ends_at_once_without_an_event_is_not_asked_for_in_a_hot_loop() -> None:
    script = Script(Listed([]), Watched(seconds=0.0), Watched(seconds=0.0))
    await follow(script)
    assert script.slept == [1.0, 2.0]


async def test_the_server_may_ask_for_a_longer_delay_but_not_for_any() -> None:
    script = Script(
        Listed([]),
        UnreachableError("busy", retry_after=5.0),
        UnreachableError("busy", retry_after=3600.0),
    )
    await follow(script)
    assert script.slept == [5.0, 8.0]


async def test_what_was_written_by_ourselves_is_seen_before_the_watch_brings_it() -> None:
    script = Script(
        Listed([an_object("a", 1)]),
        Watched([event("MODIFIED", "a", 11, value=1), event("MODIFIED", "a", 12, value=2)]),
    )
    pace = Pace(page_size=2)
    seen: list[object] = []
    informer: Informer[object] = Informer(
        script,
        MANDATES,
        lambda body: body.get("value"),
        pace=pace,
        chance=Chance(clock=script.clock, sleep=script.sleep),
    )

    def adopt_once(change: Change[object]) -> None:
        seen.append(None if change.new is None else change.new.value)
        if len(seen) == 1:
            informer.adopt(an_object("a", 12, value=2))

    informer.subscribe(adopt_once)
    with pytest.raises(ScriptEndedError):
        await informer.run()
    assert seen == [0, 2]
    assert values(informer) == {"a": 2}


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(an_object("b", 12), id="not known: perhaps deleted since"),
        pytest.param(an_object("a", 12, uid="other"), id="another incarnation"),
        pytest.param(an_object("a", 0), id="older than what is known"),
    ],
)
async def test_a_write_of_ours_is_not_adopted_where_the_watch_knows_better(
    written: Object,
) -> None:
    informer, told = await follow(Script(Listed([an_object("a", 1, value=7)])))
    informer.adopt(written)
    assert values(informer) == {"a": 7}
    assert len(told) == 1


async def test_a_projection_that_fails_is_a_bug_and_ends_the_informer() -> None:
    def fail(_body: Object) -> object:
        raise LookupError("bug")

    informer: Informer[object] = Informer(Script(Listed([an_object("a", 1)])), MANDATES, fail)
    with pytest.raises(LookupError):
        await informer.run()


async def test_a_burst_lets_other_tasks_in_between() -> None:
    events = [event("ADDED", f"o-{n}", 11 + n) for n in range(1000)]
    script = Script(Listed([]), Watched([b"\n".join(events)]))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    informer, _ = await follow(script)
    counting.cancel()
    assert len(informer.snapshot()) == 1000
    assert turns >= 10
    assert informer.get(Key("", "o-999")) is not None
