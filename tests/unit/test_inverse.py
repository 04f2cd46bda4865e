"""What undoes a change, or why nothing does."""

import shlex
from typing import Any, cast

import orjson
import pytest
import yaml

from controller.accounts.entries import Outcome
from controller.apis.governance import RedactedFields
from controller.apis.json import Json
from controller.apis.requests import Operation, Target
from controller.records.body import MAX_BODY_BYTES, Verdict
from controller.records.inverse import Inverse, InverseKind, NoInverse, inverse_of
from controller.records.record import attempt_record, denial_record, entry_record
from tests.builders import CONFIGMAPS, SECRETS, a_denial, a_request, an_object
from tests.jsonpatches import PatchFailedError, apply_patch
from tests.recorded import (
    ATTEMPT,
    a_body,
    a_judged,
    a_record,
    an_entry,
    an_update,
    annotated,
    stamped,
    with_metadata,
)

SAME_OBJECT = {"op": "test", "path": "/metadata/uid", "value": "object-uid"}
CONTAINERS: list[Json] = [{"name": "web", "image": "a"}, {"name": "side", "image": "a"}]


def undo(record: dict[str, Json]) -> Inverse:
    found = inverse_of(record)
    assert isinstance(found, Inverse), found
    return found


def why_not(record: dict[str, Json]) -> str:
    found = inverse_of(record)
    assert isinstance(found, NoInverse), found
    return found.reason


def placed(spec: Json) -> dict[str, Json]:
    return {**an_object(), "spec": spec}


def patch_of(found: Inverse) -> list[dict[str, Any]]:
    assert found.kind is InverseKind.PATCH
    return cast("list[dict[str, Any]]", found.content)


@pytest.mark.requirement("undo.inverse")
def test_a_create_is_undone_by_deleting_that_object_and_no_other_of_its_name() -> None:
    found = undo(a_record())

    assert (found.kind, found.warnings) == (InverseKind.DELETE, ())
    assert found.path == "/apis/apps/v1/namespaces/team-data/deployments/web"
    assert isinstance(found.content, dict)
    assert found.content["preconditions"] == {"uid": "object-uid"}


def test_the_command_of_a_deletion_names_the_uid() -> None:
    line, document, end = undo(a_record()).command.split("\n")

    path = "/apis/apps/v1/namespaces/team-data/deployments/web"
    assert line == f"kubectl delete --raw {path} -f - <<'GOVERNOR'"
    assert orjson.loads(document)["preconditions"] == {"uid": "object-uid"}
    assert end == "GOVERNOR"


@pytest.mark.requirement("undo.inverse")
def test_an_update_is_undone_field_by_field_where_it_still_is_as_it_was_left() -> None:
    found = undo(a_record(an_update({"spec": {"replicas": 2}}, {"spec": {"replicas": 3}})))

    assert patch_of(found) == [
        SAME_OBJECT,
        {"op": "test", "path": "/spec/replicas", "value": 3},
        {"op": "replace", "path": "/spec/replicas", "value": 2},
    ]
    line, document, end = found.command.split("\n")
    assert line == (
        "kubectl patch deployments.v1.apps web --namespace team-data --type json "
        "--patch-file /dev/stdin <<'GOVERNOR'"
    )
    assert orjson.loads(document) == patch_of(found)
    assert end == "GOVERNOR"


def test_what_came_is_removed_and_what_went_is_put_back() -> None:
    found = undo(a_record(an_update({"data": {"a": "1"}}, {"data": {"b/~": "2"}})))

    assert patch_of(found) == [
        SAME_OBJECT,
        {"op": "test", "path": "/data/a", "value": None},
        {"op": "test", "path": "/data/b~1~0", "value": "2"},
        {"op": "add", "path": "/data/a", "value": "1"},
        {"op": "remove", "path": "/data/b~1~0"},
    ]


@pytest.mark.requirement("undo.inverse")
def test_an_item_of_a_list_is_changed_back_only_if_it_still_is_that_item() -> None:
    before: dict[str, Json] = {"spec": {"containers": CONTAINERS}}
    after: dict[str, Json] = {
        "spec": {"containers": [{"name": "web", "image": "b"}, CONTAINERS[1]]}
    }
    found = undo(a_record(an_update(before, after)))
    reordered = placed(
        {"containers": [{"name": "other", "image": "b"}, {"name": "web", "image": "b"}]}
    )

    assert apply_patch(placed(after["spec"]), patch_of(found)) == placed(before["spec"])
    with pytest.raises(PatchFailedError, match="/spec/containers/0/name"):
        apply_patch(reordered, patch_of(found))


def test_a_list_that_grew_is_restored_whole() -> None:
    after: dict[str, Json] = {"spec": {"containers": [{"name": "new"}, *CONTAINERS]}}
    found = undo(a_record(an_update({"spec": {"containers": CONTAINERS}}, after)))

    restored = apply_patch(placed(after["spec"]), patch_of(found))

    assert restored == placed({"containers": CONTAINERS})


SHIFTED = [
    pytest.param("rules", {"host": "a"}, {"path": "/old"}, {"path": "/new"}, id="rules"),
    pytest.param(
        "metrics", {"type": "Resource"}, {"target": 50}, {"target": 80}, id="items of one type"
    ),
    pytest.param("items", {"name": "a"}, {"x": 1}, {"x": 2}, id="names that need not be unique"),
    pytest.param("items", {}, {"x": 1}, {"x": 2}, id="nothing else in the item"),
]


@pytest.mark.parametrize(("items", "shared", "before", "after"), SHIFTED)
@pytest.mark.requirement("undo.inverse")
def test_an_item_that_somebody_put_before_is_not_taken_for_the_changed_one(
    items: str, shared: dict[str, Json], before: dict[str, Json], after: dict[str, Json]
) -> None:
    changed: Json = {**shared, **after}
    old: dict[str, Json] = {"spec": {items: [{**shared, **before}, {"last": True}]}}
    new: dict[str, Json] = {"spec": {items: [changed, {"last": True}]}}
    patch = patch_of(undo(a_record(an_update(old, new))))

    assert apply_patch(placed(new["spec"]), patch) == placed(old["spec"])
    for first in (changed, {**after, "else": True}):
        with pytest.raises(PatchFailedError):
            apply_patch(placed({items: [first, changed, {"last": True}]}), patch)


@pytest.mark.requirement("undo.inverse")
def test_what_cannot_be_told_from_other_items_is_not_restored() -> None:
    rule = RedactedFields(("apps",), ("*",), ("spec.rules[*].token",))
    rules: Json = [{"token": "t", "weight": 1}]
    heavier: Json = [{"token": "t", "weight": 2}]
    before: dict[str, Json] = {"spec": {"rules": rules, "replicas": 2}}
    after: dict[str, Json] = {"spec": {"rules": heavier, "replicas": 3}}

    found = undo(a_record(an_update(before, after), fields=(rule,)))

    edits = [one["path"] for one in patch_of(found) if one["op"] != "test"]
    assert edits == ["/spec/replicas"]
    assert found.warnings == (
        "spec.rules[0].weight cannot be restored: what tells its list item from others is "
        "confidential or has a null in a list, so no patch can test it",
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"a": [1]}, {"a": [1, {"b": [None]}]}, id="in what the change left"),
        pytest.param({"a": [1, None]}, {"a": [2, None]}, id="beside it"),
    ],
)
def test_a_null_in_a_list_that_must_be_tested_is_said_to_prevent_it(
    before: Json, after: Json
) -> None:
    assert "null in a list" in why_not(a_record(an_update({"spec": before}, {"spec": after})))


def test_a_null_in_a_list_is_put_back() -> None:
    before: dict[str, Json] = {"spec": {"a": [None]}}
    after: dict[str, Json] = {"spec": {"a": [{"b": None}, 2]}}

    patch = patch_of(undo(a_record(an_update(before, after))))

    assert apply_patch(placed(after["spec"]), patch) == placed(before["spec"])


def test_a_value_that_is_confidential_beside_a_name_keeps_nothing_from_being_restored() -> None:
    rule = RedactedFields(("apps",), ("*",), ("spec.containers[*].env[*].value",))
    before: Json = [{"name": "web", "image": "a", "env": [{"name": "A", "value": "s"}]}]
    after: Json = [{"name": "web", "image": "b", "env": [{"name": "A", "value": "s"}]}]
    request = an_update({"spec": {"containers": before}}, {"spec": {"containers": after}})

    found = undo(a_record(request, fields=(rule,)))

    restored = apply_patch(placed({"containers": after}), patch_of(found))
    assert (restored, found.warnings) == (placed({"containers": before}), ())


@pytest.mark.requirement("undo.inverse")
def test_an_object_that_was_deleted_and_created_anew_is_not_patched() -> None:
    old: dict[str, Json] = {"spec": {"replicas": 2}}
    new: dict[str, Json] = {"spec": {"replicas": 3}}
    patch = patch_of(undo(a_record(an_update(old, new))))
    anew = with_metadata(placed(new["spec"]), uid="another-uid")

    with pytest.raises(PatchFailedError, match="/metadata/uid"):
        apply_patch(anew, patch)


def test_an_update_of_an_object_without_uid_has_no_inverse() -> None:
    nameless: dict[str, Json] = {"metadata": {"name": "web"}, "spec": {}}
    request = a_request(Operation.UPDATE, old=nameless, obj={**nameless, "spec": {"a": 1}})

    assert why_not(a_record(request)) == "which object was changed is not recorded"


AWKWARD = "é\u2028\x7f\x85<&>'\"\\ud83d\U0001f600\U000e0041\x00\n"


@pytest.mark.parametrize("operation", [Operation.UPDATE, Operation.DELETE])
def test_a_command_is_of_printable_ascii_whatever_it_restores(operation: Operation) -> None:
    old = an_object(spec={"a": {AWKWARD: [AWKWARD, 1.5, None, {}], "k" * 2000: True}})
    new = an_object(spec={"a": 1})

    found = undo(a_record(a_request(operation, old=old, obj=new)))

    _, document, _ = found.command.split("\n")
    assert document.isascii()
    assert document.isprintable()
    is_yaml = operation is Operation.UPDATE
    assert (yaml.safe_load(document) if is_yaml else orjson.loads(document)) == found.content


def test_governors_stamp_is_no_part_of_what_is_undone() -> None:
    old, new = an_object(), stamped(annotated(an_object(), note="x"))

    found = undo(a_record(a_request(Operation.UPDATE, old=old, obj=new)))

    assert [(one["op"], one["path"]) for one in patch_of(found)] == [
        ("test", "/metadata/uid"),
        ("test", "/metadata/annotations/note"),
        ("remove", "/metadata/annotations/note"),
    ]


def test_a_scale_is_scaled_back() -> None:
    scale = Target("apps", "v1", "Scale", "deployments", "scale", api_version="v1")
    request = a_request(
        Operation.UPDATE,
        target=scale,
        old=an_object(scale, spec={"replicas": 2}),
        obj=an_object(scale, spec={}),
    )

    found = undo(a_record(request, outcome=Outcome.MATCHES))

    assert found.path.endswith("/deployments/web/scale")
    assert "--subresource scale" in found.command
    assert patch_of(found)[-1] == {"op": "add", "path": "/spec/replicas", "value": 2}
    assert "who set it is not proven" in found.warnings[0]


@pytest.mark.requirement("undo.inverse")
def test_a_deleted_object_is_created_again_without_what_the_server_sets() -> None:
    gone = stamped(with_metadata({**an_object(), "status": {"ready": 1}}, generation=3))

    found = undo(a_record(a_request(Operation.DELETE, old=gone), outcome=Outcome.GONE))

    assert found.kind is InverseKind.CREATE
    assert found.path == "/apis/apps/v1/namespaces/team-data/deployments"
    assert found.content == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "team-data"},
        "spec": {"replicas": 2},
    }
    assert found.command.startswith("kubectl create -f - <<'GOVERNOR'\n{")
    assert any("by whom is not proven" in warning for warning in found.warnings)
    assert any("new uid" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("Namespace", "what was in the namespace"),
        ("CustomResourceDefinition", "objects of this kind"),
        ("PersistentVolumeClaim", "the data"),
        ("Pod", "processes start anew"),
    ],
)
def test_what_creating_again_does_not_bring_back_is_said(kind: str, words: str) -> None:
    gone: dict[str, Json] = {**an_object(), "kind": kind}

    found = undo(a_record(a_request(Operation.DELETE, old=gone)))

    assert any(words in warning for warning in found.warnings)


def test_an_object_with_owners_may_be_collected_again_and_that_is_said() -> None:
    owners: list[Json] = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"web-{number}", "uid": "u"}
        for number in range(5)
    ]
    one = with_metadata(an_object(), ownerReferences=owners[:1])
    many = with_metadata(an_object(), ownerReferences=owners)

    (said,) = collected(undo(a_record(a_request(Operation.DELETE, old=one))))
    (cut,) = collected(undo(a_record(a_request(Operation.DELETE, old=many))))

    assert said.startswith("it belongs to ReplicaSet web-0 by uid: if no owner is left")
    assert "ReplicaSet web-2, … by uid" in cut
    assert not collected(undo(a_record(a_request(Operation.DELETE, old=an_object()))))


def collected(found: Inverse) -> list[str]:
    return [warning for warning in found.warnings if "collected as garbage" in warning]


def test_a_pod_is_not_put_back_onto_its_node() -> None:
    target = Target("", "v1", "Pod", "pods")
    gone = an_object(target, spec={"nodeName": "n", "containers": []})

    found = undo(a_record(a_request(Operation.DELETE, target=target, old=gone)))

    assert isinstance(found.content, dict)
    assert found.content["spec"] == {"containers": []}


def test_a_job_loses_the_selector_that_was_made_from_its_uid() -> None:
    target = Target("batch", "v1", "Job", "jobs")
    made: Json = {"batch.kubernetes.io/controller-uid": "u", "job-name": "web", "mine": "x"}
    spec: dict[str, Json] = {
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
        "template": {"metadata": {"labels": made}, "spec": {}},
    }
    gone = with_metadata(an_object(target, spec=spec), labels=made)

    found = undo(a_record(a_request(Operation.DELETE, target=target, old=gone)))
    chosen = an_object(target, spec={**spec, "manualSelector": True})
    kept = undo(a_record(a_request(Operation.DELETE, target=target, old=chosen)))

    assert isinstance(found.content, dict)
    assert found.content["spec"] == {
        "template": {"metadata": {"labels": {"mine": "x"}}, "spec": {}}
    }
    assert isinstance(kept.content, dict)
    assert kept.content["spec"] == chosen["spec"]


@pytest.mark.requirement("undo.inverse")
def test_a_deleted_secret_has_no_inverse() -> None:
    gone: dict[str, Json] = {**an_object(SECRETS), "data": {"p": "b2xk"}}

    record = a_record(a_request(Operation.DELETE, target=SECRETS, old=gone))

    assert why_not(record) == "the values were never recorded"


def test_a_created_secret_can_be_deleted() -> None:
    obj: dict[str, Json] = {**an_object(SECRETS), "data": {"p": "b2xk"}}

    assert undo(a_record(a_request(target=SECRETS, obj=obj))).kind is InverseKind.DELETE


def test_of_an_updated_secret_only_what_is_no_value_is_restored() -> None:
    old: dict[str, Json] = {"data": {"p": "b2xk"}, "type": "a"}
    new: dict[str, Json] = {"data": {"p": "bmV3"}, "type": "b"}

    found = undo(a_record(an_update(old, new, target=SECRETS)))

    assert [one["path"] for one in patch_of(found)] == ["/metadata/uid", "/type", "/type"]
    assert found.warnings == ("data.p is confidential and cannot be restored",)


def test_an_update_of_values_alone_has_no_inverse() -> None:
    record = a_record(an_update({"data": {"p": "b2xk"}}, {"data": {"p": "bmV3"}}, target=SECRETS))

    assert why_not(record) == (
        "nothing of it can be restored: data.p is confidential and cannot be restored"
    )


def test_a_subtree_that_holds_a_confidential_value_is_not_restored() -> None:
    rule = RedactedFields(("",), ("configmaps",), ("data.outer.p",))
    record = a_record(
        an_update({"data": {}}, {"data": {"outer": {"p": "secret"}}}, target=CONFIGMAPS),
        fields=(rule,),
    )

    assert "data.outer is confidential" in why_not(record)


def test_a_deleted_object_comes_back_without_its_confidential_fields() -> None:
    rule = RedactedFields(("apps",), ("*",), ("spec.args[*]", "spec.env[1].value"))
    spec: dict[str, Json] = {
        "args": ["--token=a", "--token=b"],
        "env": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}],
    }

    found = undo(a_record(a_request(Operation.DELETE, old=an_object(spec=spec)), fields=(rule,)))

    assert isinstance(found.content, dict)
    assert found.content["spec"] == {
        "args": [],
        "env": [{"name": "a", "value": "1"}, {"name": "b"}],
    }
    assert "spec.env[1].value is confidential and cannot be restored" in found.warnings


@pytest.mark.parametrize(
    ("outcome", "words"),
    [(Outcome.LOST, "not persisted"), (Outcome.NO_OP, "changed nothing")],
)
@pytest.mark.requirement("undo.inverse")
def test_what_took_no_effect_has_nothing_to_undo(outcome: Outcome, words: str) -> None:
    assert words in why_not(a_record(outcome=outcome))


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.GONE, Outcome.MATCHES])
@pytest.mark.requirement("undo.inverse")
def test_an_unproven_outcome_is_said_with_the_inverse(outcome: Outcome) -> None:
    assert "not" in undo(a_record(outcome=outcome)).warnings[0]


def test_an_unsettled_change_says_so() -> None:
    assert undo(a_record(outcome=None)).warnings == ("what became of it is not settled yet",)


def test_what_was_refused_has_nothing_to_undo() -> None:
    denied = a_body(judged=a_judged(Verdict.DENIED, denials=(a_denial(),)))
    assert why_not(denial_record(denied, ATTEMPT)) == "it was refused, so there is nothing to undo"


def test_of_an_attempt_it_is_not_claimed_that_nothing_took_effect() -> None:
    reason = why_not(attempt_record(a_body(), ATTEMPT))
    assert "no entry of its own is known" in reason
    assert "another record says, or none" in reason
    assert "nothing to undo" not in reason


def test_a_record_without_its_body_has_no_inverse() -> None:
    record = entry_record(None, an_entry(), reason=None, agent="migrator")

    assert "the record's body is missing (lost" in why_not(record)


def test_a_body_that_was_too_large_has_no_inverse() -> None:
    record = a_record(a_request(obj={**an_object(), "data": "x" * MAX_BODY_BYTES}))

    assert "too large" in why_not(record)


def test_more_changes_than_are_listed_have_no_inverse() -> None:
    many: Json = {f"k{number}": "x" for number in range(300)}

    assert "more fields were changed" in why_not(a_record(an_update({}, {"data": many})))


@pytest.mark.parametrize(
    ("operation", "subresource", "words"),
    [
        (Operation.CONNECT, "exec", "through a connection"),
        (Operation.CREATE, "eviction", "evicted Pod"),
        (Operation.CREATE, "binding", "off its node"),
        (Operation.CREATE, "token", "revoked"),
        (Operation.CREATE, "unknown", "leaves nothing"),
        (Operation.UPDATE, "ephemeralcontainers", "cannot be removed"),
        (Operation.UPDATE, "approval", "certificate"),
        (Operation.UPDATE, "finalize", "finalized is gone"),
    ],
)
@pytest.mark.requirement("undo.inverse")
def test_what_goes_one_way_says_why(operation: Operation, subresource: str, words: str) -> None:
    target = Target("", "v1", "Thing", "pods", subresource)

    record = a_record(a_request(operation, target=target), outcome=Outcome.ALLOWED)

    assert words in why_not(record)


def test_what_was_only_answered_has_nothing_to_undo() -> None:
    assert "never stored" in why_not(a_record(a_request(obj={"metadata": {"name": "web"}})))


def test_ownership_is_not_restored_and_that_is_said() -> None:
    owned = with_metadata(an_object(), managedFields=[{"manager": "m"}])
    scaled = an_object(spec={"replicas": 3})

    found = undo(a_record(a_request(Operation.UPDATE, old=owned, obj=scaled)))
    nothing = a_record(a_request(Operation.UPDATE, old=owned, obj=an_object()))

    assert "owned" in found.warnings[-1]
    assert "which manager owned which field" in why_not(nothing)


def test_a_status_is_patched_through_its_subresource_with_a_warning() -> None:
    target = Target("apps", "v1", "Deployment", "deployments", "status")

    found = undo(a_record(an_update({"status": {"a": 1}}, {"status": {"a": 2}}, target=target)))

    assert found.path.endswith("/web/status")
    assert "controller may write it again" in found.warnings[0]


def test_a_cluster_scoped_core_object_has_a_path_without_group_and_namespace() -> None:
    target = Target("", "v1", "Node", "nodes")
    request = a_request(namespace="", target=target, obj=an_object(target, namespace=""))

    assert undo(a_record(request)).path == "/api/v1/nodes/web"


def test_the_resources_own_version_is_used_where_the_request_carried_another() -> None:
    target = Target("apps", "v1", "Deployment", "deployments", api_version="v1beta9")

    assert undo(a_record(a_request(target=target))).path.startswith("/apis/apps/v1beta9/")


@pytest.mark.parametrize("name", ["$(touch x)", "a b", "'; ls #", "`id`", "GOVERNOR\nid"])
def test_a_name_is_no_command(name: str) -> None:
    old, new = an_object(spec={"a": name}), an_object(spec={"a": 1})
    hostile = a_request(Operation.UPDATE, name=name, old=old, obj=new)

    created = undo(a_record(a_request(name=name))).command
    updated = undo(a_record(hostile)).command
    words = shlex.split(updated.rsplit(" <<", 1)[0])

    assert words[3] == name
    assert len(words) == 10
    assert updated.endswith("\nGOVERNOR")
    assert created.endswith("\nGOVERNOR")
    assert shlex.split(created.rsplit("<<", 1)[0])[3].endswith(f"/{name}")
