"""Frame and size of a capture: which way is up, where it looks, how large it is."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from relight3d.capture.poses import centers_of
from relight3d.core.transform import transform_point_light
from relight3d.core.views import Capture, Similarity, View

TAME_RADIUS = (0.3, 30.0)
"""RMS distance of the cameras from their centroid, in world units, that is left as it is."""
TAME_OFFSET = 5.0
"""Distance of the focus from the origin, in camera radii, that is left as it is."""
_MIN_PARALLAX = 0.01


def transformed(capture: Capture, by: Similarity) -> Capture:
    """The capture in another frame: cameras, points, point lights; `capture_from_source` follows.

    A turn is refused for known environments by the caller: light rotations are left as they are.
    Depth maps keep the old size, so they are dropped from the truth if `by` scales.
    """
    return dataclasses.replace(
        capture,
        views=tuple(_transformed_view(view, by) for view in capture.views),
        points=None if capture.points is None else by.apply(capture.points),
        capture_from_source=compose(by, capture.capture_from_source),
    )


def compose(outer: Similarity, inner: Similarity) -> Similarity:
    """The similarity that applies `inner`, then `outer`."""
    return Similarity(
        outer.rotation @ inner.rotation,
        outer.apply(inner.translation[None])[0],
        outer.scale * inner.scale,
    )


def _transformed_view(view: View, by: Similarity) -> View:
    pose = view.world_to_camera
    moved = np.eye(4)
    moved[:3, :3] = pose[:3, :3] @ by.rotation.T
    moved[:3, 3] = by.scale * pose[:3, 3] - moved[:3, :3] @ by.translation
    points = tuple(transform_point_light(point, by) for point in view.light.points)
    return dataclasses.replace(
        view,
        world_to_camera=moved,
        light=dataclasses.replace(view.light, points=points),
        truth=_scaled_truth(view.truth, by.scale),
    )


def _scaled_truth(truth: Mapping, scale: float) -> Mapping:
    if scale == 1.0:
        return truth
    return {name: path for name, path in truth.items() if name != "depth"}


def focus_point(views: Sequence[View]) -> Float[np.ndarray, "3"] | None:
    """The point nearest to all optical axes; None if they are parallel or meet behind cameras."""
    centers = centers_of(views)
    forward = np.stack([view.world_to_camera[2, :3] for view in views])
    projectors = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    normal = projectors.mean(0)
    if np.linalg.eigvalsh(normal)[0] < _MIN_PARALLAX:
        return None
    point = np.linalg.solve(normal, (projectors @ centers[:, :, None]).mean(0))[:, 0]
    ahead = ((point - centers) * forward).sum(-1) > 0
    return point if ahead.mean() > 0.8 else None


def camera_radius(views: Sequence[View]) -> float:
    """RMS distance of the cameras from their centroid."""
    centers = centers_of(views)
    return float(np.sqrt(((centers - centers.mean(0)) ** 2).sum(-1).mean()))


def is_tame(capture: Capture) -> bool:
    """Whether fits can take the frame as it is: about 1 to 10 units large, near the origin."""
    radius = camera_radius(capture.views)
    if not TAME_RADIUS[0] <= radius <= TAME_RADIUS[1]:
        return False
    focus = focus_point(capture.views)
    center = centers_of(capture.views).mean(0) if focus is None else focus
    return bool(np.linalg.norm(center) <= TAME_OFFSET * radius)


def taming(capture: Capture, rotation: Float[np.ndarray, "3 3"] | None = None) -> Similarity:
    """The similarity that puts what the photos show at the origin, with a radius of about 1.

    Args:
        capture: Any frame and size.
        rotation: Turn of the world that comes with it, e.g. from `upright_rotation`.
    """
    center, radius = _subject(capture)
    turn = np.eye(3) if rotation is None else rotation
    return Similarity(turn, -(turn @ center) / radius, 1.0 / radius)


def _subject(capture: Capture) -> tuple[Float[np.ndarray, "3"], float]:
    """Centre and radius of what the photos look at."""
    centers = centers_of(capture.views)
    focus = focus_point(capture.views)
    if focus is None and capture.points is not None and len(capture.points) >= 10:
        focus = np.median(capture.points, axis=0)
    if focus is None:
        return centers.mean(0), max(camera_radius(capture.views), 1e-12)
    distance = np.linalg.norm(centers - focus, axis=1)
    # Half the shorter side of the field of view, at the distance of the focus.
    half = [
        min(view.width_px / view.intrinsics[0, 0], view.height_px / view.intrinsics[1, 1]) / 2
        for view in capture.views
    ]
    return focus, max(float(np.median(distance * half)), 1e-12)


def upright_rotation(views: Sequence[View]) -> Float[np.ndarray, "3 3"]:
    """The smallest turn that brings the cameras' common up to +z.

    People hold cameras level: the horizontal image axes lie in the ground plane. Where photos
    are rolled by quarter turns, whichever image axis is level counts.
    """
    poses = np.stack([view.world_to_camera[:3, :3] for view in views])
    right, down = poses[:, 0], poses[:, 1]
    values, vectors = np.linalg.eigh(np.einsum("ni,nj->ij", right, right) / len(views))
    up = vectors[:, 0]
    if values[0] < 0.05 and values[1] > 0.02:
        up = up * np.sign(-(down @ up).sum() or 1.0)
    else:
        up = _up_of_rolled(views, right, down)
    return turn_between(up, np.array([0.0, 0.0, 1.0]))


def _up_of_rolled(
    views: Sequence[View], right: Float[np.ndarray, "n 3"], down: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "3"]:
    mean_up = -down.mean(0)
    if np.linalg.norm(mean_up) > 0.7:
        return mean_up / np.linalg.norm(mean_up)
    centers = centers_of(views)
    offset = centers - centers.mean(0)
    up = np.linalg.eigh(offset.T @ offset)[1][:, 0]
    for _ in range(20):
        level = np.where((np.abs(right @ up) < np.abs(down @ up))[:, None], right, down)
        up = np.linalg.eigh(level.T @ level)[1][:, 0]
    forward = np.stack([view.world_to_camera[2, :3] for view in views])
    # A roll of +90 and -90 degrees cancel; people look down at things more than up.
    against = -(forward @ up).sum() if np.linalg.norm(mean_up) < 0.2 else mean_up @ up
    return up * (np.sign(against) or 1.0)


def turn_between(
    source: Float[np.ndarray, "3"], target: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3 3"]:
    """The smallest rotation that takes one unit vector to another (Rodrigues)."""
    axis, cosine = np.cross(source, target), float(source @ target)
    if cosine < -1 + 1e-9:  # any axis at right angles will do
        other = np.eye(3)[np.argmin(np.abs(source))]
        axis = np.cross(source, other)
        axis /= np.linalg.norm(axis)
        return 2 * np.outer(axis, axis) - np.eye(3)
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)
