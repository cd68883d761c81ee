"""The lights of a capture while fitting: recovered environments, known turns, known point lights."""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.backends.interface import Rasterizer
from relight3d.core.photos import Photo
from relight3d.core.types import EnvironmentLight, Gaussians, Materials
from relight3d.core.views import ViewLight
from relight3d.decomposition.occlusion import Occlusion
from relight3d.decomposition.physics import Illumination, mean_radiosity
from relight3d.shading.environment import EnvironmentParameters
from relight3d.shading.prefilter import Prefilter
from relight3d.shading.visibility import Sphere, point_light_visibility

PREFIX = "light/"
SHADOW_MAP_PX = 384


def environment_names(photos: Sequence[Photo]) -> list[str]:
    """Names of all environments that shine in some photo."""
    return sorted({p.view.light.environment for p in photos if p.view.light.environment})


def initial_lights(
    names: Sequence[str], height: int, radiance: float
) -> dict[str, Float[Tensor, "H W 3"]]:
    """Log radiance of a uniform grey sky for each environment, as named parameters."""
    return {
        PREFIX + name: EnvironmentParameters.neutral(height, radiance).log_radiance.detach()
        for name in names
    }


def recovered(parameters: Mapping[str, Tensor]) -> dict[str, EnvironmentLight]:
    """The environments as plain maps."""
    return {
        name.removeprefix(PREFIX): EnvironmentParameters(value.detach()).light()
        for name, value in parameters.items()
        if name.startswith(PREFIX)
    }


def trace_point_lights(
    photos: Sequence[Photo], gaussians: Gaussians, rasterize: Rasterizer, sphere: Sphere | None
) -> list[tuple[Float[Tensor, "N 1"], ...]]:
    """Visibility of every photo's point lights from every splat; equal lights are traced once."""
    known = {}
    for light in {point for photo in photos for point in photo.view.light.points}:
        known[light.position] = point_light_visibility(
            gaussians, gaussians.means, None, light.position,
            rasterize=rasterize, resolution_px=SHADOW_MAP_PX, sphere=sphere,
        )  # fmt: skip
    return [tuple(known[point.position] for point in photo.view.light.points) for photo in photos]


@dataclasses.dataclass(frozen=True)
class Sky:
    """How environments turn into light on splats."""

    prefilter: Prefilter
    occlusion: Occlusion | None
    """None before visibility is baked: reflections and irradiance are unoccluded."""
    weights: Float[Tensor, "N 1"]
    """Share of each splat in the object's surface."""
    bounce: bool

    def illuminate(
        self,
        light: ViewLight,
        log_radiance: Tensor | None,
        materials: Materials,
        normals: Float[Tensor, "N 3"],
        point_visibility: Sequence[Float[Tensor, "N 1"]],
    ) -> Illumination:
        """The light of one view. Differentiable in the log radiance, normals and albedo.

        Args:
            light: What the view says of its light.
            log_radiance: Of its environment; None if it has none.
            materials: For the bounce.
            normals: Shading normals on the side of the camera.
            point_visibility: Of the view's point lights.
        """
        if log_radiance is None:
            return Illumination(points=light.points, point_visibility=point_visibility)
        radiance = EnvironmentParameters(log_radiance).radiance
        prefiltered = self.prefilter(radiance).turned(light.rotation_rad)
        if self.occlusion is None:
            return Illumination(
                prefiltered, prefiltered.irradiance(normals),
                points=light.points, point_visibility=point_visibility,
            )  # fmt: skip
        cells = self.occlusion.cells.integrate(radiance, light.rotation_rad)
        bounce = None
        if self.bounce:
            with torch.no_grad():
                direct = self.occlusion.irradiance(normals, cells, None)
                bounce = mean_radiosity(materials.albedo_linear, direct, self.weights)
        return Illumination(
            prefiltered, self.occlusion.irradiance(normals, cells, bounce),
            self.occlusion.sh, bounce, light.points, point_visibility,
        )  # fmt: skip
