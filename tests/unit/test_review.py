"""What is read from an AdmissionReview, and the sentence that refuses one that is unclear."""

import json

import pytest

from controller.admission.review import (
    MAX_REVIEW_BYTES,
    MalformedReviewError,
    read_json_object,
    read_review,
)
from controller.apis.json import Json
from controller.apis.requests import Operation, Target
from tests.builders import (
    CONFIGMAPS,
    DEPLOYMENTS,
    UID,
    a_request,
    a_review,
    a_review_request,
    a_user_document,
    an_object,
)

NAMESPACES = Target("", "v1", "Namespace", "namespaces")
EVICTION = Target("", "v1", "Eviction", "pods", "eviction")


def refused(body: bytes) -> MalformedReviewError:
    """The refusal of a body that must be refused."""
    with pytest.raises(MalformedReviewError) as caught:
        read_review(body)
    return caught.value


MIXED: list[Json] = ["x", 7]


def with_metadata(**metadata: Json) -> dict[str, Json]:
    return {**an_object(), "metadata": metadata}


@pytest.mark.parametrize("operation", list(Operation))
def test_a_well_formed_review_is_read_as_it_is(operation: Operation) -> None:
    request = a_request(operation, dry_run=True)
    read = read_review(a_review(a_review_request(request, without=("options",))))
    assert read == request


def test_options_are_read() -> None:
    options: dict[str, Json] = {"kind": "DeleteOptions", "propagationPolicy": "Orphan"}
    assert read_review(a_review(a_review_request(options=options))).options == options


def test_what_the_api_server_leaves_out_is_empty() -> None:
    left_out = ("namespace", "dryRun", "options", "oldObject", "requestKind", "requestResource")
    user: dict[str, Json] = {"username": "alice"}
    obj = with_metadata(name="web")
    read = read_review(a_review(a_review_request(without=left_out, userInfo=user, object=obj)))
    assert (read.namespace, read.dry_run, read.options, read.old) == ("", False, None, None)
    assert (read.user.uid, read.user.groups, read.user.extra) == ("", (), {})


def test_a_subresource_is_read_beside_the_kind_that_it_takes() -> None:
    request = a_review_request(
        a_request(Operation.UPDATE),
        kind={"group": "autoscaling", "version": "v1", "kind": "Scale"},
        subResource="scale",
        object={"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "web"}},
        oldObject={"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "web"}},
    )
    assert read_review(a_review(request)).target == Target(
        "apps", "v1", "Scale", "deployments", "scale"
    )


def test_the_resources_own_version_is_kept_where_the_kind_has_another() -> None:
    scale: dict[str, Json] = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    resource: dict[str, Json] = {"group": "example.com", "version": "v2", "resource": "widgets"}
    obj: dict[str, Json] = {"kind": "Scale", "metadata": {"name": "web"}}
    request = a_review_request(
        a_request(Operation.UPDATE, obj=obj, old=obj),
        kind=scale,
        resource=resource,
        subResource="scale",
    )

    target = read_review(a_review(request)).target

    assert (target.version, target.api_version, target.served_version) == ("v1", "v2", "v2")
    assert read_review(a_review()).target.api_version == ""
    assert read_review(a_review()).target.served_version == "v1"


@pytest.mark.parametrize("without", [("name",), ()], ids=["absent", "empty"])
def test_a_delete_without_a_name_is_one_of_a_deletecollection(without: tuple[str, ...]) -> None:
    request = a_review_request(a_request(Operation.DELETE), name="", without=without)
    read = read_review(a_review(request))
    assert (read.is_collection, read.name) == (True, "web")


def test_a_delete_by_name_is_none() -> None:
    assert not read_review(a_review(a_review_request(a_request(Operation.DELETE)))).is_collection


def test_a_name_that_the_server_has_yet_to_choose_is_empty() -> None:
    obj = with_metadata(generateName="web-", namespace="team-data")
    read = read_review(a_review(a_review_request(object=obj, name="")))
    assert (read.name, read.is_collection) == ("", False)


def test_a_namespace_is_cluster_scoped_though_its_request_names_one() -> None:
    asked = a_request(Operation.UPDATE, target=NAMESPACES, namespace="", name="team-data")
    read = read_review(a_review(a_review_request(asked, namespace="team-data")))
    assert (read.namespace, read.name) == ("", "team-data")


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param({"kind": "Eviction", "apiVersion": "policy/v1"}, id="no metadata"),
        pytest.param(
            {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {}}, id="empty metadata"
        ),
        pytest.param({"metadata": {"name": "web"}}, id="no kind"),
    ],
)
def test_a_subresources_body_may_leave_out_what_the_envelope_says(obj: dict[str, Json]) -> None:
    kind: dict[str, Json] = {"group": "policy", "version": "v1", "kind": "Eviction"}
    request = a_review_request(a_request(target=EVICTION), kind=kind, object=obj)
    assert read_review(a_review(request)).name == "web"


@pytest.mark.requirement("fail-closed.malformed-review")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", "not JSON", id="nothing"),
        pytest.param(b"{", "not JSON", id="half of an object"),
        pytest.param(b'{"a":1}{"a":1}', "not JSON", id="two objects"),
        pytest.param(b"\xef\xbb\xbf{}", "not JSON", id="a byte order mark"),
        pytest.param(b'{"a":"\xff"}', "not JSON", id="no UTF-8"),
        pytest.param('{"kind":1}'.encode("utf-16"), "not JSON", id="UTF-16"),
        pytest.param(b'{"a":NaN}', "not JSON", id="not a number"),
        pytest.param(b'{"a":"\\ud800"}', "not JSON", id="half of a surrogate pair"),
        pytest.param(b"[]", "not an object", id="a list"),
        pytest.param(b"null", "not an object", id="null"),
        pytest.param(b'{"a":' + b"[" * 254 + b"]" * 254 + b"}", "deeper than 250", id="too deep"),
        pytest.param(b"[" * 100_000, "not JSON", id="far too deep"),
        pytest.param(b" " * (MAX_REVIEW_BYTES + 1), "at most 16777216", id="too large"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(body: bytes, words: str) -> None:
    error = refused(body)
    assert words in str(error)
    assert (error.field, error.uid) == ("", "")


@pytest.mark.requirement("fail-closed.malformed-review")
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b'"\\ud800"', id="half of a surrogate pair"),
        pytest.param(b'"\xff"', id="no UTF-8"),
        pytest.param(b"1e999", id="a number beyond every double"),
        pytest.param(b"[" * 300 + b"]" * 300, id="too deep to be judged"),
        pytest.param(b"[" * 9_000 + b"]" * 9_000, id="too deep to be read"),
        pytest.param(b'{"a":1,"a":2}', id="a key twice"),
        pytest.param(b'"' + b"x" * MAX_REVIEW_BYTES + b'"', id="too large"),
    ],
)
def test_the_uid_of_a_review_of_an_object_that_cannot_be_read_is_known(value: bytes) -> None:
    body = a_review().replace(b'"replicas":2', b'"replicas":' + value)
    assert refused(body).uid == UID


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b'{"a":{"kind":"AdmissionReview",', id="within another object"),
        pytest.param(b'{"kind":"AdmissionReview","request":{"uid":"u"},', id="another order"),
        pytest.param(
            b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"'
            + b"u" * 129
            + b'",',
            id="a uid that is too long",
        ),
        pytest.param(
            b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"\\ud800",',
            id="a uid that cannot be repeated",
        ),
    ],
)
def test_a_uid_that_is_not_where_the_api_server_puts_it_is_not_looked_for(head: bytes) -> None:
    assert refused(head).uid == ""


def test_a_body_as_large_and_as_deep_as_allowed_is_read() -> None:
    deep = b'{"a":' + b"[" * 249 + b"]" * 249
    body = deep + b',"b":"' + b"x" * (MAX_REVIEW_BYTES - len(deep) - 8) + b'"}'
    assert len(read_json_object(body)) == 2


@pytest.mark.requirement("fail-closed.malformed-review")
@pytest.mark.parametrize(
    ("envelope", "field"),
    [
        pytest.param({"kind": "ConversionReview"}, "kind", id="another review"),
        pytest.param({"kind": None}, "kind", id="no kind"),
        pytest.param({"apiVersion": "admission.k8s.io/v1beta1"}, "apiVersion", id="v1beta1"),
        pytest.param({"apiVersion": ["v1"]}, "apiVersion", id="a list for a version"),
        pytest.param({"request": None}, "request", id="no request"),
        pytest.param({"request": []}, "request", id="a list for a request"),
    ],
)
def test_another_envelope_is_refused_by_its_field(envelope: dict[str, Json], field: str) -> None:
    error = refused(a_review(None, **envelope))
    assert error.field == field
    assert str(error).startswith(f"{field}: ")


@pytest.mark.requirement("fail-closed.malformed-review")
@pytest.mark.parametrize("uid", [None, "", 7, ["x"], "x" * 129])
def test_a_uid_that_no_answer_could_repeat_is_refused(uid: Json) -> None:
    error = refused(a_review(a_review_request(uid=uid)))
    assert (error.field, error.uid) == ("request.uid", "")


KIND: dict[str, Json] = {"group": "apps", "version": "v1", "kind": "Deployment"}
RESOURCE: dict[str, Json] = {"group": "apps", "version": "v1", "resource": "deployments"}
USER: dict[str, Json] = a_user_document(a_request().user)


@pytest.mark.requirement("fail-closed.malformed-review")
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"operation": "PATCH"}, "operation", id="an unknown operation"),
        pytest.param({"operation": "create"}, "operation", id="an operation in small letters"),
        pytest.param({"operation": None}, "operation", id="no operation"),
        pytest.param({"operation": ["CREATE"]}, "operation", id="a list of operations"),
        pytest.param({"object": None}, "object", id="a create without object"),
        pytest.param({"object": []}, "object", id="a list for an object"),
        pytest.param({"object": "x"}, "object", id="a text for an object"),
        pytest.param(
            {"operation": "UPDATE", "oldObject": None}, "oldObject", id="an update of nothing"
        ),
        pytest.param(
            {"operation": "DELETE", "object": None}, "oldObject", id="a delete of nothing"
        ),
        pytest.param({"operation": "CONNECT", "object": None}, "object", id="a bare connect"),
        pytest.param({"name": 7}, "name", id="a number for a name"),
        pytest.param({"namespace": ["x"]}, "namespace", id="a list for a namespace"),
        pytest.param({"subResource": {}}, "subResource", id="an object for a subresource"),
        pytest.param({"dryRun": "true"}, "dryRun", id="a text for dryRun"),
        pytest.param({"dryRun": 1}, "dryRun", id="a number for dryRun"),
        pytest.param({"options": []}, "options", id="a list for options"),
        pytest.param({"kind": None}, "kind", id="no kind"),
        pytest.param({"kind": {**KIND, "kind": ""}}, "kind.kind", id="an empty kind"),
        pytest.param({"kind": {**KIND, "kind": 1}}, "kind.kind", id="a number for a kind"),
        pytest.param({"kind": {**KIND, "version": ""}}, "kind.version", id="no version"),
        pytest.param({"kind": {**KIND, "group": 1}}, "kind.group", id="a number for a group"),
        pytest.param({"resource": None}, "resource", id="no resource"),
        pytest.param(
            {"resource": {**RESOURCE, "resource": ""}}, "resource.resource", id="an empty resource"
        ),
        pytest.param(
            {"resource": {**RESOURCE, "group": []}}, "resource.group", id="a list for a group"
        ),
        pytest.param({"userInfo": None}, "userInfo", id="no user"),
        pytest.param(
            {"userInfo": {**USER, "username": ""}}, "userInfo.username", id="an empty username"
        ),
        pytest.param(
            {"userInfo": {**USER, "username": ["x"]}}, "userInfo.username", id="many usernames"
        ),
        pytest.param({"userInfo": {**USER, "uid": 7}}, "userInfo.uid", id="a number for a uid"),
        pytest.param(
            {"userInfo": {**USER, "groups": "x"}}, "userInfo.groups", id="a text for groups"
        ),
        pytest.param(
            {"userInfo": {**USER, "groups": MIXED}}, "userInfo.groups", id="a number in groups"
        ),
        pytest.param({"userInfo": {**USER, "extra": []}}, "userInfo.extra", id="a list for extra"),
        pytest.param({"userInfo": {**USER, "extra": ""}}, "userInfo.extra", id="a text for extra"),
        pytest.param(
            {"userInfo": {**USER, "extra": {"k": "v"}}}, "userInfo.extra['k']", id="a bare extra"
        ),
    ],
)
def test_a_wrong_part_is_refused_by_its_field_and_the_uid_is_known(
    changes: dict[str, Json], field: str
) -> None:
    error = refused(a_review({**a_review_request(), **changes}))
    assert (error.field, error.uid) == (f"request.{field}", UID)
    assert str(error).startswith(f"request.{field}: ")


@pytest.mark.requirement("fail-closed.ambiguous-review")
@pytest.mark.parametrize("place", ["object", "oldObject"])
@pytest.mark.parametrize(
    ("obj", "field"),
    [
        pytest.param({**an_object(), "kind": "ConfigMap"}, "kind", id="another kind"),
        pytest.param({**an_object(), "kind": "deployment"}, "kind", id="a kind in another case"),
        pytest.param({**an_object(), "kind": 7}, "kind", id="no kind at all"),
        pytest.param({**an_object(), "apiVersion": "apps/v1beta1"}, "apiVersion", id="a version"),
        pytest.param({**an_object(), "apiVersion": "v1"}, "apiVersion", id="another group"),
        pytest.param(an_object(name="other"), "metadata.name", id="another name"),
        pytest.param(an_object(namespace="kube-system"), "metadata.namespace", id="elsewhere"),
    ],
)
def test_an_envelope_that_contradicts_its_object_is_refused(
    place: str, obj: dict[str, Json], field: str
) -> None:
    request = a_review_request(a_request(Operation.UPDATE))
    assert refused(a_review({**request, place: obj})).field == f"request.{place}.{field}"


@pytest.mark.requirement("fail-closed.ambiguous-review")
def test_a_cluster_scoped_request_for_an_object_in_a_namespace_is_refused() -> None:
    request = a_review_request(a_request(target=CONFIGMAPS), namespace="")
    assert refused(a_review(request)).field == "request.object.metadata.namespace"


@pytest.mark.requirement("fail-closed.ambiguous-review")
def test_a_kind_of_another_group_than_the_resource_is_refused() -> None:
    kind: dict[str, Json] = {"group": "example.com", "version": "v1", "kind": "Deployment"}
    request = a_review_request(a_request(target=DEPLOYMENTS), kind=kind)
    assert refused(a_review(request)).field == "request.kind.group"


@pytest.mark.requirement("fail-closed.ambiguous-review")
@pytest.mark.parametrize(
    "subresource", ["binding", "eviction", "exec", "status"], ids=lambda name: f"pods/{name}"
)
def test_a_subresources_body_must_not_name_another_object(subresource: str) -> None:
    target = Target("", "v1", "Thing", "pods", subresource)
    request = a_review_request(a_request(target=target), object={"metadata": {"name": "other"}})
    assert refused(a_review(request)).field == "request.object.metadata.name"


AMBIGUOUS = [
    pytest.param(b'{"a":1,"a":2}', id="plainly"),
    pytest.param(b'{"a":1,"a":1}', id="with the same value"),
    pytest.param(b'{"x":{"y":[{"a":1,"a":2}]}}', id="deep down"),
    pytest.param(b'{"a":1,"\\u0061":2}', id="once escaped"),
    pytest.param(b'{"a" :1,"b":1,"b":2}', id="beside a space before a colon"),
    pytest.param(b'{"a"\t:1,"b":1,"b":2}', id="beside a tab before a colon"),
    pytest.param(b'{"x":"\\u003a","b":1,"b":2}', id="beside an escaped colon"),
    pytest.param(b'{"x":"\\u0022:","b":1,"b":2}', id="beside an escaped quote"),
    pytest.param(b'{"a\\\\":1,"a\\\\":2}', id="ending in a backslash"),
    pytest.param(b'{"a\\u005c":1,"a\\\\":2}', id="ending in an escaped backslash"),
    pytest.param(b'{"a\\":":1,"a\\":":2}', id="ending in what looks like its end"),
    pytest.param(b'{"":1,"":2}', id="empty"),
    pytest.param(b'{"a":1,"a":1,"n":1E6}', id="beside a number that is read as long as it"),
    pytest.param(b'{"a b":1,"a b":2}', id="with a space"),
    pytest.param(b'{"<&>":1,"\\u003c\\u0026>":2}', id="escaped as Go does"),
    pytest.param('{"é":1,"\\u00e9":2}'.encode(), id="beyond ASCII"),
    pytest.param('{"😀":1,"\\ud83d\\ude00":2}'.encode(), id="beyond the basic plane"),
    pytest.param(b'{"n":' + b"1" * 300 + b',"a":1,"a":2}', id="beside a very long number"),
    pytest.param(b'{"n":0.' + b"1" * 5000 + b',"a":1,"a":2}', id="beside a very long fraction"),
]


@pytest.mark.requirement("fail-closed.ambiguous-review")
@pytest.mark.parametrize("body", AMBIGUOUS)
def test_a_key_twice_in_one_object_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedReviewError, match="twice in one object"):
        read_json_object(body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}', id="one key in many objects"),
        pytest.param(b'{"a":"b\\":c","b\\":":1}', id="a quote and a colon within a text"),
        pytest.param(b'{"a":"\\\\","b":"\\\\\\":"}', id="texts that end in backslashes"),
        pytest.param(b'{"a":":","b":"::"}', id="texts that start with a colon"),
        pytest.param(b'{ "a" : 1 ,\n\t"b" : [ ] }\r\n', id="spaces wherever they may be"),
        pytest.param(b'{"A":1,"a":2}', id="keys that differ in case"),
        pytest.param('{"\u00e9":1,"e\u0301":2}'.encode(), id="keys that differ in normal form"),
        pytest.param(b'{"a":1.50,"b":1E3,"c":-0}', id="numbers in another spelling"),
        pytest.param(b'{"a":"<&>","\\u003c":"\\u2028"}', id="escapes as Go writes them"),
        pytest.param(b'{"a":0.' + b"1" * 5000 + b"}", id="a very long fraction"),
    ],
)
def test_what_only_looks_like_a_key_twice_is_read(body: bytes) -> None:
    assert read_json_object(body) == json.loads(body)


def test_as_many_keys_as_fit_are_checked_in_one_pass() -> None:
    """Looking for the doubled one must not compare each key with every other."""
    keys = b"".join(b'"%d":0,' % number for number in range(200_000))
    with pytest.raises(MalformedReviewError, match="'199999' twice"):
        read_json_object(b"{" + keys + b'"199999":0}')


@pytest.mark.requirement("explains-itself.safe-text")
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(a_review_request(operation="\x1b[2J" + "x" * 10_000), id="an operation"),
        pytest.param(a_review_request(operation=["x" * 10_000]), id="a list"),
        pytest.param(a_review_request(object=an_object(name="\u202e" + "x" * 10_000)), id="a name"),
        pytest.param(
            a_review_request(userInfo={**USER, "extra": {"\n" + "x" * 10_000: "v"}}), id="an extra"
        ),
    ],
)
def test_a_refusal_repeats_no_more_than_the_beginning_of_a_wrong_value(
    request_: dict[str, Json],
) -> None:
    text = str(refused(a_review(request_)))
    assert len(text) < 300
    assert text.isprintable()
