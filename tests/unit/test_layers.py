"""The contracts of `.importlinter` hold on the tree, and break when they should.

Each violation is written into a copy of the source, so that a contract that
forbids nothing (a wrong name, a loosened layer) is found.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("controller", "webhooks", "reconcilers", "native", "tour")

VIOLATIONS = [
    pytest.param(
        "controller",
        "controller/apis/__init__.py",
        "import controller.admission.judge",
        id="the types import the judge",
    ),
    pytest.param(
        "controller",
        "controller/changes/__init__.py",
        "import controller.policy.guards",
        id="changes import policy",
    ),
    pytest.param(
        "controller",
        "controller/agents/__init__.py",
        "import controller.registration.subject",
        id="identity imports the registration",
    ),
    pytest.param(
        "controller",
        "controller/admission/__init__.py",
        "import controller.clients.kube.client",
        id="a decision imports a client",
    ),
    pytest.param(
        "controller",
        "controller/clients/__init__.py",
        "import controller.feeds",
        id="a client imports a feed",
    ),
    pytest.param(
        "controller",
        "controller/unplaced.py",
        "",
        id="a new module of controller has no place",
    ),
    pytest.param(
        "shells", "webhooks/__init__.py", "import reconcilers", id="webhooks import reconcilers"
    ),
    pytest.param(
        "shells", "reconcilers/__init__.py", "import webhooks.app", id="reconcilers import webhooks"
    ),
    pytest.param(
        "shells",
        "controller/feeds/__init__.py",
        "import webhooks.app",
        id="controller imports a shell",
    ),
    pytest.param(
        "shells",
        "webhooks/__init__.py",
        "import controller.cli",
        id="a shell imports the command line",
    ),
    pytest.param("pure", "controller/changes/__init__.py", "import asyncio", id="changes wait"),
    pytest.param("pure", "controller/policy/__init__.py", "import time", id="policy reads a clock"),
    pytest.param(
        "pure", "controller/agents/__init__.py", "from random import random", id="identity rolls"
    ),
    pytest.param(
        "pure",
        "controller/admission/__init__.py",
        "import controller.settings",
        id="a decision reads settings",
    ),
    pytest.param(
        "wire",
        "controller/admission/__init__.py",
        "import pydantic",
        id="a decision uses pydantic",
    ),
    pytest.param(
        "wire",
        "controller/agents/__init__.py",
        "import controller.apis.v1alpha1",
        id="identity reads a wire model",
    ),
    pytest.param(
        "io", "webhooks/__init__.py", "import kubernetes", id="the webhook speaks to the cluster"
    ),
    pytest.param("io", "reconcilers/__init__.py", "import git", id="a reconciler runs git"),
    pytest.param(
        "io", "controller/feeds/__init__.py", "import aiohttp", id="a feed opens connections"
    ),
    pytest.param(
        "native",
        "controller/clients/__init__.py",
        "import native.controlplane",
        id="a client starts the local control plane",
    ),
    pytest.param(
        "control-plane",
        "native/__init__.py",
        "import controller.admission.judge",
        id="the control plane knows the judge",
    ),
    pytest.param("control-plane", "native/__init__.py", "import tour", id="it knows the tour"),
]


@pytest.fixture(scope="module")
def copy(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python source and the contracts, and nothing else."""
    target = tmp_path_factory.mktemp("layers")
    shutil.copy(repository / ".importlinter", target)
    for package in PACKAGES:
        shutil.copytree(
            repository / package,
            target / package,
            ignore=lambda folder, names: [
                name
                for name in names
                if not name.endswith(".py")
                and (name == "__pycache__" or not (Path(folder) / name).is_dir())
            ],
        )
    return target


@pytest.fixture
def violated(copy: Path, file: str, line: str) -> Iterator[Path]:
    """The copy with one line more, taken back afterwards."""
    path = copy / file
    before = path.read_bytes() if path.exists() else None
    path.write_bytes((before or b"") + f"\n{line}\n".encode())
    yield copy
    if before is None:
        path.unlink()
    else:
        path.write_bytes(before)


def lint(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Check the contracts on the source below `root`."""
    command = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [command, "--no-cache", "--no-logo", *arguments],
        cwd=root,
        env={**os.environ, "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tree_keeps_every_contract(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("contract", "file", "line"), VIOLATIONS)
def test_a_contract_breaks_when(contract: str, file: str, line: str, violated: Path) -> None:
    result = lint(violated, "--contract", contract)
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    evidence = f"{module} -> {line.split()[1]}" if line else f"- {module}"
    assert result.returncode == 1, result.stdout + result.stderr
    assert "0 kept, 1 broken" in result.stdout
    assert evidence in result.stdout


def test_every_contract_is_proven_to_break(repository: Path) -> None:
    listed = [
        line.removeprefix("[importlinter:contract:").rstrip("]")
        for line in (repository / ".importlinter").read_text(encoding="utf-8").splitlines()
        if line.startswith("[importlinter:contract:")
    ]
    assert {str(case.values[0]) for case in VIOLATIONS} == set(listed)
