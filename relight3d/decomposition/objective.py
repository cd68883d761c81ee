"""The decomposition's loss, as named terms."""

import dataclasses
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.ssim import ssim
from relight3d.decomposition.config import DecompositionConfig
from relight3d.decomposition.gbuffer import Drawn
from relight3d.decomposition.lighting import PREFIX

SATURATED = 0.99
EDGE_SHARPNESS = 20.0


@dataclasses.dataclass(frozen=True)
class Pulls:
    """Which regularisers are on in a stage."""

    progress: bool
    materials: bool


def forgive_saturation(
    image: Float[Tensor, "H W 3"], target: Float[Tensor, "H W 3"]
) -> Float[Tensor, "H W 3"]:
    """A photo cannot say how much brighter than white a pixel was: no error above saturation."""
    return torch.where((target >= SATURATED) & (image > target), target, image)


def _smooth(
    maps: Float[Tensor, "H W ch"], guide: Float[Tensor, "H W 3"], alpha: Float[Tensor, "H W 1"]
) -> Float[Tensor, ""]:
    """Mean absolute difference of neighbours, where the photo has no edge (scale-free in log)."""
    total = maps.new_zeros(())
    for axis in (0, 1):
        here, next_ = slice(None, -1), slice(1, None)
        a = (slice(None),) * axis + (here,)
        b = (slice(None),) * axis + (next_,)
        weight = torch.exp(-EDGE_SHARPNESS * (guide[a] - guide[b]).abs().mean(-1, keepdim=True))
        total = total + ((maps[a] - maps[b]).abs() * weight * alpha[a] * alpha[b]).mean()
    return total


def environment_terms(
    log_radiance: Float[Tensor, "H W 3"], config: DecompositionConfig
) -> dict[str, Float[Tensor, ""]]:
    """Greyness (PRD's L_light) and smoothness of one environment."""
    radiance = log_radiance.exp()
    grey = (radiance - radiance.mean(-1, keepdim=True)).abs().mean()
    around = (log_radiance - log_radiance.roll(1, 1)).abs().mean()
    down = (log_radiance[1:] - log_radiance[:-1]).abs().mean()
    return {
        "light": config.light_weight * grey,
        "light_smooth": config.light_smoothness * (around + down),
    }


def loss_terms(
    image: Float[Tensor, "H W 3"],
    target: Float[Tensor, "H W 3"],
    mask: Float[Tensor, "H W 1"],
    drawn: Drawn,
    parameters: Mapping[str, Tensor],
    splat_normals: Float[Tensor, "N 3"],
    config: DecompositionConfig,
    pulls: Pulls,
) -> dict[str, Float[Tensor, ""]]:
    """Weighted terms whose sum is minimised.

    Args:
        image: Mixture of physics and radiance field over black, display-referred.
        target: The photo over black.
        mask: Where progress shall reach 1.
        drawn: The channels behind `image`.
        parameters: All of the decomposition's parameters.
        splat_normals: Normals of the geometry, outward.
        config: Weights.
        pulls: Which regularisers the present stage uses.
    """
    image = forgive_saturation(image, target)
    l1 = (image - target).abs().mean()
    terms = {"photo": torch.lerp(l1, 1 - ssim(image, target), config.dssim_weight)}
    for name, value in parameters.items():
        if name.startswith(PREFIX):
            for term, weighted in environment_terms(value, config).items():
                terms[term] = terms.get(term, 0.0) + weighted  # pyright: ignore[reportArgumentType]
    if pulls.progress:
        terms["progress"] = config.progress_weight * (drawn.maps["progress"] - mask).square().mean()
    if pulls.materials:
        alpha = drawn.alpha.detach()
        safe = alpha.clamp_min(0.05)
        log_albedo = (drawn.maps["albedo"] / safe).clamp_min(0.01).log()
        terms["albedo"] = config.albedo_smoothness * _smooth(log_albedo, target, alpha)
        gloss = torch.cat([drawn.maps["roughness"], drawn.maps["metallic"]], -1) / safe
        terms["gloss"] = config.roughness_smoothness * _smooth(gloss, target, alpha)
        metallic = parameters["metallic_logits"].sigmoid()
        terms["metallic"] = config.metallic_weight * metallic.mean()
    unit = torch.nn.functional.normalize(parameters["normals"], dim=-1)
    terms["normal"] = config.normal_weight * (1 - (unit * splat_normals).sum(-1)).mean()
    return terms
