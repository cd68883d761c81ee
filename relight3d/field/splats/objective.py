"""The fit's loss, as named terms: a pure function shared by every training loop."""

import dataclasses
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.planes import normals_from_depth, pixel_rays, plane_depth
from relight3d.core.ssim import ssim
from relight3d.core.types import Cameras
from relight3d.field.config import FieldConfig


@dataclasses.dataclass(frozen=True)
class Rendered:
    """The channels of one rendered view that the loss looks at; premultiplied by alpha."""

    color: Float[Tensor, "H W 3"]
    alpha: Float[Tensor, "H W 1"]
    normal: Float[Tensor, "H W 3"]
    distance: Float[Tensor, "H W 1"]


def photometric(
    image: Float[Tensor, "H W 3"], target: Float[Tensor, "H W 3"], dssim_weight: float
) -> Float[Tensor, ""]:
    """(1 - w) L1 + w (1 - SSIM), as in 3DGS. Display-referred values."""
    l1 = (image - target).abs().mean()
    return torch.lerp(l1, 1 - ssim(image, target), dssim_weight) if dssim_weight else l1


BEND = 0.05
"""Below the angle whose 1 - cosine is the square of this, 4 degrees, `bending` is a parabola."""


def bending(one_minus_cosine: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """About the angle (in radians over sqrt 2), where 1 - cosine is about its square.

    The square would rather bend a whole neighbourhood a little than leave one sharp crease; the
    angle itself, as in total variation, prefers flat faces that meet in an edge.
    """
    return (one_minus_cosine.clamp_min(0.0) + BEND**2).sqrt() - BEND


def normal_consistency(rendered: Rendered, cameras: Cameras) -> Float[Tensor, ""]:
    """`bending` between rendered normals and the normals of the rendered depth, where covered."""
    rays = pixel_rays(cameras)
    depth = plane_depth(rendered.normal, rendered.distance, rays)
    surface = normals_from_depth(depth, rays)
    inner = rendered.normal[1:-1, 1:-1]
    # Only where a pixel and its four neighbours are covered does the difference mean a surface.
    solid = -torch.nn.functional.max_pool2d(-rendered.alpha.detach().movedim(-1, 0), 3, 1, 1)
    weight = (solid[0, 1:-1, 1:-1, None] > 0.5).float()
    agreement = (inner * surface).sum(-1, keepdim=True)
    return (bending(inner.norm(dim=-1, keepdim=True) - agreement) * weight).mean()


def normal_spread(rendered: Rendered) -> Float[Tensor, ""]:
    """How much the normals blended into one pixel disagree: 0 when all that it shows is one plane.

    For unit normals under weights that sum to alpha, alpha^2 - |N|^2 is twice the weighted sum of
    their pairwise 1 - cosine, of which this is the `bending`.
    """
    length2 = rendered.normal.square().sum(-1, keepdim=True)
    return bending(rendered.alpha.square() - length2).mean()


def loss_terms(
    rendered: Rendered,
    target: Float[Tensor, "H W 3"],
    mask: Float[Tensor, "H W 1"] | None,
    background: Float[Tensor, "3"],
    cameras: Cameras,
    parameters: Mapping[str, Tensor],
    config: FieldConfig,
    *,
    extent: float,
    with_normals: bool,
) -> dict[str, Float[Tensor, ""]]:
    """Weighted terms whose sum is minimised.

    Args:
        rendered: One view.
        target: The photo over `background`, display-referred.
        mask: Its coverage, or None.
        background: Colour behind everything in this step.
        cameras: The one camera.
        parameters: Splat parameters by name, for the regularisers.
        config: Weights.
        extent: Size of the scene in world units; makes size penalties scale-free.
        with_normals: Whether normals must already agree with depth.
    """
    image = rendered.color + (1 - rendered.alpha) * background
    scales = parameters["log_scales"].exp()
    terms = {"photo": photometric(image, target, config.dssim_weight)}
    if mask is not None and config.mask_weight:
        terms["mask"] = config.mask_weight * (rendered.alpha - mask).abs().mean()
    if with_normals and config.normal_weight:
        terms["normal"] = config.normal_weight * normal_consistency(rendered, cameras)
        terms["spread"] = config.spread_weight * normal_spread(rendered)
    terms["thin"] = config.thinness_weight * scales[:, 2].mean() / extent
    terms["scale"] = config.scale_weight * scales.mean() / extent
    terms["opacity"] = config.opacity_weight * parameters["opacity_logits"].sigmoid().mean()
    return terms
