"""Whether a set of views can be fitted at all; what is wrong, in one message."""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from relight3d.capture.poses import centers_of
from relight3d.capture.source import MIN_TRAIN_VIEWS
from relight3d.core.errors import CaptureError
from relight3d.core.views import Capture, View
from relight3d.files.images import SUFFIXES, image_info, image_size, read_image

SAME_PLACE = 1e-6
"""Camera distance, in units of the camera cloud's size, below which two are in one place."""
_PROBED_PHOTOS = 3
_LEAST_SIZE = 1e-12
_ROUNDING = 1e-9


def checked(capture: Capture) -> Capture:
    """The capture, if its views can be fitted.

    Two cameras in one place: all in one are refused; two of one split with one orientation under
    one light are refused (a frame given twice, or a failed pose); so are a few that share a
    place with different orientations. Where most cameras share their places (the crops of a
    panorama), or their lights differ, sharing is meant.

    Raises:
        CaptureError: Too few photos, names given twice, cameras in one place, wrong mask sizes.
    """
    training = capture.split("train")
    if not capture.views:
        raise CaptureError(f"The capture {capture.root} has no photos.")
    if len(training) < MIN_TRAIN_VIEWS:
        raise CaptureError(
            f"The capture {capture.root} has {len(training)} training photo(s), at least "
            f"{MIN_TRAIN_VIEWS} are needed. Add photos or hold out fewer."
        )
    views = _uniquely_named(capture.views)
    _check_places(capture, views)
    for view in views:
        _check_mask(view)
        _check_truth(view)
    return dataclasses.replace(capture, views=views)


def detected_kind(views: Sequence[View]) -> Literal["object", "scene"]:
    """'object' if every photo has a mask or an alpha that is used, 'scene' if none has.

    Raises:
        CaptureError: Some photos have a mask and some have none.
    """
    alpha = {view.name: view.mask_path is None and _has_alpha(view) for view in views}
    if any(alpha.values()):
        probed = [view for view in views if alpha[view.name]][:_PROBED_PHOTOS]
        if all(_is_opaque(view) for view in probed):
            alpha = dict.fromkeys(alpha, False)
    bare = [view for view in views if view.mask_path is None and not alpha[view.name]]
    if bare and len(bare) < len(views):
        names = ", ".join(view.image_path.name for view in bare[:5])
        raise CaptureError(
            f"{len(bare)} of {len(views)} photos have neither mask nor alpha ({names}"
            f"{', ...' if len(bare) > 5 else ''}), the others have. Add the missing masks, or "
            "remove them all to fit the background too."
        )
    return "scene" if bare else "object"


def _has_alpha(view: View) -> bool:
    return image_info(view.image_path).has_alpha


def _is_opaque(view: View) -> bool:
    alpha = read_image(view.image_path).alpha
    return alpha is None or float(alpha.min()) > 0.99


def _uniquely_named(views: Sequence[View]) -> tuple[View, ...]:
    """Names decide file names later: repeated ones get a number."""
    taken: set[str] = set()
    result = []
    for view in views:
        name, number = view.name, 2
        while name in taken:
            name, number = f"{view.name}_{number}", number + 1
        taken.add(name)
        result.append(dataclasses.replace(view, name=name))
    return tuple(result)


def _check_mask(view: View) -> None:
    if view.mask_path is None:
        return
    size = image_size(view.mask_path)
    if size != (view.width_px, view.height_px):
        raise CaptureError(
            f"The mask {view.mask_path} is {size[0]} x {size[1]} pixels, its photo "
            f"{view.image_path.name} is {view.width_px} x {view.height_px}. Every mask must have "
            "its photo's size; export it again."
        )


def _check_truth(view: View) -> None:
    """Found here and not by the scores, after hours of fitting."""
    for name, path in view.truth.items():
        if path.suffix.lower() not in SUFFIXES:
            continue
        size = image_size(path)
        if size != (view.width_px, view.height_px):
            raise CaptureError(
                f"The map {path} ({name}) is {size[0]} x {size[1]} pixels, its photo "
                f"{view.image_path.name} is {view.width_px} x {view.height_px}. Restore it, or "
                "remove it to go without its score."
            )


def _check_places(capture: Capture, views: Sequence[View]) -> None:
    centers = centers_of(views)
    size = float(np.linalg.norm(centers - centers.mean(0), axis=1).max())
    # Georeferenced cameras stand close together far from the origin: only rounding is no distance.
    if size <= max(_LEAST_SIZE, _ROUNDING * float(np.abs(centers).max())):
        raise CaptureError(
            f"All {len(views)} cameras of {capture.root} are in one place, so nothing about depth "
            "can be seen. The poses are wrong, or the camera only turned: move it between photos."
        )
    groups: dict[tuple, list[int]] = collections.defaultdict(list)
    for index, cell in enumerate(np.rint((centers - centers.mean(0)) / (SAME_PLACE * size))):
        groups[(*cell.tolist(), views[index].split, _lit(views[index]))].append(index)
    shared = [group for group in groups.values() if len(group) > 1]
    sharing = sum(len(group) for group in shared)
    for group in shared:
        first, second = _closest_turned(views, group)
        turned = np.abs(
            views[first].world_to_camera[:3, :3] - views[second].world_to_camera[:3, :3]
        ).max()
        if turned < SAME_PLACE or 2 * sharing < len(views):
            raise CaptureError(
                f"{capture.root}: the cameras of {views[first].image_path.name} and "
                f"{views[second].image_path.name} are in one place"
                f"{' and look the same way' if turned < SAME_PLACE else ''}, under one light. One "
                "of them is a copy or its pose is wrong: remove or mend that frame."
            )


def _lit(view: View) -> tuple:
    return (view.light.environment, round(view.light.rotation_rad, 6), view.light.points,
            view.exposure)  # fmt: skip


def _closest_turned(views: Sequence[View], group: Sequence[int]) -> tuple[int, int]:
    """The two of a group whose orientations are most alike."""
    some = group[:200]
    turns = np.stack([views[index].world_to_camera[:3, :3].ravel() for index in some])
    gaps = np.abs(turns[:, None] - turns).max(-1) + 9 * np.eye(len(some))
    first, second = sorted(np.unravel_index(int(gaps.argmin()), gaps.shape))
    return some[int(first)], some[int(second)]


def held_out(capture: Capture, every: int) -> Capture:
    """Every `every`-th view, from the first, becomes a test view; 0 leaves all as they are.

    A capture that brings its own test views keeps its split.
    """
    if every == 0 or capture.split("test"):
        return capture
    views = [
        dataclasses.replace(view, split="test" if index % every == 0 else "train")
        for index, view in enumerate(capture.views)
    ]
    return dataclasses.replace(capture, views=tuple(views))


def lights_are_known(views: Sequence[View]) -> bool:
    """Whether a turn of the world would have to turn known lights with it."""
    return any(view.light.rotation_rad or view.light.points for view in views)
