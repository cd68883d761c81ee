"""Latitude-longitude maps: where a texel looks, how large it is, looking up, turning, resizing.

Layout (see `core.conventions`): column u = fract(-atan2(y, x) / 2 pi), row v = acos(z) / pi; texel
(row i, column j) has its centre at u = (j + 0.5) / W, v = (i + 0.5) / H and is seen as a spherical
rectangle of constant radiance when energy is summed.
"""

from functools import lru_cache
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

_TINY = 1e-12
"""Added to x^2 + y^2 so that gradients stay finite at the poles."""


def uv_from_directions(directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 2"]:
    """(u, v) of directions of any non-zero length; u in [0, 1), v in [0, 1].

    Differentiable; at the poles, where u is undefined, the gradient of u is finite.
    """
    x, y, z = directions.unbind(-1)
    horizontal2 = x * x + y * y
    at_pole = horizontal2 < _TINY
    azimuth = torch.atan2(y, torch.where(at_pole, torch.ones_like(x), x))
    u = azimuth * (-0.5 / pi)
    v = torch.atan2(torch.sqrt(horizontal2 + _TINY), z) * (1.0 / pi)
    return torch.stack([u - u.detach().floor(), v], -1)


def directions_from_uv(uv: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3"]:
    """Unit directions of map positions: the inverse of `uv_from_directions`."""
    azimuth, polar = uv[..., 0] * (-2.0 * pi), uv[..., 1] * pi
    sine = polar.sin()
    return torch.stack([sine * azimuth.cos(), sine * azimuth.sin(), polar.cos()], -1)


def texel_directions(
    height: int,
    width: int,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "H W 3"]:
    """Unit directions of the texel centres."""
    v = (torch.arange(height, dtype=torch.float64) + 0.5) / height
    u = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    grid = torch.stack(torch.meshgrid(v, u, indexing="ij")[::-1], -1)
    return directions_from_uv(grid).to(device=device, dtype=dtype)


def solid_angles(
    height: int,
    width: int,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "H W"]:
    """Exact solid angles of the texels, in steradians; they sum to 4 pi."""
    edges = torch.cos(torch.linspace(0.0, pi, height + 1, dtype=torch.float64))
    rows = (edges[:-1] - edges[1:]) * (2.0 * pi / width)
    return rows[:, None].expand(height, width).to(device=device, dtype=dtype)


def turn(vectors: Float[Tensor, "*batch 3"], radians: float) -> Float[Tensor, "*batch 3"]:
    """Turn vectors counter-clockwise about +z."""
    angle = torch.tensor(radians, dtype=torch.float64)
    cosine, sine = angle.cos().item(), angle.sin().item()
    x, y, z = vectors.unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y, z], -1)


def rotate(environment: Float[Tensor, "H W C"], radians: float) -> Float[Tensor, "H W C"]:
    """The map turned counter-clockwise about +z.

    Exact for whole texels; in between, neighbouring columns are mixed linearly, which keeps the
    energy of every row. Where a map is only looked up, turning the directions by -radians (`turn`)
    is cheaper and exact.
    """
    shift = radians * environment.shape[1] / (2.0 * pi)
    whole = round(shift)
    if abs(shift - whole) < 1e-6:
        return torch.roll(environment, -whole, dims=1)
    whole = int(shift // 1.0)
    near, far = torch.roll(environment, -whole, 1), torch.roll(environment, -whole - 1, 1)
    return torch.lerp(near, far, shift - whole)


def reoriented(
    environment: Float[Tensor, "H W C"], rotation: Float[Tensor, "3 3"]
) -> Float[Tensor, "H W C"]:
    """The map in other axes: from direction d it shows what the old one shows at rotation @ d."""
    height, width = environment.shape[:2]
    directions = texel_directions(height, width, environment.device, environment.dtype)
    return lookup(environment, directions @ rotation.to(directions).T)


def pad_columns(maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W+2"]:
    """One wrapped column on either side, so that bilinear lookup is seamless in u."""
    return torch.cat([maps[..., -1:], maps, maps[..., :1]], -1)


def lookup(
    environment: Float[Tensor, "H W C"], directions: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch C"]:
    """Radiance seen in given directions, bilinear, wrapped in u, clamped at the poles.

    Differentiable in the map and in the directions (any non-zero length).
    """
    _, width, channels = environment.shape
    u, v = uv_from_directions(directions.reshape(-1, 3)).unbind(-1)
    grid = torch.stack([(u * width + 1.0) * (2.0 / (width + 2)) - 1.0, v * 2.0 - 1.0], -1)
    found = torch.nn.functional.grid_sample(
        pad_columns(environment.permute(2, 0, 1)[None]),
        grid[None, None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return found[0, :, 0].t().reshape(*directions.shape[:-1], channels)


def downsample(
    environment: Float[Tensor, "H W C"], height: int, width: int | None = None
) -> Float[Tensor, "_ _ C"]:
    """Resize by averaging over solid angle: every output texel holds the energy it covers.

    A sun of one texel keeps its whole energy. Works for any pair of sizes (also larger ones, as
    boxes). Differentiable (linear). `width` is 2 * height unless given.
    """
    rows, columns = environment.shape[:2]
    width = 2 * height if width is None else width
    like = environment.device, environment.dtype
    by_row, by_column = _shares(rows, height, True, *like), _shares(columns, width, False, *like)
    return torch.einsum("hr,rwc,vw->hvc", by_row, environment, by_column)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _shares(
    source: int, target: int, of_rows: bool, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "target source"]:
    edges = _row_edges if of_rows else _column_edges
    return _box_overlap(edges(source), edges(target)).to(device=device, dtype=dtype)


def _row_edges(count: int) -> Float[Tensor, " edges"]:
    """Row borders in the measure that is uniform over the sphere, -cos(polar angle)."""
    return -torch.cos(torch.linspace(0.0, pi, count + 1, dtype=torch.float64))


def _column_edges(count: int) -> Float[Tensor, " edges"]:
    return torch.linspace(0.0, 1.0, count + 1, dtype=torch.float64)


def _box_overlap(
    source: Float[Tensor, " source_edges"], target: Float[Tensor, " target_edges"]
) -> Float[Tensor, "_ _"]:
    """Which share of each target box every source box covers: [target, source], rows sum to 1."""
    low = torch.maximum(target[:-1, None], source[None, :-1])
    high = torch.minimum(target[1:, None], source[None, 1:])
    return (high - low).clamp_min(0.0) / (target[1:] - target[:-1])[:, None]
