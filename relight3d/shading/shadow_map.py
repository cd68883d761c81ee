"""Shadow maps of planar Gaussians, drawn with the rasterizer that is passed in.

Depth is that of the splats' planes, not of their centres (PGSR, arXiv 2406.06521): normals and
plane offsets are composited, and their quotient is the depth along the pixel's own ray. A receiver
is compared with the four texels around it, each against the receiver's own plane continued to that
texel, so that a tilted surface does not shadow itself. Nothing here is differentiable.
"""

import dataclasses
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relight3d.core.rotation import matrix_from_quaternion
from relight3d.core.types import Cameras, Gaussians, Raster

_MIN_PLANE_COSINE = 0.15
"""Planes seen at a flatter angle than this (cosine) count with their centres' depth."""
_MAX_SLOPE = 6.0
"""Receiver planes are continued to neighbouring texels with at most this slope."""
_EMPTY = 1e-4

Rasterize = Callable[[Gaussians, Tensor, Cameras], Raster]
"""The part of `backends.interface.Rasterizer` that is needed here: features [N, F] or [C, N, F]."""


@dataclasses.dataclass(frozen=True)
class ShadowMaps:
    """Where light from each of C cameras' positions first meets the splats, and how surely."""

    cameras: Cameras
    drawn: Float[Tensor, "C S S 5"]
    """Premultiplied by alpha: plane normal in camera axes, toward the camera; plane offset along
    it; the centre's camera z."""
    alpha: Float[Tensor, "C S S"]

    @property
    def depth(self) -> Float[Tensor, "C S S"]:
        """Camera z; undefined where alpha is 0."""
        normal, offset, center_z = self.drawn.split([3, 1, 1], -1)
        facing = (normal * _pixel_rays(self.cameras)).sum(-1)
        steep = facing < -_MIN_PLANE_COSINE * normal.norm(dim=-1).clamp_min(_EMPTY)
        by_center = center_z[..., 0] / self.alpha.clamp_min(_EMPTY)
        return torch.where(steep, offset[..., 0] / torch.where(steep, facing, -1.0), by_center)


def look_along(
    eyes: Float[Tensor, "C 3"],
    forward: Float[Tensor, "C 3"],
    tan_half_angle: float,
    resolution_px: int,
) -> Cameras:
    """Square cameras at `eyes` looking along unit `forward`; roll is arbitrary but fixed."""
    flat = forward[:, 2:].abs() > 0.9
    x_axis, z_axis = forward.new_tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    down = -torch.where(flat, x_axis, z_axis)
    right = torch.nn.functional.normalize(torch.linalg.cross(down, forward), dim=-1)
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward], 1)
    pose = torch.eye(4).to(eyes).repeat(len(eyes), 1, 1)
    pose[:, :3, :3] = rotation
    pose[:, :3, 3] = -(rotation @ eyes[:, :, None])[..., 0]
    half = 0.5 * resolution_px
    focal = half / tan_half_angle
    intrinsics = eyes.new_tensor([[focal, 0.0, half], [0.0, focal, half], [0.0, 0.0, 1.0]])
    return Cameras(pose, intrinsics.repeat(len(eyes), 1, 1), resolution_px, resolution_px)


@torch.no_grad()
def splat_planes(gaussians: Gaussians) -> Float[Tensor, "8 N"]:
    """What no camera changes: normal (the shortest axis), normal . centre, centre, and 1."""
    axes = matrix_from_quaternion(gaussians.quats_wxyz)
    thinnest = gaussians.scales.argmin(-1)[:, None, None].expand(-1, 3, 1)
    normals, means = axes.gather(2, thinnest)[..., 0], gaussians.means
    along = (normals * means).sum(-1, keepdim=True)
    return torch.cat([normals, along, means, torch.ones_like(along)], -1).t().contiguous()


@torch.no_grad()
def render_shadow_maps(
    gaussians: Gaussians, planes: Float[Tensor, "8 N"], cameras: Cameras, rasterize: Rasterize
) -> ShadowMaps:
    """Draw the splats' planes, from `splat_planes`, into every camera."""
    pose = cameras.world_to_camera
    to_camera = pose.new_zeros(len(cameras), 5, 8)  # to the channels of ShadowMaps.drawn
    to_camera[:, :3, :3] = pose[:, :3, :3]
    to_camera[:, 3, :3] = -cameras.centers
    to_camera[:, 3, 3] = 1.0
    to_camera[:, 4, 4:] = pose[:, 2]
    channels = to_camera @ planes
    channels[:, :4] *= torch.where(channels[:, 3:4] > 0.0, -1.0, 1.0)  # turned to the camera
    drawn = rasterize(gaussians, channels.transpose(1, 2), cameras)
    return ShadowMaps(cameras, drawn.features, drawn.alpha[..., 0])


@torch.no_grad()
def lit_fraction(
    maps: ShadowMaps,
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"] | None,
    bias: float,
) -> tuple[Float[Tensor, "C N"], Bool[Tensor, "C N"]]:
    """How much light reaches each point, by percentage-closer filtering, and whether it was seen.

    Args:
        maps: From `render_shadow_maps`.
        points: World positions.
        normals: Unit, of either sign; points are moved by `bias` to the lit side of their planes,
            which are continued to the texels compared with. None: points in free space.
        bias: World units. An occluder nearer than this to the receiver casts no shadow, one
            farther than twice this a full one.

    Returns:
        (share in [0, 1], 1 outside the map; whether the point projects into the map).
    """
    local = _to_camera(maps.cameras, points)
    slope_x = slope_y = torch.zeros_like(local[..., 0])
    if normals is not None:
        planes = normals @ maps.cameras.world_to_camera[:, :3, :3].transpose(1, 2)
        away = (planes * local).sum(-1, keepdim=True) > 0.0
        local = local + torch.where(away, -bias, bias) * planes
        slope_x, slope_y = _plane_slopes(planes, local)
    z = local[..., 2].clamp_min(1e-9)
    focal, center = maps.cameras.intrinsics[:, :1, 0], maps.cameras.intrinsics[:, :1, 2]
    x, y = local[..., 0] / z * focal + center, local[..., 1] / z * focal + center
    size = maps.alpha.shape[-1]
    inside = (local[..., 2] > 0.0) & (x > 0.0) & (x < size) & (y > 0.0) & (y < size)
    left, top = (x - 0.5).floor(), (y - 0.5).floor()
    table = torch.stack([maps.depth, maps.alpha], -1).flatten(1, 2)
    shadow = torch.zeros_like(z)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = left + dx, top + dy
        off_x, off_y = column + 0.5 - x, row + 0.5 - y  # pixels from the point to the texel
        weight = (1.0 - off_x.abs()) * (1.0 - off_y.abs())
        texel = row.clamp(0, size - 1) * size + column.clamp(0, size - 1)
        found = table.gather(1, texel.long()[..., None].expand(-1, -1, 2))
        receiver = z + (slope_x * off_x + slope_y * off_y) * z / focal
        behind = ((receiver - found[..., 0] - bias) / bias).clamp(0.0, 1.0)
        shadow += weight * behind * found[..., 1]
    return torch.where(inside, 1.0 - shadow, 1.0).clamp(0.0, 1.0), inside


LitFraction = Callable[
    [ShadowMaps, Tensor, Tensor | None, float], tuple[Float[Tensor, "C N"], Bool[Tensor, "C N"]]
]
"""The signature of `lit_fraction`, which may be passed in as compiled."""


def _plane_slopes(
    planes: Float[Tensor, "C N 3"], local: Float[Tensor, "C N 3"]
) -> tuple[Tensor, Tensor]:
    """Change of depth per unit of sideways motion along planes with these normals."""
    ray_cosine = (planes * local).sum(-1) / local[..., 2].clamp_min(1e-9)
    divisor = torch.where(ray_cosine.abs() < 1e-3, 1e-3, ray_cosine)
    slopes = -planes[..., :2] / divisor[..., None]
    length = slopes.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    slopes = slopes * (_MAX_SLOPE / length).clamp_max(1.0)
    return slopes[..., 0], slopes[..., 1]


def _to_camera(cameras: Cameras, points: Float[Tensor, "N 3"]) -> Float[Tensor, "C N 3"]:
    pose = cameras.world_to_camera
    return points @ pose[:, :3, :3].transpose(1, 2) + pose[:, None, :3, 3]


def _pixel_rays(cameras: Cameras) -> Float[Tensor, "C S S 3"]:
    """Rays through pixel centres with z = 1, in camera axes."""
    size, intrinsics = cameras.width_px, cameras.intrinsics
    pixel = torch.arange(size, device=intrinsics.device, dtype=intrinsics.dtype) + 0.5
    slope = (pixel - intrinsics[:, :1, 2]) / intrinsics[:, :1, 0]
    x, y = slope[:, None, :].expand(-1, size, -1), slope[:, :, None].expand(-1, -1, size)
    return torch.stack([x, y, torch.ones_like(x)], -1)
