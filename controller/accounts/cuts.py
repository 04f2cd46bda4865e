"""Takes one moment out of views that were watched to different moments.

What several kinds say together is only true of one moment: a Deployment that is gone
by one view and whose Pods are not there yet by another would hold nothing. The moment
is the latest that all of them have reached. Nothing here says what a view means.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from controller.accounts.entries import WatchedKind
from controller.accounts.views import KindView, Version


def cut_at_one_moment(
    views: Mapping[WatchedKind, KindView], kinds: Collection[WatchedKind]
) -> Mapping[WatchedKind, KindView] | None:
    """The views of these kinds as they were at the latest version that all have reached.

    None where there is no such moment yet: a kind has no view, or its list is later than
    what another kind was watched to.
    """
    if not kinds or any(kind not in views for kind in kinds):
        return None
    moment = min(views[kind].seen_to for kind in kinds)
    if any(views[kind].listed_at > moment for kind in kinds):
        return None
    return {kind: _until(views[kind], moment) for kind in kinds}


def _until(view: KindView, moment: int) -> KindView:
    """The view before anything later was seen."""
    if view.seen_to == moment:
        return view
    later = [uid for uid, versions in view.objects.items() if versions[-1].version > moment]
    objects = dict(view.objects)
    for uid in later:
        kept = _earlier(view.objects[uid], moment)
        if kept:
            objects[uid] = kept
        else:
            del objects[uid]
    return KindView(view.listed_at, moment, MappingProxyType(objects))


def _earlier(versions: tuple[Version, ...], moment: int) -> tuple[Version, ...]:
    return tuple(version for version in versions if version.version <= moment)
