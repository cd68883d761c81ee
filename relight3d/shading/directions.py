"""Finite sets of light directions that stand for a whole environment."""

import dataclasses
from math import pi

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relight3d.core.color import luminance
from relight3d.core.errors import ConfigurationError
from relight3d.shading import latlong

_CHUNK = 4096


def spherical_fibonacci(
    count: int, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "D 3"]:
    """Evenly spread unit directions, each standing for 4 pi / D steradians.

    Source: Gonzalez 2010, "Measurement of areas on a sphere using Fibonacci lattices".
    """
    if count < 1:
        raise ConfigurationError(f"A direction set needs at least 1 direction, got {count}.")
    index = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1.0 - 2.0 * index / count
    azimuth = index * (pi * (3.0 - 5.0**0.5))
    sine = torch.sqrt(1.0 - z * z)
    stacked = torch.stack([sine * azimuth.cos(), sine * azimuth.sin(), z], -1)
    return stacked.to(device=device, dtype=dtype)


@dataclasses.dataclass(frozen=True)
class DirectionCells:
    """Every texel of a lat-long grid assigned to its nearest direction (spherical Voronoi)."""

    directions: Float[Tensor, "D 3"]
    solid_angle: Float[Tensor, " D"]
    """Steradians of each cell, 4 pi together; 0 if no texel is nearest to a direction."""
    cell_of_texel: Int[Tensor, " T"]
    texel_share: Float[Tensor, " T"]
    """Solid angle of each texel over that of its cell."""

    def integrate(
        self, environment: Float[Tensor, "H W C"], rotation_rad: float = 0.0
    ) -> Float[Tensor, "D C"]:
        """Mean radiance over each cell, of the map turned counter-clockwise about +z.

        sum_d radiance_d * solid_angle_d equals the energy of the map exactly. Differentiable
        (linear).
        """
        turned = latlong.rotate(environment, rotation_rad) if rotation_rad else environment
        weighted = turned.flatten(0, 1) * self.texel_share[:, None]
        empty = weighted.new_zeros(len(self.directions), weighted.shape[1])
        return empty.index_add(0, self.cell_of_texel, weighted)


def direction_cells(directions: Float[Tensor, "D 3"], height: int) -> DirectionCells:
    """Assign the texels of a height x 2 height map to unit `directions`. Not differentiable."""
    options = {"device": directions.device, "dtype": directions.dtype}
    centers = latlong.texel_directions(height, 2 * height, **options).reshape(-1, 3)
    areas = latlong.solid_angles(height, 2 * height, **options).reshape(-1)
    parts = [(part @ directions.t()).argmax(-1) for part in centers.split(_CHUNK)]
    cell_of_texel = torch.cat(parts)
    solid_angle = areas.new_zeros(len(directions)).index_add(0, cell_of_texel, areas)
    share = areas / solid_angle[cell_of_texel]
    return DirectionCells(directions, solid_angle, cell_of_texel, share)


def integrate_over_cells(
    environment: Float[Tensor, "H W C"], directions: Float[Tensor, "D 3"]
) -> tuple[Float[Tensor, "D C"], Float[Tensor, " D"]]:
    """(mean radiance, solid angle) of each direction's cell; keep `direction_cells` for loops."""
    cells = direction_cells(directions, environment.shape[0])
    return cells.integrate(environment), cells.solid_angle


@dataclasses.dataclass(frozen=True)
class LightSamples:
    """Directional lights whose energies sum to the environment's."""

    directions: Float[Tensor, "D 3"]
    radiance: Float[Tensor, "D 3"]
    """Mean over the region each direction stands for."""
    solid_angle: Float[Tensor, " D"]


def importance_directions(environment: Float[Tensor, "H W 3"], count: int) -> LightSamples:
    """Directions placed where the light is: median cut over luminance times solid angle.

    Source: Debevec 2005, "A Median Cut Algorithm for Light Probe Sampling", always splitting the
    region with the largest second moment of energy (so that a sun of one texel takes one
    direction, not all of them). A direction is its region's centre of energy. Fewer than `count`
    come back only if the map has fewer texels. Not differentiable.
    """
    if count < 1:
        raise ConfigurationError(f"A direction set needs at least 1 direction, got {count}.")
    light = environment.detach().double().cpu()
    height, width, _ = light.shape
    areas = latlong.solid_angles(height, width, dtype=torch.float64)
    centers = latlong.texel_directions(height, width, dtype=torch.float64)
    energy = luminance(light).clamp_min(0.0) * areas
    energy = energy + 1e-6 * (energy.sum() / (4.0 * pi) + 1e-12) * areas  # black regions split too
    regions = _median_cut(energy, centers, count)
    directions, radiance, solid_angle = [], [], []
    for top, bottom, left, right in regions:
        box = (slice(top, bottom), slice(left, right))
        area = areas[box]
        center = (centers[box] * energy[box][..., None]).sum((0, 1))
        directions.append(torch.nn.functional.normalize(center, dim=0))
        solid_angle.append(area.sum())
        radiance.append((light[box] * area[..., None]).sum((0, 1)) / area.sum())
    parts = (torch.stack(part).to(environment) for part in (directions, radiance, solid_angle))
    return LightSamples(*parts)


_Box = tuple[int, int, int, int]


def _median_cut(
    energy: Float[Tensor, "H W"], centers: Float[Tensor, "H W 3"], count: int
) -> list[_Box]:
    """Boxes (top, bottom, left, right) that tile the map."""
    height, width = energy.shape
    whole = (0, height, 0, width)
    boxes: list[tuple[float, _Box]] = [(_spread(energy, centers, whole), whole)]
    while len(boxes) < count:
        at = max(range(len(boxes)), key=lambda index: boxes[index][0])
        _, box = boxes[at]
        if (box[1] - box[0]) * (box[3] - box[2]) == 1:
            break
        halves = _split(energy, box)
        boxes[at : at + 1] = [(_spread(energy, centers, half), half) for half in halves]
    return [box for _, box in boxes]


def _spread(energy: Tensor, centers: Tensor, box: _Box) -> float:
    """Energy times angular variance about its centre; below 0 for what cannot be split."""
    top, bottom, left, right = box
    if (bottom - top) * (right - left) == 1:
        return -1.0
    inside = energy[top:bottom, left:right]
    moment = (centers[top:bottom, left:right] * inside[..., None]).sum((0, 1))
    total = inside.sum()
    return float(total - moment.square().sum() / total)


def _split(energy: Tensor, box: _Box) -> tuple[_Box, _Box]:
    """Cut across the longer side (columns shrink toward the poles) at the median of energy."""
    top, bottom, left, right = box
    inside = energy[top:bottom, left:right]
    sine = torch.sin(torch.tensor(pi * 0.5 * (top + bottom) / energy.shape[0])).item()
    by_row = bottom - top > 1 and (right - left == 1 or bottom - top >= (right - left) * sine)
    cumulative = inside.sum(1 if by_row else 0).cumsum(0)
    half = 0.5 * cumulative[-1]
    after = int(torch.searchsorted(cumulative, half))
    before_half = cumulative[after - 1] if after else torch.zeros_like(half)
    cut = after if half - before_half < cumulative[after] - half else after + 1
    cut = min(max(cut, 1), len(cumulative) - 1)
    if by_row:
        return (top, top + cut, left, right), (top + cut, bottom, left, right)
    return (top, bottom, left, left + cut), (top, bottom, left + cut, right)
