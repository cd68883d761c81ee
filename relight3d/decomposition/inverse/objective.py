"""The loss of inverse rendering, as named terms."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.decomposition.gbuffer import Drawn, join_planes
from relight3d.decomposition.inverse.config import InverseConfig
from relight3d.decomposition.lighting import PREFIX
from relight3d.decomposition.objective import (
    DARKEST,
    flatness_of,
    forgive_saturation,
    greyness,
    roughening,
    smooth,
)


def pixel_error(
    image: Float[Tensor, "P 3"], target: Float[Tensor, "P 3"], trust: Float[Tensor, "P 1"]
) -> Float[Tensor, ""]:
    """Mean absolute error of display-referred colours, by how far physics is trusted."""
    return ((forgive_saturation(image, target) - target).abs() * trust).mean()


def regularisers(
    drawn: Drawn,
    parameters: Mapping[str, Tensor],
    first_normals: Float[Tensor, "N 3"],
    config: InverseConfig,
) -> dict[str, Float[Tensor, ""]]:
    """What is asked of materials and light beside the photo.

    Differences of log albedo do not change with its scale, which photos leave open. Materials may
    have edges where the radiance field's constant part has them: in the photo itself, reflections
    have edges too.

    Args:
        drawn: Of the photo's camera, with that part as 'base'.
        parameters: All of the stage's.
        first_normals: Unit, where shading normals started.
        config: Weights.
    """
    terms: dict[str, Tensor] = {}
    alpha = drawn.alpha.detach()
    safe = alpha.clamp_min(0.05)
    flatness = flatness_of(drawn.maps["base"], alpha)
    log_albedo = (drawn.maps["albedo"] / safe).clamp_min(DARKEST).log()
    terms["albedo"] = config.albedo_smoothness * smooth(log_albedo, flatness)
    gloss = join_planes([drawn.maps["roughness"], drawn.maps["metallic"]]) / safe
    terms["gloss"] = config.gloss_smoothness * smooth(gloss, flatness)
    terms["metallic"] = config.metallic_weight * parameters["metallic_logits"].sigmoid().mean()
    if parameters["normals"].requires_grad:
        unit = torch.nn.functional.normalize(parameters["normals"], dim=-1)
        terms["normal"] = config.normal_weight * (1 - (unit * first_normals).sum(-1)).mean()
    skies = [value for name, value in parameters.items() if name.startswith(PREFIX)]
    if skies:
        grey = torch.stack([greyness(value) for value in skies]).sum()
        rough = torch.stack([roughening(value) for value in skies]).sum()
        terms["light"] = config.light_weight * grey
        terms["light_smooth"] = config.light_smoothness * rough
    return terms
