"""What `make kill` holds the ledger and the Account against: its verdict, and its recount."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bench.kill_usage import Usage, changes_recorded, changes_seen, most_pods, recount
from bench.kill_verdict import judge
from bench.kill_witness import Audited, Seen

AGENT = "migrator"
MEBIBYTE = 2**20


def seen(
    uid: str,
    version: int,
    *,
    change: str = "",
    plural: str = "pods",
    replicas: int | None = None,
    is_deleted: bool = False,
) -> Seen:
    """One event of the witness's watch."""
    return Seen(plural, uid, version, change, is_deleted, replicas)


def metadata(uid: str, *, owner: str = "", agent: str = "") -> dict[str, Any]:
    """Of an object that a controller made, or that is labelled."""
    owners = [{"uid": "a-bystander"}, {"uid": owner, "controller": True}] if owner else []
    labels = {"governor.dev/agent": agent} if agent else {"app": "x"}
    return {"uid": uid, "labels": labels, "ownerReferences": owners}


SPEC = {"containers": [{"resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}]}


def pod(uid: str, *, owner: str = "", agent: str = "", phase: str = "Pending") -> dict[str, Any]:
    return {
        "metadata": metadata(uid, owner=owner, agent=agent),
        "spec": SPEC,
        "status": {"phase": phase},
    }


def deployment(uid: str, replicas: int, *, agent: str = AGENT) -> dict[str, Any]:
    spec = {"replicas": replicas, "template": {"spec": SPEC}}
    return {"metadata": metadata(uid, agent=agent), "spec": spec}


def replica_set(uid: str, owner: str) -> dict[str, Any]:
    return {"metadata": metadata(uid, owner=owner)}


def amounts(pods: int) -> Mapping[str, int]:
    if not pods:
        return {}
    return {"pods": pods, "cpu": pods * 10, "memory": pods * 16 * MEBIBYTE}


@pytest.mark.parametrize(
    ("lists", "pods"),
    [
        pytest.param({}, 0, id="nothing"),
        pytest.param({"pods": [pod("1", agent=AGENT), pod("2", agent=AGENT)]}, 2, id="its Pods"),
        pytest.param({"pods": [pod("1"), pod("2", agent="other")]}, 0, id="others' Pods"),
        pytest.param(
            {"pods": [pod("1", agent=AGENT, phase="Succeeded")]}, 0, id="a Pod that has finished"
        ),
        pytest.param({"deployments": [deployment("d", 3)]}, 3, id="Pods that are still to come"),
        pytest.param(
            {
                "deployments": [deployment("d", 1)],
                "replica_sets": [replica_set("r", "d")],
                "pods": [pod("1", owner="r"), pod("2", owner="r")],
            },
            2,
            id="Pods that are still there",
        ),
        pytest.param(
            {
                "deployments": [deployment("d", 2)],
                "replica_sets": [replica_set("r", "d")],
                "pods": [pod("1", owner="r"), pod("2", agent=AGENT)],
            },
            3,
            id="each once: by its root, or by itself",
        ),
        pytest.param({"deployments": [deployment("d", 2, agent="")]}, 0, id="a person's"),
    ],
)
def test_holdings_are_recounted_from_lists(
    lists: Mapping[str, list[dict[str, Any]]], pods: int
) -> None:
    listed = {"deployments": [], "replica_sets": [], "pods": [], **lists}
    assert recount(AGENT, **listed) == amounts(pods)


def test_changes_are_what_was_stored_and_deleted_and_every_change_of_the_replicas_alone() -> None:
    def scaled(version: int, replicas: int, change: str = "c1") -> Seen:
        return seen("d", version, plural="deployments", replicas=replicas, change=change)

    events = [
        scaled(1, 1),
        scaled(2, 1),  # the controller's status
        scaled(3, 4),
        scaled(4, 4),
        scaled(5, 2),
        scaled(6, 3, "c2"),  # an update, which is counted by its stamp
        seen("m", 7, plural="configmaps", change="c3"),
    ]
    assert changes_seen(events, 10, 5) == 10 + 5 + 2


def test_changes_of_the_ledger_are_all_but_those_that_took_no_effect() -> None:
    outcomes = ("persisted", "lost", "no-op", "gone", "matches", "unknown")
    writes = [{"type": "write", "outcome": outcome} for outcome in outcomes]
    assert changes_recorded([*writes, {"type": "denial", "outcome": "denied"}]) == 4


def test_the_most_pods_are_those_of_one_moment_whatever_order_they_were_seen_in() -> None:
    events = [
        seen("own", 2, change="c"),
        seen("own", 6, change="c", is_deleted=True),
        seen("made-1", 3),
        seen("made-2", 4),
        seen("made-3", 5),
        seen("made-3", 7, is_deleted=True),
        seen("d", 1, plural="deployments", replicas=2, change="c"),
        seen("d", 8, plural="deployments", replicas=3, change="c"),
        seen("own-2", 9, change="c"),
    ]
    assert most_pods(events[:1]) == 1
    assert most_pods(events) == 4
    assert most_pods(events[:7]) == 4, "three that were made, and its own"
    assert most_pods([events[6]]) == 2, "those that are still to come"


RIGHT = Usage(held=amounts(2), counted=amounts(2), spent=9, seen=7, recorded=9, most=24, limit=24)


def test_usage_that_agrees_holds_and_says_so() -> None:
    assert RIGHT.holds
    memory = 32 * MEBIBYTE
    assert str(RIGHT) == (
        f"usage = recount: held cpu 20/memory {memory}/pods 2 (recount cpu 20/memory {memory}/"
        "pods 2), changes 9 (seen 7, may have been 2), most Pods at once 24 of 24"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"held": amounts(3)}, id="more is held than there is"),
        pytest.param({"held": {}}, id="less is held than there is"),
        pytest.param({"spent": 8}, id="less is spent than the ledger tells"),
        pytest.param({"spent": 6, "recorded": 6}, id="less is spent than was seen"),
        pytest.param({"most": 25}, id="it was oversold in between"),
    ],
)
def test_usage_that_does_not_agree_says_so(wrong: dict[str, Any]) -> None:
    usage = replace(RIGHT, **wrong)
    assert not usage.holds
    assert str(usage).startswith("usage IS NOT recount: ")


def record(change: str, uid: str, *, number: int = 1) -> dict[str, Any]:
    return {
        "seq": number,
        "action": "create",
        "type": "write",
        "outcome": "persisted",
        "change": change,
        "receivedAt": "2026-01-01T00:00:00Z",
        "entry": {"uid": uid, "key": f"{change}/{uid}/0"},
        "attempt": {"replica": "r", "number": number},
        "request": {"subresource": ""},
    }


WRITTEN = Audited("create", "", "u", "c", "2026-01-01T00:00:01Z")


def test_a_write_with_its_record_is_proven() -> None:
    verdict = judge([seen("u", 1, change="c")], [WRITTEN], [record("c", "u")])
    assert verdict.holds
    assert (verdict.persisted, verdict.proven, verdict.records) == (1, 1, 1)


@pytest.mark.parametrize(
    ("events", "audited", "records", "what"),
    [
        pytest.param([seen("u", 1, change="c")], [], [], "unrecorded", id="stored, no record"),
        pytest.param([], [WRITTEN], [], "unrecorded", id="answered, no record"),
        pytest.param([], [replace(WRITTEN, change="")], [], "unrecorded", id="without a stamp"),
        pytest.param(
            [seen("u", 1, change="c", is_deleted=True)], [], [], "unrecorded", id="deleted"
        ),
        pytest.param([], [], [record("c", "u")], "false", id="recorded, never stored"),
        pytest.param(
            [seen("u", 1, change="c")],
            [replace(WRITTEN, completed="2025-12-31T23:59:59Z")],
            [record("c", "u")],
            "late",
            id="recorded after the fact",
        ),
        pytest.param(
            [seen("u", 1, change="c")],
            [],
            [record("c", "u"), record("c", "u", number=2)],
            "duplicates",
            id="recorded twice",
        ),
        pytest.param(
            [seen("u", 1, change="c")], [], [record("c", "u", number=2)], "gaps", id="a gap"
        ),
    ],
)
def test_a_broken_promise_is_counted(
    events: list[Seen], audited: list[Audited], records: list[dict[str, Any]], what: str
) -> None:
    verdict = judge(events, audited, records)
    assert not verdict.holds
    assert getattr(verdict, what) == 1


def test_every_scale_has_a_record_and_those_that_ask_for_what_there_is_share_one() -> None:
    scale = Audited("update", "scale", "d", "", "2026-01-01T00:00:01Z", "7", 3)
    told = {
        **record("", "d"),
        "action": "value",
        "outcome": "matches",
        "request": {"subresource": "scale"},
    }
    assert judge([], [scale, scale], [told]).unrecorded == 0
    assert judge([], [scale, replace(scale, version="8")], [told]).unrecorded == 1
    assert judge([], [scale], []).unrecorded == 1


def test_pods_that_a_controller_made_come_and_go_without_a_record() -> None:
    events = [seen("made", 1), seen("made", 2, is_deleted=True)]
    assert judge(events, [], []).holds
