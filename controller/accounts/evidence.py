"""Says what a view proves about one pending write: nothing yet, or its outcome.

Evidence is taken from within the view that the account is settled from, never from
beyond it. `persisted` and `lost` are claims, made only where they are proven;
where versions were missed, or where what was seen has no author, the outcome says
so instead. Nothing here knows the time; what the clock adds is `judge_overdue`,
for a caller that has made sure that the write can no longer take effect.
"""

from collections.abc import Iterable

from controller.accounts.entries import Action, Entry, Outcome
from controller.accounts.views import KindView, Version


def judge(entry: Entry, view: KindView, pending: Iterable[Entry]) -> Outcome | None:
    """What a view of its kind proves of a write, or None.

    Args:
        entry: the write; whether it has an outcome already is not looked at.
        view: of the entry's kind.
        pending: all entries of the account, decided ones included: what they were validated
            against tells of versions that no view shows.
    """
    if entry.action is Action.CREATE:
        return _judge_create(entry, view, pending)
    if not entry.uid or not _has_moved_on(entry, view):
        return None
    successor = _direct_successor(entry, view)
    if successor is None:
        return _judge_across_gap(entry, view, pending)
    return _judge_successor(entry, successor, was_ending=_was_ending(entry, view))


def judge_overdue(entry: Entry, view: KindView) -> Outcome:
    """What is left to say of a write that the evidence leaves undecided, and that is over.

    The view must have caught up with a quorum read that was made after the API server's
    own deadline for the write.
    """
    if entry.action is Action.CREATE:
        # Everything since before it was granted was watched, and its uid never appeared.
        was_watched = entry.version > 0 and view.listed_at <= entry.version
        return Outcome.LOST if was_watched else Outcome.UNKNOWN
    versions = view.versions_of(entry.uid)
    is_untouched = bool(versions) and versions[-1].version == entry.version
    return Outcome.LOST if is_untouched else Outcome.UNKNOWN


def _judge_create(entry: Entry, view: KindView, pending: Iterable[Entry]) -> Outcome | None:
    """Only its own uid proves a create: another object of its name may be gone in a moment."""
    if not entry.uid:
        return None
    if view.versions_of(entry.uid):
        return Outcome.PERSISTED
    # Deleted in a gap, yet seen: another write was validated against that very object, at a
    # version that `settled` is counted beyond.
    was_met = any(
        other.action is not Action.CREATE
        and (other.kind, other.uid) == (entry.kind, entry.uid)
        and other.version <= view.seen_to
        for other in pending
    )
    return Outcome.PERSISTED if was_met else None


def _has_moved_on(entry: Entry, view: KindView) -> bool:
    """Whether a later version of its object, or the object's end, is in view."""
    versions = view.versions_of(entry.uid)
    if not versions:
        return view.listed_at > entry.version
    return versions[-1].version > entry.version


def _direct_successor(entry: Entry, view: KindView) -> Version | None:
    """The version that followed the validated one, or None where others may lie between.

    Resource versions of one object are not consecutive, so "next in the view" is "next" only
    from where the watch began: after the list, or after the listed version itself.
    """
    versions = view.versions_of(entry.uid)
    following = next((seen for seen in versions if seen.version > entry.version), None)
    if following is None or following.version <= view.listed_at:
        return None
    was_watched = entry.version > view.listed_at
    was_listed = any(seen.version == entry.version for seen in versions)
    return following if was_watched or was_listed else None


def _was_ending(entry: Entry, view: KindView) -> bool:
    """Whether the validated version waited for finalizers or its grace period, or may have."""
    known = (seen for seen in view.versions_of(entry.uid) if seen.version == entry.version)
    return all(seen.is_ending for seen in known)


def _judge_successor(entry: Entry, successor: Version, *, was_ending: bool) -> Outcome:
    if entry.action is Action.DELETE and successor.is_ending and not was_ending:
        return Outcome.GONE  # the deletion begins with this version
    if successor.is_deleted and (was_ending or entry.action is Action.DELETE):
        # An update that takes the last finalizer away is not stored: it ends the object.
        return Outcome.GONE
    if entry.action is Action.UPDATE and _bears_id(successor, entry):
        is_stored = _carries(successor, entry) and not successor.is_deleted
        return Outcome.PERSISTED if is_stored else Outcome.UNKNOWN
    if entry.action is Action.VALUE and not successor.is_deleted:
        return _compare_value(entry, successor, was_ending=was_ending)
    return _not_persisted(was_ending=was_ending)


def _compare_value(entry: Entry, successor: Version, *, was_ending: bool) -> Outcome:
    names_value = ":" in entry.digest  # `replicas:3`; a digest is hex
    found = successor.value if names_value else successor.digest
    if not found or not entry.digest:
        return Outcome.UNKNOWN
    if found == entry.digest:
        return Outcome.MATCHES
    # Other content may be this write's as it is stored; another stamp is never its own.
    is_anothers = names_value or successor.change not in {"", entry.old_change}
    return _not_persisted(was_ending=was_ending) if is_anothers else Outcome.UNKNOWN


def _not_persisted(*, was_ending: bool) -> Outcome:
    """Lost, but for an object that was ending.

    There a delete can pass unseen (it shortens the grace period), and an update that takes
    the last finalizer away is carried out as a deletion that is not bound to its version.
    """
    return Outcome.UNKNOWN if was_ending else Outcome.LOST


def _judge_across_gap(entry: Entry, view: KindView, pending: Iterable[Entry]) -> Outcome:
    if entry.action is not Action.UPDATE:
        return Outcome.UNKNOWN
    versions = view.versions_of(entry.uid)
    others = [other for other in pending if other.uid == entry.uid and other.key != entry.key]
    was_seen = any(_carries(seen, entry) for seen in versions)
    if was_seen or any(_met(other, entry) for other in others):
        return Outcome.PERSISTED
    is_borne = any(_bears_id(seen, entry) for seen in versions)
    is_beaten = any(_has_won(other, entry, versions) for other in others)
    return Outcome.LOST if is_beaten and not is_borne else Outcome.UNKNOWN


def _has_won(other: Entry, entry: Entry, versions: Iterable[Version]) -> bool:
    """Whether a rival is shown to be what followed the version that both were bound to."""
    is_rival = other.action is Action.UPDATE and other.version == entry.version
    return is_rival and any(_carries(seen, other) and not seen.is_ending for seen in versions)


def _bears_id(seen: Version, entry: Entry) -> bool:
    """Whether a version has the write's own id, on whatever content: nothing is claimed of it.

    The write may have been stored in another form than was validated (a custom kind gets the
    defaults of its storage version), or somebody has copied the id.
    """
    return bool(entry.change) and seen.change == entry.change


def _carries(seen: Version, entry: Entry) -> bool:
    """Whether a version is what the write would have stored.

    The id alone is no proof: people can copy it from an answer onto what they write.
    """
    return _bears_id(seen, entry) and seen.digest == entry.digest


def _met(other: Entry, entry: Entry) -> bool:
    """Whether another write was validated against what this one would have stored."""
    return bool(entry.change) and (
        (other.old_change, other.old_digest) == (entry.change, entry.digest)
    )
