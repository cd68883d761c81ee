"""A capture's lights while fitting: recovered environments, known turns, known point lights."""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from relight3d.backends.interface import Rasterizer
from relight3d.core.photos import Photo
from relight3d.core.types import EnvironmentLight, Gaussians
from relight3d.core.views import ViewLight
from relight3d.decomposition.occlusion import Occlusion
from relight3d.decomposition.physics import Illumination
from relight3d.decomposition.scope import within
from relight3d.decomposition.shadows import point_light_visibility
from relight3d.shading.bounce import add_bounce
from relight3d.shading.environment import EnvironmentParameters
from relight3d.shading.prefilter import Prefilter, PrefilteredEnvironment
from relight3d.shading.visibility import Sphere

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


def share_gradient(gradient: Float[Tensor, "H W ch"], levels: int) -> None:
    """Add to a map's gradient, in place, what it would be on coarser copies of the map.

    As if the map were a sum of copies, each half as fine, that all learn: noise of a texel averages
    out over its neighbourhood, and bright regions rise as a whole. A copy counts as much as its
    noise does, were that independent between texels.

    Args:
        gradient: H and W can be halved `levels` times.
        levels: How many copies; 0 changes nothing.
    """
    fine = gradient.movedim(-1, 0)[None].clone()
    for level in range(1, levels + 1):
        coarse = torch.nn.functional.avg_pool2d(fine, 2**level) * 2**level
        wide = torch.nn.functional.interpolate(coarse, scale_factor=2**level, mode="nearest")
        gradient += wide[0].movedim(0, -1)


def recovered(parameters: Mapping[str, Tensor], gain: float) -> dict[str, EnvironmentLight]:
    """The environments as plain maps, brightened by the gain that albedo was darkened by."""
    return {
        name.removeprefix(PREFIX): EnvironmentLight(
            gain * EnvironmentParameters(value.detach()).radiance
        )
        for name, value in parameters.items()
        if name.startswith(PREFIX)
    }


def trace_point_lights(
    photos: Sequence[Photo],
    gaussians: Gaussians,
    normals: Float[Tensor, "N 3"],
    rasterize: Rasterizer,
    sphere: Sphere | None,
) -> list[tuple[Float[Tensor, "N 1"], ...]]:
    """Visibility of every photo's point lights from every splat; equal lights are traced once.

    With a sphere, only the splats inside it cast shadows.
    """
    known, occluders = {}, within(gaussians, sphere)
    for light in {point for photo in photos for point in photo.view.light.points}:
        known[light.position] = point_light_visibility(
            occluders, gaussians.means, normals, light.position,
            rasterize=rasterize, resolution_px=SHADOW_MAP_PX, sphere=sphere,
        )  # fmt: skip
    return [tuple(known[point.position] for point in photo.view.light.points) for photo in photos]


@dataclasses.dataclass(frozen=True)
class Sky:
    """One view's environment while fitting."""

    prefiltered: PrefilteredEnvironment
    cells: Float[Tensor, "D 3"]
    """Mean radiance of each cell of the occlusion's directions, in this view's rotation."""


def sky_of(
    prefilter: Prefilter,
    occlusion: Occlusion,
    log_radiance: Float[Tensor, "H W 3"],
    turn_rad: float,
) -> Sky:
    """The environment of one view, ready for shading. Differentiable in the log radiance."""
    radiance = EnvironmentParameters(log_radiance).radiance
    return Sky(prefilter(radiance).turned(turn_rad), occlusion.cells.integrate(radiance, turn_rad))


def illuminate(
    light: ViewLight,
    sky: Sky | None,
    occlusion: Occlusion | None,
    rows: Int[Tensor, " n"],
    normals: Float[Tensor, "n 3"],
    surroundings: Float[Tensor, "3"] | None,
    point_visibility: Sequence[Float[Tensor, "n 1"]],
) -> Illumination:
    """All light on some splats, but for what occludes their reflections.

    Differentiable in sky, normals and surroundings.

    Args:
        light: What the view says of its light.
        sky: Its environment; None if only point lights shine.
        occlusion: Of all splats; None before stage 3: nothing is occluded.
        rows: Which splats these are.
        normals: Their shading normals on the side of the camera.
        surroundings: What occluded directions show; None: black.
        point_visibility: Of these splats, per point light of the view.
    """
    points = {"points": light.points, "point_visibility": point_visibility}
    if sky is None:
        return Illumination(**points)
    if occlusion is None:
        return Illumination(sky.prefiltered, sky.prefiltered.irradiance(normals), **points)
    irradiance, open_share = occlusion.irradiance(normals, sky.cells, rows)
    if surroundings is not None:
        irradiance = add_bounce(irradiance, open_share, surroundings)
    return Illumination(sky.prefiltered, irradiance, surroundings=surroundings, **points)
