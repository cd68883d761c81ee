"""What the splats say at points of a surface: means of those that reach there."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relight3d.core.rotation import matrix_from_quaternion
from relight3d.core.types import Gaussians

REACH = 3.0
"""In standard deviations of a splat; beyond, it does not count."""
POINTS_PER_CELL = 1500
"""On average, where the points lie evenly on a surface."""
ENOUGH = 1e-3
"""Least total weight (opacity times Gaussian times agreement) of a mean worth having."""
_FINEST = 0.1
"""In units of the tolerance: splats count as no smaller, which keeps float32 exact enough."""
_CHUNK_NUMBERS = 1 << 22


def resample(
    points: Float[Tensor, "T 3"],
    normals: Float[Tensor, "T 3"],
    gaussians: Gaussians,
    splat_normals: Float[Tensor, "N 3"],
    values: Float[Tensor, "N ch"],
    tolerance: float,
) -> tuple[Float[Tensor, "T ch"], Float[Tensor, "T 1"]]:
    """Mean of the splats' values around every point. Exact in its support, memory-bounded.

    The weight of a splat is its opacity, times its Gaussian at the point, times the square of the
    cosine between its normal and the point's (0 for splats that face away: the other side of a
    sheet). Along its thinnest axis a splat counts as no thinner than `tolerance`, since the surface
    runs beside the splats by so much.

    Args:
        points: On the surface.
        normals: Unit, of the surface there.
        gaussians: The splats, in the frame of the points.
        splat_normals: Unit, outward.
        values: Any channels.
        tolerance: How far the surface may be off, in world units.

    Returns:
        The means, and their total weight: 0 where no splat reaches, with a mean of 0.
    """
    precision, reach = _precision(gaussians, tolerance)
    centers = gaussians.means
    means, weights = torch.zeros(len(points), values.shape[1]), torch.zeros(len(points), 1)
    for some in _cells(points):
        low, high = points[some].amin(0), points[some].amax(0)
        gap = (centers - centers.clamp(low, high)).norm(dim=-1)
        near = (gap < reach).nonzero()[:, 0]
        if not len(near):
            continue
        middle = 0.5 * (low + high)
        form = _quadratic_forms(precision[near], centers[near] - middle)
        for part in some.split(max(1, _CHUNK_NUMBERS // len(near))):
            distance2 = (_monomials(points[part] - middle) @ form).clamp_min_(0.0)
            agreement = (normals[part] @ splat_normals[near].T).clamp_min_(0.0).square_()
            weight = gaussians.opacities[near] * torch.exp(-0.5 * distance2) * agreement
            weight = torch.where(distance2 < REACH**2, weight, 0.0)
            total = weight.sum(1, keepdim=True)
            means[part] = (weight @ values[near]) / total.clamp_min(1e-12)
            weights[part] = total
    return means, weights


def nearest_splat(
    points: Float[Tensor, "T 3"], gaussians: Gaussians, least_opacity: float = 0.1
) -> Int[Tensor, " T"]:
    """Which splat's middle is nearest to every point; faint ones count only if all are faint."""
    solid = (gaussians.opacities >= least_opacity).nonzero()[:, 0]
    if not len(solid):
        solid = torch.arange(len(gaussians))
    means = gaussians.means[solid]
    chunk = max(1, _CHUNK_NUMBERS // len(means))
    return torch.cat([solid[torch.cdist(part, means).argmin(1)] for part in points.split(chunk)])


def _precision(
    gaussians: Gaussians, tolerance: float
) -> tuple[Float[Tensor, "N 3 3"], Float[Tensor, " N"]]:
    """Inverse covariances with the tolerance in them, and radii beyond which a splat counts 0."""
    thinnest = torch.nn.functional.one_hot(gaussians.scales.argmin(-1), 3).bool()
    least = torch.where(thinnest, tolerance, _FINEST * tolerance)
    scales = torch.maximum(gaussians.scales, least)
    axes = matrix_from_quaternion(gaussians.quats_wxyz)
    precision = (axes / scales[:, None].square()) @ axes.transpose(1, 2)
    return precision, REACH * scales.amax(-1)


def _quadratic_forms(
    precision: Float[Tensor, "K 3 3"], centers: Float[Tensor, "K 3"]
) -> Float[Tensor, "10 K"]:
    """(x - c) P (x - c) as coefficients of `_monomials`: one matrix product for all pairs."""
    linear = (precision @ centers[:, :, None])[..., 0]
    diagonal = precision.diagonal(dim1=1, dim2=2)
    mixed = torch.stack([precision[:, 0, 1], precision[:, 0, 2], precision[:, 1, 2]], -1)
    constant = (linear * centers).sum(-1, keepdim=True)
    return torch.cat([diagonal, 2.0 * mixed, -2.0 * linear, constant], -1).T


def _monomials(points: Float[Tensor, "P 3"]) -> Float[Tensor, "P 10"]:
    x, y, z = points.unbind(-1)
    return torch.stack([x * x, y * y, z * z, x * y, x * z, y * z, x, y, z, torch.ones_like(x)], -1)


def _cells(points: Float[Tensor, "T 3"]) -> tuple[Int[Tensor, " n"], ...]:
    """Rows of the points in each occupied cell of a grid, fine enough for cells to hold few."""
    if not len(points):
        return ()
    low, size = points.amin(0), points.amax(0) - points.amin(0)
    across = math.sqrt(max(1.0, len(points) / POINTS_PER_CELL) / 3.0)  # a surface meets 3 n^2 cells
    cell = (float(size.max()) / max(1.0, across)) or 1.0
    place = ((points - low) / cell).long()
    key = (place[:, 0] << 42) + (place[:, 1] << 21) + place[:, 2]
    order = key.argsort(stable=True)
    counts = torch.unique_consecutive(key[order], return_counts=True)[1]
    return order.split(counts.tolist())
