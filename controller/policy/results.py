"""Reads what policies answered: output is validated like any other input.

A unit that failed, or answered something else than was promised, is a denial
(`policy-error`): whatever a policy does, it cannot let a write through by
breaking. Decides nothing else.
"""

import re
from dataclasses import dataclass, fields
from typing import Final

import orjson

from controller.apis.json import Json
from controller.apis.quantities import QuantityError, amount_of
from controller.apis.resources import HELD, SPENT
from controller.policy.denials import Code, Denial
from controller.policy.engine import Evaluation, UnitResult

MAX_FINDINGS = 64
"""How many denials, warnings or caps of one unit are read; more is an error of that unit."""
MAX_TEXT = 1024
"""Characters kept of any text that a policy gives."""

MAX_CODE = 63
"""Characters of a code; it stands in audit annotations, which must stay small."""

ANSWERS: Final = ("deny", "warn", "cap")
"""The sets that every unit is asked for."""
SHORTEST_WINDOW, LONGEST_WINDOW = 60, 31_536_000
"""Seconds: as of a mandate's budget."""

_DENIAL_KEYS = frozenset(field.name for field in fields(Denial))
_CAP_KEYS = frozenset({"resource", "limit", "windowSeconds", "code", "message", "rule"})
_NOT_A_RULES = frozenset(Code) - {Code.POLICY_ERROR}
"""Codes of Governor itself, whose meaning no policy may change. `policy-error` is
what the Rego library falls back on for a rule without a code."""
_CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit of a policy on what the agent holds, or spends in a window, while it judges so."""

    resource: str
    amount: int
    """In the resource's unit (`controller.apis.resources`)."""
    window_seconds: int | None
    """Of what is spent; None of what is held."""
    code: str
    """Of the denial of a write that exceeds it."""
    message: str
    rule: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that the policies said about one write."""

    denials: tuple[Denial, ...] = ()
    faults: tuple[Denial, ...] = ()
    """Units without a proper answer: these refuse whatever the enforcement is."""
    warnings: tuple[str, ...] = ()
    caps: tuple[Cap, ...] = ()
    """What the account is to hold beside the mandate's own limits."""


class _BrokenPromiseError(Exception):
    """A unit's value does not have the promised shape."""


def read_results(evaluation: Evaluation) -> Judgement:
    """Collect the findings of all units; one unit's failure hides no other's findings."""
    judgement = Judgement()
    for result in evaluation.results:
        try:
            judgement = _sum(judgement, _read_unit(result))
        except _BrokenPromiseError as error:
            judgement = _sum(judgement, Judgement(faults=(_fault(result.unit, str(error)),)))
    if not evaluation.results:
        return Judgement(faults=(_fault("(none)", "no policy answered"),))
    return judgement


def _sum(one: Judgement, other: Judgement) -> Judgement:
    return Judgement(
        denials=one.denials + other.denials,
        faults=one.faults + other.faults,
        warnings=one.warnings + other.warnings,
        caps=one.caps + other.caps,
    )


def _fault(unit: str, problem: str) -> Denial:
    message = f"policy {unit} could not judge this write: {problem}"
    return Denial(Code.POLICY_ERROR, _bounded(message), rule=unit)


def _read_unit(result: UnitResult) -> Judgement:
    if result.error is not None:
        raise _BrokenPromiseError(result.error)
    value = result.value
    if not isinstance(value, dict) or not value.keys() <= {*ANSWERS}:
        raise _BrokenPromiseError("its answer is not an object of deny, warn and cap")
    return Judgement(
        denials=tuple(_denial(item) for item in _findings(value, "deny", _DENIAL_KEYS)),
        warnings=tuple(_text(item, "message") for item in _findings(value, "warn", _DENIAL_KEYS)),
        caps=tuple(_cap(item) for item in _findings(value, "cap", _CAP_KEYS)),
    )


def _findings(value: dict[str, Json], key: str, known: frozenset[str]) -> list[dict[str, Json]]:
    found = value.get(key, [])
    if not isinstance(found, list) or len(found) > MAX_FINDINGS:
        raise _BrokenPromiseError(f"{key} is not a list of at most {MAX_FINDINGS} objects")
    objects = [item for item in found if isinstance(item, dict)]
    if len(objects) < len(found):
        raise _BrokenPromiseError(f"{key} holds something that is not an object")
    unknown = sorted({name for item in objects for name in item} - known)
    if unknown:
        problem = f"{key} has the unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
        raise _BrokenPromiseError(problem)
    return objects


def _code(item: dict[str, Json]) -> str:
    code = _text(item, "code")
    if len(code) > MAX_CODE or not _CODE.fullmatch(code):
        problem = f"the code {code[:MAX_CODE]!r} is not kebab-case of at most {MAX_CODE} characters"
        raise _BrokenPromiseError(problem)
    if code in _NOT_A_RULES:
        problem = f"the code {code!r} is Governor's own; give the rule one of its own"
        raise _BrokenPromiseError(problem)
    return code


def _denial(item: dict[str, Json]) -> Denial:
    return Denial(
        code=_code(item),
        message=_text(item, "message"),
        rule=_text(item, "rule"),
        field=_text(item, "field") if item.get("field") is not None else None,
        asked=_value(item, "asked"),
        limit=_value(item, "limit"),
        remaining=_value(item, "remaining"),
        passes=_value(item, "passes"),
        retry=item.get("retry") is True,
    )


def _cap(item: dict[str, Json]) -> Cap:
    resource, limit = item.get("resource"), item.get("limit")
    if not isinstance(resource, str) or resource not in HELD + SPENT:
        known = ", ".join(HELD + SPENT)
        raise _BrokenPromiseError(f"a cap's resource is none of {known}")
    if limit is None:
        raise _BrokenPromiseError(f"the cap of {resource} has no limit")
    try:
        amount = amount_of(resource, limit)
    except QuantityError as error:
        problem = f"the limit of the cap of {resource} is none: {error}"
        raise _BrokenPromiseError(problem) from error
    return Cap(
        resource=resource,
        amount=amount,
        window_seconds=_window(item, resource),
        code=_code(item),
        message=_text(item, "message"),
        rule=_text(item, "rule"),
    )


def _window(item: dict[str, Json], resource: str) -> int | None:
    seconds = item.get("windowSeconds")
    if resource in HELD:
        if seconds is None:
            return None
        problem = f"a cap of {resource} has no windowSeconds: it is held, not spent"
        raise _BrokenPromiseError(problem)
    # A bool is an int to Python.
    if type(seconds) is not int or not SHORTEST_WINDOW <= seconds <= LONGEST_WINDOW:
        bounds = f"{SHORTEST_WINDOW} to {LONGEST_WINDOW}"
        problem = f"the windowSeconds of the cap of {resource} is no integer from {bounds}"
        raise _BrokenPromiseError(problem)
    return seconds


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
