"""Planar Gaussians: normals, and depth without the bias of splat centres (PGSR, arXiv:2406.06521).

A splat is a flat disc: its local z axis is kept the thin one, and is its normal. Rendered together,
normal N and plane distance D (both premultiplied by alpha) give the depth of the blended plane
along each pixel's ray, z = D / (N . ray): alpha cancels.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.rotation import matrix_from_quaternion
from relight3d.core.types import Cameras

GRAZING = 0.05
"""Smallest |N . ray| / |N| that depth divides by: 87 degrees off the normal."""
JUMP_RATIO, JUMP_SHARE = 4.0, 0.002
"""Depth jumps between pixels where it changes this many times as much to one side as to the other,
and by this share of itself more: the surface seen in one pixel ends before the next."""


def splat_normals(quats_wxyz: Float[Tensor, "N 4"]) -> Float[Tensor, "N 3"]:
    """The thin axis of each splat, in the world, of arbitrary sign. Differentiable."""
    return matrix_from_quaternion(quats_wxyz)[..., 2]


def facing(
    normals: Float[Tensor, "N 3"], means: Float[Tensor, "N 3"], center: Float[Tensor, "3"]
) -> Float[Tensor, "N 3"]:
    """Normals turned to the side of the plane on which `center` lies."""
    away = ((center - means) * normals).sum(-1, keepdim=True) < 0
    return torch.where(away, -normals, normals)


def plane_distance(
    normals: Float[Tensor, "N 3"], means: Float[Tensor, "N 3"], center: Float[Tensor, "3"]
) -> Float[Tensor, "N 1"]:
    """Signed distance of each splat's plane from `center` along its normal; <= 0 when facing it."""
    return ((means - center) * normals).sum(-1, keepdim=True)


def pixel_rays(cameras: Cameras, index: int = 0) -> Float[Tensor, "H W 3"]:
    """World directions through the pixel centres, scaled to camera z = 1.

    In planes, each coordinate apart in memory: a sum of rows and columns runs along rows.
    """
    intrinsics, pose = cameras.intrinsics[index], cameras.world_to_camera[index]
    u = torch.arange(cameras.width_px, dtype=pose.dtype, device=pose.device) + 0.5
    v = torch.arange(cameras.height_px, dtype=pose.dtype, device=pose.device) + 0.5
    x = (u - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (v - intrinsics[1, 2]) / intrinsics[1, 1]
    right, down, ahead = pose[:3, :3, None, None]
    return (right * x + (down * y[:, None] + ahead)).movedim(0, -1)


def plane_depth(
    normal: Float[Tensor, "H W 3"], distance: Float[Tensor, "H W 1"], rays: Float[Tensor, "H W 3"]
) -> Float[Tensor, "H W 1"]:
    """Camera z of the blended plane, world units; 0 where nothing was drawn. Differentiable.

    Args:
        normal: Rendered normals, premultiplied by alpha, facing the camera.
        distance: Rendered plane distance, premultiplied by alpha.
        rays: From `pixel_rays`.
    """
    length = normal.norm(dim=-1, keepdim=True)
    cosine = (normal * rays).sum(-1, keepdim=True)
    return distance / torch.minimum(cosine, -GRAZING * length).clamp_max(-1e-8)


def normals_from_depth(
    depth: Float[Tensor, "H W 1"], rays: Float[Tensor, "H W 3"]
) -> Float[Tensor, "h w 3"]:
    """Unit normals of the depth map's surface at its inner pixels (h = H - 2, w = W - 2).

    From central differences of the points seen by neighbouring pixels; where depth jumps to one
    side, from the difference to the other side. World frame, facing the camera. Differentiable.
    """
    points, z = depth * rays, depth.detach()
    here = (slice(1, -1), slice(1, -1))
    above, below = (slice(None, -2), slice(1, -1)), (slice(2, None), slice(1, -1))
    left, right = (slice(1, -1), slice(None, -2)), (slice(1, -1), slice(2, None))
    down = _along_surface(points[above], points[here], points[below], z[above], z[here], z[below])
    across = _along_surface(points[left], points[here], points[right], z[left], z[here], z[right])
    return torch.nn.functional.normalize(torch.cross(down, across, dim=-1), dim=-1, eps=1e-12)


def _along_surface(
    before: Float[Tensor, "h w 3"],
    here: Float[Tensor, "h w 3"],
    after: Float[Tensor, "h w 3"],
    z_before: Float[Tensor, "h w 1"],
    z_here: Float[Tensor, "h w 1"],
    z_after: Float[Tensor, "h w 1"],
) -> Float[Tensor, "h w 3"]:
    """A step of two pixels along the surface that is seen in the middle one."""
    back, ahead = (z_here - z_before).abs(), (z_after - z_here).abs()
    smaller, larger = torch.minimum(back, ahead), torch.maximum(back, ahead)
    one_sided = 2 * torch.where(back < ahead, here - before, after - here)
    jumps = larger > JUMP_RATIO * smaller + JUMP_SHARE * z_here
    return torch.where(jumps, one_sided, after - before)
