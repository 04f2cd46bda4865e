"""The Account as JSON: what is stored in the Account object, and back, without loss.

The pending entries are texts, each one JSON array, for the API server's cost of a
swap grows with every field that it sees (a list of 100 structured entries costs
47 ms of its CPU). The reader is strict: what it does not know, it does not read,
because whoever swaps writes all that was read, and would erase what a later Governor
had put there. It decides nothing about what an account says, and calls nobody.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeVar, cast

import orjson

from controller.accounts.account import Account, Fence
from controller.accounts.entries import Action, Attempt, Entry, Outcome, WatchedKind
from controller.accounts.windows import Window, WindowKey
from controller.apis.json import Json
from controller.apis.resources import NOTHING, Amounts

API_VERSION: Final = "governor.dev/v1alpha1"
KIND: Final = "Account"
MAX_ENTRY_LENGTH: Final = 4000
"""Most characters of an open entry's text. The API server takes a little more (4096): the
outcome is still to come."""

_FORM: Final = 1
"""The first element of every entry: which form the others have."""
_MAX_INTEGER: Final = 2**63 - 1
_REMEMBERED: Final = 4096

_T = TypeVar("_T")


class AccountUnreadableError(ValueError):
    """A stored Account that says something which Governor never writes.

    Attributes:
        field: where, as in `status.pending[3][5]`; empty for the whole object.
        problem: what is wrong there.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


class EntryUnwritableError(ValueError):
    """An entry that no Account can hold, with the reason; nothing was written."""


def account_to_object(account: Account, *, metadata: Mapping[str, Json]) -> dict[str, Json]:
    """The object to store.

    Args:
        account: what it says.
        metadata: of the stored object, with whatever others wrote there; `name` is set.

    Raises:
        EntryUnwritableError: an entry holds what JSON cannot.
    """
    fence = account.fence
    status: dict[str, Json] = {
        "fence": {
            "mandateUID": fence.mandate_uid,
            "generation": fence.generation,
            "suspended": fence.suspended,
        }
    }
    if account.settled:
        status["settled"] = {name: _most(amount) for name, amount in account.settled.items()}
    if account.as_of:
        status["asOf"] = {str(kind): str(version) for kind, version in account.as_of.items()}
    if account.pending:
        status["pending"] = [_entry_text(entry) for entry in account.pending]
    status |= _spending_to_object(account)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {**metadata, "name": account.agent},
        "status": status,
    }


def _spending_to_object(account: Account) -> dict[str, Json]:
    written: dict[str, Json] = {}
    if account.windows:
        written["windows"] = {
            str(key): {
                "startedAt": window.started_at,
                "accruedAt": window.accrued_at,
                "spent": _most(window.spent),
            }
            for key, window in account.windows.items()
        }
    if account.wanted:
        written["wanted"] = [str(key) for key in account.wanted]
    if account.prices:
        written["prices"] = account.prices
    if account.asks_version:
        written["asksVersion"] = account.asks_version
    return written


def _most(amount: int) -> int:
    """As much of an amount as can be stored, which no limit exceeds.

    Sums pass 64 bits where objects ask for nonsense, such as 8Ei each: were they not written,
    one such agent would stop the settler for all.
    """
    return min(amount, _MAX_INTEGER)


def account_from_object(obj: Mapping[str, Json]) -> Account:
    """What a stored object says.

    Raises:
        AccountUnreadableError: it says anything that `account_to_object` never writes.
    """
    metadata = _object(obj.get("metadata"), "metadata")
    status = _object(obj.get("status"), "status", known=_STATUS)
    fence = _object(status.get("fence"), "status.fence", known=_FENCE)
    return Account(
        agent=_text(metadata.get("name"), "metadata.name"),
        fence=Fence(
            mandate_uid=_text(fence.get("mandateUID"), "status.fence.mandateUID", least=0),
            generation=_natural(fence.get("generation"), "status.fence.generation"),
            suspended=_truth(fence.get("suspended"), "status.fence.suspended"),
        ),
        settled=_amounts(status.get("settled", {}), "status.settled"),
        as_of=_as_of(status.get("asOf", {})),
        pending=_pending(status.get("pending", [])),
        windows=_windows(status.get("windows", {})),
        wanted=_wanted(status.get("wanted", [])),
        prices=_text(status.get("prices", ""), "status.prices", least=0),
        asks_version=_natural(status.get("asksVersion", 0), "status.asksVersion"),
    )


_STATUS: Final = frozenset(
    {"fence", "settled", "asOf", "pending", "windows", "wanted", "prices", "asksVersion"}
)
_FENCE: Final = frozenset({"mandateUID", "generation", "suspended"})
_WINDOW: Final = frozenset({"startedAt", "accruedAt", "spent"})


def check_writable(entry: Entry) -> None:
    """See to it that an account can hold an entry, before it is folded with others' entries.

    Raises:
        EntryUnwritableError: it is too long, or holds what no reader would take.
    """
    text = _entry_text(entry)
    if len(text) > MAX_ENTRY_LENGTH:
        raise EntryUnwritableError(
            f"the entry of {entry.kind} {entry.namespace}/{entry.name[:80]} has {len(text)} "
            f"characters, and an account takes {MAX_ENTRY_LENGTH}: use shorter names"
        )
    try:
        is_kept = _entry(text) == entry
    except _OddElementError as odd:
        raise EntryUnwritableError(f"the entry's element {odd.path}: {odd.problem}") from odd
    if not is_kept:
        raise EntryUnwritableError(f"the entry of {entry.kind} would be read as another one")


def write_entry(entry: Entry) -> str:
    """One entry as a text, as an account holds it.

    Raises:
        EntryUnwritableError: it holds what JSON cannot.
    """
    return _entry_text(entry)


def read_entry(text: str) -> Entry:
    """What `write_entry` was given.

    Raises:
        AccountUnreadableError: it never writes this; the field is one within the entry.
    """
    try:
        return _entry(text)
    except _OddElementError as odd:
        raise AccountUnreadableError(odd.path, odd.problem) from odd


def _entry_text(entry: Entry) -> str:
    written = [
        _FORM,
        entry.change,
        entry.attempt.replica,
        entry.attempt.number,
        entry.action.value,
        str(entry.kind),
        entry.namespace,
        entry.name,
        entry.uid,
        entry.version,
        entry.made_at,
        entry.digest,
        entry.old_change,
        entry.old_digest,
        {**entry.before},
        {**entry.after},
        entry.record,
        "" if entry.outcome is None else entry.outcome.value,
    ]
    try:
        return orjson.dumps(written).decode()
    except orjson.JSONEncodeError as unencodable:
        raise EntryUnwritableError(f"the entry is no JSON: {unencodable}") from unencodable


_ELEMENTS: Final = 18


class _OddElementError(ValueError):
    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        """Within the entry, as in `[5]`; empty for the whole entry."""
        self.problem = problem


@lru_cache(maxsize=_REMEMBERED)
def _entry(text: str) -> Entry:
    """Read one entry. Most of a list stay the same from swap to swap, so they are remembered."""
    try:
        read = orjson.loads(text)
    except orjson.JSONDecodeError as garbled:
        raise _OddElementError("", f"is no JSON: {garbled}") from garbled
    if not isinstance(read, list):
        raise _OddElementError("", "is no JSON array")
    parts = cast("list[Json]", read)
    if len(parts) != _ELEMENTS or parts[0] != _FORM or parts[0] is True:
        raise _OddElementError("", f"is no entry of form {_FORM} with {_ELEMENTS} elements")
    try:
        return _entry_of(parts)
    except AccountUnreadableError as odd:
        raise _OddElementError(odd.field, odd.problem) from odd


def _entry_of(parts: list[Json]) -> Entry:
    outcome = parts[17]
    return Entry(
        change=_text(parts[1], "[1]"),
        attempt=Attempt(_text(parts[2], "[2]", least=0), _natural(parts[3], "[3]")),
        action=_parsed(Action, parts[4], "[4]"),
        kind=_parsed(WatchedKind.parse, parts[5], "[5]"),
        namespace=_text(parts[6], "[6]", least=0),
        name=_text(parts[7], "[7]", least=0),
        uid=_text(parts[8], "[8]", least=0),
        version=_natural(parts[9], "[9]"),
        made_at=_natural(parts[10], "[10]"),
        digest=_text(parts[11], "[11]", least=0),
        old_change=_text(parts[12], "[12]", least=0),
        old_digest=_text(parts[13], "[13]", least=0),
        before=_amounts(parts[14], "[14]"),
        after=_amounts(parts[15], "[15]"),
        record=_text(parts[16], "[16]", least=0),
        outcome=None if outcome == "" else _parsed(Outcome, outcome, "[17]"),
    )


def _pending(value: Json) -> tuple[Entry, ...]:
    if not isinstance(value, list):
        raise AccountUnreadableError("status.pending", f"must be a list, not {_shown(value)}")
    return tuple(_entry_at(number, text) for number, text in enumerate(value))


def _entry_at(number: int, value: Json) -> Entry:
    field = f"status.pending[{number}]"
    try:
        return _entry(_text(value, field))
    except _OddElementError as odd:
        raise AccountUnreadableError(f"{field}{odd.path}", odd.problem) from odd


def _as_of(value: Json) -> Mapping[WatchedKind, int]:
    read: dict[WatchedKind, int] = {}
    for kind, version in _object(value, "status.asOf").items():
        field = f"status.asOf[{_shown(kind)}]"
        read[_parsed(_kind, kind, field)] = _version(version, field)
    return MappingProxyType(read)


def _windows(value: Json) -> Mapping[WindowKey, Window]:
    read: dict[WindowKey, Window] = {}
    for key, one in _object(value, "status.windows").items():
        field = f"status.windows[{_shown(key)}]"
        window = _object(one, field, known=_WINDOW)
        read[_parsed(_window_key, key, field)] = Window(
            started_at=_natural(window.get("startedAt"), f"{field}.startedAt"),
            accrued_at=_natural(window.get("accruedAt"), f"{field}.accruedAt"),
            spent=_natural(window.get("spent"), f"{field}.spent"),
        )
    return MappingProxyType(read)


def _wanted(value: Json) -> tuple[WindowKey, ...]:
    if not isinstance(value, list):
        raise AccountUnreadableError("status.wanted", f"must be a list, not {_shown(value)}")
    return tuple(
        _parsed(_window_key, key, f"status.wanted[{number}]") for number, key in enumerate(value)
    )


@lru_cache(maxsize=1024)
def _window_key(text: str) -> WindowKey:
    return WindowKey.parse(text)


@lru_cache(maxsize=1024)
def _kind(text: str) -> WatchedKind:
    """Accounts name the same few kinds again and again."""
    return WatchedKind.parse(text)


def _version(value: Json, field: str) -> int:
    """A resource version as the API writes it: a text, for it may pass what a float can hold."""
    if not isinstance(value, str) or re.fullmatch("[0-9]{1,19}", value) is None:
        raise AccountUnreadableError(field, f"must be a resource version, not {_shown(value)}")
    # It becomes the version of a create's entry, whose bound is this one.
    return _natural(int(value), field)


def _amounts(value: Json, field: str) -> Amounts:
    written = _object(value, field)
    if not written:
        return NOTHING
    return MappingProxyType(
        {key: _natural(amount, f"{field}[{_shown(key)}]") for key, amount in written.items()}
    )


def _object(value: Json, field: str, *, known: frozenset[str] | None = None) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise AccountUnreadableError(field, f"must be an object, not {_shown(value)}")
    odd = value.keys() - known if known is not None else ()
    if odd:
        names = ", ".join(sorted(odd))[:80]
        raise AccountUnreadableError(field, f"holds {names}, which this Governor does not know")
    return value


def _text(value: Json, field: str, *, least: int = 1) -> str:
    if isinstance(value, str) and len(value) >= least:
        return value
    raise AccountUnreadableError(field, f"must be a text, not {_shown(value)}")


def _natural(value: Json, field: str) -> int:
    # A bool is an int to Python.
    if type(value) is int and 0 <= value <= _MAX_INTEGER:
        return value
    raise AccountUnreadableError(field, f"must be a number from 0, not {_shown(value)}")


def _truth(value: Json, field: str) -> bool:
    if isinstance(value, bool):
        return value
    raise AccountUnreadableError(field, f"must be true or false, not {_shown(value)}")


def _parsed(parse: Callable[[str], _T], value: Json, field: str) -> _T:
    try:
        return parse(_text(value, field))
    except ValueError as unknown:
        raise AccountUnreadableError(field, f"{_shown(value)} is not known") from unknown


def _shown(value: Json) -> str:
    match value:
        case None:
            return "nothing"
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return repr(value)[:80]
