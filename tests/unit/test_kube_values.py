"""Small pure parts of the Kubernetes port: paths, errors, delays, lines."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.clients.kube.backoff import Backoff
from controller.clients.kube.client import key_of
from controller.clients.kube.errors import (
    ConflictError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    KubeError,
    NotFoundError,
    UnreachableError,
    error_from_answer,
)
from controller.clients.kube.lines import lines
from controller.clients.kube.resources import MANDATES, Key, Resource

PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", namespaced=True)


@pytest.mark.parametrize(
    ("resource", "key", "subresource", "path"),
    [
        pytest.param(PODS, Key("ns", "p"), "", "/api/v1/namespaces/ns/pods/p", id="core group"),
        pytest.param(
            DEPLOYMENTS,
            Key("ns", "d"),
            "scale",
            "/apis/apps/v1/namespaces/ns/deployments/d/scale",
            id="subresource",
        ),
        pytest.param(
            MANDATES,
            Key("", "m"),
            "status",
            "/apis/governor.dev/v1alpha1/mandates/m/status",
            id="cluster-scoped",
        ),
        pytest.param(
            MANDATES,
            Key("", "a/../b?c#d%"),
            "",
            "/apis/governor.dev/v1alpha1/mandates/a%2F..%2Fb%3Fc%23d%25",
            id="a name that would change the path",
        ),
    ],
)
def test_the_path_of_one_object(resource: Resource, key: Key, subresource: str, path: str) -> None:
    assert resource.path(key, subresource) == path


@pytest.mark.parametrize(
    ("resource", "key", "says"),
    [
        pytest.param(PODS, Key("", "p"), "needs a namespace", id="no namespace"),
        pytest.param(MANDATES, Key("ns", "m"), "is cluster-scoped", id="a namespace too many"),
        pytest.param(PODS, Key("ns", ""), "no object's name", id="no name"),
        pytest.param(PODS, Key("ns", ".."), "no object's name", id="a name that goes up"),
    ],
)
def test_a_key_that_cannot_be_of_the_resource_is_refused(
    resource: Resource, key: Key, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        resource.path(key)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidError),
        (401, ForbiddenError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (405, InvalidError),
        (409, ConflictError),
        (410, ExpiredError),
        (413, InvalidError),
        (415, InvalidError),
        (422, InvalidError),
        (429, UnreachableError),
        (500, UnreachableError),
        (503, UnreachableError),
        (504, UnreachableError),
    ],
)
def test_each_status_is_one_kind_of_fault(status: int, kind: type[KubeError]) -> None:
    body = orjson.dumps({"kind": "Status", "reason": "Why", "message": "because", "code": status})
    fault = error_from_answer(status, body, doing="GET /x", retry_after="7")
    assert type(fault) is kind
    assert str(fault) == f"GET /x: because (HTTP {status} Why)"
    assert (fault.status, fault.reason, fault.retry_after) == (status, "Why", 7.0)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>", id="a proxy's page"),
        pytest.param(b"", "no message", id="nothing"),
        pytest.param(b"[1]", "no message", id="JSON, but no object"),
        pytest.param(b"\xff\xfe" + b"x" * 5000, "x" * 100, id="bytes"),
    ],
)
def test_an_answer_that_is_no_status_is_shown_as_it_is(body: bytes, says: str) -> None:
    fault = error_from_answer(502, body, doing="GET /x")
    assert says in str(fault)
    assert len(str(fault)) < 600
    assert fault.retry_after is None


@pytest.mark.parametrize(
    ("failures", "random", "seconds"),
    [
        pytest.param(1, 0.0, 0.5, id="the first, at least half"),
        pytest.param(1, 1.0, 1.0, id="the first, at most whole"),
        pytest.param(3, 1.0, 4.0, id="doubled twice"),
        pytest.param(10, 1.0, 10.0, id="capped"),
        pytest.param(10_000, 0.0, 5.0, id="no overflow"),
    ],
)
def test_a_delay_grows_with_jitter_up_to_a_cap(
    failures: int, random: float, seconds: float
) -> None:
    backoff = Backoff(first=1.0, factor=2.0, longest=10.0)
    assert backoff.delay(failures, random=lambda: random) == seconds


@pytest.mark.parametrize(
    ("first", "factor", "longest"), [(0.0, 2.0, 1.0), (2.0, 2.0, 1.0), (1.0, 0.5, 2.0)]
)
def test_a_delay_that_would_not_grow_is_refused(
    first: float, factor: float, longest: float
) -> None:
    with pytest.raises(ValueError, match="expected 0 < first <= longest"):
        Backoff(first=first, factor=factor, longest=longest)


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"metadata": {"name": "n", "namespace": "ns"}}, Key("ns", "n")),
        ({"metadata": {"name": "n"}}, Key("", "n")),
        ({"metadata": None}, Key("", "")),
        ({}, Key("", "")),
    ],
)
def test_an_objects_key_is_in_its_metadata(body: dict[str, object], key: Key) -> None:
    assert key_of(body) == key  # type: ignore[arg-type] # the literals above are JSON


async def _iterate(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _cut(pieces: Iterable[bytes], *, longest: int = 1000) -> list[bytes]:
    return [line async for line in lines(_iterate(pieces), longest=longest)]


@given(st.lists(st.binary().filter(lambda line: b"\n" not in line), max_size=8), st.data())
def test_lines_are_the_same_however_the_stream_is_cut(
    written: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(line + b"\n" for line in written)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    edges = [0, *cuts, len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert asyncio.run(_cut(pieces)) == [line for line in written if line]


async def test_a_stream_that_ends_within_a_line_is_broken() -> None:
    with pytest.raises(UnreachableError, match="after 3 bytes"):
        await _cut([b"whole\nhal"])


async def test_a_line_without_end_is_given_up_before_memory_is() -> None:
    with pytest.raises(UnreachableError, match="more than 10 bytes"):
        await _cut([b"x" * 6, b"x" * 6, b"x" * 6], longest=10)
