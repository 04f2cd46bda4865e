"""YAML of any shape comes back as the values that were written, or is refused by name."""

import json
from typing import cast

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.apis.json import Json
from controller.cli.manifests import Manifest, ManifestError, read_manifests
from controller.cli.strictyaml import StrictYamlError, read_yaml, resolve_scalar
from tests.strategies import json_objects, texts

ALPHABET = st.sampled_from("ab:-?[]{},&*!|>'\"%@`#~ \n\t.0123456789xeE+_<=\\\u00e9\u2028\ufeff\x07")
"""What YAML gives a meaning to, so that texts are nearly documents."""

snippets = st.sampled_from(
    [
        "a: 1\n",
        "- &x y\n",
        "*x",
        "<<: ",
        "---\n",
        "...\n",
        "{",
        "}",
        "? ",
        "!!int ",
        "|\n  ",
        "%YAML",
    ]
)
near_yaml = st.lists(st.one_of(snippets, st.text(ALPHABET, max_size=12)), max_size=12).map("".join)


def _containers(children: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    lists = st.lists(children, max_size=4).map(lambda items: cast("Json", items))
    maps = st.dictionaries(words, children, max_size=4).map(lambda entries: cast("Json", entries))
    return st.one_of(lists, maps)


words = texts | st.sampled_from(
    ["yes", "n", "1", "0x1", "1_0", "~", "null", "<<", "2026-01-02", "-"]
)
"""Texts, many of which would be something else without quotes."""
scalars: st.SearchStrategy[Json] = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), words
)
values: st.SearchStrategy[Json] = st.recursive(scalars, _containers, max_leaves=20)
"""Without fractions, which Kubernetes writes otherwise: tests/integration compares those."""


def read(content: bytes) -> list[Manifest] | ManifestError:
    try:
        return read_manifests(["-"], read_stdin=lambda size: content[:size])
    except ManifestError as error:
        return error


def as_typed(value: Json) -> str:
    """Tells 1, true and "1" apart."""
    return json.dumps(value, sort_keys=True)


class QuotingDumper(yaml.SafeDumper):
    """Quotes every text, for PyYAML takes fewer of them for something else than Kubernetes."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """In double quotes, with escapes for whatever needs them."""
        return yaml.ScalarNode("tag:yaml.org,2002:str", text, style='"')


QuotingDumper.add_representer(str, QuotingDumper.represent_text)


@given(values)
def test_what_another_writer_wrote_is_read_back(value: Json) -> None:
    text = yaml.dump({"value": value}, Dumper=QuotingDumper)
    (document,) = read_yaml(text)
    assert as_typed(document.value) == as_typed({"value": value})


@given(near_yaml)
def test_any_text_is_json_values_or_refused_with_a_line_of_it(text: str) -> None:
    refused: StrictYamlError | None = None
    found: list[Json] = []
    try:
        found = [document.value for document in read_yaml(text)]
    except StrictYamlError as error:
        refused = error
    orjson.dumps(found)  # with texts for keys
    assert refused is None or 1 <= refused.line <= len(text.splitlines()) + 1


@given(st.binary(max_size=200) | near_yaml.map(str.encode) | json_objects.map(orjson.dumps))
def test_any_bytes_are_manifests_or_refused_with_their_place(content: bytes) -> None:
    found = read(content)
    if isinstance(found, ManifestError):
        assert str(found.place).startswith("-")
        assert found.problem
    else:
        assert all(manifest.kind and manifest.api_version for manifest in found)


@given(json_objects)
def test_any_json_object_is_read_as_it_is(body: dict[str, Json]) -> None:
    whole: dict[str, Json] = {**body, "apiVersion": "v1", "kind": "X"}
    found = read(orjson.dumps(whole))
    assert isinstance(found, list)
    assert [as_typed(manifest.body) for manifest in found] == [as_typed(whole)]


@pytest.mark.parametrize("comment", ["", "# which makes it YAML\n"], ids=["JSON", "YAML"])
@given(
    members=st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), min_size=1),
    twice=st.data(),
)
def test_a_key_twice_is_never_read(
    comment: str, members: dict[str, int], twice: st.DataObject
) -> None:
    key = twice.draw(st.sampled_from(sorted(members)))
    pairs = twice.draw(st.permutations([*members.items(), (key, members[key])]))
    written = ", ".join(f"{json.dumps(name)}: {value}" for name, value in pairs)
    found = read(f'{comment}{{"apiVersion": "v1", "kind": "X", "spec": {{{written}}}}}'.encode())
    assert isinstance(found, ManifestError)
    assert f"the key {key!r} is here twice" in found.problem


@given(st.text(st.sampled_from("0123456789+-._eExXobBaf"), min_size=1, max_size=24))
def test_a_scalar_is_itself_or_a_number_that_json_can_carry(text: str) -> None:
    value = resolve_scalar(text)
    assert value == text or isinstance(value, int | float)
    assert as_typed(orjson.loads(orjson.dumps(value))) == as_typed(value)
