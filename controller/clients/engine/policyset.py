"""Policy sets as values: what an engine loads, named by one digest.

It bounds the sizes of what it takes, because compiling does not stop at a
deadline. It must not compile, judge or touch a file.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import orjson

MAX_MODULE_BYTES = 256 * 1024
MAX_UNIT_BYTES = 2 * 1024 * 1024
MAX_SET_BYTES = 8 * 1024 * 1024


class PolicySourceError(Exception):
    """A policy cannot be read or is too large. The message names it and the fix."""


@dataclass(frozen=True, slots=True)
class Module:
    """One Rego file: its path, as it shows in error positions, and its source."""

    path: str
    source: str
    package: str = ""
    """The package that it must be in, or below, e.g. `data.governor.lib`; empty: any."""

    @property
    def size(self) -> int:
        """Bytes of the source.

        Raises:
            PolicySourceError: when it is not valid Unicode text.
        """
        try:
            return len(self.source.encode())
        except UnicodeEncodeError as error:
            raise PolicySourceError(f"{self.path} is not valid Unicode: {error.reason}") from error


@dataclass(frozen=True, slots=True)
class Unit:
    """One policy: compiled alone, answering alone."""

    name: str
    query: str
    """Rego (v1). Its variables are what the unit answers with."""
    modules: tuple[Module, ...]
    data: bytes = b"{}"
    """One JSON object, as text: what `data` holds beside the modules."""
    strict_builtin_errors: bool = True
    """Whether a builtin's error is the unit's error; otherwise it is undefined."""
    rego_version: Literal["v0", "v1"] = "v1"
    answers: tuple[str, ...] = ()
    """The sets that the query reads, e.g. `data.governor.permissions.deny`. One that is defined
    must be a set, and one must be defined: a policy in which nothing is found grants."""

    def __post_init__(self) -> None:
        for module in self.modules:
            if module.size > MAX_MODULE_BYTES:
                _refuse_size(module.path, module.size, MAX_MODULE_BYTES)
        if self.size > MAX_UNIT_BYTES:
            _refuse_size(f"unit {self.name}", self.size, MAX_UNIT_BYTES)

    @property
    def size(self) -> int:
        """Bytes of all that it is made of."""
        modules = sum(module.size for module in self.modules)
        return len(self.query.encode()) + len(self.data) + modules


@dataclass(frozen=True)
class PolicySet:
    """What an engine evaluates as a whole: its units, in the order of their answers."""

    units: tuple[Unit, ...]
    allow: tuple[str, ...] = ()
    """Builtins that are allowed although the engine refuses them by default."""
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = tuple(unit.name for unit in self.units)
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise PolicySourceError(f"units must have different names; repeated: {twice}")
        size = sum(unit.size for unit in self.units)
        if size > MAX_SET_BYTES:
            _refuse_size("the policy set", size, MAX_SET_BYTES)
        object.__setattr__(self, "names", names)

    @cached_property
    def canonical(self) -> bytes:
        """The set as canonical JSON: what is loaded, and what the digest is taken of."""
        document = {
            "units": [_unit_document(unit) for unit in self.units],
            "allow": sorted(self.allow),
        }
        try:
            return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        except TypeError as error:  # orjson's own error is a TypeError
            raise PolicySourceError(f"a name or query is not valid Unicode: {error}") from error

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON, 32 bytes."""
        return hashlib.sha256(self.canonical).digest()


def _unit_document(unit: Unit) -> dict[str, object]:
    return {
        "name": unit.name,
        "query": unit.query,
        "modules": _modules_by_path(unit.name, unit.modules),
        "data": orjson.Fragment(unit.data),
        "strictBuiltinErrors": unit.strict_builtin_errors,
        "regoVersion": unit.rego_version,
        "answers": list(unit.answers),
        "packages": {module.path: module.package for module in unit.modules if module.package},
    }


def _modules_by_path(unit: str, modules: Iterable[Module]) -> dict[str, str]:
    by_path: dict[str, str] = {}
    for module in modules:
        if module.path in by_path:
            raise PolicySourceError(f"unit {unit} has two modules with the path {module.path}")
        by_path[module.path] = module.source
    return by_path


def _refuse_size(what: str, size: int, limit: int) -> None:
    raise PolicySourceError(f"{what} has {size} bytes; at most {limit} are taken: split it")
