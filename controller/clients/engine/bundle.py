"""Reads a directory of Rego into a policy set.

Every directory `governor/<name>` below the root is one unit `governor.<name>`;
the files below `governor/lib` are given to every unit; `*_test.rego` is for
`opa test` and never loaded, nor is anything in hidden folders. It must not compile
or judge what it reads.
"""

import os
import re
from pathlib import Path

from controller.clients.engine.policyset import (
    MAX_MODULE_BYTES,
    Module,
    PolicySet,
    PolicySourceError,
    Unit,
)
from controller.policy.results import ANSWERS

LIBRARY = "lib"
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_KEYWORDS = frozenset(
    {"as", "contains", "data", "default", "else", "every", "false", "if", "import", "in", "input"}
    | {"not", "null", "package", "some", "true", "with"}
)


def read_policy_set(root: Path) -> PolicySet:
    """Read every unit below `root/governor`, in the order of their names.

    Raises:
        PolicySourceError: naming the path, when a directory is missing or holds no
            policy, or a file cannot be read, is not UTF-8 or is too large.
    """
    home = root / "governor"
    directories = sorted(
        path for path in _entries(home) if path.is_dir() and not path.name.startswith(".")
    )
    _refuse_strays(root, directories)
    library = tuple(
        module
        for directory in directories
        if directory.name == LIBRARY
        for module in _modules(directory, root)
    )
    units = tuple(
        _unit(directory, root, library) for directory in directories if directory.name != LIBRARY
    )
    if not units:
        raise PolicySourceError(
            f"{home} holds no policy: give each its own directory of .rego files"
        )
    return PolicySet(units)


def _unit(directory: Path, root: Path, library: tuple[Module, ...]) -> Unit:
    if not _NAME.fullmatch(directory.name) or directory.name in _KEYWORDS:
        raise PolicySourceError(
            f"{directory} is no name for a package: use letters, digits and underscores, "
            "and no word of the language"
        )
    own = _modules(directory, root)
    if not own:
        raise PolicySourceError(
            f"{directory} holds no .rego file beside tests: add one or remove it"
        )
    return Unit(
        name=f"governor.{directory.name}",
        query=unit_query(directory.name),
        modules=own + library,
        answers=tuple(f"data.governor.{directory.name}.{answer}" for answer in ANSWERS),
    )


def _refuse_strays(root: Path, directories: list[Path]) -> None:
    """A policy where nobody looks for it would be believed to be in force."""
    for path in _rego_files(root):
        if not any(path.is_relative_to(directory) for directory in directories):
            raise PolicySourceError(
                f"{path} is in no policy's directory, so it would not be asked: "
                f"move it to {root / 'governor'}/<name>/"
            )


def unit_query(name: str) -> str:
    """Ask for all that a unit may answer; a rule that it lacks gives nothing."""
    return "; ".join(
        f"{answer} := {{x | some x in data.governor.{name}.{answer}}}" for answer in ANSWERS
    )


def _modules(directory: Path, root: Path) -> tuple[Module, ...]:
    # Else a file of one policy, or of the library, could speak for another.
    package = f"data.governor.{directory.name}"
    return tuple(
        Module(path.relative_to(root).as_posix(), _source(path), package)
        for path in _rego_files(directory)
    )


def _rego_files(directory: Path) -> list[Path]:
    """Find the files to load. Nothing that looks like one may be passed over in silence."""
    found: list[Path] = []
    for folder, folders, names in os.walk(directory, onerror=_refuse_folder):
        # A mounted ConfigMap keeps its files a second time, in hidden folders.
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            if (Path(folder) / name).is_symlink():
                raise PolicySourceError(f"{folder}/{name} is a link to a folder: give the folder")
        found += [
            Path(folder) / name
            for name in names
            if name.endswith(".rego") and not name.endswith("_test.rego")
        ]
    return sorted(found)


def _refuse_folder(error: OSError) -> None:
    raise PolicySourceError(
        f"cannot read the folder of policies {error.filename}: {error.strerror}"
    ) from error


def _source(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_MODULE_BYTES:
            raise PolicySourceError(
                f"{path} has {size} bytes; at most {MAX_MODULE_BYTES} are taken: split it"
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicySourceError(f"cannot read the policy {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PolicySourceError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start}"
        ) from error


def _entries(home: Path) -> list[Path]:
    try:
        return list(home.iterdir())
    except OSError as error:
        raise PolicySourceError(
            f"cannot read the policies in {home}: {error.strerror}; "
            "give the folder that holds governor/"
        ) from error
