"""Stamps: made by Governor only, needed where something changes, read as a write's trace."""

from dataclasses import replace

import pytest

from controller.accounts.entries import Action, WatchedKind
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.asks.ownership import AGENT
from controller.records.stamps import (
    CHANGE,
    REASON,
    MissingStamp,
    Traced,
    needs_stamp,
    read_stamp,
    trace_of,
    write_stamp,
)
from tests.builders import CHANGE as CHANGE_ID
from tests.builders import CONFIGMAPS, DEPLOYMENTS, a_request, an_object
from tests.recorded import OTHER_CHANGE, STAMP_KEY, annotated, stamped, with_metadata

OTHER_KEY = b"another key"
OBJECT = an_object()
SCALED = an_object(spec={"replicas": 3})
KIND = WatchedKind("apps", "v1", "deployments")
SCALES = Target("apps", "v1", "Scale", "deployments", "scale", api_version="v1")


def update(
    old: dict[str, Json], new: dict[str, Json], *, subresource: str = "", dry_run: bool = False
) -> AdmissionRequest:
    target = replace(DEPLOYMENTS, subresource=subresource)
    return a_request(Operation.UPDATE, target=target, old=old, obj=new, dry_run=dry_run)


def labelled(labels: dict[str, Json]) -> dict[str, Json]:
    return with_metadata(OBJECT, labels=labels)


def traced(request: AdmissionRequest) -> Traced:
    found = trace_of(request, key=STAMP_KEY)
    assert isinstance(found, Traced)
    return found


@pytest.mark.requirement("record-before-effect.stamped")
def test_a_stamp_is_read_back_by_its_key_only() -> None:
    obj = annotated(OBJECT, **{CHANGE: write_stamp(CHANGE_ID, key=STAMP_KEY)})

    assert read_stamp(obj, key=STAMP_KEY) == CHANGE_ID
    assert read_stamp(obj, key=OTHER_KEY) == ""


def test_a_stamp_is_short_enough_for_an_annotation_and_long_enough_for_its_mac() -> None:
    stamp = write_stamp(CHANGE_ID, key=STAMP_KEY)

    assert stamp.startswith(f"{CHANGE_ID}.")
    assert len(stamp.partition(".")[2]) * 5 >= 128
    assert len(stamp) < 100


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("", id="nothing"),
        pytest.param(CHANGE_ID.lower(), id="lower case"),
        pytest.param(f"{CHANGE_ID}0", id="one character more"),
        pytest.param(f"8{CHANGE_ID[1:]}", id="more than 128 bits"),
        pytest.param(f"{CHANGE_ID}\n", id="a line's end"),
    ],
)
def test_only_a_ulid_can_be_stamped(change: str) -> None:
    with pytest.raises(ValueError, match="a stamp carries a ULID"):
        write_stamp(change, key=STAMP_KEY)


STAMP = write_stamp(CHANGE_ID, key=STAMP_KEY)


@pytest.mark.parametrize(
    "stamp",
    [
        pytest.param(CHANGE_ID, id="an id without its MAC"),
        pytest.param(f"{OTHER_CHANGE}.{STAMP[27:]}", id="another id with this MAC"),
        pytest.param(f"{STAMP[:-1]}{'a' if STAMP[-1] != 'a' else 'b'}", id="another last letter"),
        pytest.param(STAMP[:-1], id="a MAC cut short"),
        pytest.param(f"{STAMP}\n", id="a line's end"),
        pytest.param(f" {STAMP}", id="a space"),
        pytest.param(f"{CHANGE_ID}." + "\u0101" * 26, id="a MAC that is not ASCII"),
        pytest.param("." * 262_144, id="a long nothing"),
        pytest.param(None, id="null"),
        pytest.param(7, id="a number"),
        pytest.param([STAMP], id="a list"),
        pytest.param({STAMP: STAMP}, id="a map"),
    ],
)
@pytest.mark.requirement("record-before-effect.stamped")
def test_what_is_not_exactly_a_stamp_of_ours_is_none(stamp: Json) -> None:
    assert read_stamp(annotated(OBJECT, **{CHANGE: stamp}), key=STAMP_KEY) == ""


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(None, id="no object"),
        pytest.param({}, id="no metadata"),
        pytest.param({"metadata": None}, id="null metadata"),
        pytest.param({"metadata": [STAMP]}, id="a list as metadata"),
        pytest.param({"metadata": {"annotations": [STAMP]}}, id="a list as annotations"),
        pytest.param({"spec": {"annotations": {CHANGE: STAMP}}}, id="elsewhere"),
    ],
)
def test_a_stamp_is_on_the_objects_own_metadata_or_nowhere(obj: dict[str, Json] | None) -> None:
    assert read_stamp(obj, key=STAMP_KEY) == ""


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_request(), id="a create"),
        pytest.param(update(OBJECT, SCALED), id="a changed field"),
        pytest.param(update(OBJECT, with_metadata(OBJECT, labels={"a": "b"})), id="a label"),
        pytest.param(update(OBJECT, with_metadata(OBJECT, finalizers=["a/b"])), id="a finalizer"),
        pytest.param(update(OBJECT, annotated(OBJECT, a="b")), id="another annotation"),
        pytest.param(
            update(OBJECT, annotated(OBJECT, **{AGENT: "a"})), id="an annotation named as a label"
        ),
        pytest.param(update(OBJECT, labelled({CHANGE: "a"})), id="a label named as the stamp"),
        pytest.param(update({**OBJECT, "x": 1}, {**OBJECT, "x": True}), id="a number as true"),
        pytest.param(
            update({**OBJECT, "status": {"a": 1}}, {**OBJECT, "status": {"a": 2}}), id="a status"
        ),
        pytest.param(
            update(OBJECT, {**OBJECT, "status": {"a": 1}}, subresource="status"),
            id="the subresource status",
        ),
    ],
)
@pytest.mark.requirement("record-before-effect.stamped")
def test_a_write_that_changes_something_is_stamped(request_: AdmissionRequest) -> None:
    assert needs_stamp(request_)


NO_CHANGES = [
    pytest.param(update(OBJECT, OBJECT), id="the same object"),
    pytest.param(update(OBJECT, dict(reversed(OBJECT.items()))), id="another order of keys"),
    pytest.param(
        update(OBJECT, with_metadata(OBJECT, uid="", resourceVersion="", generation=9)),
        id="metadata that the server sets",
    ),
    pytest.param(
        update(OBJECT, with_metadata(OBJECT, managedFields=[{"manager": "other"}])),
        id="another owner of the same fields",
    ),
    pytest.param(update(OBJECT, annotated(OBJECT, **{REASON: "why"})), id="a reason alone"),
    pytest.param(update(stamped(OBJECT), OBJECT), id="a PUT of what is kept in Git"),
    pytest.param(
        update(stamped(OBJECT), stamped(OBJECT, OTHER_CHANGE)), id="a stamp that was planted"
    ),
    pytest.param(
        update({**OBJECT, "status": {"a": 1}}, OBJECT), id="a bare PUT that leaves the status out"
    ),
    pytest.param(update(OBJECT, labelled({AGENT: "a"})), id="an owner that was planted"),
    pytest.param(
        update(labelled({AGENT: "a", "b": "c"}), labelled({"b": "c"})),
        id="an owner that was taken off",
    ),
    pytest.param(
        update(labelled({AGENT: "a"}), labelled({AGENT: "b"})), id="an owner that was renamed"
    ),
]


@pytest.mark.parametrize("request_", NO_CHANGES)
@pytest.mark.requirement("record-before-effect.stamped")
def test_a_write_that_changes_nothing_stays_one(request_: AdmissionRequest) -> None:
    assert not needs_stamp(request_)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(update(OBJECT, SCALED, dry_run=True), id="a dry run"),
        pytest.param(a_request(dry_run=True), id="a dry run of a create"),
        pytest.param(a_request(Operation.DELETE), id="a delete"),
        pytest.param(a_request(Operation.CONNECT), id="a connection"),
        pytest.param(update(OBJECT, SCALED, subresource="scale"), id="a scale"),
        pytest.param(update(OBJECT, SCALED, subresource="resize"), id="a resize"),
        pytest.param(a_request(obj={"kind": "Deployment"}), id="an object without metadata"),
        pytest.param(a_request(obj={"metadata": []}), id="metadata of another type"),
    ],
)
def test_what_keeps_no_stamp_gets_none(request_: AdmissionRequest) -> None:
    assert not needs_stamp(request_)


def test_a_create_is_known_by_its_fresh_stamp() -> None:
    assert traced(a_request(obj=stamped(OBJECT))) == Traced(Action.CREATE, KIND, CHANGE_ID)


def test_an_update_is_known_by_a_stamp_that_the_old_object_does_not_have() -> None:
    found = traced(update(stamped(OBJECT, OTHER_CHANGE), stamped(SCALED)))

    assert found == Traced(Action.UPDATE, KIND, CHANGE_ID, old_change=OTHER_CHANGE)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_request(), id="a create"),
        pytest.param(update(OBJECT, SCALED), id="an update"),
        pytest.param(update(stamped(OBJECT), stamped(SCALED)), id="with the old stamp"),
        pytest.param(update(stamped(OBJECT), OBJECT), id="which takes the stamp off"),
        pytest.param(
            update(OBJECT, annotated(SCALED, **{CHANGE: CHANGE_ID})), id="with a stamp of its own"
        ),
    ],
)
@pytest.mark.requirement("record-before-effect.stamped")
def test_a_change_without_a_fresh_stamp_is_refused(request_: AdmissionRequest) -> None:
    assert trace_of(request_, key=STAMP_KEY) == MissingStamp(KIND)


@pytest.mark.parametrize(
    "request_",
    [a_request(dry_run=True), update(OBJECT, SCALED, dry_run=True)],
    ids=["a create", "an update"],
)
@pytest.mark.requirement("dry-run-clean.no-trace")
def test_a_dry_run_is_never_refused_for_the_stamp_that_it_must_not_get(
    request_: AdmissionRequest,
) -> None:
    assert traced(request_).change == ""


def test_an_update_that_changes_nothing_is_no_write() -> None:
    assert traced(update(stamped(OBJECT), stamped(OBJECT))).action is Action.NOTHING


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(
            update(stamped(OBJECT), with_metadata(stamped(OBJECT), managedFields=[{}])),
            id="field ownership alone",
        ),
        pytest.param(update(OBJECT, SCALED, subresource="resize"), id="a resize"),
        pytest.param(update(OBJECT, SCALED, subresource="ephemeralcontainers"), id="debugging"),
        pytest.param(update(OBJECT, SCALED, subresource="approval"), id="an approval"),
        pytest.param(
            update(OBJECT, {**OBJECT, "status": {"a": 1}}, subresource="status"),
            id="the status of a custom resource, which drops the stamp",
        ),
        pytest.param(
            update({**OBJECT, "status": {"a": 1}}, OBJECT), id="a status that was taken off whole"
        ),
    ],
)
@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_write_that_keeps_no_stamp_is_known_by_what_it_leaves(request_: AdmissionRequest) -> None:
    found = traced(request_)

    assert (found.action, found.change, found.value) == (Action.VALUE, "", "")


def test_a_status_that_keeps_its_stamp_is_an_update() -> None:
    new = stamped({**OBJECT, "status": {"a": 1}})

    assert traced(update(OBJECT, new, subresource="status")).action is Action.UPDATE


@pytest.mark.parametrize(
    ("group", "resource", "spec", "expected"),
    [
        pytest.param("apps", "deployments", {"replicas": 3}, "replicas:3", id="a Deployment"),
        pytest.param("apps", "statefulsets", {"replicas": 3}, "replicas:3", id="a StatefulSet"),
        pytest.param("apps", "replicasets", {"replicas": 3}, "replicas:3", id="a ReplicaSet"),
        pytest.param(
            "", "replicationcontrollers", {"replicas": 3}, "replicas:3", id="a controller"
        ),
        pytest.param("apps", "deployments", {}, "replicas:0", id="zero, which is left out"),
    ],
)
@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_scale_is_known_by_the_number_of_replicas(
    group: str, resource: str, spec: dict[str, Json], expected: str
) -> None:
    target = Target(group, "v1", "Scale", resource, "scale", api_version="v7")
    request = a_request(Operation.UPDATE, target=target, obj=an_object(target, spec=spec))

    found = traced(request)

    assert (found.action, found.value) == (Action.VALUE, expected)
    assert found.kind == WatchedKind(group, "v7", resource)


def test_the_scale_of_a_custom_kind_may_be_anywhere() -> None:
    target = Target("example.com", "v1", "Scale", "widgets", "scale")

    assert traced(a_request(Operation.UPDATE, target=target)).action is Action.UNTRACED


def test_a_scale_to_the_same_number_is_still_a_write() -> None:
    assert traced(a_request(Operation.UPDATE, target=SCALES)).action is Action.VALUE


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_request(Operation.CONNECT), id="a connection"),
        pytest.param(
            a_request(target=Target("", "v1", "Eviction", "pods", "eviction")), id="an eviction"
        ),
        pytest.param(
            a_request(target=Target("", "v1", "TokenRequest", "serviceaccounts", "token")),
            id="a token",
        ),
        pytest.param(
            a_request(target=CONFIGMAPS, obj={"metadata": {"name": "web"}}),
            id="what is only answered, and so gets no uid",
        ),
    ],
)
@pytest.mark.requirement("record-before-effect.as-it-is")
def test_what_no_watch_shows_leaves_no_trace(request_: AdmissionRequest) -> None:
    assert traced(request_).action is Action.UNTRACED


def test_a_delete_keeps_which_change_the_deleted_version_came_from() -> None:
    found = traced(a_request(Operation.DELETE, old=stamped(OBJECT)))

    assert found == Traced(Action.DELETE, KIND, old_change=CHANGE_ID)
