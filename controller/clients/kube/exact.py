"""Lists a resource as it was at one resource version, while the API server remembers it.

A watch that starts there brings every version since. The API server keeps some
minutes; asking for more is refused, and what was missed stays missed.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from controller.clients.kube.client import Page
from controller.clients.kube.errors import InvalidError
from controller.clients.kube.informer import ListsAndWatches, paged
from controller.clients.kube.resources import Resource
from controller.clients.kube.transport import Query


class ListsExactly(ListsAndWatches, Protocol):
    """The part of `KubeClient` that a history uses."""

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        limit: int = 500,
        continue_token: str = "",
        selectors: Query = (),
        exactly: str = "",
    ) -> Page:
        """One page of a consistent list, of that very version where one is named."""
        ...


def pages_at(
    client: ListsExactly, resource: Resource, *, version: int, limit: int = 500
) -> AsyncIterator[Page]:
    """List a resource page by page, all of it as it was at that version.

    Raises:
        ExpiredError: it is too old.
        KubeError: the API server refused, or could not be asked.
    """
    return paged(
        lambda token: client.list_page(
            resource, limit=limit, continue_token=token, exactly=str(version)
        )
    )


async def newest_version(client: ListsAndWatches, resource: Resource) -> int:
    """The resource version that the collection has by now; never an older one (a quorum read).

    Raises:
        InvalidError: the resource versions of this API server are no numbers.
        KubeError: the API server refused, or could not be asked.
    """
    page = await client.list_page(resource, limit=1)
    return position(page.resource_version, resource)


def position(resource_version: str, resource: Resource) -> int:
    """The resource version of a collection, as a number that can be compared (KEP-5504).

    Raises:
        InvalidError: it is none; an aggregated API server may give what it likes.
    """
    if not (resource_version.isascii() and resource_version.isdecimal()):
        raise InvalidError(f"list {resource.plural}: {resource_version!r} is no number")
    return int(resource_version)
