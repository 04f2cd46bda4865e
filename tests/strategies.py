"""Hypothesis strategies for what comes from outside: JSON values, objects, pairs of versions.

Keys and texts are drawn from few and awkward ones, so that examples collide.
"""

import copy
from typing import cast

from hypothesis import strategies as st

from controller.apis.json import Json

AWKWARD_TEXTS = (
    "",
    "a",
    "b",
    "metadata",
    "name",
    'quote"',
    '":',
    "back\\",
    '\\":',
    "a:b",
    " ",
    "nul\x00",
    "line\nfeed",
    "\x1b[31mred",
    "\u202egnp.exe",
    "\u2028",
    "\u0085",
    "<&>",
    "é",
    "😀",
    "{",
    "}",
    "change=01JD {}",
    " change=",
)

texts = st.one_of(st.sampled_from(AWKWARD_TEXTS), st.text(max_size=8))
"""Texts that JSON can carry (no halves of surrogate pairs)."""

integers = st.one_of(st.integers(-2, 2), st.integers(-(2**63), 2**64 - 1))
floats = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
scalars: st.SearchStrategy[Json] = st.one_of(
    st.none(), st.booleans(), integers, st.sampled_from([0.0, 1.0]), floats, texts
)


def _containers(children: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    lists = st.lists(children, max_size=4).map(lambda items: cast("Json", items))
    maps = st.dictionaries(texts, children, max_size=4).map(lambda entries: cast("Json", entries))
    return st.one_of(lists, maps)


json_values: st.SearchStrategy[Json] = st.recursive(scalars, _containers, max_leaves=20)
json_objects: st.SearchStrategy[dict[str, Json]] = st.dictionaries(texts, json_values, max_size=5)


@st.composite
def two_versions(draw: st.DrawFn) -> tuple[dict[str, Json], dict[str, Json]]:
    """An object, and the same after a few edits somewhere within it."""
    old = draw(json_objects)
    new = copy.deepcopy(old)
    for _ in range(draw(st.integers(0, 4))):
        _edit(draw, new)
    return old, new


def _edit(draw: st.DrawFn, obj: dict[str, Json]) -> None:
    place = draw(st.sampled_from(_containers_of(obj)))
    if isinstance(place, dict):
        key = draw(st.sampled_from(sorted(place)) | texts if place else texts)
        if draw(st.booleans()):
            place.pop(key, None)
        else:
            place[key] = draw(json_values)
        return
    edit = draw(st.sampled_from(["append", "insert", "drop", "reverse", "replace"]))
    position = draw(st.integers(0, max(0, len(place) - 1)))
    if edit in {"append", "insert"} or not place:
        place.insert(len(place) if edit == "append" else position, draw(json_values))
    elif edit == "drop":
        del place[position]
    elif edit == "reverse":
        place.reverse()
    else:
        place[position] = draw(json_values)


def _containers_of(value: Json) -> list[dict[str, Json] | list[Json]]:
    if not isinstance(value, dict | list):
        return []
    children = value.values() if isinstance(value, dict) else value
    return [value, *(inner for child in children for inner in _containers_of(child))]
