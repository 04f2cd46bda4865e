"""YAML is read as Kubernetes reads it, and what would be guessed at is refused with its line."""

import pytest

from controller.apis.json import Json
from controller.cli.strictyaml import MAX_DEPTH, StrictYamlError, read_yaml, resolve_scalar


def values(text: str) -> list[Json]:
    return [document.value for document in read_yaml(text)]


def only(text: str) -> Json:
    (value,) = values(text)
    return value


def refusal(text: str) -> StrictYamlError:
    with pytest.raises(StrictYamlError) as caught:
        values(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("yes", True, id="yes is a boolean"),
        pytest.param("Off", False, id="Off is a boolean"),
        pytest.param("n", False, id="n is a boolean"),
        pytest.param("yEs", "yEs", id="an odd spelling is a string"),
        pytest.param("~", None, id="a tilde is null"),
        pytest.param("NULL", None, id="NULL is null"),
        pytest.param("", None, id="nothing is null"),
        pytest.param("0777", 511, id="a leading zero is octal"),
        pytest.param("0o17", 15, id="octal of YAML 1.2"),
        pytest.param("08", 8, id="what is no octal is a decimal"),
        pytest.param("0x1F", 31, id="hexadecimal"),
        pytest.param("-0b101", -5, id="binary"),
        pytest.param("1_000", 1000, id="underscores group digits"),
        pytest.param("+5", 5, id="a plus sign"),
        pytest.param("+", "+", id="a lone sign is a string"),
        pytest.param("1.50", 1.5, id="a fraction"),
        pytest.param("1.0", 1, id="a whole fraction is an integer once it is JSON"),
        pytest.param("1e3", 1000, id="an exponent"),
        pytest.param("1.2345678901234567e18", 1234567890123456800, id="digits that Go pads"),
        pytest.param(".5", 0.5, id="a bare fraction"),
        pytest.param("-.5", -0.5, id="a negative bare fraction"),
        pytest.param(".", ".", id="a lone dot is a string"),
        pytest.param("1.2.3", "1.2.3", id="a version is a string"),
        pytest.param("12:30:45", "12:30:45", id="no base 60"),
        pytest.param("2026-01-02", "2026-01-02", id="a date is a string"),
        pytest.param("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z", id="a time is a string"),
        pytest.param("9223372036854775807", 2**63 - 1, id="the largest signed integer"),
        pytest.param("0xFFFFFFFFFFFFFFFF", 2.0**64, id="an unsigned one is a fraction"),
        pytest.param("18446744073709551616", 18446744073709551616.0, id="beyond it a fraction"),
        pytest.param("9" * 5000, "9" * 5000, id="beyond every number a string"),
        pytest.param("1e999", "1e999", id="an exponent beyond every number is a string"),
        pytest.param("0xFFFFFFFFFFFFFFFFFF", "0xFFFFFFFFFFFFFFFFFF", id="hexadecimal likewise"),
        pytest.param("500m", "500m", id="a quantity is a string"),
        pytest.param("１", "１", id="other digits are a string"),  # noqa: RUF001 -- the point
    ],
)
def test_a_plain_scalar_means_what_it_means_to_kubectl(text: str, expected: Json) -> None:
    found = resolve_scalar(text)
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a: 'yes'", {"a": "yes"}, id="quotes make a string"),
        pytest.param('a: "1"', {"a": "1"}, id="double quotes, too"),
        pytest.param("a: !!str 1", {"a": "1"}, id="so does its tag"),
        pytest.param("a: ! 1", {"a": "1"}, id="and the tag that says nothing"),
        pytest.param("a: !!int '3'", {"a": 3}, id="a tag makes a number of a string"),
        pytest.param("a: !!float 3", {"a": 3}, id="a float may be whole"),
        pytest.param("a: !!map {b: !!seq [c]}", {"a": {"b": ["c"]}}, id="tags of collections"),
        pytest.param("a: |\n  x\n  y\n", {"a": "x\ny\n"}, id="a block"),
        pytest.param("a: >-\n  x\n  y\n", {"a": "x y"}, id="a folded block"),
        pytest.param("'on': 1", {"on": 1}, id="a quoted key that looks like a boolean"),
        pytest.param("'<<': 1", {"<<": 1}, id="a quoted key that looks like a merge"),
        pytest.param("\ufeffa: 1", {"a": 1}, id="a byte order mark"),
        pytest.param("%YAML 1.1\n---\na: 1", {"a": 1}, id="a directive"),
    ],
)
def test_a_document_is_read(text: str, expected: Json) -> None:
    assert only(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}, id="an alias"),
        pytest.param("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}, id="the last anchor"),
        pytest.param("- &k name\n- {*k : 1}", ["name", {"name": 1}], id="an alias as a key"),
        pytest.param(
            "a: &x {b: 1, c: 1}\nd: {<<: *x, c: 2}",
            {"a": {"b": 1, "c": 1}, "d": {"b": 1, "c": 2}},
            id="a merge is overridden by what follows it",
        ),
        pytest.param("{c: 2, <<: {c: 1}}", {"c": 1}, id="and overrides what is before it"),
        pytest.param(
            "{<<: [{a: 1}, {a: 2, b: 2}]}", {"a": 1, "b": 2}, id="of several merged, the first wins"
        ),
    ],
)
def test_anchors_and_merges_are_resolved(text: str, expected: Json) -> None:
    assert only(text) == expected


def test_a_merge_does_not_change_what_it_was_taken_from() -> None:
    assert only("a: &x {b: {c: 1}}\nd: {<<: *x, e: 1}\nf: *x") == {
        "a": {"b": {"c": 1}},
        "d": {"b": {"c": 1}, "e": 1},
        "f": {"b": {"c": 1}},
    }


def test_documents_come_in_order_with_their_lines_and_empty_ones_are_left_out() -> None:
    text = "# nothing\n---\na: 1\n---\n---\n# more\n\nb: 2\n...\n---\n- c\n"
    found = [(document.line, document.value) for document in read_yaml(text)]
    assert found == [(3, {"a": 1}), (8, {"b": 2}), (11, ["c"])]


def test_an_anchor_ends_with_its_document() -> None:
    error = refusal("a: &x 1\n---\nb: *x\n")
    assert error.line == 3
    assert "*x names no anchor" in error.problem


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        pytest.param("a: 1\nb: 2\na: 3", 3, "'a' is here twice, first on line 1", id="a key twice"),
        pytest.param("a:\n  b: {c: 1, c: 2}", 2, "'c' is here twice", id="a key twice, inline"),
        pytest.param("a: 1\n'a': 2", 2, "'a' is here twice", id="a key twice, quoted otherwise"),
        pytest.param("a: 1\n8080: x", 2, "the key 8080 is not a string", id="a number as key"),
        pytest.param("on: push", 1, "the key true is not a string", id="a boolean as key"),
        pytest.param("~: x", 1, "the key null is not a string", id="null as key"),
        pytest.param("? [a]\n: b", 1, "a list or an object is not a string", id="a list as key"),
        pytest.param("a: !custom b", 1, "the tag !custom", id="a tag of no JSON type"),
        pytest.param("a: !!binary aGk=", 1, "the tag !!binary", id="binary"),
        pytest.param("a: !!set {b}", 1, "the tag !!set", id="a set"),
        pytest.param("a: !!python/object:os.system x", 1, "the tag !!python", id="a Python tag"),
        pytest.param("a: !!int b", 1, "'b' is no int", id="a tag that does not fit"),
        pytest.param("a: .nan", 1, "no infinity and no NaN", id="not a number"),
        pytest.param("a:\n- -.inf", 2, "no infinity and no NaN", id="infinity"),
        pytest.param("a: *b", 1, "*b names no anchor", id="an alias of nothing"),
        pytest.param("a: &x\n- *x", 2, "*x stands inside its own anchor", id="a cycle"),
        pytest.param("<<: 3", 1, "merges something", id="a merge of a number"),
        pytest.param("<<: [{a: 1}, 3]", 1, "merges something", id="a merge of a number in a list"),
        pytest.param("a: b: c", 1, "mapping values are not allowed", id="no YAML"),
        pytest.param("a:\n\t- b", 2, "is not YAML", id="a tab as indentation"),
        pytest.param("a: {b: 1\n", 2, "is not YAML", id="an open mapping"),
        pytest.param("a: 1\nb: \x01", 2, "the character #x0001", id="a control character"),
        pytest.param('a: "\\ud800"', 1, "is not YAML", id="half of a surrogate pair"),
    ],
)
def test_what_is_ambiguous_or_no_yaml_is_refused_with_its_line(
    text: str, line: int, said: str
) -> None:
    error = refusal(text)
    assert error.line == line
    assert said in error.problem


def test_aliases_that_unfold_without_bound_are_refused_at_once() -> None:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    error = refusal(f"a0: &a0 [{', '.join(['x'] * 10)}]\n{levels}")
    assert "unfold to more than can be judged" in error.problem


def test_aliases_of_one_long_text_are_refused_at_once() -> None:
    error = refusal(f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 1000)}]\n")
    assert "unfold to more than can be judged" in error.problem


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 100_000, id="lists"),
        pytest.param("{a: " * 100_000, id="objects"),
        pytest.param("- " * 100_000, id="lists by indentation"),
        pytest.param(
            "a0: &a0 []\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 300)),
            id="by aliases",
        ),
    ],
)
def test_nesting_is_bounded(text: str) -> None:
    assert f"deeper than {MAX_DEPTH} levels" in refusal(text).problem


def test_the_deepest_nesting_that_is_allowed_is_read() -> None:
    value = only("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        assert isinstance(value, list)
        (value,) = value
    assert value == []
