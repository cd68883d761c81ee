"""The radiance field of splats: view-dependent, display-referred colour from SH (3DGS)."""

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core import sh


def radiance_srgb(
    sh_dc: Float[Tensor, "N 1 3"],
    sh_rest: Float[Tensor, "N K 3"],
    means: Float[Tensor, "N 3"],
    center: Float[Tensor, "3"],
    degree: int,
) -> Float[Tensor, "N 3"]:
    """Colour of each splat seen from `center`: max(0, 0.5 + SH), sRGB-encoded as photos are.

    Args:
        sh_dc: Constant coefficients.
        sh_rest: The others, at least (degree + 1)^2 - 1 of them.
        means: Splat centres. Directions are constants: no gradient flows to the means.
        center: Camera position.
        degree: How many degrees to use, 0 to 3.
    """
    color = 0.5 + sh.C0 * sh_dc[:, 0]
    count = (degree + 1) ** 2 - 1
    if count:
        directions = torch.nn.functional.normalize(means.detach() - center, dim=-1)
        basis = sh.basis(directions, degree)[:, 1:]
        color = color + (basis[..., None] * sh_rest[:, :count]).sum(1)
    return color.clamp_min(0.0)
