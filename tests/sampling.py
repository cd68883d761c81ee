"""How the tests judge random directions: against dense quadrature, and by their histogram."""

from collections.abc import Callable
from math import pi

import numpy as np
import scipy.stats
import torch
from torch import Tensor

from relight3d.shading import latlong
from relight3d.shading.reference import tangent_frame

DOUBLE = torch.float64


def unit_vectors(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(*shape, 3, generator=generator, dtype=dtype)
    return torch.nn.functional.normalize(found, dim=-1)


def uniform(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def tilted(degrees: float, dtype: torch.dtype = DOUBLE) -> Tensor:
    """A unit vector so far from +z, toward +x."""
    angle = torch.tensor(degrees * pi / 180.0, dtype=DOUBLE)
    return torch.stack([angle.sin(), torch.zeros_like(angle), angle.cos()]).to(dtype)


def graded_sphere(
    axis: Tensor, rings: int = 500, spokes: int = 400, extent: float = pi
) -> tuple[Tensor, Tensor]:
    """Directions [N, 3] and their solid angles [N], crowded about `axis`: for any sharp lobe.

    `extent` is the largest angle to the axis, radians.
    """
    t = (torch.arange(rings, dtype=DOUBLE) + 0.5) / rings
    polar, azimuth = extent * t**3, 2.0 * pi * (torch.arange(spokes, dtype=DOUBLE) + 0.5) / spokes
    areas = polar.sin() * (3.0 * extent * t**2 / rings) * (2.0 * pi / spokes)
    tangent, bitangent = (v[0] for v in tangent_frame(axis[None]))
    sine = polar.sin()[:, None]
    a, b = sine * azimuth.cos(), sine * azimuth.sin()
    c = polar.cos()[:, None].expand_as(a)
    directions = a[..., None] * tangent + b[..., None] * bitangent + c[..., None] * axis
    return directions.reshape(-1, 3), areas[:, None].expand_as(a).reshape(-1)


def expected_histogram(
    density: Callable[[Tensor], Tensor], rows: int, columns: int, fine: int
) -> np.ndarray:
    """A density's integral over the cells of a lat-long grid [rows, columns]."""
    v = (torch.arange(rows * fine, dtype=DOUBLE) + 0.5) / (rows * fine)
    u = (torch.arange(columns * fine, dtype=DOUBLE) + 0.5) / (columns * fine)
    grid = torch.stack(torch.meshgrid(v, u, indexing="ij")[::-1], -1)
    areas = latlong.solid_angles(rows * fine, columns * fine, dtype=DOUBLE)
    mass = density(latlong.directions_from_uv(grid)) * areas
    return mass.reshape(rows, fine, columns, fine).sum((1, 3)).numpy()


def chi_square_p(
    directions: Tensor, density: Callable[[Tensor], Tensor], rows: int = 24, fine: int = 16
) -> float:
    """How probable it is that these directions, or worse ones, come of this density.

    Cells of fewer than 10 expected are pooled; so is what the density does not hold.
    """
    count, columns = directions.reshape(-1, 3).shape[0], 2 * rows
    uv = latlong.uv_from_directions(directions.reshape(-1, 3).double())
    column = (uv[:, 0] * columns).long().clamp_max(columns - 1)
    row = (uv[:, 1] * rows).long().clamp_max(rows - 1)
    found = torch.bincount(row * columns + column, minlength=rows * columns).numpy()
    expected = expected_histogram(density, rows, columns, fine).ravel() * count
    order = np.argsort(expected)
    pooled = np.minimum(np.cumsum(expected[order]) // 10.0, 1e9)
    group = np.where(expected[order] >= 10.0, 10**9 + np.arange(len(order)), pooled)
    _, group = np.unique(group, return_inverse=True)
    found, expected = (np.bincount(group, values[order]) for values in (found, expected))
    if expected[0] < 10.0:  # the last pool did not fill
        found[1], expected[1] = found[0] + found[1], expected[0] + expected[1]
        found, expected = found[1:], expected[1:]
    assert abs(expected.sum() / count - 1.0) < 2e-3, f"integrates to {expected.sum() / count}"
    return float(scipy.stats.chisquare(found, expected * (count / expected.sum())).pvalue)


def mean_and_error(values: Tensor) -> tuple[Tensor, Tensor]:
    """Over the first axis: the mean of independent estimates, and its standard error."""
    values = values.double()
    return values.mean(0), values.std(0) / len(values) ** 0.5
