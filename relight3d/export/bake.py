"""Bake a light into plain SH splats: the look every viewer shows, in closed form.

Convention of 3DGS: a splat's SH are evaluated at the direction from the camera to the splat, and
display colour (sRGB) = 0.5 + SH. All `directions` here are such viewing directions.
"""

import dataclasses
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.sh import basis, even_directions
from relight3d.core.types import Splats

REGULARIZATION = 1e-5
"""Weight of smoothness against the data, whose weights are normalised to sum to 1."""
_CHUNK_NUMBERS = 1 << 24
"""Largest count of intermediate numbers at a time (64 MiB in float32)."""

DisplayColor = Callable[[slice, Tensor], Tensor]
"""(splats [n], directions [n D 3]) -> sRGB colour [n D 3] of these splats seen along these."""


def fit_sh(
    radiance: Float[Tensor, "N D 3"],
    directions: Float[Tensor, "N D 3"] | Float[Tensor, "D 3"],
    weights: Float[Tensor, "N D"],
    degree: int,
    regularization: float = REGULARIZATION,
) -> tuple[Float[Tensor, "N K 3"], Float[Tensor, " N"]]:
    """Weighted least squares fit of SH to values known along directions, per splat.

    Minimises sum_d w_d |value_d - SH(d)|^2 + regularization * sum_lm (l (l + 1))^2 |c_lm|^2, w
    normalised to sum to 1: where directions are missing (the hidden hemisphere) the smoothest
    continuation is taken, by the Laplacian. The mean is not penalised.

    Args:
        radiance: Values to fit, any unit; 3DGS wants display colour minus 0.5.
        directions: Unit, shared by all splats or per splat.
        weights: >= 0. Splats whose weights are all 0 get SH of 0.
        degree: 0 to 3.
        regularization: > 0; unitless.

    Returns:
        SH coefficients, and the weighted root mean square residual over directions and channels.
    """
    count = directions.shape[-2]
    chunk = max(1, _CHUNK_NUMBERS // (count * (degree + 1) ** 2))
    pieces = []
    for start in range(0, len(radiance), chunk):
        rows = slice(start, start + chunk)
        some = directions[rows] if directions.ndim == 3 else directions
        pieces.append(_fit_chunk(radiance[rows], some, weights[rows], degree, regularization))
    coefficients, residuals = zip(*pieces, strict=True)
    return torch.cat(coefficients), torch.cat(residuals)


def bake_sh(
    splats: Splats,
    normals: Float[Tensor, "N 3"],
    color_of: DisplayColor,
    degree: int,
    n_directions: int = 64,
) -> tuple[Splats, Float[Tensor, " N"]]:
    """Replace the look of splats by the colours a light gives them. Memory-bounded.

    Each splat is seen along `n_directions` that cover the hemisphere in front of it evenly.

    Args:
        splats: Their geometry is kept.
        normals: Unit, outward, world.
        color_of: Display-referred (sRGB) colour of some splats along viewing directions.
        degree: 0 to 3.
        n_directions: At least twice the number of coefficients.

    Returns:
        Splats with new SH, and each one's weighted root mean square residual in sRGB.
    """
    assert n_directions >= 2 * (degree + 1) ** 2, (n_directions, degree)
    sphere = even_directions(n_directions).to(normals)
    chunk = max(1, _CHUNK_NUMBERS // (n_directions * (degree + 1) ** 2))
    pieces = []
    for start in range(0, len(splats), chunk):
        rows = slice(start, min(start + chunk, len(splats)))
        directions = hemisphere_in_front(sphere, normals[rows])
        cosine = -(directions * normals[rows, None]).sum(-1)
        color = color_of(rows, directions)
        pieces.append(fit_sh(color - 0.5, directions, cosine.clamp_min(0.0), degree))
    coefficients, residuals = zip(*pieces, strict=True)
    return dataclasses.replace(splats, sh=torch.cat(coefficients)), torch.cat(residuals)


def hemisphere_in_front(
    sphere: Float[Tensor, "D 3"], normals: Float[Tensor, "N 3"]
) -> Float[Tensor, "N D 3"]:
    """Viewing directions that meet the front of each surface: those that do not are mirrored."""
    cosine = torch.einsum("dk,nk->nd", sphere, normals)[..., None]
    return sphere - 2.0 * cosine.clamp_min(0.0) * normals[:, None]


def _fit_chunk(
    values: Float[Tensor, "N D 3"],
    directions: Float[Tensor, "N D 3"] | Float[Tensor, "D 3"],
    weights: Float[Tensor, "N D"],
    degree: int,
    regularization: float,
) -> tuple[Float[Tensor, "N K 3"], Float[Tensor, " N"]]:
    """Normal equations by Cholesky; the penalty keeps them well conditioned."""
    share = weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)
    matrix = basis(directions, degree).expand(*values.shape[:2], -1)
    weighted = matrix * share[..., None]
    bands = [band for band in range(degree + 1) for _ in range(2 * band + 1)]
    penalty = [regularization * (band * (band + 1)) ** 2 for band in bands]
    penalty[0] = 1e-9  # only so that a splat without any weight has a solution, 0
    normal_matrix = weighted.transpose(1, 2) @ matrix + torch.diag(values.new_tensor(penalty))
    factor = torch.linalg.cholesky(normal_matrix)
    coefficients = torch.cholesky_solve(weighted.transpose(1, 2) @ values, factor)
    error2 = ((matrix @ coefficients - values) ** 2).mean(-1)
    return coefficients, (share * error2).sum(-1).sqrt()
