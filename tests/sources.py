"""What the sources hold, counted: lines of code, and suppressions with their reasons.

Counts only; what is too much is for people to say. Blank lines, comments,
docstrings and generated files are not code.
"""

import io
import re
import subprocess
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

LANGUAGES = {".py": "Python", ".go": "Go", ".rego": "Rego"}

SUPPRESSIONS: dict[str, re.Pattern[str]] = {
    "noqa": re.compile(r"(?:ruff:\s*|flake8:\s*)?\bnoqa\b(?::\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*)?"),
    "type: ignore": re.compile(r"\btype:\s*ignore\b(?:\[[^\]]*\])?"),
    "pyright: ignore": re.compile(r"\bpyright:\s*(?:ignore|basic|report\w+)\b(?:\[[^\]]*\]|=\w+)?"),
    "mypy": re.compile(r"\bmypy:\s*[a-z-]+(?:=\S+)?"),
    "pragma: no cover": re.compile(r"\bpragma:\s*no (?:cover|branch)\b"),
    "nolint": re.compile(r"\bnolint\b(?::[\w,-]+)?|\blint:ignore\s+\w+"),
}

_GENERATED = re.compile(r"generated\b.*\bdo not edit", re.IGNORECASE)
_REASON = re.compile(r"[A-Za-z]{3}")
_NO_CODE = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
)
_COMMENT_SIGNS = {".py": "#", ".rego": "#", ".go": "//"}


@dataclass(frozen=True, slots=True)
class Suppression:
    """One place where a tool is told to look away."""

    tool: str
    place: str
    """`file:line`."""
    is_explained: bool
    """Its line says why."""


def source_files(root: Path) -> list[Path]:
    """The files in our languages, the ones not committed yet included, generated ones not."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"],  # noqa: S607 -- anybody's git
        cwd=root,
        capture_output=True,
        check=True,
    )
    names = sorted({*listed.stdout.decode().split("\0")} - {""})
    paths = [root / name for name in names if Path(name).suffix in LANGUAGES]
    return [path for path in paths if path.is_file() and not is_generated(path)]


def is_generated(path: Path) -> bool:
    """Whether one of its first lines says `generated … do not edit`."""
    head = path.read_text(encoding="utf-8").splitlines()[:5]
    return any(_GENERATED.search(line) for line in head)


def is_test(path: Path, root: Path) -> bool:
    """Whether a file tests, rather than does, something."""
    return path.relative_to(root).parts[0] == "tests" or path.stem.endswith("_test")


def count_lines(root: Path, paths: Iterable[Path]) -> dict[str, Counter[str]]:
    """Lines of code per language, of `source` and of `tests`."""
    counts: dict[str, Counter[str]] = {"source": Counter(), "tests": Counter()}
    for path in paths:
        part = counts["tests" if is_test(path, root) else "source"]
        part[LANGUAGES[path.suffix]] += lines_of_code(path)
    return counts


def lines_of_code(path: Path) -> int:
    """Lines that hold something else than comment, documentation or space."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return len(_python_lines(text))
    return sum(1 for _ in _plain_lines(text, _COMMENT_SIGNS[path.suffix]))


def _python_lines(text: str) -> set[int]:
    lines: set[int] = set()
    statement: list[tokenize.TokenInfo] = []
    for token in _tokens(text):
        if token.type not in _NO_CODE:
            statement.append(token)
        elif token.type in {tokenize.NEWLINE, tokenize.ENDMARKER}:
            if [part.type for part in statement] != [tokenize.STRING]:  # that is a docstring
                lines.update(_lines_of(statement, text))
            statement = []
    return lines


def _lines_of(statement: Iterable[tokenize.TokenInfo], text: str) -> Iterator[int]:
    rows = text.splitlines()
    for token in statement:
        for row in range(token.start[0], token.end[0] + 1):
            if rows[row - 1].strip():
                yield row


def _plain_lines(text: str, sign: str) -> Iterator[str]:
    in_block = False
    for line in map(str.strip, text.splitlines()):
        if in_block or (sign == "//" and line.startswith("/*")):
            in_block = "*/" not in line
        elif line and not line.startswith(sign):
            yield line


def suppressions_in(path: Path, root: Path) -> Iterator[Suppression]:
    """Every suppression in a file's comments."""
    name = path.relative_to(root).as_posix()
    for row, comment in _comments(path):
        rest = comment
        for pattern in SUPPRESSIONS.values():
            rest = pattern.sub(" ", rest)
        for tool, pattern in SUPPRESSIONS.items():
            for _ in pattern.finditer(comment):
                yield Suppression(tool, f"{name}:{row}", bool(_REASON.search(rest)))


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        for token in _tokens(text):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
        return
    sign = _COMMENT_SIGNS[path.suffix]
    for row, line in enumerate(text.splitlines(), start=1):
        _, found, comment = line.partition(sign)
        if found:
            yield row, comment


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(text).readline)
