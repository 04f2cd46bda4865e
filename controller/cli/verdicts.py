"""Shows what was judged, as text for people and as JSON for programs.

Every word of a verdict is taken from the answer that the webhook would send, so
that no second wording exists. Text that came from files is shown without control
characters. It decides nothing but the exit status.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from controller.admission.answer import write_answer
from controller.admission.judge import Denied, Granted
from controller.apis.quantities import amount_text
from controller.apis.resources import HELD, Amounts
from controller.asks.asked import NOTHING_ASKED, Asked
from controller.cli.offline import Write
from controller.policy.denials import Denial

NOT_GOVERNED = "not governed"
DENIED = "denied"
UNRECORDED = "unrecorded"
"""In place of a change's id: a check is no change."""

_MARKS = {DENIED: "✘", NOT_GOVERNED: "·"}
_GRANTED_MARK = "✔"
_MAX_NAME = 300


@dataclass(frozen=True, slots=True)
class Judged:
    """One write, and what became of it."""

    write: Write
    outcome: Granted | Denied
    asked: Asked = NOTHING_ASKED
    is_limited: bool = False
    """A quota or a budget was held, as if the agent had nothing else."""

    @property
    def answer(self) -> dict[str, Any]:
        """The `response` of the AdmissionReview that the webhook would answer with."""
        review = orjson.loads(write_answer(self.write.request.uid, self.outcome))
        return cast("dict[str, Any]", review["response"])

    @property
    def verdict(self) -> str:
        """`granted`, `warned`, `shadowed`, `denied` or `not governed`."""
        annotations = self.answer.get("auditAnnotations")
        return str(annotations["verdict"]) if annotations else NOT_GOVERNED

    @property
    def findings(self) -> tuple[Denial, ...]:
        """Why it was denied, or would be were the mandate enforced."""
        outcome = self.outcome
        return outcome.denials if isinstance(outcome, Denied) else outcome.relaxed


def exit_status(judged: Sequence[Judged]) -> int:
    """0: nothing was denied; 1: something was."""
    return int(any(isinstance(one.outcome, Denied) for one in judged))


def as_json(judged: Sequence[Judged]) -> str:
    """A list with an object for each write, every key always present; ASCII only."""
    return json.dumps([_entry(one) for one in judged], indent=2)


def _entry(judged: Judged) -> dict[str, Any]:
    request, place = judged.write.request, judged.write.manifest.place
    answer = judged.answer
    return {
        "file": place.file,
        "line": place.line,
        "item": place.item,
        "operation": request.operation.value,
        "resource": request.target.qualified,
        "namespace": request.namespace,
        "name": request.name,
        "user": request.user.username,
        "mandate": answer.get("auditAnnotations", {}).get("mandate"),
        "verdict": judged.verdict,
        "message": answer.get("status", {}).get("message"),
        "denials": [{**denial.as_json(), "message": denial.message} for denial in judged.findings],
        "warnings": answer.get("warnings", []),
        "policies": judged.outcome.digest or None,
        "asks": _asks(judged),
    }


def _asks(judged: Judged) -> dict[str, dict[str, str]] | None:
    if judged.write.unknown or judged.asked.problem is not None:
        return None
    return {"before": _amounts(judged.asked.before), "after": _amounts(judged.asked.after)}


def _amounts(amounts: Amounts) -> dict[str, str]:
    return {name: amount_text(name, amounts[name]) for name in HELD if amounts.get(name)}


def as_text(judged: Sequence[Judged]) -> str:
    """A line for each write, its reasons below it, and at the end how many of which."""
    lines = [line for one in judged for line in _lines(one)]
    counts = Counter(one.verdict for one in judged)
    lines.append(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))
    lines += _notes(judged)
    return "\n".join(lines)


def _lines(judged: Judged) -> Iterator[str]:
    request = judged.write.request
    mark = _MARKS.get(judged.verdict, _GRANTED_MARK)
    key = f"{request.namespace}/{request.name}" if request.namespace else request.name
    action = f"{request.operation.lower()} {request.target.qualified} {key}"
    yield f"{mark} {judged.verdict}  {plain(action)}  ({plain(str(judged.write.manifest.place))})"
    answer = judged.answer
    if judged.verdict != NOT_GOVERNED:
        yield from _asks_lines(judged)
    if "status" in answer:
        yield f"  {answer['status']['message']}"
    for warning in answer.get("warnings", []):
        yield f"  warning: {warning}"
    if judged.verdict == "shadowed":
        codes = ", ".join(dict.fromkeys(denial.code for denial in judged.findings))
        yield f"  its mandate only shadows; enforced, it would be denied [{codes}]"
    if judged.verdict == NOT_GOVERNED:
        yield f"  nobody's mandate names {plain(request.user.username)}: Governor lets it pass"


def _asks_lines(judged: Judged) -> Iterator[str]:
    if judged.write.unknown:
        yield f"  asks are not known, and no quota or budget is held: {judged.write.unknown}"
    asks = _asks(judged)
    if asks is None or not (asks["before"] or asks["after"]):
        return
    before, after = (
        ", ".join(f"{amount} {name}" for name, amount in asks[when].items()) or "nothing"
        for when in ("before", "after")
    )
    yield f"  asks {after}" + (f", before {before}" if asks["before"] else "")


def _notes(judged: Sequence[Judged]) -> Iterator[str]:
    if any(one.write.is_made for one in judged):
        yield (
            "note: judged as written: without the API server's defaults, what other webhooks "
            "change, and the live object (docs/check.md)"
        )
    if any(one.write.has_generated_name for one in judged):
        yield "note: a name that ends in xxxxx stands for one that the API server generates"
    if any(one.is_limited for one in judged):
        yield (
            "note: quotas and budgets are held as if each write were the agent's first; what it "
            "holds and has spent only its account in the cluster knows (docs/check.md)"
        )


def plain(text: str) -> str:
    """A name, fit for a terminal: one line, no control characters, not endless."""
    cut = text if len(text) <= _MAX_NAME else f"{text[: _MAX_NAME - 1]}…"
    return printable(cut.replace("\n", "�"))


def printable(text: str) -> str:
    """Without control characters, but for the ends of lines."""
    return "".join(
        character if character.isprintable() or character == "\n" else "�" for character in text
    )
