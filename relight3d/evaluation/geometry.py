"""Quality of geometry: depth maps in world units, and the point clouds they stand for.

Depth is along the camera's z axis, not along the ray. Camera and pixel conventions are those of
`core.conventions`: OpenCV axes, world_to_camera, pixel centres at +0.5.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float

from relight3d.core.errors import EvaluationError
from relight3d.core.job import step_generator
from relight3d.evaluation.checks import require_finite, require_same_shape

Points = Float[np.ndarray, "N 3"]
DepthView = tuple[
    Float[np.ndarray, "_ _"],
    Float[np.ndarray, "_ _"],
    Bool[np.ndarray, "_ _"],
]
"""Predicted depth, true depth, and which pixels count, [H W]; views may differ in size."""

_DISTANCES_AT_A_TIME = 1 << 22
"""32 MB of them in float64."""


@dataclasses.dataclass(frozen=True)
class DepthError:
    """Depth error over all pixels of all views of a scene."""

    absolute: float
    """Mean |predicted - true|, in world units."""
    relative: float
    """Mean |predicted - true| / true."""
    scale: float
    """The factor, one per scene, that brings predicted depths closest to the truth."""
    scaled_absolute: float
    """Mean |scale predicted - true|, in world units."""
    scaled_squared: float
    """Mean (scale predicted - true)^2. (Stanford-ORB divides by the whole frame instead.)"""


def depth_error(views: Sequence[DepthView]) -> DepthError:
    """Compare depth maps of one scene, every pixel with the same weight.

    Raises:
        EvaluationError: Shapes that differ, NaN or infinity among the pixels that count, no such
            pixel, or a true depth that is not positive.
    """
    for predicted, truth, where in views:
        require_same_shape(predicted=predicted, truth=truth, mask=where)
    if not any(where.any() for _, _, where in views):
        raise EvaluationError("No view has a pixel whose depth counts: give masks that show one.")
    ours = np.concatenate([p[where].astype(np.float64) for p, _, where in views])
    true = np.concatenate([t[where].astype(np.float64) for _, t, where in views])
    require_finite(predicted_depth=ours, true_depth=true)
    if true.min() <= 0:
        raise EvaluationError(
            f"A true depth of {true.min():.6g} is among the pixels that count; depth in front of a "
            "camera is positive. Leave pixels without depth out of the mask."
        )
    error, square = np.abs(ours - true), float(ours @ ours)
    scale = float(ours @ true) / square if square > 0 else 1.0
    scaled = scale * ours - true
    return DepthError(
        float(error.mean()),
        float((error / true).mean()),
        scale,
        float(np.abs(scaled).mean()),
        float(np.square(scaled).mean()),
    )


def backproject(
    depth: Float[np.ndarray, "H W"],
    intrinsics: Float[np.ndarray, "3 3"],
    world_to_camera: Float[np.ndarray, "4 4"],
    where: Bool[np.ndarray, "H W"],
) -> Points:
    """World points of the pixels `where`, row by row, float64.

    Args:
        depth: Along the camera's z axis, in world units.
        intrinsics: In pixels.
        world_to_camera: A rigid pose.
        where: Which pixels have a depth.

    Raises:
        EvaluationError: Shapes that differ, NaN or infinity.
    """
    require_same_shape(depth=depth, mask=where)
    require_finite(depth=depth[where], intrinsics=intrinsics, world_to_camera=world_to_camera)
    row, column = np.nonzero(where)
    pixels = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], -1)
    rays = pixels @ np.linalg.inv(intrinsics.astype(np.float64)).T  # z = 1
    in_camera = rays * depth[where].astype(np.float64)[:, None]
    pose = world_to_camera.astype(np.float64)
    return (in_camera - pose[:3, 3]) @ pose[:3, :3]


def subsample(points: Points, count: int, seed: int = 0) -> Float[np.ndarray, "_ 3"]:
    """`count` of the points in their order, the same ones every time; all, if there are fewer."""
    if len(points) <= count:
        return points
    chosen = torch.randperm(len(points), generator=step_generator(seed, "subsample", 0))[:count]
    return points[chosen.sort().values.numpy()]


def nearest_distances(points: Points, others: Float[np.ndarray, "M 3"]) -> Float[np.ndarray, " N"]:
    """Distance from every point to the nearest of `others`, in world units.

    Exact and brute force, in blocks of bounded memory; `subsample` first.

    Raises:
        EvaluationError: NaN or infinity, or no point on either side.
    """
    require_finite(points=points, others=others)
    if not len(points) or not len(others):
        raise EvaluationError(
            f"Nearest distances between {len(points)} and {len(others)} points are not defined. "
            "Give masks that show the object."
        )
    a, b = torch.from_numpy(points).double(), torch.from_numpy(others).double()
    block = max(1, _DISTANCES_AT_A_TIME // len(b))
    plain = "donot_use_mm_for_euclid_dist"  # the product form loses small distances
    found = [torch.cdist(part, b, compute_mode=plain).amin(1) for part in a.split(block)]
    return torch.cat(found).numpy()


def chamfer(points_a: Points, points_b: Float[np.ndarray, "M 3"]) -> float:
    """Symmetric chamfer distance in world units, unsquared.

    The mean distance from a point of a to the nearest of b, and the same from b to a, averaged
    (half of what papers report that add the two).
    """
    there, back = nearest_distances(points_a, points_b), nearest_distances(points_b, points_a)
    return float((there.mean() + back.mean()) / 2.0)
