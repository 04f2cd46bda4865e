"""The admission path of one webhook process, over an account that a test can hold and look into.

The outbox, the reservations and the judge are the real ones; the API server and the
policy engine are scripted. It decides nothing.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson

from controller.accounts.account import Account, Fence
from controller.accounts.entries import Entry
from controller.admission.case import RecordKeys
from controller.admission.reviewer import Reviewer
from controller.agents.registry import Registry
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.asks.ownership import AGENT
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.rows import Row
from controller.policy.engine import Evaluation
from controller.records.body import read_body
from tests.builders import (
    DEPLOYMENTS,
    a_mandate,
    a_registry,
    a_request,
    a_unit,
    an_evaluation,
    an_object,
)
from tests.fakes.accounts import FakeAccountFeed, FakeAccounts
from tests.fakes.engine import ScriptedEngine
from tests.fakes.registries import ScriptedRegistries
from tests.fakes.surroundings import ScriptedSurroundings
from tests.outboxes import Clock, names, open_outbox, read_outboxes
from tests.recorded import CONTENT_KEY, OTHER_CHANGE, STAMP_KEY, stamped
from webhooks.admission import Admission
from webhooks.app import WebhookApp
from webhooks.callers import Callers
from webhooks.credentials import ExpectedCaller
from webhooks.mutation import Mutator
from webhooks.reservations import Reservations

KEYS = RecordKeys(stamp=STAMP_KEY, content=CONTENT_KEY)
AGENT_NAME = "migrator"
SECRET_VALUE = "aHVudGVyMi1kby1ub3QtbG9n"


def a_fence(*, generation: int = 1, suspended: bool = False) -> Fence:
    """Of the mandate that `a_mandate` gives."""
    return Fence(f"uid-of-{AGENT_NAME}", generation, suspended)


def a_denying_evaluation(finding: Json) -> Evaluation:
    """One unit that finds this."""
    return an_evaluation(a_unit(finding))


def a_create(
    obj: dict[str, Json] | None = None,
    *,
    target: Target = DEPLOYMENTS,
    namespace: str = "team-data",
    name: str = "web",
) -> AdmissionRequest:
    """As `/validate` sees it: with its uid, and stamped."""
    made = obj or owned(an_object(target, name=name, namespace=namespace))
    return a_request(target=target, namespace=namespace, name=name, obj=stamped(made))


def an_update_of(
    old: dict[str, Json] | None = None,
    new: dict[str, Json] | None = None,
    *,
    target: Target = DEPLOYMENTS,
) -> AdmissionRequest:
    """From one stamped content to another, of version 7."""
    before = old or owned(an_object(target, spec={"replicas": 2}))
    after = new or owned(an_object(target, spec={"replicas": 3}))
    return a_request(
        Operation.UPDATE,
        target=target,
        old=stamped(before, OTHER_CHANGE),
        obj=stamped(after),
    )


def owned(obj: dict[str, Json], agent: str = AGENT_NAME) -> dict[str, Json]:
    """Labelled as `/mutate` labels it."""
    metadata = obj["metadata"]
    assert isinstance(metadata, dict)
    return {**obj, "metadata": {**metadata, "labels": {AGENT: agent}}}


def as_dry_run(request: AdmissionRequest) -> AdmissionRequest:
    """The same, asked with `dryRun=All`: `/mutate` stamped nothing."""
    return replace(request, dry_run=True, obj=_unstamped(request.obj))


def _unstamped(obj: object) -> dict[str, Json] | None:
    if not isinstance(obj, dict):
        return None
    found: dict[str, Json] = orjson.loads(orjson.dumps(obj))
    metadata = found["metadata"]
    assert isinstance(metadata, dict)
    metadata.pop("annotations", None)
    return found


@dataclass
class Desk:
    """One webhook process in front of one stored account."""

    directory: Path
    outbox: Outbox
    engine: ScriptedEngine
    registries: ScriptedRegistries
    deadline_seconds: float = 5.0
    clock: Clock = field(default_factory=Clock)
    store: FakeAccounts = field(default_factory=FakeAccounts)
    feed: FakeAccountFeed = field(default_factory=FakeAccountFeed)
    surroundings: ScriptedSurroundings = field(default_factory=ScriptedSurroundings)

    def __post_init__(self) -> None:
        mint = names(first=500)
        callers = Callers(self.registries)
        self.admission = Admission(
            callers=callers,
            surroundings=self.surroundings,
            reviewer=Reviewer(
                engine=self.engine,
                clock_ns=lambda: self.clock() * 1_000_000,
                mint_change=mint,
                timeout_seconds=1.0,
            ),
            outbox=self.outbox,
            reservations=Reservations(self.store, self.feed),
            keys=KEYS,
            clock_ms=self.clock,
            deadline_seconds=self.deadline_seconds,
        )
        self.mutator = Mutator(
            callers=callers,
            surroundings=self.surroundings,
            outbox=self.outbox,
            stamp_key=STAMP_KEY,
            mint_change=mint,
            clock_ms=self.clock,
        )
        self.app = WebhookApp(
            admission=self.admission,
            mutator=self.mutator,
            readiness=lambda: (),
            expected=ExpectedCaller(None),
        )

    @property
    def pending(self) -> tuple[Entry, ...]:
        """What the stored account holds."""
        return self.store.now(AGENT_NAME).account.pending

    def rows(self) -> list[Row]:
        """What is on disk, as another process reads it."""
        outboxes = read_outboxes(self.directory, clock=self.clock)
        return [
            row
            for replica in outboxes.replicas()
            for row in outboxes.pull(replica, after=0, limit=1000)
        ]

    def bodies(self) -> list[dict[str, Json]]:
        """Likewise, as bodies of records."""
        return [read_body(row.body) for row in self.rows()]


async def a_desk(
    directory: Path,
    *answers: Evaluation | Exception,
    account: Account | None = None,
    registry: Registry | None = None,
    registries: ScriptedRegistries | None = None,
    outbox: Outbox | None = None,
    deadline_seconds: float = 5.0,
) -> Desk:
    """With the account of `migrator`, which its feed knows; every write passes the policies."""
    place = directory / "outbox"
    known = registries or ScriptedRegistries(registry or a_registry(a_mandate()))
    engine = ScriptedEngine.answering(*(answers or (an_evaluation(),)))
    opened = outbox or open_outbox(place)
    desk = Desk(place, opened, engine, known, deadline_seconds=deadline_seconds)
    stored = await desk.store.create(account or Account(AGENT_NAME, a_fence()))
    desk.feed.show(stored)
    return desk
