"""3DGS as Markov chain Monte Carlo (arXiv:2404.09591): relocate the dead, grow to a cap, explore.

The number of splats never exceeds the cap, so time and memory are predictable.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.adam import Adam
from relight3d.core.rotation import matrix_from_quaternion

DEAD_OPACITY = 0.005
MAX_COPIES = 51
STILL = 1e-3
"""Noise strength, at most about 0.6, below which a splat rests: opacity above 0.07."""
PARAMETERS = ["means", "quats_wxyz", "log_scales", "opacity_logits", "sh_dc", "sh_rest"]


def _binomials(device: torch.device) -> Float[Tensor, "n n"]:
    table = [
        [math.comb(n, k) if k <= n else 0 for k in range(MAX_COPIES)] for n in range(MAX_COPIES)
    ]
    return torch.tensor(table, dtype=torch.float64, device=device)


def split_opacity_and_scale(
    opacities: Float[Tensor, " m"], copies: Float[Tensor, " m"]
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """Opacity and scale factor that keep the picture when one splat becomes `copies` on one spot.

    Source: 3DGS-MCMC (arXiv:2404.09591), Eq. 9. The alternating sum needs float64.
    """
    count = copies.clamp(1, MAX_COPIES).long()
    opacity = opacities.double()
    new = 1 - (1 - opacity) ** (1 / count)
    order = torch.arange(MAX_COPIES, device=opacities.device)
    terms = (-1.0) ** order * new[:, None] ** (order + 1) / torch.sqrt(order + 1.0)
    sums = terms @ _binomials(opacities.device).T
    total = (sums * (order < count[:, None])).sum(-1)
    return new.float(), (opacity / total).float()


@torch.no_grad()
def _copy_rows(
    parameters: dict[str, Tensor], source: Tensor, optimizer: Adam
) -> dict[str, Float[Tensor, "m *any"]]:
    """Share each source splat among its copies; returns the rows that the copies get."""
    unique, inverse, counts = source.unique(return_inverse=True, return_counts=True)
    opacity, factor = split_opacity_and_scale(
        parameters["opacity_logits"][unique].sigmoid(), counts.float() + 1
    )
    opacity = opacity.clamp(DEAD_OPACITY, 1 - 1e-6)
    parameters["opacity_logits"][unique] = torch.logit(opacity)
    parameters["log_scales"][unique] += factor.clamp_min(1e-6).log()[:, None]
    optimizer.forget(unique, PARAMETERS)
    return {name: parameters[name][unique][inverse] for name in PARAMETERS}


@torch.no_grad()
def relocate_dead(
    parameters: dict[str, Tensor], optimizer: Adam, generator: torch.Generator
) -> int:
    """Move faint or broken splats onto living ones, drawn by opacity. Returns how many moved."""
    opacities = parameters["opacity_logits"].sigmoid()
    finite = torch.isfinite(parameters["means"]).all(-1) & torch.isfinite(opacities)
    dead = (opacities <= DEAD_OPACITY) | ~finite
    count = int(dead.sum())
    if count == 0 or count == len(dead):
        return 0
    weights = opacities.where(~dead, torch.zeros_like(opacities))
    source = torch.multinomial(weights.cpu(), count, replacement=True, generator=generator)
    rows = _copy_rows(parameters, source.to(weights.device), optimizer)
    for name, values in rows.items():
        parameters[name][dead] = values
    optimizer.forget(dead.nonzero()[:, 0], PARAMETERS)
    return count


@torch.no_grad()
def grow(
    parameters: dict[str, Tensor], optimizer: Adam, count: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Add `count` copies of splats drawn by opacity; returns the enlarged parameters."""
    weights = parameters["opacity_logits"].sigmoid().cpu()
    source = torch.multinomial(weights, count, replacement=True, generator=generator)
    rows = _copy_rows(parameters, source.to(parameters["means"].device), optimizer)
    optimizer.grow(count, PARAMETERS)
    return {name: torch.cat([parameters[name], rows[name]]) for name in parameters}


@torch.no_grad()
def explore(parameters: dict[str, Tensor], amount: float, generator: torch.Generator) -> None:
    """Shake faint splats within their own shape (Eq. 8: noise fades as opacity grows)."""
    strength = torch.sigmoid(-100 * (parameters["opacity_logits"].sigmoid() - (1 - 0.995)))
    faint = (strength > STILL).nonzero()[:, 0]
    noise = torch.randn(len(faint), 3, generator=generator).to(strength)
    scales = parameters["log_scales"].index_select(0, faint).exp()
    quats = parameters["quats_wxyz"].index_select(0, faint)
    axes = matrix_from_quaternion(quats) * scales[:, None]
    shaken = amount * strength.index_select(0, faint)[:, None] * noise
    # Sums, because products of very many 3 x 3 matrices are slow on a CPU.
    along = (axes * shaken[:, :, None]).sum(1)
    parameters["means"].index_add_(0, faint, (axes * along[:, None]).sum(2))
