"""What an account needs: its fence, its kinds, and when it is looked at again."""

from dataclasses import replace

import pytest

from controller.accounts.account import COUNTED, Account, Fence
from controller.accounts.entries import Action, Outcome, WatchedKind
from controller.accounts.views import KindView
from controller.agents.registry import InvalidMandate
from controller.apis.mandates import Mandate, Rule
from controller.feeds.registry import Status, StoredMandate
from reconcilers.needs import (
    Times,
    awaited,
    fence_of,
    is_behind,
    named_resources,
    needed_kinds,
    seconds_until,
    start_of,
)
from tests.accounts import DEPLOYMENTS, NOON, PODS, an_account, an_entry
from tests.builders import a_mandate, a_rule, an_invalid_mandate

WIDGETS = WatchedKind("example.com", "v1", "widgets")
GADGETS = WatchedKind("example.com", "v1", "gadgets")


def stored(content: Mandate | InvalidMandate, *, generation: int = 3) -> StoredMandate:
    return StoredMandate("migrator", "m-1", generation, content, Status(None, ()))


@pytest.mark.parametrize(
    ("mandate", "fence"),
    [
        pytest.param(
            stored(a_mandate()), Fence("m-1", 3, suspended=False), id="a mandate in force"
        ),
        pytest.param(
            stored(a_mandate(suspended=True)), Fence("m-1", 3, suspended=True), id="suspended"
        ),
        pytest.param(
            stored(an_invalid_mandate()), Fence("m-1", 3, suspended=True), id="unreadable"
        ),
        pytest.param(None, Fence("m-0", 2, suspended=True), id="gone: as it was, but closed"),
    ],
)
def test_the_fence_is_open_only_for_a_mandate_in_force(
    mandate: StoredMandate | None, fence: Fence
) -> None:
    assert fence_of(mandate, current=Fence("m-0", 2, suspended=False)) == fence


def test_an_account_without_a_mandate_ever_is_closed() -> None:
    assert fence_of(None).suspended


def rule(groups: tuple[str, ...], resources: tuple[str, ...], *verbs: str) -> Rule:
    return a_rule(api_groups=groups, resources=resources, verbs=verbs or ("create",))


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        pytest.param(
            (rule(("apps", ""), ("deployments", "pods")),),
            {("apps", "deployments"), ("apps", "pods"), ("", "deployments"), ("", "pods")},
            id="each resource in each group",
        ),
        pytest.param((rule(("*",), ("deployments",)),), set[object](), id="any group"),
        pytest.param((rule(("apps",), ("*", "*/scale")),), set[object](), id="any resource"),
        pytest.param(
            (rule(("apps",), ("deployments/scale",)),),
            {("apps", "deployments")},
            id="of a subresource the parent",
        ),
        pytest.param(
            (rule(("apps",), ("deployments",), "get", "list"),), set[object](), id="reads"
        ),
        pytest.param(
            (rule(("", "coordination.k8s.io"), ("events", "leases", "pods")),),
            {("", "leases"), ("", "pods"), ("coordination.k8s.io", "events")}
            | {("coordination.k8s.io", "pods")},
            id="not what never rests",
        ),
        pytest.param(
            (rule(("apps",), ("deployments",), "*"),), {("apps", "deployments")}, id="every verb"
        ),
    ],
)
def test_what_a_mandate_names_and_lets_be_written_is_watched_from_the_start(
    rules: tuple[Rule, ...], named: set[tuple[str, str]]
) -> None:
    assert named_resources(stored(a_mandate(rules=rules))) == named


def test_a_mandate_that_cannot_be_read_names_nothing() -> None:
    assert named_resources(stored(an_invalid_mandate())) == frozenset()
    assert named_resources(None) == frozenset()


def test_what_everybody_is_counted_by_and_what_is_open_is_needed_and_nothing_else() -> None:
    account = an_account(
        an_entry(1, kind=GADGETS),
        an_entry(2, kind=PODS._replace(resource="secrets"), outcome=Outcome.LOST),
        an_entry(3, kind=PODS._replace(resource="services"), action=Action.UNTRACED),
        as_of={WIDGETS: 5},
    )
    assert needed_kinds(account) == {*COUNTED, WIDGETS, GADGETS}
    assert [entry.kind for entry in awaited(account)] == [GADGETS]


def test_the_deadline_is_the_api_servers_own_and_a_margin() -> None:
    times = Times(request_timeout=60.0, margin=10.0)
    assert times.deadline(an_entry(made_at=NOON)) == NOON / 1000 + 70


@pytest.mark.parametrize(
    ("account", "seconds"),
    [
        pytest.param(an_account(), 240.0, id="idle"),
        pytest.param(an_account(an_entry()), 40.0, id="a write is open"),
        pytest.param(an_account(an_entry(outcome=Outcome.LOST)), 40.0, id="a record is awaited"),
        pytest.param(an_account(settled={"pods": 1}), 40.0, id="it holds something"),
    ],
)
def test_as_of_is_kept_fresh_where_the_next_leader_needs_it(
    account: Account, seconds: float
) -> None:
    assert Times().refresh_of(account) == seconds
    assert Times().refresh <= 60


def test_a_history_begins_where_the_oldest_account_with_something_under_way_was_counted() -> None:
    idle = an_account(as_of={PODS: 10})
    later, earlier = an_account(an_entry(), as_of={PODS: 30}), an_account(settled={"pods": 1})
    assert start_of(PODS, [idle, later, replace(earlier, as_of={PODS: 20, DEPLOYMENTS: 5})]) == 20
    assert start_of(PODS, [idle]) == 0
    assert start_of(PODS, [replace(later, as_of={DEPLOYMENTS: 30})]) == 0


@pytest.mark.parametrize(
    ("as_of", "behind"),
    [
        pytest.param({PODS: 20}, False, id="counted where the list was"),
        pytest.param({PODS: 19}, True, id="counted before the list: versions between were missed"),
        pytest.param({PODS: 30, DEPLOYMENTS: 5}, False, id="a kind without a view says nothing"),
        pytest.param({}, False, id="never counted"),
    ],
)
def test_an_account_is_behind_if_its_next_create_would_be_bound_to_what_was_missed(
    as_of: dict[WatchedKind, int], *, behind: bool
) -> None:
    views = {PODS: KindView(listed_at=20, seen_to=40, objects={})}
    assert is_behind(an_account(as_of=as_of), views) is behind


def test_the_first_moment_counts_and_one_that_passed_is_looked_at_soon() -> None:
    assert seconds_until([130.0, 110.0], now=100.0, at_least=1.0) == 10.0
    assert seconds_until([90.0, 110.0], now=100.0, at_least=1.0) == 1.0
