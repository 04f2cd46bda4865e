"""A pytest plugin: the run fails unless our code came from the folder it ran in.

An editable install of another checkout is on the path of every test; a mutant
that was judged by that code would prove nothing. Hypothesis looks for a
counterexample in the same places each time, and does not shrink it: that one
exists is all that is asked.
"""

import sys
from pathlib import Path

import pytest
from hypothesis import Phase, settings

PACKAGES = frozenset({"controller", "webhooks", "reconcilers", "native", "tour", "tests"})
FOREIGN = 70
"""The exit status of a run whose code came from elsewhere; none of pytest's own."""


def foreign_modules(root: Path) -> list[str]:
    """Modules of ours that were loaded from outside `root`."""
    found: list[str] = []
    for name, module in sys.modules.items():
        file = getattr(module, "__file__", None)
        if file is None or name == __name__ or name.partition(".")[0] not in PACKAGES:
            continue
        if not Path(file).resolve().is_relative_to(root.resolve()):
            found.append(f"{name} from {file}")
    return sorted(found)


def pytest_configure() -> None:
    """After the project's own conftest, whose profile this one changes."""
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", database=None, derandomize=True, phases=phases)
    settings.load_profile("mutants")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Replace the verdict of a run that proves nothing."""
    foreign = foreign_modules(Path.cwd())
    if foreign:
        sys.stdout.write(f"\nnot the code under test: {', '.join(foreign)}\n")
        session.exitstatus = FOREIGN
