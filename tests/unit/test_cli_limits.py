"""Offline a write is counted as the webhook counts it, and held to limits as if it were alone."""

import json
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from controller.admission.reviewer import Reviewer
from controller.apis.json import Json
from controller.asks.ownership import AGENT
from controller.cli.agents import read_registry
from controller.cli.check import Inputs, judge, read_writes
from controller.cli.manifests import Manifest, ManifestError, Place
from controller.cli.verdicts import Judged, as_json, as_text
from controller.policy.engine import Evaluation
from tests.asking import (
    AUTOSCALERS,
    DAEMON_SETS,
    DEPLOYMENTS,
    Object,
    a_container,
    a_workload,
    an_autoscaler,
    scaling,
)
from tests.builders import CHANGE, a_review, a_review_request, a_unit, an_evaluation
from tests.fakes.engine import ScriptedEngine
from tests.limiting import a_capping_unit, a_found_cap

pytestmark = pytest.mark.requirement("same-judge.offline")

PRICES: Object = {
    "apiVersion": "governor.dev/v1alpha1",
    "kind": "PriceBook",
    "metadata": {"name": "cluster"},
    "spec": {"prices": [{"resource": "cpu", "usdPerHour": "0.1"}]},
}


def a_mandate(**spec: Json) -> Object:
    """Of `migrator`, with these limits."""
    subject: Object = {"kind": "ServiceAccount", "namespace": "team-data", "name": "migrator"}
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {"name": "migrator"},
        "spec": {"subjects": [subject], **spec},
    }


def a_deployment(replicas: int = 10, *, cpu: Json = "500m", owner: str = "") -> Object:
    """Pods of half a CPU, as people write it: without a uid or a version."""
    made = a_workload(DEPLOYMENTS, a_container(cpu, None), replicas=replicas, owner=owner)
    metadata: Object = {"name": "web", "namespace": "team-data", "labels": {}}
    if owner:
        metadata["labels"] = {AGENT: owner}
    return {**made, "metadata": metadata}


async def checked(
    folder: Path,
    *written: Object,
    mandates: tuple[Object, ...],
    old: tuple[Object, ...] = (),
    answer: Evaluation | None = None,
) -> list[Judged]:
    """What is said of these manifests by policies that find nothing."""
    files = {"new.json": written, "mandates.json": mandates, "old.json": old}
    for name, objects in files.items():
        (folder / name).write_bytes(b"\n".join(orjson.dumps(one) for one in objects))
    given = Inputs(
        [str(folder / "new.json")],
        "migrator",
        mandates=[str(folder / "mandates.json")],
        old=str(folder / "old.json") if old else None,
    )
    writes, registry = read_writes(given, read_stdin=lambda _: b"")
    reviewer = Reviewer(
        engine=ScriptedEngine.answering(*[answer or an_evaluation()] * len(writes)),
        clock_ns=lambda: 1_795_512_615_123_456_789,
        mint_change=lambda: CHANGE,
        timeout_seconds=1.0,
    )
    return await judge(writes, registry, reviewer)


def entry_of(judged: list[Judged]) -> dict[str, Any]:
    (entry,) = json.loads(as_json(judged))
    return cast("dict[str, Any]", entry)


QUOTA = a_mandate(quota={"pods": "5"})


async def test_what_a_write_asks_is_shown_and_what_alone_exceeds_a_quota_is_refused(
    tmp_path: Path,
) -> None:
    judged = await checked(tmp_path, a_deployment(), mandates=(QUOTA,))
    entry = entry_of(judged)
    assert entry["asks"] == {"before": {}, "after": {"cpu": "5", "pods": "10"}}
    (denial,) = entry["denials"]
    assert (denial["code"], denial["asked"], denial["passes"]) == ("quota-exceeded", "10", "5")
    assert "\n  asks 5 cpu, 10 pods\n  governor: denied [quota-exceeded]" in as_text(judged)


async def test_what_fits_alone_is_granted_and_said_to_be_held_alone(tmp_path: Path) -> None:
    judged = await checked(tmp_path, a_deployment(5), mandates=(QUOTA,))
    assert entry_of(judged)["verdict"] == "granted"
    assert "note: quotas and budgets are held as if each write were the agent's first" in as_text(
        judged
    )


async def test_where_nothing_is_limited_no_account_is_missed(tmp_path: Path) -> None:
    judged = await checked(tmp_path, a_deployment(), mandates=(a_mandate(),))
    assert entry_of(judged)["verdict"] == "granted"
    assert "quotas" not in as_text(judged)


@pytest.mark.parametrize(
    ("owner", "asked"),
    [("migrator", "1"), ("", "3"), ("other", "3")],
    ids=["its own", "nobody's, which it adopts", "another agent's"],
)
async def test_an_update_counts_what_it_adds_or_all_that_it_adopts(
    tmp_path: Path, owner: str, asked: str
) -> None:
    old = a_deployment(4, owner=owner)
    new = a_deployment(6, owner=owner)
    mandate = a_mandate(quota={"cpu": "2.5"})
    judged = await checked(tmp_path, new, mandates=(mandate,), old=(old,))
    entry = entry_of(judged)
    assert entry["asks"]["before"] == {"cpu": "2", "pods": "4"}
    assert "\n  asks 3 cpu, 6 pods, before 2 cpu, 4 pods" in as_text(judged)
    (denial,) = entry["denials"]
    assert (denial["code"], denial["asked"]) == ("quota-exceeded", asked)


async def test_a_budget_that_no_window_could_pay_refuses_by_the_prices_in_the_files(
    tmp_path: Path,
) -> None:
    budget: Object = {"name": "spend", "resource": "usd", "limit": "10", "windowSeconds": 86400}
    mandate = a_mandate(budgets=[budget])
    (denial,) = entry_of(await checked(tmp_path, a_deployment(), mandates=(mandate, PRICES)))[
        "denials"
    ]
    assert (denial["code"], denial["asked"], denial["retry"]) == ("budget-exceeded", "12", False)
    fits = await checked(tmp_path, a_deployment(8), mandates=(mandate, PRICES))
    assert entry_of(fits)["verdict"] == "granted"
    unpriced = await checked(tmp_path, a_deployment(), mandates=(mandate,))
    assert [one["code"] for one in entry_of(unpriced)["denials"]] == ["price-unknown"]


async def test_a_policys_cap_is_held(tmp_path: Path) -> None:
    found = a_found_cap(resource="pods", limit=3, without=("windowSeconds",))
    answer = an_evaluation(a_capping_unit(found))
    judged = await checked(tmp_path, a_deployment(), mandates=(a_mandate(),), answer=answer)
    assert [one["code"] for one in entry_of(judged)["denials"]] == ["after-hours"]


async def test_a_relaxed_mandate_is_only_told(tmp_path: Path) -> None:
    mandate = a_mandate(quota={"pods": "5"}, enforcement="Warn")
    entry = entry_of(await checked(tmp_path, a_deployment(), mandates=(mandate,)))
    assert entry["verdict"] == "warned"
    assert [one["code"] for one in entry["denials"]] == ["quota-exceeded"]


async def test_a_policys_denial_comes_first(tmp_path: Path) -> None:
    answer = an_evaluation(a_unit({"code": "no", "message": "No.", "rule": "None"}))
    judged = await checked(tmp_path, a_deployment(), mandates=(QUOTA,), answer=answer)
    assert [one["code"] for one in entry_of(judged)["denials"]] == ["no"]


async def test_what_cannot_be_counted_is_refused_with_its_field(tmp_path: Path) -> None:
    judged = await checked(tmp_path, a_deployment(cpu="much"), mandates=(a_mandate(),))
    entry = entry_of(judged)
    assert entry["asks"] is None
    (denial,) = entry["denials"]
    assert denial["code"] == "ask-unreadable"
    assert denial["field"] == "spec.template.spec.containers[0].resources.requests.cpu"


def a_scale_review(old: int, new: int) -> Object:
    request = a_review_request(scaling(old, new))
    return cast("Object", orjson.loads(a_review(request)))


@pytest.mark.parametrize(
    ("owner", "codes"),
    [("migrator", ["quota-exceeded"]), ("", ["scale-not-owned"])],
    ids=["its own", "not its own"],
)
async def test_a_scale_is_counted_by_the_object_in_the_files(
    tmp_path: Path, owner: str, codes: list[str]
) -> None:
    stored = a_deployment(2, owner=owner)
    judged = await checked(tmp_path, a_scale_review(2, 9), mandates=(QUOTA,), old=(stored,))
    assert entry_of(judged)["asks"]["after"] == {"cpu": "4500m", "pods": "9"}
    assert [one["code"] for one in entry_of(judged)["denials"]] == codes


async def test_an_autoscaler_in_the_files_raises_what_its_target_asks(tmp_path: Path) -> None:
    kind: Object = {"apiVersion": "autoscaling/v2", "kind": AUTOSCALERS.kind}
    autoscaler = {**an_autoscaler(9), **kind}
    judged = await checked(tmp_path, a_deployment(2), autoscaler, mandates=(a_mandate(),))
    asks = [entry["asks"]["after"]["pods"] for entry in json.loads(as_json(judged))]
    assert asks == ["9", "9"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param(a_scale_review(2, 9), "what it scales is not in the files", id="a scale"),
        pytest.param(
            {
                **an_autoscaler(9),
                "apiVersion": "autoscaling/v2",
                "kind": AUTOSCALERS.kind,
            },
            "what it scales is not in the files",
            id="an autoscaler",
        ),
        pytest.param(a_workload(DAEMON_SETS), "how many nodes there are", id="a DaemonSet"),
    ],
)
async def test_what_is_not_known_here_is_said_and_not_held(
    tmp_path: Path, written: Object, said: str
) -> None:
    judged = await checked(tmp_path, written, mandates=(a_mandate(quota={"pods": "1"}),))
    assert (entry_of(judged)["verdict"], entry_of(judged)["asks"]) == ("granted", None)
    assert f"\n  asks are not known, and no quota or budget is held: {said}" in as_text(judged)


async def test_what_lowers_is_never_refused_for_a_quota(tmp_path: Path) -> None:
    stored = a_deployment(owner="migrator")
    judged = await checked(
        tmp_path,
        {**stored, "spec": {**cast("Object", stored["spec"]), "replicas": 0}},
        mandates=(QUOTA,),
        old=(stored,),
    )
    assert entry_of(judged)["verdict"] == "granted"
    assert "\n  asks nothing, before 5 cpu, 10 pods" in as_text(judged)


def manifests(*objects: Object) -> list[Manifest]:
    return [Manifest(Place("m.yaml", line), one) for line, one in enumerate(objects, 1)]


def test_the_price_book_is_read_beside_the_mandates() -> None:
    assert read_registry(manifests(a_mandate(), PRICES)).prices.rates == {"cpu": 100_000_000}


def test_two_price_books_are_one_too_many() -> None:
    with pytest.raises(ManifestError, match=r"m.yaml:3: is the same PriceBook as m.yaml:1"):
        read_registry(manifests(PRICES, a_mandate(), PRICES))


def test_a_price_book_that_is_not_valid_is_named() -> None:
    with pytest.raises(ManifestError, match=r"m.yaml:2: PriceBook .* is invalid"):
        read_registry(manifests(a_mandate(), {**PRICES, "spec": {"prices": 3}}))
