"""`governor log`: what agents did, newest first, one line each.

Reads the ledger's Git repository, and asks no cluster. Ends with status 0, or 2 where
the ledger cannot be read. Whatever an agent wrote is shown without control characters.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from ulid import ULID

from controller.accounts.entries import Outcome
from controller.apis.json import Json
from controller.cli.ledger import BAD_LEDGER, Found, LedgerReadError, Trailers, find_records
from controller.cli.verdicts import plain
from controller.records.record import subject_of

OUTCOMES: Final = (*(outcome.value for outcome in Outcome), "denied", "attempted")
_AGO: Final = re.compile(r"(?P<number>[1-9][0-9]{0,5})(?P<unit>[smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

_Ledger = Annotated[Path, typer.Option("--ledger", help="The ledger's bare Git repository.")]
_Agent = Annotated[str | None, typer.Option(help="Only what this agent did.")]
_Object = Annotated[
    str | None, typer.Option("--object", help="Only of this object: NAMESPACE/NAME, or NAME.")
]
_OutcomeOption = Annotated[str | None, typer.Option(help=f"Only with it: {', '.join(OUTCOMES)}.")]
_Since = Annotated[
    str | None, typer.Option(help="Only since: 90m, 12h, 7d, or 2026-01-02T03:04:05Z.")
]
_Number = Annotated[int, typer.Option("-n", min=1, help="At most so many.")]
_Json = Annotated[bool, typer.Option("--json", help="The records, as a JSON list.")]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which records are asked for; what is None does not matter."""

    agent: str | None = None
    object_name: str | None = None
    """`NAMESPACE/NAME`, of a cluster-scoped object its name."""
    outcome: str | None = None
    since: datetime | None = None

    def match(self, trailers: Trailers) -> bool:
        """Whether a record with these trailers is asked for."""
        _, _, object_name = trailers.get("Object", "").partition(" ")
        return (
            self.agent in {None, trailers.get("Agent")}
            and self.object_name in {None, object_name}
            and self.outcome in {None, trailers.get("Outcome")}
            and (self.since is None or _is_since(trailers["Change-Id"], self.since))
        )


def log(
    ledger: _Ledger,
    agent: _Agent = None,
    object_name: _Object = None,
    outcome: _OutcomeOption = None,
    since: _Since = None,
    number: _Number = 20,
    as_json: _Json = False,  # noqa: FBT002 - typer's form of a flag
) -> None:
    """Tell what agents did, newest first."""
    try:
        filters = read_filters(
            agent=agent,
            object_name=object_name,
            outcome=outcome,
            since=since,
            now=datetime.now(UTC),
        )
        found = [*find_records(ledger, filters.match, limit=number)]
    except LedgerReadError as error:
        typer.echo(plain(f"governor log: {error}"), err=True)
        raise typer.Exit(BAD_LEDGER) from None
    typer.echo(json_of(found) if as_json else text_of(found))


def read_filters(
    *,
    agent: str | None = None,
    object_name: str | None = None,
    outcome: str | None = None,
    since: str | None = None,
    now: datetime,
) -> Filters:
    """What the options ask for.

    Raises:
        LedgerReadError: one of them means nothing.
    """
    if outcome is not None and outcome not in OUTCOMES:
        raise LedgerReadError(f"--outcome: {outcome!r} is none of {', '.join(OUTCOMES)}")
    moment = None if since is None else _moment(since, now=now)
    return Filters(agent, object_name, outcome, moment)


def text_of(found: Sequence[Found]) -> str:
    """A line for each record."""
    lines = [
        f"{when(one.record)}  {plain(str(one.record.get('change')))}  {subject_of(one.record)}"
        for one in found
    ]
    return "\n".join(lines) or "there is no such record"


def json_of(found: Sequence[Found]) -> str:
    """The records with their commits, as a list; ASCII only."""
    return json.dumps([{"commit": one.commit, **one.record} for one in found], indent=2)


def when(record: dict[str, Json]) -> str:
    """When the write was judged, to the second; of an older kind of record when it was made."""
    entry = record.get("entry")
    made = entry.get("madeAt") if isinstance(entry, dict) else None
    for moment in (record.get("receivedAt"), record.get("firstAt"), made):
        if isinstance(moment, str):
            return plain(f"{moment[:19]}Z")
    return "(time unknown)      "


def _moment(since: str, *, now: datetime) -> datetime:
    ago = _AGO.fullmatch(since)
    try:
        if ago is not None:
            return now - timedelta(seconds=int(ago["number"]) * _SECONDS[ago["unit"]])
        moment = datetime.fromisoformat(since)
    except (ValueError, OverflowError):  # the latter: before the year 1
        moment = None
    if moment is None or moment.tzinfo is None:
        problem = f"--since: {since!r} is no time"
        raise LedgerReadError(f"{problem}; write 90m, 12h, 7d, or 2026-01-02T03:04:05Z")
    return moment


def _is_since(change: str, since: datetime) -> bool:
    """A change's id tells when it was made; another id than ours never."""
    try:
        return ULID.from_str(change).datetime >= since
    except ValueError:
        return False
