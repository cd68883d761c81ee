"""Monte Carlo inverse rendering as a resumable job: physics alone, past traced shadows.

Distillation lights every splat past visibility that was baked into nine coefficients, and reflects
a prefiltered sky. Here rays are traced for every pixel, by multiple importance sampling, to the sky
or to the surface that hides it, which sends light of its own. Geometry and radiance field stay as
they are; materials and light start from what distillation found, and its progress says where
physics is trusted.

Source: the schedule of IRGS (arXiv:2412.15867) and RadioGS (arXiv:2603.01491), with visibility and
hit points of a mesh instead of the splats themselves.
"""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relight3d.backends.fused import photometric
from relight3d.backends.interface import Rasterizer
from relight3d.backends.tracing.interface import Tracer
from relight3d.core import sh
from relight3d.core.color import srgb_from_linear
from relight3d.core.job import step_generator
from relight3d.core.photo_descent import PhotoDescent
from relight3d.core.photos import Photo, cameras_of, crop_cameras, cut, object_window, part_of
from relight3d.core.planes import facing, plane_distance, splat_normals
from relight3d.core.surface import Proxy
from relight3d.core.types import Asset, Cameras, EnvironmentLight, Materials
from relight3d.core.views import ViewLight
from relight3d.decomposition import lighting
from relight3d.decomposition import materials as material_room
from relight3d.decomposition.filtered_light import filtered
from relight3d.decomposition.gbuffer import (
    MIN_CONTRIBUTION_PX,
    Drawn,
    contributions,
    draw,
    in_planes,
    some_gaussians,
)
from relight3d.decomposition.inverse import consistency, objective
from relight3d.decomposition.inverse.config import InverseConfig
from relight3d.decomposition.inverse.indirect import SurfaceLight
from relight3d.decomposition.inverse.shading import (
    PhotoLight,
    arriving_light,
    counts_for,
    shade_points,
)
from relight3d.decomposition.physics import Illumination, channels_of
from relight3d.decomposition.proxy.vertex_weights import lifted, vertex_weights
from relight3d.decomposition.sides import surface_weight
from relight3d.decomposition.traced_surface import surface_points
from relight3d.shading.environment import EnvironmentParameters
from relight3d.shading.latlong import downsample
from relight3d.shading.montecarlo.estimator import shade_delta
from relight3d.shading.montecarlo.lights import EnvironmentSampler
from relight3d.shading.sampled import gather_with_noise

CROP_MARGIN_PX = 8
OPAQUE = 0.9
"""Fainter pixels are mixed with what lies behind, which no single surface explains."""
TRUSTED = 0.3
"""Pixels of less progress are left to the radiance field."""


class InverseRendering(PhotoDescent):
    """Materials and light by traced rays. Implements `core.job.Job`."""

    name = "inverse"
    constant = frozenset({"progress_logits", "scope", "double_sided"})

    def __init__(
        self,
        photos: Sequence[Photo],
        asset: Asset,
        proxy: Proxy,
        config: InverseConfig,
        *,
        rasterize: Rasterizer,
        tracer: Tracer,
        seed: int,
        exposures: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Take what distillation found.

        Args:
            photos: Training photos only.
            asset: Distilled, with materials and the lights it recovered.
            proxy: The surface of its splats.
            config: Steps, rays, weights and rates.
            rasterize: Any backend.
            tracer: Of the proxy's mesh.
            seed: Same seed, same machine: same result.
            exposures: [P, 3] log gain of each photo, as the fit found it; None: all alike.
            device: Where to compute.
        """
        super().__init__(photos, seed, device)
        assert asset.materials is not None
        self._found = asset.materials
        if not config.normal_rate:
            self.constant = self.constant | {"normals"}
        self.config, self.rasterize, self.tracer = config, rasterize, tracer
        self.total_steps, self.exposures = config.all_steps, exposures
        self.first, self.proxy = asset, proxy
        self.splats, self.gaussians = asset.splats, asset.splats.gaussians()
        self.base = (0.5 + sh.C0 * self.splats.sh[:, 0]).clamp(0.0, 1.0)
        self.axes = splat_normals(asset.splats.quats_wxyz)
        self.cameras = [cameras_of([photo.view]).to(device) for photo in photos]
        self.windows = [object_window(photo, CROP_MARGIN_PX) for photo in photos]
        self.rows_of_view = [
            (contributions(rasterize, self.gaussians, camera) > MIN_CONTRIBUTION_PX).nonzero()[:, 0]
            for camera in self.cameras
        ]
        self.glossy = (self._found.roughness < config.normal_roughness).to(self.splats.means)
        self.places = lifted(self.gaussians.means, proxy)
        self._field_is_light = len({photo.view.light for photo in photos}) == 1
        self.surface_light: SurfaceLight | None = None
        if config.indirect and config.occlusion:
            self.surface_light = SurfaceLight(
                proxy,
                vertex_weights(proxy, self.gaussians, self._found.normals),
                tracer,
                step_generator(seed, f"{self.name}/links", 0),
                trust_field=self._field_is_light,
                seen_views=config.seen_views,
            )
        self.own(self._start(asset))

    def step(self) -> dict[str, float]:
        """Some pixels, or a part, of one photo by traced light; one descent."""
        step, config = self.steps_done, self.config
        index = self.photo_index(step)
        generator = step_generator(self.seed, self.name, step)
        polishing = step >= config.steps
        window = self.windows[index]
        if polishing:
            window = part_of(window, config.polish_px, generator)
        photo = cut(self.photos[index], window)
        target = in_planes(photo.srgb().to(self.device))
        if self.exposures is not None:
            target = target * torch.exp(-self.exposures[index])
        drawn, center = self.draw(crop_cameras(self.cameras[index], window), index)
        light = self.light_of(photo.view.light)
        terms = objective.regularisers(drawn, self.parameters, self._found.normals, config)
        view = _View(drawn, center, target, photo.alpha(), light, generator)
        if polishing:
            terms |= self._frame_term(view)
        else:
            terms |= self._pixel_term(view) | self._consistency_term(view, index)
        for parameter in self.parameters.values():
            parameter.grad = None
        torch.stack(list(terms.values())).sum().backward()
        for name, parameter in self.parameters.items():
            if name.startswith(lighting.PREFIX) and parameter.grad is not None:
                lighting.share_gradient(parameter.grad, config.light_levels)
        normals = self.parameters["normals"].grad
        if normals is not None:
            normals *= self.glossy
        self.optimizer.step(self.parameters, self._learning_rates(step))
        self.steps_done += 1
        return {name: float(term.detach()) for name, term in terms.items()}

    def draw(self, cameras: Cameras, index: int) -> tuple[Drawn, Float[Tensor, "3"]]:
        """The channels of one photo, or of a part of it, and the camera's centre."""
        rows, center = self.rows_of_view[index], cameras.centers[0]
        found = material_room.activate(material_room.some(self.parameters, rows, {}))
        gaussians = some_gaussians(self.gaussians, rows)
        means, planes = gaussians.means, facing(self.axes[rows], gaussians.means, center)
        normals = facing(found.normals, means, center)
        drawn = draw(
            self.rasterize, gaussians,
            channels_of(found, normals, means, center, Illumination()), cameras,
            surface_weight(found, gaussians, center),
            {
                "plane_normal": planes,
                "plane_distance": plane_distance(planes, means, center),
                "base": self.base[rows],
            },
        )  # fmt: skip
        return drawn, center

    def light_of(self, light: ViewLight) -> PhotoLight:
        """What shines on the surface in a photo. Differentiable in the environment."""
        sampler = None
        if light.environment is not None:
            log_radiance = self.parameters[lighting.PREFIX + light.environment]
            radiance = EnvironmentParameters(log_radiance + self.parameters["log_gain"]).radiance
            sampler = EnvironmentSampler(radiance, light.rotation_rad)
        bounce = None
        if self.surface_light is not None:
            bounce = self.surface_light(self.materials(), sampler, light.points)
        return PhotoLight(sampler, light.points, bounce)

    def materials(self) -> Materials:
        """Materials of the present parameters, differentiable."""
        return material_room.activate(self.parameters)

    def asset(self) -> Asset:
        """The result so far."""
        found = self.materials()
        plain = Materials(**{name: value.detach().clone() for name, value in vars(found).items()})
        lights = lighting.recovered(
            self.parameters, float(self.parameters["log_gain"].detach().exp())
        )
        return dataclasses.replace(self.first, materials=plain, environments=lights)

    def _pixel_term(self, view: "_View") -> dict[str, Tensor]:
        """Scattered pixels of which one surface is seen that physics explains."""
        drawn = view.drawn
        progress = drawn.at_covered("progress").detach()
        trusted = (drawn.coverage > OPAQUE) & (progress > TRUSTED)
        if view.mask is not None:
            trusted = trusted & (drawn.pick(view.mask.to(progress)) > OPAQUE)
        rows = trusted[:, 0].nonzero()[:, 0]
        rows = rows[torch.randperm(len(rows), generator=view.generator)[: self.config.pixels]]
        if not len(rows):
            return {}
        points = surface_points(drawn, view.center, self.proxy, self.tracer, rows)
        rays = self.config.rays_at(self.steps_done)
        parts = shade_points(points, view.light, rays, self._occluded, view.generator)
        image = srgb_from_linear((parts[0] + parts[1]).clamp_min(0.0))
        wanted = drawn.pick(view.target).index_select(0, rows)
        trust = progress.index_select(0, rows)
        return {"photo": objective.pixel_error(image, wanted, trust)}

    def _consistency_term(self, view: "_View", index: int) -> dict[str, Tensor]:
        """Splats seen in a photo, as a camera elsewhere that sees them would."""
        config = self.config
        if not (config.consistency_weight and config.consistency_points and self._field_is_light):
            return {}
        other = int(torch.randint(len(self.photos), (), generator=view.generator))
        materials, center = self.materials(), self.cameras[other].centers[0]
        rows = consistency.chosen_splats(
            self.gaussians, self.rows_of_view[other], self._found.normals, center,
            self._found.progress, config.consistency_points, view.generator,
        )  # fmt: skip
        if not len(rows):
            return {}
        points = consistency.splat_points(materials, self.places, rows, center)
        rays = config.rays_at(self.steps_done)
        parts = shade_points(points, view.light, rays, self._occluded, view.generator)
        error = consistency.disagreement(parts[0] + parts[1], self.splats, rows, center)
        return {"consistency": config.consistency_weight * error}

    def _frame_term(self, view: "_View") -> dict[str, Tensor]:
        """A whole part of the photo, by few rays a pixel and the denoiser."""
        drawn, rays = view.drawn, self.config.polish_rays
        if not len(drawn.covered):
            return {}
        points = surface_points(drawn, view.center, self.proxy, self.tracer)
        sharp = shade_delta(points, view.light.lamps, self._occluded, lift=0.0)
        radiance = sharp[0] + sharp[1]
        counts = counts_for(rays, view.light)
        if counts is not None:
            traced = arriving_light(points, view.light, counts, self._occluded, view.generator)
            sampled = gather_with_noise(points, *traced, counts)
            radiance = radiance + filtered(drawn, points, *sampled, rays)
        trust = drawn.at_covered("progress").detach() * drawn.coverage
        if view.mask is not None:
            trust = trust * drawn.pick(view.mask.to(trust))
        image = drawn.put(
            torch.lerp(drawn.pick(view.target), srgb_from_linear(radiance.clamp_min(0.0)), trust),
            view.target,
        )
        image = objective.forgive_saturation(image, view.target)
        return {"photo": photometric(image, view.target, self.config.dssim_weight)}

    def _occluded(
        self, origins: Tensor, directions: Tensor, far: Tensor | None = None
    ) -> Bool[Tensor, " R"]:
        if not self.config.occlusion:
            return torch.zeros(len(origins), dtype=torch.bool, device=origins.device)
        return self.tracer.occluded(origins, directions, far)

    def _start(self, asset: Asset) -> dict[str, Tensor]:
        found = self._found
        height = self.config.environment_height
        lights = {
            lighting.PREFIX + name: EnvironmentParameters.from_light(
                EnvironmentLight(downsample(light.radiance_linear, height))
            ).log_radiance
            for name, light in asset.environments.items()
        }
        return material_room.parameters_of(found) | lights

    def _learning_rates(self, step: int) -> dict[str, float]:
        config = self.config
        cool = 0.1 ** max(0.0, 2.0 * step / max(1, config.steps) - 1.0)
        cool = max(cool, 0.1)
        known = all(photo.view.light.environment is None for photo in self.photos)
        materials = ("albedo_logits", "roughness_logits", "metallic_logits")
        lights = (name for name in self.parameters if name.startswith(lighting.PREFIX))
        return {
            **{name: config.material_rate * cool for name in materials},
            **{name: config.light_rate * cool for name in lights},
            "log_gain": 0.0 if known else config.gain_rate * cool,
            "normals": config.normal_rate * cool,
        }


@dataclasses.dataclass(frozen=True)
class _View:
    """One photo, or a part of it, in a step."""

    drawn: Drawn
    center: Float[Tensor, "3"]
    target: Float[Tensor, "H W 3"]
    """Display-referred, at the exposure that all photos share."""
    mask: Float[Tensor, "H W 1"] | None
    """The photo's own."""
    light: PhotoLight
    generator: torch.Generator
