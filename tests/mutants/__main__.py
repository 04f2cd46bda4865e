"""`python -m tests.mutants [NAME…]`: break each promise, and see that a test notices.

Applies each patch in a scratch worktree and runs the tests that it names there.
The last line is the figure: `broken N, caught N`. Exits 0 only if both are equal,
not zero, and every promise that holds today is broken by at least one patch.
"""

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.mutants.patches import BadPatchError, Mutant, read_mutants
from tests.mutants.runs import WHOLE_SECONDS, Run, run_tests, why_not_caught
from tests.mutants.scratch import GitError, Worktree, scratch_worktree
from tests.requirements import REQUIREMENTS

ROOT = Path(__file__).resolve().parent.parent.parent
PATCHES = Path("tests/mutants")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one mutant."""

    mutant: Mutant
    survived: str | None
    """Why it is not caught; None: it is."""
    run: Run | None
    """None where the patch does not apply."""


def break_one(tree: Worktree, mutant: Mutant) -> Verdict:
    """Apply, run, mend."""
    try:
        tree.apply(mutant.path)
    except GitError as error:
        return Verdict(mutant, f"the patch does not apply: {error}", None)
    try:
        run = run_tests(tree.path, mutant.tests)
    finally:
        tree.revert(mutant.path)
    return Verdict(mutant, why_not_caught(run), run)


def check_mutants(root: Path, mutants: Sequence[Mutant], promises: Sequence[str]) -> bool:
    """Print what becomes of each mutant and the figure; whether all of it is as it should be."""
    with scratch_worktree(root) as tree:
        _say(f"breaking {tree.content} in a scratch worktree")
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        whole = run_tests(tree.path, tests, timeout=WHOLE_SECONDS)
        if mutants and not whole.passed:
            _say(f"{whole.output}\nthe tests do not pass on the unbroken code")
        verdicts = [_told(break_one(tree, mutant)) for mutant in mutants] if whole.passed else []
    unbroken = [name for name in promises if name not in {mutant.promise for mutant in mutants}]
    for name in unbroken:
        _say(f"no patch breaks {name}")
    caught = sum(verdict.survived is None for verdict in verdicts)
    _say(f"broken {len(mutants)}, caught {caught}")
    return 0 < len(mutants) == caught and not unbroken


def _told(verdict: Verdict) -> Verdict:
    mutant, run = verdict.mutant, verdict.run
    if verdict.survived is None and run is not None:
        _say(f"caught    {mutant.promise}: {mutant.name} ({run.seconds:.1f} s)")
        return verdict
    _say(f"SURVIVED  {mutant.promise}: {mutant.name}: {verdict.survived}")
    _say(f"          breaks: {mutant.breaks}")
    _say(f"          tests: {' '.join(mutant.tests)}")
    if run is not None:
        _say("\n".join(f"          | {line}" for line in run.output.splitlines()[-12:]))
    return verdict


def _stop(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(143)  # unwinds, so the worktree goes


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(names: Sequence[str]) -> int:
    """Check all mutants, or only those named; the process's exit status."""
    signal.signal(signal.SIGTERM, _stop)
    promises = [requirement.id for requirement in REQUIREMENTS]
    try:
        mutants = read_mutants(ROOT / PATCHES, promises)
    except BadPatchError as error:
        _say(str(error))
        return 1
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown:
        _say(f"there is no patch {', '.join(sorted(unknown))} in {PATCHES}")
        return 1
    chosen = [mutant for mutant in mutants if not names or mutant.name in names]
    is_fine = check_mutants(ROOT, chosen, () if names else promises)
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
