"""Every command of docs/check.md is run, and shows what is printed there."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "check.md"
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Example:
    """A command, what it shows, and its status where the document asks for it."""

    command: str
    shown: str
    status: int | None = None


def examples(text: str) -> list[Example]:
    found: list[Example] = []
    for block in _CONSOLE.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            if command == "echo $?":
                found[-1] = Example(found[-1].command, found[-1].shown, int(shown))
            else:
                found.append(Example(command, shown))
    return found


EXAMPLES = examples(DOCUMENT.read_text(encoding="utf-8"))


def matches(shown: str, printed: str) -> bool:
    """Whether it is what is printed; `…` in the document stands for anything."""
    pattern = ".*?".join(map(re.escape, shown.split("…")))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


def test_the_document_has_examples() -> None:
    assert len(EXAMPLES) == 6
    assert {example.status for example in EXAMPLES} == {None, 0, 1, 2}


@pytest.mark.parametrize(
    "example", [pytest.param(one, id=f"{n} {one.command}") for n, one in enumerate(EXAMPLES, 1)]
)
def test_an_example_shows_what_the_document_says(
    example: Example, repository: Path, opa_binary: Path
) -> None:
    program, *arguments = shlex.split(example.command)
    assert program == "governor"
    ended = subprocess.run(
        [sys.executable, "-m", "controller", *arguments],
        cwd=repository,
        env={**os.environ, "GOVERNOR_OPA_BINARY": str(opa_binary), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    printed = ended.stdout or ended.stderr
    assert matches(example.shown, printed), printed
    assert example.status in (None, ended.returncode)


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        pytest.param("a\n", "a\n", True, id="the same"),
        pytest.param("a … c\n", "a b\nb c\n", True, id="cut"),
        pytest.param("a\n", "a\nb\n", False, id="more than is shown"),
        pytest.param("a.c\n", "abc\n", False, id="other text"),
    ],
)
def test_a_shown_text_is_compared_whole(shown: str, printed: str, *, expected: bool) -> None:
    assert matches(shown, printed) is expected
