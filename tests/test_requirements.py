"""Every requirement has a test, and every marked test a requirement.

Reads the tests as source: a marker counts only where pytest would see it, on a
test function, a test class, a parameter of either, or a whole module.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.requirements import DEFERRED, PROMISES, REQUIREMENTS

TESTS = Path(__file__).resolve().parent

IDS = [requirement.id for requirement in REQUIREMENTS]
DEFERRED_IDS = [deferred.id for deferred in DEFERRED]


@dataclass(frozen=True, slots=True)
class Mark:
    """One `pytest.mark.requirement(…)` in a test file."""

    place: str
    id: str | None
    """None where it is not one literal text."""
    is_on_test: bool


def marks_in(path: Path) -> Iterator[Mark]:
    """All requirement markers of one file."""
    tree = ast.parse(path.read_text(encoding="utf-8"), path)
    seen = {id(call) for root in _marked_places(tree) for call in _mark_calls(root)}
    for call in _mark_calls(tree):
        yield Mark(f"{path.name}:{call.lineno}", _literal(call), id(call) in seen)


def _marked_places(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if name.startswith("test_"):
                    yield from node.decorator_list
            case ast.ClassDef(name=name) if name.startswith("Test"):
                yield from node.decorator_list
            case ast.Assign(targets=[ast.Name(id="pytestmark")]):
                yield node.value
            case _:
                pass


def _mark_calls(root: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(root):
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Attribute(value=ast.Name(id="pytest"), attr="mark"),
                    attr="requirement",
                )
            ):
                yield node
            case _:
                pass


def _literal(call: ast.Call) -> str | None:
    match call:
        case ast.Call(args=[ast.Constant(value=str(text))], keywords=[]):
            return text
        case _:
            return None


MARKS = [mark for path in sorted(TESTS.rglob("test_*.py")) for mark in marks_in(path)]


@pytest.mark.parametrize("requirement", IDS)
def test_a_requirement_has_a_test_that_fails_when_it_breaks(requirement: str) -> None:
    proofs = [mark.place for mark in MARKS if mark.is_on_test and mark.id == requirement]
    assert proofs, f"no test carries @pytest.mark.requirement({requirement!r})"


def test_a_marked_test_names_a_requirement_that_holds_today() -> None:
    unknown = [f"{mark.place}: {mark.id}" for mark in MARKS if mark.id not in IDS]
    assert not unknown, "these markers name no requirement of tests/requirements.py"


def test_a_marker_stands_where_pytest_sees_it() -> None:
    lost = [mark.place for mark in MARKS if not mark.is_on_test]
    assert not lost, "these markers are on no test"


def test_each_promise_is_kept_or_deferred_by_name() -> None:
    named = {line.promise for line in REQUIREMENTS} | {line.promise for line in DEFERRED}
    assert named == set(PROMISES)


def test_no_id_is_listed_twice_or_both_kept_and_deferred() -> None:
    both = IDS + DEFERRED_IDS
    assert sorted(both) == sorted(set(both))


def test_every_line_says_what_it_promises_or_lacks() -> None:
    assert all(requirement.behaviour.endswith(".") for requirement in REQUIREMENTS)
    assert all(len(deferred.reason) > 20 for deferred in DEFERRED)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(
            '@pytest.mark.requirement("a.b")\ndef test_x(): ...\n',
            [("a.b", True)],
            id="on a test function",
        ),
        pytest.param(
            '@pytest.mark.requirement("a.b")\nasync def test_x(): ...\n',
            [("a.b", True)],
            id="on an asynchronous test",
        ),
        pytest.param(
            '@pytest.mark.requirement("a.b")\nclass TestX: ...\n',
            [("a.b", True)],
            id="on a test class",
        ),
        pytest.param(
            'pytestmark = [pytest.mark.requirement("a.b")]\n',
            [("a.b", True)],
            id="on a module",
        ),
        pytest.param(
            '@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.requirement("a"))])\n'
            "def test_x(x): ...\n",
            [("a", True)],
            id="on a parameter",
        ),
        pytest.param(
            '@pytest.mark.requirement("a.b")\ndef helper(): ...\n',
            [("a.b", False)],
            id="on a function that pytest does not collect",
        ),
        pytest.param(
            'mark = pytest.mark.requirement("a.b")\n',
            [("a.b", False)],
            id="on nothing",
        ),
        pytest.param(
            "@pytest.mark.requirement(NAME)\ndef test_x(): ...\n",
            [(None, True)],
            id="with an id that only running it would tell",
        ),
        pytest.param("@pytest.mark.integration\ndef test_x(): ...\n", [], id="of another kind"),
    ],
)
def test_markers_are_read_from_the_source(
    tmp_path: Path, source: str, expected: list[tuple[str | None, bool]]
) -> None:
    path = tmp_path / "test_example.py"
    path.write_text(f"import pytest\n{source}", encoding="utf-8")
    assert [(mark.id, mark.is_on_test) for mark in marks_in(path)] == expected
