"""Per-splat material parameters: activations, starting values, and the plain record."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.color import linear_from_srgb
from relight3d.core.types import Materials

MIN_ROUGHNESS = 0.05
"""Below, float32 GGX loses its peak and a 32-row environment has nothing to show."""
DIELECTRIC_START = {"roughness": 0.3, "metallic": 0.08}
WHITE_METAL = 0.99
FIRST_ROUGHNESS = 0.3
"""PRD starts fully rough and has tens of thousands of steps to sharpen. In a few hundred it never
does: environment and roughness each wait for the other to become sharp. On the glossy development
capture this start relit 0.4 to 1.2 dB better."""


def activate(parameters: Mapping[str, Tensor]) -> Materials:
    """Materials of the parameters. Differentiable.

    'log_gain' is the one number that brightens all light and darkens all albedo alike: photos
    hardly feel it but through reflections, so it must not wait for every splat to move.
    """
    span = 1.0 - MIN_ROUGHNESS
    return Materials(
        albedo_linear=(
            parameters["albedo_logits"].sigmoid() * (-parameters["log_gain"]).exp()
        ).clamp_max(1.0),
        roughness=MIN_ROUGHNESS + span * parameters["roughness_logits"].sigmoid(),
        metallic=parameters["metallic_logits"].sigmoid(),
        normals=torch.nn.functional.normalize(parameters["normals"], dim=-1),
        progress=progress(parameters),
        double_sided=parameters["double_sided"],
    )


def progress(parameters: Mapping[str, Tensor]) -> Float[Tensor, "N 1"]:
    """Share of physics in each splat's look. Differentiable."""
    return parameters["progress_logits"].sigmoid() * parameters["scope"]


def white_metal(
    normals: Float[Tensor, "N 3"],
    double_sided: Float[Tensor, "N 1"],
    scope: Float[Tensor, "N 1"],
    progress: float,
) -> dict[str, Tensor]:
    """Stage 2 starts as a white metal: nothing but a blurred reflection (PRD)."""
    one = torch.ones_like(scope)
    return {
        "albedo_logits": torch.logit(WHITE_METAL * one).expand(-1, 3).contiguous(),
        "roughness_logits": torch.logit(FIRST_ROUGHNESS * one),
        "metallic_logits": torch.logit(WHITE_METAL * one),
        "progress_logits": torch.logit(progress * one),
        "normals": normals.clone(),
        "double_sided": double_sided,
        "scope": scope,
        "log_gain": scope.new_zeros(()),
    }


def parameters_of(materials: Materials) -> dict[str, Tensor]:
    """Parameters whose materials these are, but for values next to the ends of their range."""

    def logit(values: Tensor) -> Tensor:
        return torch.logit(values.clamp(0.02, 0.98))

    return {
        "albedo_logits": logit(materials.albedo_linear),
        "roughness_logits": logit((materials.roughness - MIN_ROUGHNESS) / (1.0 - MIN_ROUGHNESS)),
        "metallic_logits": logit(materials.metallic),
        "progress_logits": torch.logit(materials.progress.clamp(1e-4, 1.0 - 1e-4)),
        "normals": materials.normals.clone(),
        "double_sided": materials.double_sided,
        "scope": (materials.progress > 0.0).to(materials.progress),
        "log_gain": materials.progress.new_zeros(()),
    }


PER_SPLAT = (
    "albedo_logits", "roughness_logits", "metallic_logits", "progress_logits", "normals",
    "double_sided", "scope",
)  # fmt: skip


def some(
    parameters: Mapping[str, Tensor],
    rows: Tensor,
    known: Mapping[str, Tensor] = MappingProxyType({}),
) -> dict[str, Tensor]:
    """The parameters of some splats; `known` are those of them that are at hand."""
    chosen = {
        name: parameters[name].index_select(0, rows) for name in PER_SPLAT if name not in known
    }
    return {**known, **chosen, "log_gain": parameters["log_gain"]}


def admit_diffuse(
    parameters: Mapping[str, Tensor],
    radiance_srgb: Float[Tensor, "N 3"],
    irradiance: Float[Tensor, "N 3"],
) -> dict[str, Tensor]:
    """Stage 3 starts here: what stage 2 did not explain as a mirror becomes a dielectric.

    Metalness starts at the progress reached; albedo and roughness are blended by it between what
    stage 2 found and a dielectric that would show the fitted radiance under the present light.

    Args:
        parameters: As stage 2 left them.
        radiance_srgb: Constant part of the fitted radiance, display-referred.
        irradiance: Of each splat, linear, under the present light.
    """
    found = activate(parameters)
    mirror = found.progress.clamp(0.0, 1.0)
    lambert = linear_from_srgb(radiance_srgb) * torch.pi / irradiance.clamp_min(1e-3)
    albedo = torch.lerp(lambert.clamp(0.03, 0.9), found.albedo_linear, mirror).clamp(0.02, 0.98)
    rough = torch.lerp(
        torch.full_like(mirror, DIELECTRIC_START["roughness"]), found.roughness, mirror
    )
    metallic = torch.maximum(mirror, torch.full_like(mirror, DIELECTRIC_START["metallic"]))
    scaled = ((rough - MIN_ROUGHNESS) / (1.0 - MIN_ROUGHNESS)).clamp(0.02, 0.98)
    return dict(parameters) | {
        "albedo_logits": torch.logit(albedo),
        "roughness_logits": torch.logit(scaled),
        "metallic_logits": torch.logit(metallic.clamp(0.02, 0.95)),
    }
