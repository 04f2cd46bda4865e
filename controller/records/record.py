"""What is committed: the record of a write, of a denial, of repeats, and its message.

A record is the body, made when the write was judged, joined with what became of it.
The message is for readers of a bare `git log`; its last block, the trailers, is the
index, and nothing that an agent wrote can add to it. Numbering and chaining are the
ledger's business.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from controller.accounts.entries import Attempt, Entry
from controller.apis.json import Json, map_of, text_of
from controller.records.body import VERSION, UnreadableBodyError, read_body
from controller.records.text import one_line, quoted

MAX_SUBJECT: Final = 100
MAX_REASON: Final = 500
_MAX_TRAILER: Final = 400
_MAX_NAME: Final = 60

WRITE: Final = "write"
DENIAL: Final = "denial"
REPEATS: Final = "repeats"
ATTEMPT: Final = "attempt"


def entry_record(
    body: bytes | None, entry: Entry, *, reason: str | None, agent: str = ""
) -> dict[str, Json]:
    """The record of a write that was let through, once its outcome is known.

    Args:
        body: as it came from the outbox; None where that was lost. One that is not what
            the entry was reserved with counts as lost, and the record says so.
        entry: decided.
        reason: that the agent gave with the write, as `/mutate` saw it.
        agent: the account's, for a record without its body.
    """
    found, missing = _matching_body(body, entry)
    facts: dict[str, Json] = {
        "version": VERSION,
        "type": WRITE,
        "change": entry.change,
        "agent": agent,
        "action": entry.action.value,
        "outcome": entry.outcome.value if entry.outcome is not None else "",
        "reason": reason,
        "entry": _entry(entry),
        "attempt": _attempt(entry.attempt),
    }
    if missing:
        return {**facts, "bodyMissing": missing}
    return {**found, **facts, "agent": found["agent"]}


def denial_record(body: bytes, attempt: Attempt) -> dict[str, Json]:
    """The record of a write that was refused.

    Raises:
        UnreadableBodyError: `body` is none.
    """
    return _stated(body, DENIAL, "denied", attempt)


def attempt_record(body: bytes, attempt: Attempt) -> dict[str, Json]:
    """The record of a grant of which no entry is known.

    Either it was never reserved, or the entry of another call stands for it (equal deletes or
    scales at once), or an administrator deleted the Account that held it. So it says nothing
    about whether the write took effect: another record does, or none.

    Raises:
        UnreadableBodyError: `body` is none.
    """
    return _stated(body, ATTEMPT, "attempted", attempt)


def repeats_record(
    first: Mapping[str, Json], *, count: int, first_ms: int, last_ms: int, attempt: Attempt
) -> dict[str, Json]:
    """The record of further denials just like a recorded one.

    Args:
        first: the denial's record, or its body.
        count: how many there were, the first not counted.
        first_ms: when the first of them was, milliseconds since the epoch.
        last_ms: when the last of them was.
        attempt: which record of which outbox counted them.
    """
    kept = ("agent", "mandate", "actor", "request", "decision")
    return {
        "version": VERSION,
        "type": REPEATS,
        "change": first.get("change", ""),
        "outcome": "denied",
        "verdict": "denied",
        "count": count,
        "firstAt": _time(first_ms),
        "lastAt": _time(last_ms),
        "attempt": _attempt(attempt),
        **{name: first[name] for name in kept if name in first},
    }


def message_of(record: Mapping[str, Json], *, seq: int, prev: str) -> str:
    """The commit's message: subject, the agent's reason, and the trailers as its last block.

    Args:
        record: one of those above.
        seq: its number in the ledger.
        prev: the hash of the record before it.
    """
    reason = quoted(text_of(record.get("reason")), MAX_REASON)
    trailers = "\n".join(f"{name}: {value}" for name, value in _trailers(record, seq, prev))
    blocks = [subject_of(record), *([reason] if reason else []), trailers]
    return "\n\n".join(blocks) + "\n"


def subject_of(record: Mapping[str, Json]) -> str:
    """`migrator create Deployment team-data/web: persisted`, at most `MAX_SUBJECT` characters."""
    who = one_line(text_of(record.get("agent")), _MAX_NAME) or "somebody"
    outcome = _outcome(record)
    room = MAX_SUBJECT - len(who) - len(outcome) - 3
    what = one_line(f"{_verb(record)} {object_of(record)}", max(room, 1))
    return f"{_harmless_start(who)} {what}: {outcome}"


def object_of(record: Mapping[str, Json]) -> str:
    """`Deployment team-data/web`, of a subresource `deployments/scale team-data/web`."""
    request, entry = map_of(record.get("request")), map_of(record.get("entry"))
    resource, subresource = text_of(request.get("resource")), text_of(request.get("subresource"))
    kind = f"{resource}/{subresource}" if subresource else text_of(request.get("kind"))
    place = request or entry
    namespace, name = text_of(place.get("namespace")), text_of(place.get("name"))
    return f"{kind or text_of(entry.get('kind'))} {namespace}/{name}".replace(" /", " ")


def _matching_body(body: bytes | None, entry: Entry) -> tuple[dict[str, Json], str]:
    """The body, or why there is none."""
    if body is None:
        return {}, "lost: the outbox that held it is gone"
    if entry.record and hashlib.sha256(body).hexdigest() != entry.record:
        return {}, "altered: it is not the one that the entry was reserved with"
    try:
        return read_body(body), ""
    except UnreadableBodyError as error:
        return {}, f"unreadable: {error}"


def _stated(body: bytes, type_: str, outcome: str, attempt: Attempt) -> dict[str, Json]:
    return {**read_body(body), "type": type_, "outcome": outcome, "attempt": _attempt(attempt)}


def _entry(entry: Entry) -> dict[str, Json]:
    return {
        "key": str(entry.key),
        "kind": str(entry.kind),
        "namespace": entry.namespace,
        "name": entry.name,
        "uid": entry.uid,
        "version": str(entry.version),
        "madeAt": _time(entry.made_at),
        "digest": entry.digest,
        "oldChange": entry.old_change,
        "oldDigest": entry.old_digest,
        "before": {**entry.before},
        "after": {**entry.after},
        "body": entry.record,
    }


def _attempt(attempt: Attempt) -> dict[str, Json]:
    return {"replica": attempt.replica, "number": attempt.number}


def _time(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trailers(record: Mapping[str, Json], seq: int, prev: str) -> Iterator[tuple[str, str]]:
    attempt, decision = map_of(record.get("attempt")), map_of(record.get("decision"))
    found = (
        ("Change-Id", text_of(record.get("change"))),
        ("Agent", text_of(record.get("agent"))),
        ("Object", object_of(record)),
        ("Outcome", text_of(record.get("outcome"))),
        ("Verdict", text_of(record.get("verdict"))),
        ("Codes", ",".join(codes_of(record))),
        ("Entry", text_of(map_of(record.get("entry")).get("key"))),
        ("Attempt", f"{attempt.get('replica')}/{attempt.get('number')}" if attempt else ""),
        ("Seq", str(seq)),
        ("Prev", prev),
        ("Policies", text_of(decision.get("policies"))),
    )
    return ((name, one_line(text, _MAX_TRAILER)) for name, text in found if text.strip())


def codes_of(record: Mapping[str, Json]) -> list[str]:
    """The codes of its denials, each once."""
    denials = map_of(record.get("decision")).get("denials")
    found = denials if isinstance(denials, list) else []
    return [*dict.fromkeys(text_of(one.get("code")) for one in found if isinstance(one, dict))]


def _outcome(record: Mapping[str, Json]) -> str:
    outcome = text_of(record.get("outcome")) or "undecided"
    if record.get("type") == REPEATS:
        return f"{outcome} {record.get('count')} more times"
    codes = codes_of(record) if outcome == "denied" else []
    return f"{outcome} [{one_line(codes[0], 40)}]" if codes else outcome


def _verb(record: Mapping[str, Json]) -> str:
    operation = text_of(map_of(record.get("request")).get("operation"))
    return operation.lower() or text_of(record.get("action")) or "change"


def _harmless_start(who: str) -> str:
    """A line that begins with `#` or `---` means something to Git."""
    return who if who[:1].isalnum() else f"'{who}"
