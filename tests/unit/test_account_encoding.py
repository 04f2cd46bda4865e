"""The Account as JSON: nothing is lost, nothing unknown is read, each fault names its field."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.accounts.account import Account, Fence
from controller.accounts.encoding import (
    MAX_ENTRY_LENGTH,
    AccountUnreadableError,
    EntryUnwritableError,
    account_from_object,
    account_to_object,
    check_writable,
)
from controller.accounts.entries import Action, Attempt, Entry, Outcome, WatchedKind
from controller.accounts.windows import Window, WindowKey
from tests.accounts import DEPLOYMENTS, PODS, an_account, an_entry

LARGEST = 2**63 - 1
HOURLY = WindowKey("changes", 3600)

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
filled = names.filter(bool)
segments = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
naturals = st.integers(0, LARGEST)
amounts = st.dictionaries(names, naturals, max_size=4)
kinds = st.builds(
    WatchedKind,
    st.sampled_from(["", "apps", "batch", "a.b.example.com"]),
    st.sampled_from(["v1", "v1alpha1"]),
    segments,
)
entries = st.builds(
    Entry,
    change=filled,
    attempt=st.builds(Attempt, names, naturals),
    action=st.sampled_from(Action),
    kind=kinds,
    namespace=names,
    name=names,
    uid=names,
    version=naturals,
    made_at=naturals,
    digest=names,
    old_change=names,
    old_digest=names,
    before=amounts,
    after=amounts,
    record=names,
    outcome=st.none() | st.sampled_from(Outcome),
)
windows = st.builds(WindowKey, segments, st.integers(1, LARGEST))
accounts = st.builds(
    Account,
    agent=filled,
    fence=st.builds(Fence, names, naturals, st.booleans()),
    settled=amounts,
    as_of=st.dictionaries(kinds, naturals, max_size=4),
    pending=st.lists(entries, max_size=5).map(tuple),
    windows=st.dictionaries(windows, st.builds(Window, naturals, naturals, naturals), max_size=4),
    wanted=st.lists(windows, max_size=4).map(tuple),
    prices=names,
    asks_version=naturals,
)


@given(account=accounts)
def test_an_account_is_read_as_it_was_written(account: Account) -> None:
    wire = orjson.loads(orjson.dumps(account_to_object(account, metadata={})))

    assert account_from_object(wire) == account


@given(entry=entries)
def test_an_entry_that_can_be_written_survives(entry: Entry) -> None:
    check_writable(entry)


def test_what_others_wrote_into_the_metadata_stays() -> None:
    metadata: dict[str, Any] = {"name": "other", "resourceVersion": "7", "labels": {"team": "data"}}

    written = account_to_object(an_account(), metadata=metadata)

    assert written["metadata"] == {**metadata, "name": "migrator"}
    assert metadata["name"] == "other"


def test_what_is_empty_is_left_out() -> None:
    written = account_to_object(an_account(as_of={}), metadata={})

    assert written["status"] == {
        "fence": {
            "mandateUID": "7f3a1b2c-0000-4000-8000-00000000a9e7",
            "generation": 1,
            "suspended": False,
        }
    }


def test_the_stored_form_is_this_one() -> None:
    """It is in etcd: a Governor of another version reads it."""
    entry = replace(
        an_entry(after={"pods": 1}, outcome=Outcome.NO_OP), old_change="01A", old_digest="cd"
    )
    account = replace(
        an_account(entry, settled={"pods": 3}, as_of={DEPLOYMENTS: 5, PODS: 6}),
        windows={WindowKey("usd", 86400): Window(1000, 2000, 3), HOURLY: Window(0, 0, 0)},
        wanted=(WindowKey("changes", 60), WindowKey("usd", 60)),
        prices="uid:4",
        asks_version=1,
    )

    status: Any = account_to_object(account, metadata={})["status"]

    assert status["settled"] == {"pods": 3}
    assert status["asOf"] == {"deployments.v1.apps": "5", "pods.v1.": "6"}
    assert status["pending"] == [
        '[1,"01JD8Z6V5M3Q2W1X0Y9Z800001","replica-1",1,"update","deployments.v1.apps",'
        '"team-data","web","5f6f2a1c-0000-4000-8000-000000000001",7,1795608000000,'
        '"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","01A","cd",{},{"pods":1},'
        '"abababababababababababababababababababababababababababababababab","no-op"]'
    ]

    assert status["windows"] == {
        "usd/86400": {"startedAt": 1000, "accruedAt": 2000, "spent": 3},
        "changes/3600": {"startedAt": 0, "accruedAt": 0, "spent": 0},
    }
    assert status["wanted"] == ["changes/60", "usd/60"]
    assert (status["prices"], status["asksVersion"]) == ("uid:4", 1)


@pytest.mark.parametrize("beyond", [LARGEST + 1, 2**64, 10**30])
def test_more_than_can_be_stored_is_stored_as_the_most(beyond: int) -> None:
    """Else two objects that ask for 8Ei each would keep the account from being written."""
    account = replace(
        an_account(settled={"memory": beyond, "pods": 2}), windows={HOURLY: Window(0, 0, beyond)}
    )

    wire = orjson.loads(orjson.dumps(account_to_object(account, metadata={})))

    read = account_from_object(wire)
    assert read.settled == {"memory": LARGEST, "pods": 2}
    assert read.windows[HOURLY].spent == LARGEST


def stored(*path: str, value: object) -> dict[str, Any]:
    """An account as stored, with one entry and one window, and one thing in it otherwise."""
    account = replace(
        an_account(an_entry(), settled={"pods": 1}), windows={HOURLY: Window(1000, 2000, 3)}
    )
    written: dict[str, Any] = orjson.loads(orjson.dumps(account_to_object(account, metadata={})))
    holder = written
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return written


@pytest.mark.requirement("never-oversold.protocol")
@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        pytest.param(("metadata",), None, "metadata: must be an object", id="no metadata"),
        pytest.param(("metadata", "name"), "", "metadata.name: must be a text", id="no name"),
        pytest.param(("status",), None, "status: must be an object, not nothing", id="no status"),
        pytest.param(("status",), [], "status: must be an object, not a list", id="status a list"),
        pytest.param(
            ("status", "debts"),
            {},
            "status: holds debts, which this Governor does not know",
            id="a field of a later Governor",
        ),
        pytest.param(("status", "fence"), None, "status.fence: must be an object", id="no fence"),
        pytest.param(
            ("status", "fence", "until"),
            "noon",
            "status.fence: holds until",
            id="a condition of a later Governor in the fence",
        ),
        pytest.param(
            ("status", "fence", "mandateUID"), 7, "status.fence.mandateUID: must be", id="uid"
        ),
        pytest.param(
            ("status", "fence", "generation"),
            True,
            "status.fence.generation: must be a number from 0, not True",
            id="a truth for a generation",
        ),
        pytest.param(
            ("status", "fence", "generation"), -1, "status.fence.generation", id="below zero"
        ),
        pytest.param(
            ("status", "fence", "suspended"),
            "false",
            "status.fence.suspended: must be true or false, not 'false'",
            id="a text for a truth",
        ),
        pytest.param(
            ("status", "fence", "suspended"), None, "status.fence.suspended", id="not said"
        ),
        pytest.param(
            ("status", "settled", "pods"),
            1.0,
            "status.settled['pods']: must be a number from 0",
            id="a fraction",
        ),
        pytest.param(("status", "settled", "pods"), 2**63, "status.settled['pods']", id="too many"),
        pytest.param(("status", "settled"), [], "status.settled: must be", id="settled a list"),
        pytest.param(
            ("status", "asOf", "pods"), "5", "status.asOf['pods']: 'pods' is not known", id="kind"
        ),
        pytest.param(
            ("status", "asOf", "pods.v1."),
            5,
            "status.asOf['pods.v1.']: must be a resource version, not 5",
            id="a number for a resource version",
        ),
        pytest.param(
            ("status", "asOf", "pods.v1."), str(2**63), "must be a number", id="too large"
        ),
        pytest.param(("status", "asOf", "pods.v1."), "-5", "must be a resource", id="negative"),
        pytest.param(("status", "asOf", "pods.v1."), "٣", "must be a resource", id="not ASCII"),
        pytest.param(("status", "windows"), [], "status.windows: must be", id="windows a list"),
        pytest.param(
            ("status", "windows", "changes"),
            {},
            "status.windows['changes']",
            id="a window without its length",
        ),
        pytest.param(
            ("status", "windows", "usd/060"),
            {"startedAt": 0, "accruedAt": 0, "spent": 0},
            "status.windows['usd/060']: 'usd/060' is not known",
            id="a length that is written otherwise",
        ),
        pytest.param(
            ("status", "windows", "changes/3600"),
            7,
            "status.windows['changes/3600']: must be an object",
            id="a window that is a number",
        ),
        pytest.param(
            ("status", "windows", "changes/3600", "spent"),
            -1,
            "status.windows['changes/3600'].spent: must be a number from 0",
            id="less than nothing spent",
        ),
        pytest.param(
            ("status", "windows", "changes/3600", "accruedAt"),
            None,
            "status.windows['changes/3600'].accruedAt: must be a number from 0, not nothing",
            id="accrued at no time",
        ),
        pytest.param(
            ("status", "windows", "changes/3600", "startedAt"),
            "0",
            "status.windows['changes/3600'].startedAt",
            id="a start that is a text",
        ),
        pytest.param(
            ("status", "windows", "changes/3600", "reserved"),
            1,
            "status.windows['changes/3600']: holds reserved, which this Governor does not know",
            id="a sum of a later Governor in a window",
        ),
        pytest.param(("status", "wanted"), {}, "status.wanted: must be a list", id="wanted"),
        pytest.param(
            ("status", "wanted"), ["usd"], "status.wanted[0]: 'usd' is not known", id="wanted what"
        ),
        pytest.param(
            ("status", "wanted"), [60], "status.wanted[0]: 60 is not known", id="a number"
        ),
        pytest.param(("status", "prices"), 4, "status.prices: must be a text", id="prices"),
        pytest.param(
            ("status", "asksVersion"), "1", "status.asksVersion: must be a number", id="asks"
        ),
        pytest.param(("status", "pending"), {}, "status.pending: must be a list", id="no list"),
        pytest.param(("status", "pending"), [7], "status.pending[0]: must be a text", id="entry"),
        pytest.param(("status", "pending"), [""], "status.pending[0]: must be a text", id="empty"),
        pytest.param(("status", "pending"), ["{"], "status.pending[0]: is no JSON", id="garbled"),
        pytest.param(("status", "pending"), ["{}"], "is no JSON array", id="an object"),
        pytest.param(("status", "pending"), ["[1]"], "is no entry of form 1", id="too short"),
    ],
)
def test_what_governor_never_writes_is_refused_by_field(
    path: tuple[str, ...], value: object, fault: str
) -> None:
    with pytest.raises(AccountUnreadableError) as refused:
        account_from_object(stored(*path, value=value))

    assert fault in str(refused.value)


def entry_with(position: int, value: object) -> dict[str, Any]:
    written = stored("kind", value="Account")
    parts = orjson.loads(written["status"]["pending"][0])
    parts[position] = value
    written["status"]["pending"].append(orjson.dumps(parts).decode())
    return written


@pytest.mark.parametrize(
    ("position", "value"),
    [
        pytest.param(1, "", id="no change"),
        pytest.param(2, 1, id="replica"),
        pytest.param(3, "1", id="record number"),
        pytest.param(4, "rename", id="an unknown action"),
        pytest.param(5, "deployments", id="a kind without its version"),
        pytest.param(6, None, id="namespace"),
        pytest.param(7, 7, id="name"),
        pytest.param(8, [], id="uid"),
        pytest.param(9, -1, id="version"),
        pytest.param(10, 1.5, id="made at"),
        pytest.param(11, None, id="digest"),
        pytest.param(12, None, id="old change"),
        pytest.param(13, None, id="old digest"),
        pytest.param(14, [], id="before"),
        pytest.param(15, None, id="after"),
        pytest.param(16, 0, id="record"),
        pytest.param(17, "won", id="an unknown outcome"),
        pytest.param(17, None, id="null for no outcome"),
    ],
)
def test_an_odd_element_of_an_entry_is_refused_by_its_position(
    position: int, value: object
) -> None:
    with pytest.raises(AccountUnreadableError) as refused:
        account_from_object(entry_with(position, value))

    assert refused.value.field == f"status.pending[1][{position}]"


@pytest.mark.parametrize("form", [0, 2, True, "1"])
def test_an_entry_of_another_form_is_not_read(form: object) -> None:
    with pytest.raises(AccountUnreadableError, match="is no entry of form 1"):
        account_from_object(entry_with(0, form))


def test_an_odd_amount_of_an_entry_is_refused_by_its_resource() -> None:
    with pytest.raises(AccountUnreadableError) as refused:
        account_from_object(entry_with(15, {"pods": "1"}))

    assert refused.value.field == "status.pending[1][15]['pods']"


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


def read_or_refuse(obj: dict[str, Any]) -> None:
    """Either it is read, and then means what is written again, or it is refused in words."""
    try:
        account = account_from_object(obj)
    except AccountUnreadableError:
        return
    again = account_to_object(account, metadata=obj["metadata"])
    assert account_from_object(again) == account


@given(garbage=st.dictionaries(st.text(max_size=9), JSON))
def test_garbage_is_refused_in_words(garbage: dict[str, Any]) -> None:
    with pytest.raises(AccountUnreadableError):
        account_from_object(garbage)


@given(
    path=st.sampled_from(
        [
            ("status",),
            ("status", "fence"),
            ("status", "fence", "generation"),
            ("status", "settled"),
            ("status", "asOf"),
            ("status", "pending"),
            ("status", "windows"),
            ("status", "windows", "usd/60"),
            ("status", "windows", "changes/3600"),
            ("status", "windows", "changes/3600", "spent"),
            ("status", "wanted"),
            ("status", "prices"),
            ("status", "asksVersion"),
        ]
    ),
    value=JSON,
)
def test_one_odd_value_anywhere_is_read_faithfully_or_refused_in_words(
    path: tuple[str, ...], value: object
) -> None:
    read_or_refuse(stored(*path, value=value))


@given(position=st.integers(0, 17), value=JSON)
def test_one_odd_element_is_read_faithfully_or_refused_in_words(
    position: int, value: object
) -> None:
    try:
        obj = entry_with(position, value)
    except orjson.JSONEncodeError:  # an integer that no JSON of ours has
        return
    read_or_refuse(obj)


@given(text=st.text(max_size=30))
def test_an_entry_that_is_any_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(AccountUnreadableError, match=r"status\.pending"):
        account_from_object(stored("status", "pending", value=[text]))


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        pytest.param(an_entry(name="n" * MAX_ENTRY_LENGTH), "use shorter names", id="too long"),
        pytest.param(an_entry(name="\ud800"), "is no JSON", id="half a character"),
        pytest.param(an_entry(after={"pods": 2**64}), "is no JSON", id="more than 64 bits"),
        pytest.param(an_entry(after={"pods": 2**63}), "[15]['pods']", id="more than 63 bits"),
        pytest.param(an_entry(version=-1), "[9]", id="a version below zero"),
        pytest.param(
            an_entry(kind=WatchedKind("apps", "v1", "a.b")), "read as another", id="a dotted kind"
        ),
    ],
)
def test_an_entry_that_no_account_can_hold_is_refused_alone(entry: Entry, fault: str) -> None:
    with pytest.raises(EntryUnwritableError) as refused:
        check_writable(entry)

    assert fault in str(refused.value)


def test_the_longest_entry_is_taken() -> None:
    status: Any = account_to_object(an_account(an_entry(name="")), metadata={})["status"]
    room = MAX_ENTRY_LENGTH - len(status["pending"][0])

    check_writable(an_entry(name="n" * room))
    with pytest.raises(EntryUnwritableError):
        check_writable(an_entry(name="n" * (room + 1)))
