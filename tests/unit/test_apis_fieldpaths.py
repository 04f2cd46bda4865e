"""Field paths: what is read, what is written back, and what the author is told."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.apis.fieldpaths import (
    ANY_ITEM,
    FIELD_PATH_PATTERN,
    FieldPath,
    FieldPathError,
    format_field_path,
    parse_field_path,
)

READ: dict[str, tuple[str, FieldPath]] = {
    "one name": ("data", ("data",)),
    "names joined by dots": ("spec.replicas", ("spec", "replicas")),
    "every item of a list": (
        "spec.template.spec.containers[*].image",
        ("spec", "template", "spec", "containers", ANY_ITEM, "image"),
    ),
    "one item of a list": ("spec.args[0]", ("spec", "args", 0)),
    "an item of an item": ("spec.rows[10][*]", ("spec", "rows", 10, ANY_ITEM)),
    "a quoted key": (
        'metadata.annotations["example.com/x"]',
        ("metadata", "annotations", "example.com/x"),
    ),
    "a quoted key first": ('["a.b"].c', ("a.b", "c")),
    "a key that is a star is no wildcard": ('data["*"]', ("data", "*")),
    "a key that is a number is no index": ('data["0"]', ("data", "0")),
    "the empty key": ('metadata.labels[""]', ("metadata", "labels", "")),
    "escaped quotes and backslashes": (r'data["a\"b\\c"]', ("data", 'a"b\\c')),
    "escaped control characters": (r'data["a\n\u0007"]', ("data", "a\n\x07")),
    "letters of any script in a key": ('data["clé"]', ("data", "clé")),
    "hyphens and underscores in names": ("a-b.c_d", ("a-b", "c_d")),
}

REFUSED: dict[str, tuple[str, int, str]] = {
    "nothing": ("", 0, "write a path such as spec.replicas"),
    "a leading dot": (".spec", 0, "leave the dot out"),
    "a trailing dot": ("spec.", 4, "remove the dot or add the name"),
    "two dots": ("spec..replicas", 4, "remove the dot or add the name"),
    "a dot before a bracket": ("spec.[0]", 4, "no dot stands before a bracket"),
    "a JSON pointer": ("/spec/replicas", 0, "this is a JSON pointer"),
    "an unquoted key with a slash": ("a.example.com/x", 13, "quote the whole key in brackets"),
    "a name that begins with a digit": ("data.0", 4, '"0" cannot stand in a bare name'),
    "a space": ("spec. replicas", 4, '" " cannot stand in a bare name'),
    "a JSONPath root": ("$.spec", 0, '"$" cannot stand in a bare name'),
    "an open bracket": ("args[0", 4, "this bracket is not closed: add ]"),
    "an open quote": ('data["a]', 4, "the quoted key is not closed"),
    "an unknown escape": (r'data["a\x"]', 4, "has a wrong escape"),
    "half of a surrogate pair": (r'data["\ud800"]', 4, "has a wrong escape"),
    "a raw line break in a key": ('data["a\nb"]', 4, "has a wrong escape"),
    "single quotes": ("data['a']", 4, "a key in double quotes"),
    "an unquoted key in brackets": ("data[a]", 4, "a key in double quotes"),
    "a negative index": ("args[-1]", 4, "an index such as [0]"),
    "an index with leading zeros": ("args[01]", 4, "an index such as [0]"),
    "an empty bracket": ("args[]", 4, "brackets hold [*] for every item"),
    "a list at the root": ("[0].a", 0, "an object is no list"),
    "a name directly after a bracket": ("args[0]image", 7, '"i" cannot stand'),
    "a trailing line break": ("data\n", 4, '"\\n" cannot stand in a bare name'),
}


def path_of(root: str, rest: list[str | int]) -> FieldPath:
    return (root, *rest)


paths = st.builds(
    path_of, st.text(), st.lists(st.text() | st.integers(ANY_ITEM, 999_999_999), max_size=6)
)


@pytest.mark.parametrize(("text", "path"), READ.values(), ids=READ.keys())
def test_a_path_is_read_as_segments(text: str, path: FieldPath) -> None:
    assert parse_field_path(text) == path


@pytest.mark.parametrize(("text", "path"), READ.values(), ids=READ.keys())
def test_a_path_is_written_as_it_was_read(text: str, path: FieldPath) -> None:
    assert format_field_path(path) == text


@pytest.mark.parametrize(("text", "position", "fix"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_path_is_refused_with_position_and_fix(
    text: str, position: int, fix: str
) -> None:
    with pytest.raises(FieldPathError) as refusal:
        parse_field_path(text)

    assert refusal.value.position == position
    assert fix in str(refusal.value)
    assert not text or f"position {position}: " in str(refusal.value)


@given(paths)
def test_every_path_can_be_written_and_read_back(path: FieldPath) -> None:
    assert parse_field_path(format_field_path(path)) == path


@given(st.text(alphabet='ab.[]*"\\0/\n') | st.from_regex(FIELD_PATH_PATTERN))
def test_the_schemas_pattern_accepts_exactly_what_the_parser_reads(text: str) -> None:
    try:
        parse_field_path(text)
        is_read = True
    except FieldPathError:
        is_read = False

    assert is_read == (re.fullmatch(FIELD_PATH_PATTERN, text) is not None)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        pytest.param((), "starts with a key", id="no segment at all"),
        pytest.param((0, "a"), "starts with a key", id="a list at the root"),
        pytest.param(("a", -2), "list index -2 is not between 0 and", id="a negative index"),
        pytest.param(
            ("a", 10**9), "is not between 0 and 999999999", id="an index beyond the grammar"
        ),
    ],
)
def test_a_path_that_no_text_can_express_is_refused(path: FieldPath, fault: str) -> None:
    with pytest.raises(FieldPathError, match=fault):
        format_field_path(path)
