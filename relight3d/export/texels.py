"""Texels: which point of the surface each one shows, and what stands between the charts."""

import dataclasses
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from relight3d.export.atlas import triangles_at_edges

GUTTER_PX = 2.0
"""How far outside its triangle a texel still shows the nearest point of it: bilinear filtering and
the first mip level read there."""
_CHUNK_TEXELS = 1 << 21


@dataclasses.dataclass(frozen=True)
class Texels:
    """The texels of a square texture that show the surface or lie in the gutter around a chart."""

    index: Int[Tensor, " T"]
    """row * size_px + column, ascending; row 0 is at the top, at v = 0."""
    triangle: Int[Tensor, " T"]
    barycentrics: Float[Tensor, "T 2"]
    """Of the second and third corner; on the triangle's rim for texels of the gutter."""
    inside: Bool[Tensor, " T"]
    """Whether the texel's middle is in its triangle; else it is of the gutter."""
    size_px: int


def chart_texels(
    uv: Float[Tensor, "W 2"], faces: Int[Tensor, "F 3"], size_px: int, gutter_px: float = GUTTER_PX
) -> Texels:
    """Rasterise triangles in texture space. Memory-bounded, deterministic.

    A texel belongs to the triangle nearest to its middle, of several the first. Both sides of a
    seam hold the values of the seam itself in their gutters, so that it cannot be seen.

    Args:
        uv: In [0, 1], v down.
        faces: Corners.
        size_px: Edge of the texture.
        gutter_px: Reach of the gutter.
    """
    corners = uv[faces].double() * size_px
    none = len(faces)
    owner = torch.full((size_px * size_px,), none, dtype=torch.int64)
    for triangle, texel, middle in _candidates(torch.arange(none), corners, size_px, 0.0):
        weights = _barycentrics(middle, corners[triangle])
        within = (weights >= 0).all(-1) & (weights.sum(-1) <= 1)
        owner = owner.scatter_reduce(0, texel[within], triangle[within], "amin")
    covered = owner < none
    rim = (triangles_at_edges(faces) == 1).any(-1).nonzero()[:, 0]
    nearest = torch.full((size_px * size_px,), float("inf"), dtype=torch.float64)
    for triangle, texel, middle in _candidates(rim, corners, size_px, gutter_px):
        distance = (_nearest_on_edges(middle, corners[triangle]) - middle).norm(dim=-1)
        near = (distance <= gutter_px) & ~covered[texel]
        closest = nearest.scatter_reduce(0, texel[near], distance[near], "amin")
        owner[(closest < nearest) & ~covered] = none
        winners = near & (distance <= closest[texel])
        owner = owner.scatter_reduce(0, texel[winners], triangle[winners], "amin")
        nearest = closest
    index = (owner < none).nonzero()[:, 0]
    triangle, inside, points = owner[index], covered[index], _middles(index, size_px)
    on_rim = _nearest_on_edges(points[~inside], corners[triangle[~inside]])
    points = points.masked_scatter(~inside[:, None], on_rim)
    return Texels(
        index=index,
        triangle=triangle,
        barycentrics=_barycentrics(points, corners[triangle]).clamp(0.0, 1.0).float(),
        inside=inside,
        size_px=size_px,
    )


def spread(values: Float[Tensor, "T ch"], texels: Texels) -> Float[Tensor, "S S ch"]:
    """A whole texture from its texels; the rest continues the charts smoothly.

    Means of ever larger blocks, taken back down (push-pull, Gortler et al. 1996), so that no mip
    level mixes in a background colour.
    """
    size = texels.size_px
    weight = torch.zeros(size * size)
    weight[texels.index] = 1.0
    flat = torch.zeros(size * size, values.shape[1])
    flat[texels.index] = values.float()
    levels = [(flat.T.reshape(1, -1, size, size), weight.reshape(1, 1, size, size))]
    while levels[-1][0].shape[-1] > 1:
        colors, weights = (avg_pool2d(level, 2) for level in levels[-1])
        levels.append((colors, weights))
    filled = levels[-1][0] / levels[-1][1].clamp_min(1e-12)
    for colors, weights in reversed(levels[:-1]):
        coarse = interpolate(filled, size=colors.shape[-2:], mode="bilinear", align_corners=False)
        filled = torch.where(weights > 0, colors / weights.clamp_min(1e-12), coarse)
    return filled[0].permute(1, 2, 0)


def _candidates(
    triangles: Int[Tensor, " n"], corners: Float[Tensor, "F 3 2"], size_px: int, reach_px: float
) -> Iterator[tuple[Int[Tensor, " T"], Int[Tensor, " T"], Float[Tensor, "T 2"]]]:
    """Triangle, texel and texel's middle for all texels in reach of bounding boxes, in chunks."""
    low = (corners[triangles].amin(1) - reach_px - 0.5).ceil().clamp(0, size_px - 1).long()
    high = (corners[triangles].amax(1) + reach_px - 0.5).floor().clamp(0, size_px - 1).long()
    width, height = (high - low + 1).clamp_min(0).unbind(-1)
    boxes = width * height
    ends = boxes.cumsum(0)
    start = 0
    while start < len(triangles):
        before = int(ends[start] - boxes[start])
        end = int(torch.searchsorted(ends, before + _CHUNK_TEXELS, right=True))
        end = max(end, start + 1)
        box = torch.arange(start, end).repeat_interleave(boxes[start:end])
        place = torch.arange(len(box)) - (ends - boxes - before)[box]
        column = low[box, 0] + place % width[box]
        row = low[box, 1] + place // width[box]
        texel = row * size_px + column
        yield triangles[box], texel, _middles(texel, size_px)
        start = end


def _middles(texel: Int[Tensor, " T"], size_px: int) -> Float[Tensor, "T 2"]:
    return torch.stack([texel % size_px, texel // size_px], -1).double() + 0.5


def _nearest_on_edges(
    points: Float[Tensor, "T 2"], corners: Float[Tensor, "T 3 2"]
) -> Float[Tensor, "T 2"]:
    """The nearest point of each triangle's rim."""
    best = torch.full_like(points, float("inf"))
    best_distance = torch.full_like(points[:, 0], float("inf"))
    for start in range(3):
        origin, edge = corners[:, start], corners[:, (start + 1) % 3] - corners[:, start]
        along = ((points - origin) * edge).sum(-1) / (edge * edge).sum(-1).clamp_min(1e-30)
        candidate = origin + along.clamp(0.0, 1.0)[:, None] * edge
        distance = ((candidate - points) ** 2).sum(-1)
        closer = distance < best_distance
        best = torch.where(closer[:, None], candidate, best)
        best_distance = torch.where(closer, distance, best_distance)
    return best


def _barycentrics(
    points: Float[Tensor, "T 2"], corners: Float[Tensor, "T 3 2"]
) -> Float[Tensor, "T 2"]:
    """Weights of the second and third corner; negative where the triangle has no area."""
    x1, y1 = (corners[:, 1] - corners[:, 0]).unbind(-1)
    x2, y2 = (corners[:, 2] - corners[:, 0]).unbind(-1)
    x, y = (points - corners[:, 0]).unbind(-1)
    area = x1 * y2 - x2 * y1
    flat = area.abs() < 1e-12
    area = torch.where(flat, 1.0, area)
    weights = torch.stack([(x * y2 - x2 * y) / area, (x1 * y - x * y1) / area], -1)
    return torch.where(flat[:, None], -1.0, weights)
