"""The projection: what is kept of an object, whatever its shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.accounts.account import COUNTED
from controller.accounts.entries import WatchedKind
from controller.accounts.views import Fleet, Scaling, Version
from controller.apis.json import Json
from controller.apis.resources import Amounts
from controller.records.content import content_digest
from controller.records.stamps import CHANGE, write_stamp
from controller.records.versions import number_of, version_of
from tests.asking import GI, a_container, a_pod, a_workload, an_autoscaler, units
from tests.builders import CHANGE as A_CHANGE
from tests.builders import an_object

STAMP_KEY = b"s" * 32
CONTENT_KEY = b"c" * 32


DEPLOYMENTS = WatchedKind("apps", "v1", "deployments")


def project(body: dict[str, Json], kind: WatchedKind = DEPLOYMENTS) -> Version:
    return version_of(body, kind=kind, stamp_key=STAMP_KEY, content_key=CONTENT_KEY)


def with_metadata(**changes: Json) -> dict[str, Json]:
    body = an_object()
    metadata = body["metadata"]
    assert isinstance(metadata, dict)
    return {**body, "metadata": {**metadata, **changes}}


def test_an_object_gives_its_identity_its_version_and_its_digest() -> None:
    body = an_object()
    assert project(body) == Version(
        uid="object-uid",
        version=7,
        namespace="team-data",
        name="web",
        digest=content_digest(body, key=CONTENT_KEY),
        value="replicas:2",
        ask={"pods": 2},
        fleet=Fleet({"pods": 1}, 2),
    )


@pytest.mark.parametrize(
    ("kind", "body", "ask"),
    [
        pytest.param("pods", a_pod(), units(1), id="a Pod"),
        pytest.param("replicationcontrollers", a_workload(replicas=3), units(3), id="a fleet"),
        pytest.param("configmaps", a_workload(replicas=3), {}, id="what holds nothing"),
    ],
)
def test_a_version_says_what_the_object_asks(
    kind: str, body: dict[str, Json], ask: Amounts
) -> None:
    assert project(body, WatchedKind("", "v1", kind)).ask == ask


def test_a_version_says_whose_it_is_and_who_made_it() -> None:
    references: Json = [{"uid": "the-set", "controller": True}]
    labels: Json = {"governor.dev/agent": "migrator"}
    found = project(with_metadata(labels=labels, ownerReferences=references))
    assert (found.owner, found.controller) == ("migrator", "the-set")


def test_a_version_of_an_autoscaler_says_what_it_may_raise() -> None:
    kind = WatchedKind("autoscaling", "v2", "horizontalpodautoscalers")
    found = project(an_autoscaler(7), kind)
    assert found.scaling == Scaling("apps", "deployments", "web", 7)
    assert (found.ask, found.fleet) == ({}, None)


def test_of_an_ask_that_cannot_be_read_the_rest_counts() -> None:
    pods = WatchedKind("", "v1", "pods")
    odd = a_pod(a_container("much"), a_container("200m"))
    assert project(odd, pods).ask == {"cpu": 200, "memory": 2 * GI, "pods": 1}
    assert project({"metadata": {"uid": "u"}, "spec": 7}, pods).ask == {"pods": 1}
    assert project(a_workload(replicas="many")).fleet == Fleet(units(1), 1)


def test_an_authentic_stamp_gives_the_change_and_a_forged_one_gives_none() -> None:
    authentic = with_metadata(annotations={CHANGE: write_stamp(A_CHANGE, key=STAMP_KEY)})
    forged = with_metadata(annotations={CHANGE: write_stamp(A_CHANGE, key=b"f" * 32)})
    assert project(authentic).change == A_CHANGE
    assert project(forged).change == ""
    assert project(authentic).digest != project(forged).digest


def test_an_object_that_is_held_by_finalizers_is_ending_and_has_the_same_content() -> None:
    held = project(with_metadata(deletionTimestamp="2026-11-25T00:00:00Z", resourceVersion="8"))
    assert held.is_ending
    assert not held.is_deleted
    assert held.digest == project(an_object()).digest


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        pytest.param({"replicas": 3}, "replicas:3", id="a number"),
        pytest.param({"replicas": 0}, "replicas:0", id="zero"),
        pytest.param({"replicas": True}, "", id="true is no number"),
        pytest.param({"replicas": "3"}, "", id="a text is no number"),
        pytest.param({"replicas": 3.0}, "", id="a float is no number"),
        pytest.param({"replicas": None}, "", id="null"),
        pytest.param({"other": 1}, "", id="none at all"),
    ],
)
def test_the_value_is_that_of_replicas(spec: dict[str, Json], value: str) -> None:
    assert project(an_object(spec=spec)).value == value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        pytest.param("12", 12, id="a number"),
        pytest.param("", 0, id="nothing"),
        pytest.param("v12", 0, id="opaque"),
        pytest.param("-1", 0, id="negative"),
        pytest.param("١٢", 0, id="digits of another script"),
        pytest.param(12, 0, id="no text"),
        pytest.param(None, 0, id="absent"),
    ],
)
def test_a_resource_version_is_a_number_or_nothing(text: Json, number: int) -> None:
    assert number_of(text) == number


def nested(levels: int) -> Json:
    value: Json = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param("\ud800", id="half of a surrogate pair"),
        pytest.param(nested(400), id="as deep as the slow reader keeps it"),
        pytest.param(nested(1_024), id="as deep as the fast reader reads it"),
        pytest.param(10**309, id="a number beyond every double"),
    ],
)
def test_what_few_can_read_gives_a_version_with_the_digest_of_no_write(odd: Json) -> None:
    found = project({**an_object(), "data": odd})
    assert (found.uid, found.version, found.digest) == ("object-uid", 7, "")
    assert project({**an_object(), "data": {"\ud800": 1}}).digest == ""
    everywhere = with_metadata(uid=odd, name=odd, namespace=odd, annotations={CHANGE: odd})
    assert project({**everywhere, "spec": {"replicas": odd}}).change == ""
    assert project(with_metadata(annotations=odd, resourceVersion=odd)).version == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(metadata=JSON, spec=JSON, kind=st.sampled_from(sorted(COUNTED)))
def test_any_shape_gives_a_version(metadata: Json, spec: Json, kind: WatchedKind) -> None:
    found = project({"metadata": metadata, "spec": spec}, kind)
    assert not found.is_deleted
    assert found.owner == ""
