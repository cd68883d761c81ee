"""How far the fused surface lies inside the silhouettes.

A pixel's depth is a mean over the layers of splats that it shows, and so lies behind the first of
them. All views agree on that, and fusing does not take it away; but their silhouettes tell. A ray
through a silhouette's rim touches the surface, so the least distance along it is 0 by right: what
is found there instead is the error.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.planes import pixel_rays
from relight3d.decomposition.proxy.tsdf import Volume
from relight3d.decomposition.proxy.views import SurfaceView

MOST_VIEWS = 24
"""So many views tell enough."""
RAYS_PER_VIEW = 512
STEP_VOXELS = 0.5
LEAST_RAYS = 100
"""Fewer rims than this tell nothing: a scene that fills its frames has none."""
MOST_VOXELS = 2.0
"""Where more is missing, the field is wrong in a way that growing would not mend."""


def silhouette_offset(volume: Volume, views: Sequence[SurfaceView]) -> float:
    """The median distance, world units, by which rims lie outside the surface; 0 if inside.

    Args:
        volume: From `fuse_volume`.
        views: From `draw_views`.
    """
    some = views[:: max(1, len(views) // MOST_VIEWS)]
    found = torch.cat([_rim_distance(volume, view) for view in some])
    if len(found) < LEAST_RAYS:
        return 0.0
    return min(max(float(found.median()), 0.0), MOST_VOXELS * volume.grid.voxel)


def _rim_distance(volume: Volume, view: SurfaceView) -> Float[Tensor, " n"]:
    """The least distance along rays just inside the rim, had they run along it."""
    grid, height, width = volume.grid, view.camera.height_px, view.camera.width_px
    inner = ((view.table[5] < 0) & (view.table[5] >= -0.5)).view(height, width)
    inner[[0, -1]] = False
    inner[:, [0, -1]] = False  # what the frame cuts off is no silhouette
    rows = inner.flatten().nonzero()[:, 0]
    rows = rows[:: max(1, len(rows) // RAYS_PER_VIEW)]
    rays = torch.nn.functional.normalize(pixel_rays(view.camera).flatten(0, 1)[rows], dim=-1)
    center = view.camera.centers[0]
    size = grid.voxel * torch.tensor(grid.shape, device=center.device)
    middle, radius = grid.origin + 0.5 * size, 0.5 * float(size.norm())
    away = float((middle - center).norm())
    along = torch.arange(
        max(away - radius, grid.voxel),
        away + radius,
        STEP_VOXELS * grid.voxel,
        device=center.device,
    )
    points = center + rays[:, None] * along[:, None]
    place = (points - grid.origin) / size * 2.0 - 1.0
    distance = torch.nn.functional.grid_sample(
        volume.distance[None, None], place.flip(-1)[None, None], align_corners=False,
        padding_mode="border",
    )[0, 0, 0]  # fmt: skip
    distance = distance.masked_fill((place.abs() > 1.0).any(-1), torch.inf)
    least, where = distance.min(1)
    pixel = along[where] / float(view.camera.intrinsics[0, 0, 0])
    # Rims of what the volume does not hold are none of its business.
    near = least < volume.distance.amax() * 0.9
    return (least + 0.5 * pixel)[near]
