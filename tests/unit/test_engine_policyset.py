"""Policy sets as values: one digest for one meaning, and bounds on their sizes."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.clients.engine.policyset import (
    MAX_MODULE_BYTES,
    Module,
    PolicySet,
    PolicySourceError,
    Unit,
)
from tests.engines import ECHO, QUIET, policies, unit_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def test_the_digest_is_of_the_canonical_json() -> None:
    one = policies(ECHO)
    assert one.digest == hashlib.sha256(one.canonical).digest()
    assert json.loads(one.canonical) == {
        "allow": [],
        "units": [
            {
                "data": {},
                "modules": {"governor/echo/echo.rego": ECHO},
                "name": "governor.echo",
                "query": one.units[0].query,
                "regoVersion": "v1",
                "answers": [],
                "packages": {},
                "strictBuiltinErrors": True,
            }
        ],
    }


@given(TEXT, TEXT)
def test_equal_sets_have_equal_digests_and_others_do_not(first: str, second: str) -> None:
    sources = [policies("package governor.p\n" + text) for text in (first, second)]
    assert (sources[0].digest == sources[1].digest) == (first == second)


def test_neither_the_order_of_modules_nor_of_allowances_is_part_of_the_digest() -> None:
    modules = (Module("a.rego", "package a"), Module("b.rego", "package b"))
    unit = Unit("u", "x := 1", modules)
    turned = replace(unit, modules=modules[::-1])
    assert PolicySet((unit,), ("a", "b")).digest == PolicySet((turned,), ("b", "a")).digest


CHANGES: dict[str, dict[str, Any]] = {
    "its name": {"name": "other"},
    "its query": {"query": "x := 2"},
    "a path": {"modules": (Module("other.rego", ECHO),)},
    "its data": {"data": b'{"a":1}'},
    "how errors count": {"strict_builtin_errors": False},
    "its language": {"rego_version": "v0"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_whatever_changes_the_meaning_of_a_unit_changes_the_digest(change: dict[str, Any]) -> None:
    unit = unit_of(ECHO)
    assert PolicySet((unit,)).digest != PolicySet((replace(unit, **change),)).digest


def test_what_is_allowed_is_part_of_the_digest() -> None:
    assert policies(ECHO).digest != policies(ECHO, allow=("http.send",)).digest


def test_units_keep_their_order() -> None:
    assert policies(QUIET, ECHO).names == ("governor.quiet", "governor.echo")
    assert policies(QUIET, ECHO).digest != policies(ECHO, QUIET).digest


def test_a_module_that_is_too_large_is_named() -> None:
    with pytest.raises(
        PolicySourceError, match=r"governor/p/p\.rego has .* at most 262144 .* split"
    ):
        policies("package governor.p\n#" + "x" * MAX_MODULE_BYTES)


def test_bytes_count_and_not_characters() -> None:
    with pytest.raises(PolicySourceError, match=r"governor/p/p\.rego has"):
        policies("package governor.p\n#" + "é" * (MAX_MODULE_BYTES // 2))


def test_a_unit_that_is_too_large_is_named() -> None:
    source = "#" * (MAX_MODULE_BYTES - 1)
    modules = tuple(Module(f"{i}.rego", source) for i in range(9))
    with pytest.raises(PolicySourceError, match="unit u has"):
        Unit("u", "x := 1", modules)


def test_a_set_that_is_too_large_is_refused() -> None:
    source = "#" * (MAX_MODULE_BYTES - 1)
    modules = tuple(Module(f"{i}.rego", source) for i in range(7))
    with pytest.raises(PolicySourceError, match="the policy set has"):
        PolicySet(tuple(Unit(f"u{i}", "x := 1", modules) for i in range(5)))


def test_two_units_of_one_name_are_refused() -> None:
    with pytest.raises(PolicySourceError, match=r"repeated: \['governor.echo'\]"):
        policies(ECHO, ECHO)


def test_two_modules_of_one_path_are_refused() -> None:
    unit = Unit("u", "x := 1", (Module("a.rego", ""), Module("a.rego", "")))
    with pytest.raises(PolicySourceError, match=r"two modules with the path a\.rego"):
        _ = PolicySet((unit,)).digest


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(PolicySourceError, match="not valid Unicode"):
        policies("package governor.p\n# \ud800")
