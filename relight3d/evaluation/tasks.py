"""Which test views are scored how: under their own light, relit, or by which true maps.

A test view whose light is one of the training photos' (or a known point light) is a novel view. One
under an environment that only the capture's maps know (Stanford-ORB) is a relit one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from relight3d.core.errors import CaptureError
from relight3d.core.views import Capture, View

OTHER_LIGHTS = "other lights"
"""Stands for the lights of views that were each taken under one of their own."""


def novel_views(capture: Capture) -> list[View]:
    """Test views under a light of the training photos."""
    foreign = {view.name for view in _foreign_views(capture)}
    return [view for view in capture.split("test") if view.name not in foreign]


Relit = tuple[View, Path]
"""A view and its true picture under another light."""


def relit_lights(capture: Capture) -> dict[str, list[Relit]]:
    """By light, every view with its true picture.

    Raises:
        CaptureError: Some novel views have truth under a light and others have not.
    """
    found: dict[str, list[Relit]] = {}
    for view in capture.split("test"):
        for key, path in view.truth.items():
            if key.startswith("relit/"):
                found.setdefault(key.removeprefix("relit/"), []).append((view, path))
    novel = novel_views(capture)
    for name, entries in found.items():
        require_all(capture, novel, [view for view, _ in entries], f"relit/{name}")
    foreign = _foreign_views(capture)
    if foreign:
        found[OTHER_LIGHTS] = [(view, view.image_path) for view in foreign]
    return found


def views_with(capture: Capture, what: str) -> list[View]:
    """Test views with a true map; none or all of the novel ones.

    Raises:
        CaptureError: Only some have it.
    """
    views = [view for view in capture.split("test") if truth_of(view, what) is not None]
    if views:
        require_all(capture, novel_views(capture), views, what)
    return views


def truth_of(view: View, what: str) -> Path | None:
    """The file that a map is held against."""
    if what == "rgb":
        return view.image_path
    if what == "normal":
        return view.truth.get("normal", view.truth.get("camera_normal"))
    return view.truth.get(what)


def require_all(capture: Capture, wanted: Sequence[View], found: Sequence[View], what: str) -> None:
    """Refuse truth for some views only.

    Raises:
        CaptureError: Names the views without.
    """
    have = {view.name for view in found}
    missing = [view.name for view in wanted if view.name not in have]
    if missing:
        raise CaptureError(
            f"{capture.root}: {len(missing)} of {len(wanted)} test views have no truth of {what} "
            f"({', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}), the others have. A "
            "score over fewer views would not be what it claims to be: restore or remove them all."
        )


def chosen_lights(
    capture: Capture, wanted: Sequence[str], habit: tuple[str, ...] | None
) -> Mapping[str, list[Relit]]:
    """The lights to score: those asked for, else those of a protocol's habit, else all.

    Raises:
        CaptureError: A light was asked for that the capture has no truth of.
    """
    lights = relit_lights(capture)
    unknown = [name for name in wanted if name not in lights]
    if unknown:
        raise CaptureError(
            f"{capture.root} has no test pictures under {', '.join(unknown)}. It has: "
            f"{', '.join(lights) or 'none'}."
        )
    if not wanted and habit is not None and all(name in lights for name in habit):
        wanted = habit
    return {name: lights[name] for name in (wanted or lights)}


def _foreign_views(capture: Capture) -> list[View]:
    """Test views under an environment that no training photo has, but that the capture brings."""
    trained = {view.light.environment for view in capture.split("train")}
    known = capture.environments.keys() - trained
    return [view for view in capture.split("test") if view.light.environment in known]
