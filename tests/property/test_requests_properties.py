"""A resource that is written out for people can be read back, and stays the same resource."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.apis.requests import Target

pytestmark = pytest.mark.requirement("explains-itself.passing-value")

labels = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
groups = st.lists(labels, max_size=4).map(".".join)
targets = st.builds(
    Target,
    group=groups,
    version=st.sampled_from(["v1", "v1beta1"]),
    kind=st.sampled_from(["Pod", "Scale"]),
    resource=labels,
    subresource=st.one_of(st.just(""), labels),
)


@given(targets, targets)
def test_a_qualified_resource_is_read_back_as_it_was(here: Target, there: Target) -> None:
    read = here.with_qualified(there.qualified)
    assert (read.group, read.resource, read.subresource) == (
        there.group,
        there.resource,
        there.subresource,
    )
    assert (read.version, read.kind) == (here.version, here.kind)


@given(targets, st.text(max_size=20))
def test_any_text_at_all_is_read(target: Target, text: str) -> None:
    read = target.with_qualified(text)
    assert (read.version, read.kind) == (target.version, target.kind)
    assert target.with_qualified(read.qualified) == read
