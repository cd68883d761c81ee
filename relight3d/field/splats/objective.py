"""The fit's loss, as named terms: a pure function shared by every training loop."""

import dataclasses
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from relight3d.backends.fused import photometric, surface_agreement
from relight3d.field.config import FieldConfig


@dataclasses.dataclass(frozen=True)
class Rendered:
    """One view as the photo is compared with; premultiplied by alpha."""

    color: Float[Tensor, "H W 3"]
    alpha: Float[Tensor, "H W 1"]


@dataclasses.dataclass(frozen=True)
class Surface:
    """The drawn surface of one view, at a size of its own; premultiplied by alpha."""

    normal: Float[Tensor, "H W 3"]
    distance: Float[Tensor, "H W 1"]
    alpha: Float[Tensor, "H W 1"]
    rays: Float[Tensor, "H W 3"]
    """From `planes.pixel_rays`."""


def loss_terms(
    rendered: Rendered,
    surface: Surface | None,
    target: Float[Tensor, "H W 3"],
    mask: Float[Tensor, "H W 1"] | None,
    background: Float[Tensor, "3"],
    parameters: Mapping[str, Tensor],
    config: FieldConfig,
    *,
    extent: float,
) -> dict[str, Float[Tensor, ""]]:
    """Weighted terms whose sum is minimised.

    Args:
        rendered: One view.
        surface: Its surface, in steps that compare normals with depth.
        target: The photo over `background`, display-referred.
        mask: Its coverage, or None.
        background: Colour behind everything in this step.
        parameters: Splat parameters by name, for the regularisers.
        config: Weights.
        extent: Size of the scene in world units; makes size penalties scale-free.
    """
    image = rendered.color + (1 - rendered.alpha) * background
    scales = parameters["log_scales"].exp()
    terms = {"photo": photometric(image, target, config.dssim_weight)}
    if mask is not None and config.mask_weight:
        terms["mask"] = config.mask_weight * (rendered.alpha - mask).abs().mean()
    if surface is not None:
        consistency, spread = surface_agreement(
            surface.normal, surface.distance, surface.alpha, surface.rays
        )
        terms["normal"] = config.normal_every * config.normal_weight * consistency
        terms["spread"] = config.normal_every * config.spread_weight * spread
    terms["thin"] = config.thinness_weight * scales[:, 2].mean() / extent
    terms["scale"] = config.scale_weight * scales.mean() / extent
    terms["opacity"] = config.opacity_weight * parameters["opacity_logits"].sigmoid().mean()
    return terms
