"""The informer's store: what each list and each event changes, and what it leaves alone."""

from hypothesis import given
from hypothesis import strategies as st

from controller.clients.kube.resources import Key
from controller.clients.kube.store import Change, Known, Store

A, B, C = Key("ns", "a"), Key("ns", "b"), Key("", "c")


def known(version: int, *, uid: str = "u", value: str = "v") -> Known[str]:
    return Known(uid=uid, resource_version=str(version), value=value)


def test_a_list_tells_what_it_adds_changes_and_lacks() -> None:
    store: Store[str] = Store()
    store.replace({A: known(1), B: known(2)})
    changes = store.replace({B: known(3), C: known(4)})
    assert changes == (
        Change(A, known(1), None),
        Change(B, known(2), known(3)),
        Change(C, None, known(4)),
    )
    assert len(store) == 2


def test_a_list_that_says_nothing_new_tells_nothing() -> None:
    store: Store[str] = Store()
    store.replace({A: known(1)})
    assert store.replace({A: known(1)}) == ()


def test_an_object_made_anew_is_told_as_a_deletion_and_a_creation() -> None:
    store: Store[str] = Store()
    store.put(A, known(1, uid="old"))
    assert store.put(A, known(5, uid="new")) == (
        Change(A, known(1, uid="old"), None),
        Change(A, None, known(5, uid="new")),
    )


def test_an_older_version_of_a_known_object_is_no_news() -> None:
    store: Store[str] = Store()
    store.put(A, known(10, value="ours"))
    assert store.put(A, known(9, value="before ours")) == ()
    assert store.snapshot()[A] == "ours"


def test_removing_what_is_not_known_tells_nothing() -> None:
    store: Store[str] = Store()
    assert store.remove(A) == ()


def test_a_snapshot_stays_as_it_was_and_is_shared_until_something_changes() -> None:
    store: Store[str] = Store()
    store.put(A, known(1))
    before = store.snapshot()
    assert store.snapshot() is before
    store.put(B, known(2))
    store.remove(A)
    assert dict(before) == {A: "v"}
    assert dict(store.snapshot()) == {B: "v"}


_events = st.lists(
    st.tuples(
        st.sampled_from([A, B, C]),
        st.sampled_from(["u1", "u2"]),
        st.sampled_from(["put", "remove"]),
    ),
    max_size=40,
)


@given(_events, st.integers(min_value=0, max_value=40))
def test_whoever_follows_the_changes_knows_what_the_store_knows(
    events: list[tuple[Key, str, str]], missed_until: int
) -> None:
    """With a gap at the beginning that a list closes, as after an outage."""
    truth: dict[Key, Known[str]] = {}
    store: Store[str] = Store()
    followed: dict[Key, Known[str]] = {}

    def follow(changes: tuple[Change[str], ...]) -> None:
        for change in changes:
            assert followed.get(change.key) == change.old
            if change.new is None:
                del followed[change.key]
            else:
                followed[change.key] = change.new

    for version, (key, uid, kind) in enumerate(events, 1):
        is_heard = version > missed_until
        if kind == "put":
            truth[key] = known(version, uid=uid, value=str(version))
            if is_heard:
                follow(store.put(key, truth[key]))
        else:
            truth.pop(key, None)
            if is_heard:
                follow(store.remove(key))
        if version == missed_until:
            follow(store.replace(truth))
    if len(events) < missed_until:
        follow(store.replace(truth))
    assert followed == truth
    assert dict(store.snapshot()) == {key: entry.value for key, entry in truth.items()}
