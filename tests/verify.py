"""`python -m tests.verify`: everything that is checked without running the tests.

Runs every check, though earlier ones fail, and exits 1 if any did. Changes
nothing that is committed. The last lines are figures: suppressions by tool, and
lines of code.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.sources import (
    SUPPRESSIONS,
    Suppression,
    count_lines,
    source_files,
    suppressions_in,
)

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
POLICIES = "policies"
GO_MODULE = "native/opa"
"""The Go module of our own; native/kubernetes is one switch over other people's commands."""
BRANCHES = 90.0
"""Per cent of the branches of controller/ that tests must take."""
JOBS = 2

_GO_ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-buildvcs=false",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one check."""

    is_fine: bool
    text: str
    """What it said; shown whole if it failed."""


Check: TypeAlias = Callable[[], Result]


@dataclass(frozen=True, slots=True)
class Command:
    """A check that is a program: fine if it exits with 0."""

    arguments: tuple[str, ...]
    folder: str = "."
    must_be_silent: bool = False
    """For a program that lists what is wrong and exits with 0 all the same."""

    def __call__(self) -> Result:
        """Run it in the repository."""
        result = run(self.arguments, cwd=ROOT / self.folder)
        if self.must_be_silent and result.text.strip():
            return Result(is_fine=False, text=result.text)
        return result


def run(arguments: Sequence[str], *, cwd: Path) -> Result:
    """Run one program to its end; fine if it exits with 0."""
    try:
        done = subprocess.run(
            arguments,
            cwd=cwd,
            env={**os.environ, **_GO_ENVIRONMENT},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        problem = f"{arguments[0]}: not found; `make setup` installs what is needed"
        return Result(is_fine=False, text=problem)
    return Result(is_fine=done.returncode == 0, text=done.stdout)


def tool(name: str, *arguments: str) -> Command:
    """A program of the virtual environment."""
    return Command((str(BIN / name), *arguments))


# ------------------------------------------------------------- coverage


def check_coverage(root: Path = ROOT) -> Result:
    """The branches of controller/ that tests take: those of the last `make test` if it is fresh.

    Else the tests that need no control plane are run for it.
    """
    folder = root / ".make"
    folder.mkdir(exist_ok=True)
    data = fresh_data(root)
    if data:
        return measure(data, root=root, origin="`make test`")
    origin = "the tests without a control plane (`make test` did not run since the last edit)"
    result = _run_unit_tests(root, folder / "coverage-unit")
    if not result.is_fine:
        return Result(is_fine=False, text=f"{result.text}\n{origin} failed: nothing to measure")
    return measure(sorted(folder.glob("coverage-unit.*")), root=root, origin=origin)


def fresh_data(root: Path) -> list[Path]:
    """What `make test` measured, unless a file that it describes was edited since."""
    data = sorted(root.glob(".coverage*"))
    sources = [path for name in ("controller", "webhooks") for path in root.glob(f"{name}/**/*.py")]
    if not data or _newest(data) < _newest(sources):
        return []
    return data


def _newest(paths: Iterable[Path]) -> float:
    return max(path.stat().st_mtime for path in paths)


def _run_unit_tests(root: Path, data: Path) -> Result:
    for stale in data.parent.glob(f"{data.name}*"):
        stale.unlink()
    pytest = ["-m", "pytest", "-q", "--tb=line", "-m", "not integration"]
    # Not by COVERAGE_FILE: the tests of this module measure too, and would inherit it.
    arguments = [sys.executable, "-m", "coverage", "run", f"--data-file={data}", *pytest]
    return run(arguments, cwd=root)


def measure(data: Iterable[Path], *, root: Path, origin: str) -> Result:
    """Add up coverage data, and hold the share of branches taken against what is asked."""
    combined, report = root / ".make" / "coverage", root / ".make" / "coverage.json"
    combined.unlink(missing_ok=True)  # coverage would add to what is there
    coverage = [sys.executable, "-m", "coverage"]
    file, only = f"--data-file={combined}", "--include=controller/*"
    for arguments in (
        ["combine", "--keep", "--quiet", file, *map(str, data)],
        ["json", "--quiet", file, only, "-o", str(report)],
    ):
        result = run([*coverage, *arguments], cwd=root)
        if not result.is_fine:
            return result
    totals = json.loads(report.read_text(encoding="utf-8"))["totals"]
    taken, whole = totals["covered_branches"], totals["num_branches"]
    share = 100 * taken / whole if whole else 0.0
    figure = f"controller/: {taken} of {whole} branches taken ({share:.1f} %) by {origin}"
    if share >= BRANCHES:
        return Result(is_fine=True, text=figure)
    table = run([*coverage, "report", file, only, "--sort=cover"], cwd=root).text
    return Result(is_fine=False, text=f"{table}\n{figure}; at least {BRANCHES:.0f} % must be")


# ------------------------------------------------------------- suppressions


def find_suppressions() -> list[Suppression]:
    """All suppressions of the repository."""
    return [found for path in source_files(ROOT) for found in suppressions_in(path, ROOT)]


def check_suppressions() -> Result:
    """Each suppression says why on its line."""
    bare = [item for item in find_suppressions() if not item.is_explained]
    lines = [f"{item.place}: {item.tool} without a reason on its line" for item in bare]
    return Result(is_fine=not bare, text="\n".join(lines))


# ------------------------------------------------------------- all of it

GENERATORS: tuple[str, ...] = ("controller.apis.generate",)
"""Modules that write checked-in files, and with `--check` name those out of date."""


def checks() -> dict[str, Check]:
    """Every check by its title; the slow ones first, for they run side by side."""
    opa = "governor-opa"
    python = sys.executable
    return {
        "branch coverage of controller/": check_coverage,
        "types (pyright strict)": tool("pyright", "--pythonpath", python),
        "types (mypy strict)": tool("mypy"),
        **{
            f"generated files are in date ({module})": Command((python, "-m", module, "--check"))
            for module in GENERATORS
        },
        "lint (ruff)": tool("ruff", "check", "."),
        "format (ruff)": tool("ruff", "format", "--check", "."),
        "layers (import-linter)": tool("lint-imports", "--no-logo"),
        "policies: format": tool(opa, "fmt", "--fail", "--list", POLICIES),
        "policies: strict, against the input's schema": tool(
            opa, "check", "--strict", "--schema", f"{POLICIES}/schemas", POLICIES
        ),
        "policies: their own tests": tool(opa, "test", POLICIES),
        "Go: format": Command(("gofmt", "-l", "native"), must_be_silent=True),
        "Go: vet": Command(("go", "vet", "./..."), folder=GO_MODULE),
        "each suppression has its reason": check_suppressions,
    }


def verify(table: Mapping[str, Check]) -> list[str]:
    """Run all checks, print what each said, and name those that failed."""
    failed: list[str] = []
    with ThreadPoolExecutor(JOBS) as pool:
        started = time.monotonic()
        running: dict[str, Future[Result]] = {
            title: pool.submit(check) for title, check in table.items()
        }
        for title, future in running.items():
            result = future.result()
            _say(f"== {title}: {'ok' if result.is_fine else 'FAILED'}")
            _say_what_matters(result)
            if not result.is_fine:
                failed.append(title)
        _say(
            f"== {len(table) - len(failed)} of {len(table)} checks passed in "
            f"{time.monotonic() - started:.0f} s"
        )
    return failed


def _say_what_matters(result: Result) -> None:
    lines = [line for line in result.text.splitlines() if line.strip()]
    for line in lines[-1:] if result.is_fine else lines:
        _say(f"   {line}")


def print_figures() -> None:
    """The last lines: suppressions by tool, and lines of code."""
    by_tool = Counter(item.tool for item in find_suppressions())
    listed = ", ".join(f"{name} {by_tool[name]}" for name in SUPPRESSIONS)
    _say(f"suppressions: {by_tool.total()} ({listed})")
    counts = count_lines(ROOT, source_files(ROOT))
    parts = [
        f"{part} {lines.total()} ({', '.join(f'{name} {n}' for name, n in sorted(lines.items()))})"
        for part, lines in counts.items()
    ]
    _say(f"lines of code: {', '.join(parts)}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Check everything; the process's exit status."""
    failed = verify(checks())
    for title in failed:
        _say(f"FAILED: {title}")
    print_figures()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
