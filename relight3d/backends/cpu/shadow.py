"""Lookups in shadow maps by the compiled kernel: what `shading.shadow_map.lit_fraction` computes.

float32 on the CPU only. The number of threads changes no bit.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relight3d.backends.cpu import library
from relight3d.core.types import Cameras

MAX_SIDE_PX = 1 << 15
"""Texels of one map are counted in 32 bits."""


@torch.no_grad()
def lit_fraction(
    cameras: Cameras,
    drawn: Float[Tensor, "C S S 5"],
    alpha: Float[Tensor, "C S S"],
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"] | None,
    bias: float,
) -> tuple[Float[Tensor, "C N"], Bool[Tensor, "C N"]]:
    """How much light reaches each point, and whether it projects into the map.

    Args:
        cameras: Square, one focal length, principal point in the middle: as `look_along` makes.
        drawn: Premultiplied plane normal, plane offset and the centre's z, in camera axes.
        alpha: Coverage.
        points: World positions.
        normals: Unit, of either sign; None for points in free space.
        bias: World units, positive.
    """
    count, size, views = len(points), cameras.width_px, len(cameras)
    assert 0 < size <= MAX_SIDE_PX, size
    assert drawn.shape == (views, size, size, 5), (drawn.shape, views, size)
    assert alpha.shape == (views, size, size), (alpha.shape, views, size)
    assert points.shape == (count, 3), points.shape
    assert normals is None or normals.shape == (count, 3), (normals.shape, count)
    pose, intrinsics = cameras.world_to_camera, cameras.intrinsics
    assert (pose.shape, intrinsics.shape) == ((views, 4, 4), (views, 3, 3)), intrinsics.shape
    inputs = [
        None if tensor is None else tensor.contiguous()
        for tensor in (drawn.movedim(-1, 1), alpha, pose, intrinsics, points, normals)
    ]
    lit = points.new_empty(views, count)
    inside = torch.empty(views, count, dtype=torch.bool)
    library.call(
        "r3d_lit_fraction", *inputs, float(bias), views, size, count, library.get_num_threads(),
        lit, inside,
    )  # fmt: skip
    return lit, inside
