"""Reads what policies answered: output is validated like any other input.

A unit that failed, or answered something else than was promised, is a denial
(`policy-error`): whatever a policy does, it cannot let a write through by
breaking. Decides nothing else.
"""

import re
from dataclasses import dataclass, fields

import orjson

from controller.apis.json import Json
from controller.policy.denials import Code, Denial
from controller.policy.engine import Evaluation, UnitResult

MAX_FINDINGS = 64
"""How many denials or warnings of one unit are read; more is an error of that unit."""
MAX_TEXT = 1024
"""Characters kept of any text that a policy gives."""

MAX_CODE = 63
"""Characters of a code; it stands in audit annotations, which must stay small."""

_SETS = frozenset({"deny", "warn"})
_KEYS = frozenset(field.name for field in fields(Denial))
_NOT_A_RULES = frozenset(Code) - {Code.POLICY_ERROR}
"""Codes of Governor itself, whose meaning no policy may change. `policy-error` is
what the Rego library falls back on for a rule without a code."""
_CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that the policies said about one write."""

    denials: tuple[Denial, ...] = ()
    faults: tuple[Denial, ...] = ()
    """Units without a proper answer: these refuse whatever the enforcement is."""
    warnings: tuple[str, ...] = ()


class _BrokenPromiseError(Exception):
    """A unit's value does not have the promised shape."""


def read_results(evaluation: Evaluation) -> Judgement:
    """Collect the findings of all units; one unit's failure hides no other's findings."""
    denials: list[Denial] = []
    faults: list[Denial] = []
    warnings: list[str] = []
    for result in evaluation.results:
        try:
            found_denials, found_warnings = _read_unit(result)
        except _BrokenPromiseError as error:
            faults.append(_fault(result.unit, str(error)))
            continue
        denials.extend(found_denials)
        warnings.extend(found_warnings)
    if not evaluation.results:
        faults.append(_fault("(none)", "no policy answered"))
    return Judgement(tuple(denials), tuple(faults), tuple(warnings))


def _fault(unit: str, problem: str) -> Denial:
    message = f"policy {unit} could not judge this write: {problem}"
    return Denial(Code.POLICY_ERROR, _bounded(message), rule=unit)


def _read_unit(result: UnitResult) -> tuple[list[Denial], list[str]]:
    if result.error is not None:
        raise _BrokenPromiseError(result.error)
    if not isinstance(result.value, dict) or not result.value.keys() <= _SETS:
        raise _BrokenPromiseError("its answer is not an object of deny and warn")
    denials = [_denial(item) for item in _findings(result.value, "deny")]
    warnings = [_text(item, "message") for item in _findings(result.value, "warn")]
    return denials, warnings


def _findings(value: dict[str, Json], key: str) -> list[dict[str, Json]]:
    found = value.get(key, [])
    if not isinstance(found, list) or len(found) > MAX_FINDINGS:
        raise _BrokenPromiseError(f"{key} is not a list of at most {MAX_FINDINGS} objects")
    objects = [item for item in found if isinstance(item, dict)]
    if len(objects) < len(found):
        raise _BrokenPromiseError(f"{key} holds something that is not an object")
    unknown = sorted({name for item in objects for name in item} - _KEYS)
    if unknown:
        problem = f"{key} has the unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}"
        raise _BrokenPromiseError(problem)
    return objects


def _denial(item: dict[str, Json]) -> Denial:
    code = _text(item, "code")
    if len(code) > MAX_CODE or not _CODE.fullmatch(code):
        problem = f"the code {code[:MAX_CODE]!r} is not kebab-case of at most {MAX_CODE} characters"
        raise _BrokenPromiseError(problem)
    if code in _NOT_A_RULES:
        problem = f"the code {code!r} is Governor's own; give the rule one of its own"
        raise _BrokenPromiseError(problem)
    return Denial(
        code=code,
        message=_text(item, "message"),
        rule=_text(item, "rule"),
        field=_text(item, "field") if item.get("field") is not None else None,
        asked=_value(item, "asked"),
        limit=_value(item, "limit"),
        remaining=_value(item, "remaining"),
        passes=_value(item, "passes"),
        retry=item.get("retry") is True,
    )


def _text(item: dict[str, Json], key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value:
        raise _BrokenPromiseError(f"a finding's {key} is not a text")
    return _bounded(value)


def _value(item: dict[str, Json], key: str) -> Json:
    """A value as it is, or the beginning of its JSON: a citation may not outgrow the answer."""
    value = item.get(key)
    try:
        written = orjson.dumps(value).decode()
    except TypeError:  # nested too deep
        return "…"
    return value if len(written) <= MAX_TEXT else _bounded(written)


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
