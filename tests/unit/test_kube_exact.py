"""Lists at one version: the token alone on later pages, and numbers that can be compared."""

from dataclasses import dataclass, field

import pytest

from controller.clients.kube.client import KubeClient, Page
from controller.clients.kube.errors import InvalidError
from controller.clients.kube.exact import newest_version, pages_at, position
from controller.clients.kube.resources import MANDATES
from controller.clients.kube.transport import Query
from tests.fakes.kube import FakeCollection


@dataclass
class FakeTransport:
    """Answers lists with two pages, and notes what was asked."""

    queries: list[Query] = field(default_factory=list[Query])

    async def request(self, _method: str, _path: str, *, query: Query) -> bytes:
        """The first page names a second."""
        self.queries.append(tuple(query))
        token = '"continue": "next"' if len(self.queries) == 1 else '"continue": ""'
        return f'{{"metadata": {{"resourceVersion": "41", {token}}}, "items": []}}'.encode()


async def test_the_version_is_named_on_the_first_page_only() -> None:
    transport = FakeTransport()
    client = KubeClient(transport)  # type: ignore[arg-type] # only `request` is used
    pages = [page async for page in pages_at(client, MANDATES, version=41, limit=2)]
    assert [page.resource_version for page in pages] == ["41", "41"]
    assert transport.queries == [
        (("limit", "2"), ("resourceVersion", "41"), ("resourceVersionMatch", "Exact")),
        (("limit", "2"), ("continue", "next")),
    ]


async def test_an_ordinary_list_names_no_version() -> None:
    transport = FakeTransport()
    client = KubeClient(transport)  # type: ignore[arg-type] # only `request` is used
    await client.list_page(MANDATES, limit=1)
    assert transport.queries == [(("limit", "1"),)]


async def test_the_newest_version_is_that_of_the_collection() -> None:
    collection = FakeCollection(at=10)
    collection.write("a")
    collection.bookmark(further=30)
    assert await newest_version(collection, MANDATES) == 41
    assert isinstance(await collection.list_page(MANDATES), Page)


@pytest.mark.parametrize("text", ["", "opaque", "1.5", "-3", "٣"])
def test_a_version_that_is_no_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidError, match=r"list mandates: .* is no number"):
        position(text, MANDATES)
