"""The decomposition's loss, as named terms."""

import dataclasses
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.backends.fused import photometric
from relight3d.decomposition.config import DecompositionConfig
from relight3d.decomposition.gbuffer import Drawn, join_planes
from relight3d.decomposition.lighting import PREFIX

SATURATED = 0.99
EDGE_SHARPNESS = 20.0
DARKEST = 0.01
"""Albedos below are as good as this one: their logarithm would rule the loss."""


@dataclasses.dataclass(frozen=True)
class Pulls:
    """Which regularisers are on in a stage."""

    progress: bool
    materials: bool


def forgive_saturation(
    image: Float[Tensor, "*pixels 3"], target: Float[Tensor, "*pixels 3"]
) -> Float[Tensor, "*pixels 3"]:
    """A photo cannot say how much brighter than white a pixel was: no error above saturation."""
    return torch.where((target >= SATURATED) & (image > target), target, image)


def flatness_of(
    guide: Float[Tensor, "H W 3"], alpha: Float[Tensor, "H W 1"]
) -> tuple[Float[Tensor, "h W 1"], Float[Tensor, "H w 1"]]:
    """How much two neighbours, one below or beside the other, belong together: 0 across edges.

    h = H - 1, w = W - 1.
    """
    weights = []
    for axis in (0, 1):
        (a, b), (near, far) = _neighbours(guide, axis), _neighbours(alpha, axis)
        edge = (a - b).abs().mean(-1, keepdim=True)
        weights.append(torch.exp(-EDGE_SHARPNESS * edge) * near * far)
    return weights[0], weights[1]


def _neighbours(image: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    length = image.shape[axis] - 1
    return image.narrow(axis, 0, length), image.narrow(axis, 1, length)


class _Smooth(torch.autograd.Function):
    """Keeps one signed weight per difference; autograd would keep, and revisit, four images."""

    @staticmethod
    def forward(ctx, maps: Tensor, *weights: Tensor) -> Tensor:
        total, signed = maps.new_zeros(()), []
        for axis, weight in enumerate(weights):
            a, b = _neighbours(maps, axis)
            difference = a - b
            signed.append(difference.sign().mul_(weight))
            total += difference.mul_(signed[-1]).mean()
        ctx.save_for_backward(*signed)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        down, across = ctx.saved_tensors
        height, width = across.shape[0], down.shape[1]
        out = down.new_zeros(down.shape[-1], height, width).permute(1, 2, 0)  # in planes
        for axis, part in enumerate((down, across)):
            scaled = part * (grad / part.numel())
            a, b = _neighbours(out, axis)
            a.add_(scaled)
            b.sub_(scaled)
        return out, None, None


def smooth(
    maps: Float[Tensor, "H W ch"], flatness: tuple[Float[Tensor, "h W 1"], Float[Tensor, "H w 1"]]
) -> Float[Tensor, ""]:
    """Mean absolute difference of neighbours, weighted by their `flatness_of`, a constant."""
    return _Smooth.apply(maps, *flatness)  # pyright: ignore[reportReturnType]


def greyness(log_radiance: Float[Tensor, "H W 3"]) -> Float[Tensor, ""]:
    """How far an environment is from grey: mean deviation of a channel from all (PRD's L_light)."""
    radiance = log_radiance.exp()
    return (radiance - radiance.mean(-1, keepdim=True)).abs().mean()


def roughening(log_radiance: Float[Tensor, "H W 3"]) -> Float[Tensor, ""]:
    """How much neighbouring texels of an environment differ, as ratios."""
    around = (log_radiance - log_radiance.roll(1, 1)).abs().mean()
    return around + (log_radiance[1:] - log_radiance[:-1]).abs().mean()


def environment_terms(
    log_radiance: Float[Tensor, "H W 3"], config: DecompositionConfig
) -> dict[str, Float[Tensor, ""]]:
    """Greyness and smoothness of one environment, weighted."""
    return {
        "light": config.light_weight * greyness(log_radiance),
        "light_smooth": config.light_smoothness * roughening(log_radiance),
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
    terms = {"photo": photometric(image, target, config.dssim_weight)}
    for name, value in parameters.items():
        if name.startswith(PREFIX):
            for term, weighted in environment_terms(value, config).items():
                terms[term] = terms.get(term, 0.0) + weighted  # pyright: ignore[reportArgumentType]
    if pulls.progress:
        terms["progress"] = config.progress_weight * (drawn.maps["progress"] - mask).square().mean()
    if pulls.materials:
        alpha = drawn.alpha.detach()
        safe = alpha.clamp_min(0.05)
        log_albedo = (drawn.maps["albedo"] / safe).clamp_min(DARKEST).log()
        flatness = flatness_of(target, alpha)
        terms["albedo"] = config.albedo_smoothness * smooth(log_albedo, flatness)
        gloss = join_planes([drawn.maps["roughness"], drawn.maps["metallic"]]) / safe
        terms["gloss"] = config.roughness_smoothness * smooth(gloss, flatness)
        metallic = parameters["metallic_logits"].sigmoid()
        terms["metallic"] = config.metallic_weight * metallic.mean()
    if parameters["normals"].requires_grad:  # else they are what they started as
        unit = torch.nn.functional.normalize(parameters["normals"], dim=-1)
        terms["normal"] = config.normal_weight * (1 - (unit * splat_normals).sum(-1)).mean()
    return terms
