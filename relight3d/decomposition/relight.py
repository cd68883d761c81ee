"""An asset under any light: deferred shading of drawn channels, shadows from traced visibility."""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.backends.interface import Rasterizer
from relight3d.core.errors import ConfigurationError
from relight3d.core.planes import splat_normals
from relight3d.core.types import (
    Asset,
    Cameras,
    DirectionalLight,
    EnvironmentLight,
    Gaussians,
    LobeLight,
    Materials,
    PointLight,
)
from relight3d.decomposition.gbuffer import some_gaussians
from relight3d.decomposition.irradiance import irradiance
from relight3d.decomposition.lit_view import Subject
from relight3d.decomposition.occlusion import Occlusion, bake
from relight3d.decomposition.physics import Illumination, shade_drawn
from relight3d.decomposition.shadows import point_light_visibility, trace_visibility
from relight3d.shading.bounce import add_bounce, surroundings_radiance
from relight3d.shading.directions import importance_directions
from relight3d.shading.latlong import downsample, rotate
from relight3d.shading.lobes import rasterized
from relight3d.shading.prefilter import build_prefilter

OCCLUSION_DIRECTIONS = 256
REFLECTION_HEIGHT = 64
"""Rows of the environment that reflections see."""
LOBES_HEIGHT = 128
"""Rows of the map that soft lights are drawn into, where the environment itself has fewer."""
SUN_SHADOW_PX = 512
SMALLEST_HEIGHT = 4
"""Rows that prefiltering needs."""


class Relighter:
    """One asset under one light, ready to be drawn from any camera."""

    def __init__(
        self,
        asset: Asset,
        rasterize: Rasterizer,
        environment: EnvironmentLight | None = None,
        *,
        rotation_rad: float = 0.0,
        points: Sequence[PointLight] = (),
        directional: Sequence[DirectionalLight] = (),
        lobes: Sequence[LobeLight] = (),
        albedo_gain: tuple[float, float, float] = (1.0, 1.0, 1.0),
        light_samples: int = 384,
        bounce: bool = True,
        occlusion: Occlusion | None = None,
    ) -> None:
        """Trace the shadows of this light; drawing is then cheap.

        Args:
            asset: With materials.
            rasterize: Any backend.
            environment: New environment, in the capture's frame; None: none.
            rotation_rad: Turn of the environment, counter-clockwise about +z.
            points: Point lights, in the capture's frame.
            directional: Parallel lights, in the capture's frame; a sharp shadow each.
            lobes: Soft lights, in the capture's frame; drawn into the environment.
            albedo_gain: Factor on linear albedo before shading (clipped to 1).
            light_samples: Directions that stand for the environment in diffuse light.
            bounce: Whether occluded directions reflect the object's mean radiosity.
            occlusion: Of the same asset, from another light's `occlusion`, to save baking it.

        Raises:
            ConfigurationError: The asset has no materials, or there is no light.
        """
        subject = Subject.of(asset, rasterize)
        if environment is None and not (points or directional or lobes):
            raise ConfigurationError(
                "Relighting needs an environment, or at least one point light, sun or soft light."
            )
        self.subject = subject.with_gain(albedo_gain)
        self.asset, self.rasterize = asset, rasterize
        self.points = (*points, *directional)
        self.gaussians, self._in_scope = subject.gaussians, subject.in_scope
        self._bounce = bounce
        self._occluders = _occluders(self.gaussians, self._in_scope)
        self.occlusion = occlusion
        self._environment(environment, rotation_rad, lobes, light_samples)
        means, axes = self.gaussians.means, splat_normals(asset.splats.quats_wxyz)
        self.point_visibility = [
            point_light_visibility(self._occluders, means, axes, p.position, rasterize=rasterize)
            for p in points
        ]
        if directional:
            toward = torch.nn.functional.normalize(
                means.new_tensor([sun.direction for sun in directional]), dim=-1
            )
            seen = trace_visibility(
                self._occluders, means, axes, toward,
                rasterize=rasterize, resolution_px=SUN_SHADOW_PX,
            )  # fmt: skip
            self.point_visibility += seen.split(1, 1)

    @property
    def materials(self) -> Materials:
        """As they are shaded: brightened as asked."""
        return self.subject.materials

    def with_gain(self, albedo_gain: tuple[float, float, float]) -> "Relighter":
        """The same light, whose traced shadows are shared, on another albedo."""
        other = copy.copy(self)
        other.subject = self.subject.with_gain(albedo_gain)
        return other

    @torch.no_grad()
    def render(self, cameras: Cameras, index: int = 0) -> dict[str, Float[Tensor, "H W _"]]:
        """All outputs of one camera.

        Returns:
            'rgb' (linear, premultiplied), 'albedo' (linear), 'normal' (world), 'roughness',
            'metallic', 'progress', 'irradiance' (all premultiplied by alpha), 'depth' (camera z,
            plain), 'alpha'; and whatever else was drawn to shade by.
        """
        cameras = cameras[index : index + 1]
        normals = self.subject.normals(cameras)
        light = self.illumination(normals)
        drawn = self.subject.draw(cameras, normals, light)
        return self.subject.maps(drawn, shade_drawn(drawn, light))

    def _environment(
        self,
        environment: EnvironmentLight | None,
        rotation_rad: float,
        lobes: Sequence[LobeLight],
        samples: int,
    ) -> None:
        self.prefiltered = None
        if environment is None and not lobes:
            return
        radiance = self.gaussians.means.new_zeros(1, 2, 3)
        if environment is not None:
            radiance = rotate(environment.radiance_linear.to(radiance), rotation_rad)
        if lobes:
            radiance = downsample(radiance, max(LOBES_HEIGHT, radiance.shape[0]))
            radiance = radiance + rasterized(lobes, radiance.shape[0], radiance.device)
        while radiance.shape[0] < SMALLEST_HEIGHT:  # each texel becomes four of its kind
            radiance = radiance.repeat_interleave(2, 0).repeat_interleave(2, 1)
        height = min(REFLECTION_HEIGHT, _power_of_two_below(radiance.shape[0]))
        self.prefiltered = build_prefilter(height)(downsample(radiance, height))
        self.light = importance_directions(radiance, samples)
        axes = splat_normals(self.asset.splats.quats_wxyz)
        self.seen = trace_visibility(
            self._occluders, self.gaussians.means, axes, self.light.directions,
            rasterize=self.rasterize, resolution_px=256,
        ) * self.light.solid_angle  # fmt: skip
        if self.occlusion is None:
            self.occlusion = bake(
                self.gaussians, axes, rasterize=self.rasterize, count=OCCLUSION_DIRECTIONS,
                environment_height=16, shadow_map_px=192, occluders=self._occluders,
            )  # fmt: skip

    def illumination(self, normals: Float[Tensor, "N 3"]) -> Illumination:
        """The light on every splat's side that `normals` face."""
        if self.prefiltered is None or self.occlusion is None:
            return Illumination(points=self.points, point_visibility=self.point_visibility)
        light, cells = self.light, self.occlusion.cells
        direct = irradiance(self.seen, normals, light.directions, light.radiance)
        surroundings = None
        if self._bounce:
            _, open_share = self.occlusion.irradiance(normals, torch.zeros_like(cells.directions))
            diffuse_albedo = self.materials.albedo_linear * (1.0 - self.materials.metallic)
            surroundings = surroundings_radiance(
                diffuse_albedo, direct, open_share, self._in_scope * _share(self.gaussians)
            )
            direct = add_bounce(direct, open_share, surroundings)
        return Illumination(
            self.prefiltered, direct, self.occlusion.sh, surroundings,
            self.points, self.point_visibility,
        )  # fmt: skip


def _power_of_two_below(value: int) -> int:
    return 1 << (value.bit_length() - 1)


def _occluders(gaussians: Gaussians, in_scope: Float[Tensor, "N 1"]) -> Gaussians:
    """What casts shadows: progress is exactly 0 outside the scope of a scene's decomposition."""
    inside = in_scope[:, 0].nonzero()[:, 0]
    return some_gaussians(gaussians, inside) if len(inside) else gaussians


def _share(gaussians: Gaussians) -> Float[Tensor, "N 1"]:
    area = gaussians.scales[:, :2].prod(-1, keepdim=True)
    weights = gaussians.opacities[:, None] * area
    return weights / weights.sum()
