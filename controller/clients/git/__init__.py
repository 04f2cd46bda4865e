"""The ledger's Git repository."""

import os

# GitPython takes from these which program to run, and runs it, as soon as it is imported.
for _name in [name for name in os.environ if name.startswith("GIT_PYTHON_")]:
    del os.environ[_name]
os.environ["GIT_PYTHON_REFRESH"] = "quiet"  # without any git, the first command says so
