"""An asset under any lights by tracing rays: what splats show, lit past what a mesh hides.

The camera sees splats, pixel by pixel; their light is sampled at the proxy's surface behind each
pixel. Shadows are then as sharp as the lights make them, and reflections as their samples find.
"""

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.backends.interface import Rasterizer
from relight3d.backends.tracing.interface import Tracer
from relight3d.core.errors import ConfigurationError
from relight3d.core.surface import Proxy
from relight3d.core.types import (
    Asset,
    Cameras,
    DirectionalLight,
    EnvironmentLight,
    LobeLight,
    PointLight,
)
from relight3d.decomposition.filtered_light import filtered
from relight3d.decomposition.gbuffer import Drawn
from relight3d.decomposition.lit_view import Subject
from relight3d.decomposition.physics import Illumination
from relight3d.decomposition.trace_options import TraceOptions, required_proxy
from relight3d.decomposition.traced_surface import LIFT_SNAPPED, surface_points
from relight3d.shading.floor import Caught, Floor, catch, floor_pixels
from relight3d.shading.montecarlo.estimator import (
    Bounce,
    SampleCounts,
    SurfacePoints,
    draw_rays,
    incoming,
    shade_delta,
)
from relight3d.shading.montecarlo.lights import EnvironmentSampler, LightSampler
from relight3d.shading.radiosity import (
    SurfaceGlow,
    SurfaceLinks,
    direct_irradiance,
    leaving_radiance,
    link,
    whole_reflectance,
)
from relight3d.shading.sampled import LightBySamples, gather_with_noise

RAYS_AT_ONCE = 1 << 20
"""Bounds memory: about 200 bytes a ray."""
OPAQUE = 0.999
"""Nothing behind such a pixel is seen."""


class TracedRelighter:
    """One asset under some lights, ready to be drawn from any camera; see `relight.Relighter`."""

    def __init__(
        self,
        asset: Asset,
        rasterize: Rasterizer,
        tracer: Tracer,
        environment: EnvironmentLight | None = None,
        *,
        rotation_rad: float = 0.0,
        points: Sequence[PointLight] = (),
        directional: Sequence[DirectionalLight] = (),
        lobes: Sequence[LobeLight] = (),
        options: TraceOptions | None = None,
        links: SurfaceLinks | None = None,
    ) -> None:
        """Take what to draw, and under what.

        Args:
            asset: With materials and a proxy.
            rasterize: Any backend.
            tracer: Of the proxy's mesh.
            environment: In the capture's frame; None: none.
            rotation_rad: Turn of the environment, counter-clockwise about +z.
            points: Point lights, in the capture's frame.
            directional: Parallel lights, in the capture's frame.
            lobes: Soft lights, in the capture's frame.
            options: How it is sampled.
            links: Of the proxy, from another light's `links`, to save tracing them.

        Raises:
            ConfigurationError: The asset has no materials or no proxy, or there is no light.
        """
        self.subject, self.tracer = Subject.of(asset, rasterize), tracer
        self.proxy = required_proxy(asset)
        self.options = options or TraceOptions()
        self.lamps = (*points, *directional)
        if environment is None and not (self.lamps or lobes):
            raise ConfigurationError(
                "Relighting needs an environment, or at least one point light, sun or soft light."
            )
        self._gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
        self._glows: dict[tuple[float, float, float], SurfaceGlow] = {}
        self._direct: Tensor | None = None
        self.links = links
        self.light: LightSampler | None = None
        if environment is not None or lobes:
            device, sampler = asset.splats.means.device, None
            if environment is not None:
                sampler = EnvironmentSampler(environment.radiance_linear.to(device), rotation_rad)
            self.light = LightSampler(sampler, lobes, device)
        if self.options.bounces:
            generator = torch.Generator().manual_seed(self.options.seed)
            self.links = links or link(self.proxy, tracer.hit, generator)
            self._direct = direct_irradiance(
                self.links, self.light, self.lamps, tracer.occluded, generator
            )

    def with_gain(self, albedo_gain: tuple[float, float, float]) -> "TracedRelighter":
        """The same lights on another albedo."""
        other = copy.copy(self)
        other.subject = self.subject.with_gain(albedo_gain)
        other._gain = albedo_gain
        return other

    @torch.no_grad()
    def render(self, cameras: Cameras, index: int = 0) -> dict[str, Float[Tensor, "H W _"]]:
        """All maps of one camera, as `Relighter.render`; the same call gives the same noise.

        Returns:
            With a floor, 'rgb' is composited over it (premultiplied by 'rgb_alpha', which counts
            the shadow in); 'alpha' and the other maps know nothing of it.
        """
        cameras = cameras[index : index + 1]
        drawn = self.subject.draw(cameras, self.subject.normals(cameras), Illumination())
        generator = torch.Generator().manual_seed(self.options.seed)
        points = surface_points(drawn, cameras.centers[0], self.proxy, self.tracer)
        maps = self.subject.maps(drawn, self._radiance(drawn, points, generator))
        maps["normal"] = drawn.spread(points.normal * drawn.coverage, drawn.alpha)  # as lit
        if self.options.floor is not None:
            layer = self._floor(drawn, cameras.centers[0], generator)
            free = 1.0 - maps["alpha"]
            maps["rgb"] = maps["rgb"] + free * layer[..., :3] * self.subject.asset.exposure
            maps["rgb_alpha"] = maps["alpha"] + free * layer[..., 3:]
        return maps

    def _radiance(
        self, drawn: Drawn, points: SurfacePoints, generator: torch.Generator
    ) -> Float[Tensor, "P 3"]:
        """Reflected linear radiance: lamps exactly, all else by samples, filtered."""
        sharp = shade_delta(points, self.lamps, self.tracer.occluded, lift=0.0)
        total = sharp[0] + sharp[1]
        counts = self._counts()
        if counts is None or not len(points):
            return total
        parts = [self._sampled(some, counts, generator) for some in _portions(points, counts.total)]
        diffuse, specular = (
            LightBySamples.joined([part[kind] for part in parts]) for kind in range(2)
        )
        if not self.options.denoise:
            return total + diffuse.radiance + specular.radiance
        return total + filtered(drawn, points, diffuse, specular, self.options.spp)

    def _sampled(
        self, points: SurfacePoints, counts: SampleCounts, generator: torch.Generator
    ) -> tuple[LightBySamples, LightBySamples]:
        rays = draw_rays(points, self.light, counts, generator)
        arriving = incoming(points, rays, self.light, self.tracer.occluded, self.bounce, lift=0.0)
        return gather_with_noise(points, rays, arriving, counts)

    def _counts(self) -> SampleCounts | None:
        """How the samples are spent; None where there is nothing to find."""
        if self.light is None and not self.options.bounces:
            return None
        return SampleCounts.shared(self.options.spp, self.light is not None)

    @property
    def bounce(self) -> Bounce | None:
        """What the mesh sends back along rays that hit it, under these lights."""
        if self._direct is None or self.links is None:
            return None
        if self._gain not in self._glows:
            found = self.proxy.materials
            assert found is not None
            gain = found.albedo_linear.new_tensor(self._gain)
            albedo = (found.albedo_linear * gain).clamp(0.0, 1.0)
            reflectance = whole_reflectance(dataclasses.replace(found, albedo_linear=albedo))
            leaving = leaving_radiance(self.links, self._direct, reflectance, self.options.bounces)
            self._glows[self._gain] = SurfaceGlow(self.proxy, self.tracer.hit, leaving)
        return self._glows[self._gain]

    def _floor(
        self, drawn: Drawn, center: Float[Tensor, "3"], generator: torch.Generator
    ) -> Float[Tensor, "H W 4"]:
        """What the floor catches, premultiplied, not exposed."""
        assert self.options.floor is not None
        floor = floor_under(self.proxy, self.options.floor)
        pixels = floor_pixels(floor, center, drawn.rays, drawn.alpha[..., 0] < OPAQUE)
        spp, lift = self.options.spp, LIFT_SNAPPED * self.proxy.voxel
        parts = [
            catch(
                floor, some, self.light, self.lamps, self.tracer.occluded, self.bounce, spp,
                generator, lift,
            )
            for some in _portions(pixels.points, spp)
        ]  # fmt: skip
        if not parts:
            return drawn.alpha.new_zeros(*drawn.alpha.shape[:2], 4)
        caught = Caught.joined(parts)
        if self.options.denoise:
            caught = caught.filtered(pixels, drawn.rays)
        return pixels.image(caught.layer(pixels.strength), drawn.rays)


def floor_under(proxy: Proxy, height: float | Literal["lowest"]) -> Floor:
    """A floor at this z, or where the lowest point of the proxy is."""
    low, high = proxy.mesh.vertices.amin(0), proxy.mesh.vertices.amax(0)
    x, y = (0.5 * (low + high))[:2].tolist()
    bottom = float(low[2]) if height == "lowest" else float(height)
    return Floor(bottom, (x, y), 0.5 * float((high - low).norm()))


def _portions(points: SurfacePoints, rays_each: int) -> Iterator[SurfacePoints]:
    """The points, so many at a time that their rays fit into memory."""
    some = max(1, RAYS_AT_ONCE // rays_each)
    for start in range(0, len(points), some):
        chosen = slice(start, start + some)
        yield SurfacePoints(**{name: values[chosen] for name, values in vars(points).items()})
