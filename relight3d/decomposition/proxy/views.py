"""What every camera saw of the fitted surface: a plane per pixel, and the colour that left it.

Fusion and colour look up the pixel that a point falls into. The plane drawn there carries on to
the point, so that a slanted surface is not cut into steps of a pixel's width.
"""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from relight3d.backends.fused import splat_look
from relight3d.backends.interface import Rasterizer
from relight3d.core.color import linear_from_srgb
from relight3d.core.planes import GRAZING, pixel_rays
from relight3d.core.sh import degree_of
from relight3d.core.types import Cameras, Splats

SURFACE_ALPHA = 0.5
"""Where less is covered, there is nothing to hit."""
NEAR = 1e-6
SILHOUETTE_PX = 12
"""As far as this, pixels know how far they are from the silhouette."""


@dataclasses.dataclass(frozen=True)
class SurfaceView:
    """One view, its pixels in a row (P = H W)."""

    camera: Cameras
    """One camera."""
    table: Float[Tensor, "6 P"]
    """By pixel: the unit normal of the plane seen there, facing the camera; that plane's distance
    from the camera along it (<= 0); how far to trust it (alpha x cosine to the ray), 0 where there
    is none; and pixels to the silhouette, positive outside, at most `SILHOUETTE_PX`."""
    radiance_linear: Float[Tensor, "3 P"]
    """Straight colour of the radiance field; half precision."""

    def look_up(self, points: Float[Tensor, "3 n"]) -> "Seen":
        """What the pixels show that points fall into."""
        width, height = self.camera.width_px, self.camera.height_px
        pose, intrinsics = self.camera.world_to_camera[0], self.camera.intrinsics[0]
        offset = points - self.camera.centers[0][:, None]
        u, v, z = (intrinsics @ pose[:3, :3]) @ offset
        inverse = z.clamp_min(NEAR).reciprocal_()
        column, row = (u * inverse).floor_(), (v * inverse).floor_()
        on_column, on_row = column.clamp(0, width - 1), row.clamp(0, height - 1)
        framed = (column == on_column) & (row == on_row) & (z > NEAR)
        pixel = on_row.mul_(width).add_(on_column).long()
        a, b, c, plane, trust, edge = self.table.index_select(1, pixel)
        along = a * offset[0] + b * offset[1] + c * offset[2]
        return Seen(pixel, framed, offset, z, along, plane, trust, edge)

    def deepest(self, reach_px: int) -> Float[Tensor, " P"]:
        """The largest camera z seen up to so many pixels away; infinite where that is nothing."""
        height, width = self.camera.height_px, self.camera.width_px
        rays = pixel_rays(self.camera).movedim(-1, 0).flatten(1)
        depth = self.table[3] / (self.table[:3] * rays).sum(0).clamp_max(-1e-6)
        depth = depth.masked_fill(self.table[4] == 0, torch.inf).view(1, 1, height, width)
        for size in ((2 * reach_px + 1, 1), (1, 2 * reach_px + 1)):
            depth = torch.nn.functional.max_pool2d(depth, size, 1, (size[0] // 2, size[1] // 2))
        return depth.flatten()


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a view shows in the pixels of n points."""

    pixel: Int[Tensor, " n"]
    """Which; the nearest one of the frame for points off it."""
    framed: Bool[Tensor, " n"]
    """Whether the point is in the frame, before the camera."""
    offset: Float[Tensor, "3 n"]
    """From the camera to the point, in the world."""
    z: Float[Tensor, " n"]
    """Camera z of the point."""
    along: Float[Tensor, " n"]
    """Offset along the normal of the plane seen there; negative, as `plane`."""
    plane: Float[Tensor, " n"]
    trust: Float[Tensor, " n"]
    edge: Float[Tensor, " n"]
    """As in the view's table."""


@torch.no_grad()
def draw_views(
    splats: Splats,
    cameras: Sequence[Cameras],
    *,
    rasterize: Rasterizer,
    max_views: int,
    view_px: int,
) -> list[SurfaceView]:
    """Draw the surface into some of the cameras; 30 bytes per pixel are kept.

    Args:
        splats: Fitted planar Gaussians.
        cameras: Of the photos, one camera each.
        rasterize: Any backend.
        max_views: Of more cameras, so many are taken evenly.
        view_px: Larger pictures are reduced to so many pixels.
    """
    count = min(max_views, len(cameras))
    chosen = [cameras[index * len(cameras) // count] for index in range(count)]
    return [_draw(splats, _reduced(one, view_px), rasterize) for one in chosen]


def _reduced(camera: Cameras, view_px: int) -> Cameras:
    area = camera.width_px * camera.height_px
    return camera if area <= view_px else camera.scaled((view_px / area) ** 0.5)


def _draw(splats: Splats, camera: Cameras, rasterize: Rasterizer) -> SurfaceView:
    camera = camera.to(splats.means.device, splats.means.dtype)
    look = splat_look(
        splats.sh[:, :1], splats.sh[:, 1:], splats.means, splats.quats_wxyz,
        camera.centers[0], degree_of(splats.sh.shape[1]),
    )  # fmt: skip
    raster = rasterize(splats.gaussians(), look, camera)
    alpha = raster.alpha[0]
    color, normal, distance = raster.features[0].split([3, 3, 1], -1)
    length = normal.norm(dim=-1, keepdim=True)
    solid = (alpha >= SURFACE_ALPHA) & (length > 1e-6)
    normal, distance = normal / length.clamp_min(1e-6), distance / length.clamp_min(1e-6)
    rays = torch.nn.functional.normalize(pixel_rays(camera), dim=-1)
    cosine = -(normal * rays).sum(-1, keepdim=True)
    trust = (alpha * cosine).where(solid & (cosine > GRAZING), 0.0)
    edge = silhouette_distance(alpha[..., 0] >= SURFACE_ALPHA)[..., None]
    table = torch.cat([normal, distance, trust, edge], -1).flatten(0, 1).t().contiguous()
    straight = (color / alpha.clamp_min(1e-6)).where(solid, 0.0).clamp(0.0, 16.0)
    radiance = linear_from_srgb(straight).flatten(0, 1).t().contiguous()
    return SurfaceView(camera, table, radiance.half())


def silhouette_distance(covered: Bool[Tensor, "H W"]) -> Float[Tensor, "H W"]:
    """Pixels from each pixel's centre to the rim of what is covered, negative inside.

    Counted in steps, diamond and square in turn: within 8 % of the straight line, and limited to
    `SILHOUETTE_PX`.
    """
    inside = covered.float()[None, None]
    grown, eaten = inside, 1.0 - inside
    distance = torch.zeros_like(inside)
    for step in range(SILHOUETTE_PX):
        distance += (1.0 - grown) - (1.0 - eaten)
        grown, eaten = _spread(grown, step), _spread(eaten, step)
    return (distance - 0.5 * distance.sign())[0, 0]


def _spread(image: Float[Tensor, "1 1 H W"], step: int) -> Float[Tensor, "1 1 H W"]:
    pool = torch.nn.functional.max_pool2d
    if step % 2:
        return pool(image, 3, 1, 1)
    return torch.maximum(pool(image, (3, 1), 1, (1, 0)), pool(image, (1, 3), 1, (0, 1)))
