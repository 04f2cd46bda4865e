"""Words a denial as the agent reads it: one line for people, then the same as JSON.

The form is a contract (docs/denials.md): agents parse it. Text that a caller
chose is bounded and stripped of control characters; nothing is decided here.
"""

from typing import cast

import orjson

from controller.admission.judge import Denied
from controller.policy.denials import Denial
from controller.policy.json import Json

MAX_LINE = 1200
"""Characters of one denial's line."""
MAX_WARNING = 240
"""The API server cuts longer warnings when there are many."""
_MAX_VALUE = 200


def word_denial(denied: Denied) -> str:
    """The whole message: `governor: denied [code] …. change=… {json}`."""
    first, *others = denied.denials
    lines = [f"governor: denied {_line(first)}"]
    lines += [f"also [{other.code}] {_clean(other.message)}." for other in others]
    text = " ".join(_cut(line, MAX_LINE) for line in lines[:8])
    return f"{text} change={denied.change} {_machine(denied)}"


def word_relaxed(denial: Denial) -> str:
    """The same denial as a warning, where the mandate only warns."""
    return _cut(f"governor: would be denied [{denial.code}] {_clean(denial.message)}", MAX_WARNING)


def word_warning(text: str) -> str:
    """A policy's own warning: one line, short enough to arrive whole."""
    return _cut(f"governor: {_clean(text)}", MAX_WARNING)


def _line(denial: Denial) -> str:
    where = f"{_clean(denial.field)}: " if denial.field else ""
    parts = [f"[{denial.code}] {where}{_clean(denial.message)}"]
    parts += [
        f"{label} {_value(value)}"
        for label, value in (
            ("limit", denial.limit),
            ("remaining", denial.remaining),
            ("would pass:", denial.passes),
        )
        if value is not None
    ]
    advice = "Retry later" if denial.retry else "Final: do not retry unchanged"
    return f"{'; '.join(parts)}. {advice}."


def _machine(denied: Denied) -> str:
    first, *others = denied.denials
    document: dict[str, Json] = {**first.as_json(), "change": denied.change}
    if others:
        document["also"] = [cast("Json", other.as_json()) for other in others[:8]]
    return orjson.dumps(document).decode()


def _value(value: Json) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return _cut(_clean(text), _MAX_VALUE)


def _clean(text: str) -> str:
    return "".join(character if character.isprintable() else "�" for character in text)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
