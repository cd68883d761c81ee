"""The specification: EWA splatting in plain torch, any floating type, gradients by autograd.

Read this to know what the fast backends compute, and compare them with it. Formulas: Zwicker et
al. 2001 (EWA splatting), Kerbl et al. 2023 (3D Gaussian splatting); constants and conventions as
gsplat.
"""

import dataclasses
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from relight3d.backends.interface import RasterOptions
from relight3d.core.conventions import (
    ALPHA_MAX,
    ALPHA_THRESHOLD,
    EPS2D_PX2,
    TRANSMITTANCE_STOP,
)
from relight3d.core.rotation import matrix_from_quaternion
from relight3d.core.types import Cameras, Gaussians, Raster

TILE_PX = 16
KEPT_PAIRS = 1 << 24
"""Up to this many (splat, pixel) pairs a view keeps for its backward pass; beyond, tiles are
composited again there, which costs a third more time and keeps the memory bounded."""

FRUSTUM_MARGIN = 0.3
"""The Jacobian is taken no farther outside the image than this share of half its size."""


@dataclasses.dataclass(frozen=True)
class Projected:
    """Splats on one camera's screen, front to back; only those that can touch it."""

    index: Int[Tensor, " M"]
    """Which Gaussian."""
    means_px: Float[Tensor, "M 2"]
    conics: Float[Tensor, "M 3"]
    """Inverse covariance, entries xx, xy, yy, per square pixel."""
    opacities: Float[Tensor, " M"]
    """Compensated, if antialiasing."""
    reach_px: Float[Tensor, "M 2"]
    """Half extents of the outline alpha = 1/255."""


def screen_covariance(
    gaussians: Gaussians,
    in_camera: Float[Tensor, "N 3"],
    rotation: Float[Tensor, "3 3"],
    intrinsics: Float[Tensor, "3 3"],
    size_px: Float[Tensor, "2"],
) -> Float[Tensor, "N 2 2"]:
    """Covariance on the screen, J R S S^T R^T J^T, in square pixels, before the dilation."""
    focal, principal = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
    margin = FRUSTUM_MARGIN * 0.5 * size_px / focal
    xy, z = in_camera[:, :2], in_camera[:, 2:]
    slope = torch.maximum(xy / z, -principal / focal - margin)
    slope = torch.minimum(slope, (size_px - principal) / focal + margin)
    jacobian = torch.cat([torch.diag_embed(focal / z), (-focal * slope / z)[..., None]], -1)
    axes = rotation @ matrix_from_quaternion(gaussians.quats_wxyz) * gaussians.scales[:, None, :]
    half = jacobian @ axes
    return half @ half.transpose(-1, -2)


def project(
    gaussians: Gaussians, cameras: Cameras, camera: int, options: RasterOptions
) -> Projected:
    """Project onto one camera's screen, drop what cannot touch it, sort by depth.

    Differentiable in the Gaussians. The order is by the centre's camera z, ties by index.
    """
    pose, intrinsics = cameras.world_to_camera[camera], cameras.intrinsics[camera]
    size_px = pose.new_tensor([cameras.width_px, cameras.height_px])
    in_camera = gaussians.means @ pose[:3, :3].T + pose[:3, 3]
    depth = in_camera[:, 2].detach()
    ahead = (depth > options.near) & (depth < options.far) & _finite(gaussians)
    ahead = ahead.nonzero().squeeze(-1)
    gaussians, in_camera = _select(gaussians, ahead), in_camera[ahead]

    covariance = screen_covariance(gaussians, in_camera, pose[:3, :3], intrinsics, size_px)
    dilated = covariance + EPS2D_PX2 * torch.eye(2).to(covariance)
    det = torch.det(dilated)
    opacities = gaussians.opacities
    if options.antialias:
        smallest = torch.finfo(det.dtype).tiny
        opacities = opacities * (torch.det(covariance) / det).clamp_min(smallest).sqrt()
    means_px = in_camera @ intrinsics.T
    means_px = means_px[:, :2] / in_camera[:, 2:]
    xx, xy, yy = dilated[:, 0, 0], dilated[:, 0, 1], dilated[:, 1, 1]
    conics = torch.stack([yy / det, -xy / det, xx / det], -1)

    with torch.no_grad():
        sigmas = (2 * (opacities / ALPHA_THRESHOLD).log()).clamp_min(0).sqrt()
        reach_px = sigmas[:, None] * torch.stack([xx, yy], -1).sqrt()
        touches = ((means_px + reach_px > 0) & (means_px - reach_px < size_px)).all(-1)
        finite = (conics.isfinite().all(-1) & (det > 0)).logical_and(opacities >= ALPHA_THRESHOLD)
        kept = (touches & finite).nonzero().squeeze(-1)
        kept = kept[in_camera[kept, 2].argsort(stable=True)]
    return Projected(ahead[kept], means_px[kept], conics[kept], opacities[kept], reach_px[kept])


def composite(
    means_px: Float[Tensor, "M 2"],
    conics: Float[Tensor, "M 3"],
    opacities: Float[Tensor, " M"],
    features: Float[Tensor, "M F"],
    pixels: Float[Tensor, "P 2"],
) -> tuple[Float[Tensor, "P F"], Float[Tensor, " P"], Bool[Tensor, " M"]]:
    """Composite splats, given front to back, at pixel centres.

    Returns:
        Features, alpha, and which splats reached the alpha threshold at any of the pixels.
    """
    dx, dy = (pixels[:, None] - means_px).unbind(-1)
    xx, xy, yy = conics.unbind(-1)
    sigma = 0.5 * (xx * dx * dx + yy * dy * dy) + xy * dx * dy
    alpha = (opacities * torch.exp(-sigma)).clamp_max(ALPHA_MAX)
    alpha = alpha * (alpha.detach() >= ALPHA_THRESHOLD)
    after = torch.cumprod(1 - alpha, dim=1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], dim=1)
    weights = alpha * before * (after.detach() > TRANSMITTANCE_STOP)
    return weights @ features, weights.sum(1), (alpha.detach() > 0).any(0)


def _select(gaussians: Gaussians, index: Tensor) -> Gaussians:
    return Gaussians(
        gaussians.means[index],
        gaussians.quats_wxyz[index],
        gaussians.scales[index],
        gaussians.opacities[index],
    )


def _finite(gaussians: Gaussians) -> Bool[Tensor, " N"]:
    parts = (gaussians.means, gaussians.quats_wxyz, gaussians.scales, gaussians.opacities[:, None])
    return torch.cat(parts, -1).isfinite().all(-1)


def _touching(projected: Projected, axis: int, start: int, end: int) -> Bool[Tensor, " M"]:
    """Splats whose outline meets the pixels start .. end - 1 along one axis."""
    mean, reach = projected.means_px.detach()[:, axis], projected.reach_px[:, axis]
    return (mean + reach >= start) & (mean - reach <= end)


def _draw(
    projected: Projected, features: Tensor, width: int, height: int, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """One camera, tile by tile."""
    pairs = float((4 * projected.reach_px.clamp_max(max(width, height)).prod(-1)).sum())
    keep_all = pairs <= KEPT_PAIRS
    run = composite if keep_all else partial(checkpoint, composite, use_reentrant=False)
    visible = torch.zeros(count, dtype=torch.bool, device=features.device)
    feature_rows, alpha_rows = [], []
    for y in range(0, height, TILE_PX):
        rows = min(TILE_PX, height - y)
        in_row = _touching(projected, 1, y, y + rows)
        strips = []
        for x in range(0, width, TILE_PX):
            columns = min(TILE_PX, width - x)
            listed = (in_row & _touching(projected, 0, x, x + columns)).nonzero().squeeze(-1)
            index = projected.index[listed]
            grid = torch.meshgrid(
                torch.arange(y, y + rows), torch.arange(x, x + columns), indexing="ij"
            )
            pixels = torch.stack([grid[1].flatten(), grid[0].flatten()], -1).to(features) + 0.5
            drawn, alpha, touched = run(
                projected.means_px[listed],
                projected.conics[listed],
                projected.opacities[listed],
                features[index],
                pixels,
            )
            visible[index[touched]] = True
            strips.append(torch.cat([drawn, alpha[:, None]], -1).reshape(rows, columns, -1))
        strip = torch.cat(strips, 1)
        feature_rows.append(strip[..., :-1])
        alpha_rows.append(strip[..., -1:])
    return torch.cat(feature_rows), torch.cat(alpha_rows), visible


def rasterize(
    gaussians: Gaussians,
    features: Float[Tensor, "N F"] | Float[Tensor, "C N F"],
    cameras: Cameras,
    options: RasterOptions = RasterOptions(),
) -> Raster:
    """Draw with torch. See `interface.Rasterizer` for the contract.

    Computes and returns in the features' floating type and on their device. Splats whose geometry
    is not finite are skipped.
    """
    gaussians = Gaussians(
        **{f.name: getattr(gaussians, f.name).to(features) for f in dataclasses.fields(Gaussians)}
    )
    cameras = cameras.to(features.device, features.dtype)
    views = []
    for camera in range(len(cameras)):
        own = features[camera] if features.dim() == 3 else features
        projected = project(gaussians, cameras, camera, options)
        views.append(_draw(projected, own, cameras.width_px, cameras.height_px, len(gaussians)))
    drawn, alpha, visible = (torch.stack(parts) for parts in zip(*views, strict=True))
    return Raster(features=drawn, alpha=alpha, visible=visible)
