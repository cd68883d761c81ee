"""How well drawn normals agree with the drawn surface (PGSR, 2DGS) and with each other."""

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.planes import normals_from_depth, plane_depth

BEND = 0.05
"""Below the angle whose 1 - cosine is the square of this, 4 degrees, `bending` is a parabola."""


def bending(one_minus_cosine: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """About the angle (in radians over sqrt 2), where 1 - cosine is about its square.

    The square would rather bend a whole neighbourhood a little than leave one sharp crease; the
    angle itself, as in total variation, prefers flat faces that meet in an edge.
    """
    return (one_minus_cosine.clamp_min(0.0) + BEND**2).sqrt() - BEND


def normal_consistency(
    normal: Float[Tensor, "H W 3"],
    distance: Float[Tensor, "H W 1"],
    alpha: Float[Tensor, "H W 1"],
    rays: Float[Tensor, "H W 3"],
) -> Float[Tensor, ""]:
    """`bending` between drawn normals and the normals of the drawn depth, where covered.

    Args:
        normal: Premultiplied by alpha, facing the camera, world frame.
        distance: Of the blended planes from the camera, premultiplied by alpha, world units.
        alpha: Coverage; no gradient flows to it.
        rays: From `planes.pixel_rays`.

    Returns:
        0 for pictures without an inner pixel.
    """
    if min(alpha.shape[:2]) < 3:
        return normal.new_zeros(())
    surface = normals_from_depth(plane_depth(normal, distance, rays), rays)
    inner = normal[1:-1, 1:-1]
    # Only where a pixel and its eight neighbours are covered does the difference mean a surface.
    solid = -torch.nn.functional.max_pool2d(-alpha.detach().movedim(-1, 0), 3, 1, 1)
    weight = (solid[0, 1:-1, 1:-1, None] > 0.5).to(normal.dtype)
    agreement = (inner * surface).sum(-1, keepdim=True)
    return (bending(inner.norm(dim=-1, keepdim=True) - agreement) * weight).mean()


def normal_spread(
    normal: Float[Tensor, "H W 3"], alpha: Float[Tensor, "H W 1"]
) -> Float[Tensor, ""]:
    """How much the normals blended into one pixel disagree: 0 when all that it shows is one plane.

    For unit normals under weights that sum to alpha, alpha^2 - |N|^2 is twice the weighted sum of
    their pairwise 1 - cosine, of which this is the `bending`.
    """
    return bending(alpha.square() - normal.square().sum(-1, keepdim=True)).mean()
