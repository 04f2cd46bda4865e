"""`governor show`: one change in full: who, what, why, what became of it, how to undo it.

Reads the ledger's Git repository, and asks no cluster: it states the inverse and runs
nothing. Ends with status 0, 1 where there is no such change, or 2 where the ledger
cannot be read. Whatever an agent wrote is shown without control characters.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, cast

import typer
import yaml

from controller.accounts.entries import Outcome
from controller.apis.json import Json
from controller.cli.ledger import BAD_LEDGER, Found, LedgerReadError, Trailers, find_records
from controller.cli.log import when
from controller.cli.verdicts import plain, printable
from controller.records.inverse import Inverse, InverseKind, inverse_of
from controller.records.record import object_of, subject_of

NOT_FOUND: Final = 1
MAX_LINES: Final = 200
_MAX_LISTED: Final = 5

EVIDENCE: Final[Mapping[str, str]] = {
    Outcome.PERSISTED: "proven: the watch showed this very write stored",
    Outcome.LOST: "proven: another version followed, or the write never came",
    Outcome.GONE: "the object was deleted; by whom is not proven",
    Outcome.MATCHES: "the object then had this value; who set it is not proven",
    Outcome.UNKNOWN: "versions were missed, no evidence came, or other content than validated",
    Outcome.ALLOWED: "let through; it leaves nothing that a watch could show",
    Outcome.NO_OP: "proven: old and new object were equal, so nothing was written",
    "denied": "Governor refused it, so it took no effect",
    "attempted": "granted, no entry of its own is known: another record tells its effect, or none",
}
"""How each outcome is known."""

_SAFETY: Final[Mapping[InverseKind, str]] = {
    InverseKind.DELETE: "it deletes this very object, with whatever was changed in it since",
    InverseKind.PATCH: "it fails where what the change left was changed since",
    InverseKind.CREATE: "it fails where an object has the name now",
}
"""What pasting the command late may do, and what not."""

_Id = Annotated[str, typer.Argument(metavar="ID", help="A change's id, or the beginning of it.")]
_Ledger = Annotated[Path, typer.Option("--ledger", help="The ledger's bare Git repository.")]
_Json = Annotated[bool, typer.Option("--json", help="The records and the inverse, as JSON.")]


class NoSuchChangeError(Exception):
    """No change has that id, or several begin so."""


def show(
    change: _Id,
    ledger: _Ledger,
    as_json: _Json = False,  # noqa: FBT002 - typer's form of a flag
) -> None:
    """Tell all that is recorded of one change, and how to undo it."""
    try:
        found = find_change(ledger, change)
    except NoSuchChangeError as error:
        typer.echo(plain(f"governor show: {error}"), err=True)
        raise typer.Exit(NOT_FOUND) from None
    except LedgerReadError as error:
        typer.echo(plain(f"governor show: {error}"), err=True)
        raise typer.Exit(BAD_LEDGER) from None
    typer.echo(json_of(found) if as_json else text_of(found))


def find_change(ledger: Path, beginning: str) -> list[Found]:
    """All records of the one change whose id begins so, oldest first.

    Raises:
        NoSuchChangeError: there is none, or more than one.
        LedgerReadError: the ledger cannot be read.
    """
    wanted = beginning.upper()

    def matches(trailers: Trailers) -> bool:
        return bool(wanted) and trailers["Change-Id"].upper().startswith(wanted)

    found = [*find_records(ledger, matches)][::-1]
    changes = [*dict.fromkeys(str(one.record.get("change")) for one in found)]
    if not changes:
        raise NoSuchChangeError(f"no change in this ledger has an id that begins {beginning!r}")
    if len(changes) > 1:
        some = ", ".join(changes[:_MAX_LISTED])
        problem = f"{len(changes)} changes have an id that begins {beginning!r}"
        raise NoSuchChangeError(f"{problem}; give more of it: {some}")
    return found


def json_of(found: Sequence[Found]) -> str:
    """A list of commit, record and inverse; ASCII only."""
    entries = [
        {"commit": one.commit, "record": one.record, "inverse": _inverse_json(one.record)}
        for one in found
    ]
    return json.dumps(entries, indent=2)


def text_of(found: Sequence[Found]) -> str:
    """For people, a block for each record."""
    return "\n\n".join("\n".join(map(printable, _lines(one))) for one in found)


def _inverse_json(record: dict[str, Json]) -> dict[str, object]:
    found = inverse_of(record)
    return {**asdict(found), "exists": isinstance(found, Inverse)}


def _lines(found: Found) -> Iterator[str]:
    record = found.record
    outcome = str(record.get("outcome") or "undecided")
    yield subject_of(record)
    yield f"  change    {plain(str(record.get('change')))}, judged {when(record)}"
    yield f"  agent     {_agent(record)}"
    yield f"  object    {plain(object_of(record))}{_uid(record)}"
    yield f"  outcome   {outcome}: {EVIDENCE.get(outcome, 'not settled yet')}"
    yield from _verdict(record)
    yield from _quoted(record)
    yield f"  recorded  as number {record.get('seq')}, commit {found.commit}"
    yield ""
    yield from _what(record)
    yield ""
    yield from _undo(record)


def _agent(record: Mapping[str, Json]) -> str:
    actor, mandate = _map(record.get("actor")), _map(record.get("mandate"))
    parts = [plain(str(record.get("agent") or "unknown"))]
    if mandate:
        parts.append(f"mandate generation {mandate.get('generation')}")
    parts += [plain(str(actor[key])) for key in ("username", "credential") if actor.get(key)]
    pod = _map(actor.get("pod"))
    return ", ".join([*parts, *([f"Pod {plain(str(pod.get('name')))}"] if pod else [])])


def _uid(record: Mapping[str, Json]) -> str:
    uid = _map(record.get("object")).get("uid") or _map(record.get("entry")).get("uid")
    return f", uid {plain(str(uid))}" if uid else ""


def _verdict(record: Mapping[str, Json]) -> Iterator[str]:
    decision = _map(record.get("decision"))
    if not decision:
        return
    policies = str(decision.get("policies") or "none asked")
    yield f"  verdict   {plain(str(record.get('verdict')))}, policies {plain(policies)}"
    for denial in _maps(decision.get("denials")):
        yield f"            [{plain(str(denial.get('code')))}] {plain(str(denial.get('message')))}"
    warnings = decision.get("warnings")
    for warning in warnings if isinstance(warnings, list) else []:
        yield f"            warning: {plain(str(warning))}"


def _quoted(record: Mapping[str, Json]) -> Iterator[str]:
    reason = record.get("reason")
    if isinstance(reason, str):
        yield "  reason    in the agent's own words:"
        yield from (f"            > {plain(line)}" for line in reason.splitlines())


def _what(record: Mapping[str, Json]) -> Iterator[str]:
    if "bodyMissing" in record:
        yield f"what changed is not recorded: {plain(str(record['bodyMissing']))}"
    elif "omitted" in record:
        yield f"what changed is not recorded: {plain(str(record['omitted']))}"
    elif "changes" in record:
        yield "changes"
        yield from (_change(change) for change in _maps(record["changes"]))
        if record.get("ownershipLost") is True:
            yield "  no manager owns any field any more"
    else:
        for name, sign in (("before", "-"), ("after", "+"), ("options", " ")):
            if name in record:
                yield name
                yield from _document(record[name], sign)


def _change(change: Mapping[str, Json]) -> str:
    sides = [
        plain(json.dumps(change[side], ensure_ascii=False)) if side in change else "(nothing)"
        for side in ("before", "after")
    ]
    return f"  {plain(str(change.get('path')))}: {' → '.join(sides)}"


def _document(value: Json, sign: str) -> Iterator[str]:
    lines = yaml.safe_dump(value, sort_keys=False, allow_unicode=True).splitlines()
    yield from (f"{sign} {line}" for line in islice(lines, MAX_LINES))
    if len(lines) > MAX_LINES:
        yield f"… {len(lines) - MAX_LINES} more lines; --json shows all"


def _undo(record: dict[str, Json]) -> Iterator[str]:
    found = inverse_of(record)
    if not isinstance(found, Inverse):
        yield f"undo: there is no inverse: {plain(found.reason)}"
        return
    yield f"undo: paste this; {_SAFETY[found.kind]}"
    yield from found.command.split("\n")
    yield from (f"  note: {plain(warning)}" for warning in found.warnings)


def _map(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else cast("dict[str, Json]", {})


def _maps(value: Json) -> Iterator[Mapping[str, Json]]:
    yield from (one for one in (value if isinstance(value, list) else []) if isinstance(one, dict))
