"""Words a denial as the agent reads it: one line for people, then the same as JSON.

The form is a contract (docs/denials.md): agents parse it. In a message, the
first ` change=` is ours, and what follows its id is one JSON object in ASCII.
Text that a caller chose is bounded and stripped of control characters, and so is
the whole; nothing is decided here.
"""

import json

import orjson

from controller.admission.judge import Denied
from controller.apis.json import Json
from controller.policy.denials import Denial

MAX_TEXT = 3000
"""Characters of the part for people."""
MAX_MACHINE = 6 * 1024
"""Bytes of the part for machines."""
MAX_WARNING = 240
"""The API server cuts longer warnings when there are many."""
MAX_LISTED = 8
"""How many denials of one write are told, beginning with the one to act on."""
_MAX_MESSAGE = 600
_MAX_VALUE = 200
_MARK = "change="
_DETAIL = ((512, MAX_LISTED), (128, 4), (32, 1))
"""Characters of a value, and number of denials: as much as fits is told to machines."""


def word_denial(denied: Denied) -> str:
    """The whole message: `governor: denied [code] …. change=… {json}`."""
    first, *others = denied.denials
    told = others[: MAX_LISTED - 1]
    lines = [f"governor: denied {_line(first)}"]
    lines += [f"also [{other.code}] {shown(other.message, _MAX_VALUE)}." for other in told]
    if len(told) < len(others):
        lines.append(f"{len(others) - len(told)} more.")
    text = _cut(" ".join(lines), MAX_TEXT)
    return f"{text.replace(_MARK, 'change:')} {_MARK}{denied.change} {_machine(denied)}"


def word_relaxed(denial: Denial) -> str:
    """The same denial as a warning, where the mandate only warns."""
    return shown(f"governor: would be denied [{denial.code}] {denial.message}", MAX_WARNING)


def word_warning(text: str) -> str:
    """A policy's own warning: one line, short enough to arrive whole."""
    return shown(f"governor: {text}", MAX_WARNING)


def shown(text: str, length: int) -> str:
    """The text's beginning without what a terminal or a reader acts on.

    That is control, format and separator characters. One that was cut ends in
    an ellipsis.
    """
    beginning = _cut(text, length)
    if beginning.isprintable():  # most texts are, and this is the cheap way to know
        return beginning
    return "".join(letter if letter.isprintable() else "�" for letter in beginning)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _line(denial: Denial) -> str:
    where = f"{shown(denial.field, _MAX_VALUE)}: " if denial.field else ""
    parts = [f"[{denial.code}] {where}{shown(denial.message, _MAX_MESSAGE)}"]
    parts += [
        f"{label} {_value(value)}"
        for label, value in (
            # What a list grants is in the message already, in words.
            ("limit", None if isinstance(denial.limit, list) else denial.limit),
            ("remaining", denial.remaining),
            ("would pass:", denial.passes),
        )
        if value is not None
    ]
    advice = "Retry later" if denial.retry else "Final: do not retry unchanged"
    return f"{'; '.join(parts)}. {advice}."


def _value(value: Json) -> str:
    return shown(value if isinstance(value, str) else _written(value), _MAX_VALUE)


def _machine(denied: Denied) -> str:
    """As much as fits; the least detail always does."""
    written = ""
    for length, number in _DETAIL:
        first, *others = [_told(denial, length) for denial in denied.denials[:number]]
        document = {**first, "change": denied.change, **({"also": others} if others else {})}
        written = json.dumps(document, separators=(",", ":"))
        if len(written) <= MAX_MACHINE:
            break
    return written


def _told(denial: Denial, length: int) -> dict[str, Json]:
    told = {key: _bounded(value, length) for key, value in denial.as_json().items()}
    return {**told, "code": denial.code}


def _bounded(value: Json, length: int) -> Json:
    """A value as it is, or the beginning of it, or of its JSON, as text."""
    text = value if isinstance(value, str) else _written(value)
    return value if len(text) <= length else _cut(text, length)


def _written(value: Json) -> str:
    return orjson.dumps(value).decode()
