"""Progressive radiance distillation as a resumable job (PRD, arXiv:2408.07595, stages 2 to 4).

image = a * physics + (1 - a) * radiance field. Progress `a` starts near 0, so wrong physics hardly
counts; it grows where physics explains the photos at least as well. Stage 2 ('specular') knows only
reflections of a white metal, stage 3 ('diffuse') adds diffuse light past baked visibility and
drives `a` to 1, stage 4 ('joint') lets everything settle.

Unlike the paper, geometry and radiance field stay as fitted, so that the look under the photos'
light loses nothing. A splat's shading normal may be freed to follow the light (`normal_rate`).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from relight3d.backends.interface import Rasterizer
from relight3d.core import sh
from relight3d.core.color import linear_from_srgb, srgb_from_linear
from relight3d.core.job import step_generator
from relight3d.core.photo_descent import PhotoDescent
from relight3d.core.photos import Photo, cameras_of, crop_cameras, cut, object_window, part_of
from relight3d.core.planes import splat_normals
from relight3d.core.types import Asset, Cameras, Materials, Splats
from relight3d.core.views import ViewLight
from relight3d.decomposition import lighting
from relight3d.decomposition import materials as material_room
from relight3d.decomposition import occlusion as sky_room
from relight3d.decomposition.config import DecompositionConfig
from relight3d.decomposition.gbuffer import Drawn, draw, in_planes
from relight3d.decomposition.objective import Pulls, loss_terms
from relight3d.decomposition.physics import channels_of, shade_drawn
from relight3d.decomposition.scope import Scope
from relight3d.decomposition.shown import KEPT_BYTES, Shown, show
from relight3d.decomposition.sides import seen_sides
from relight3d.shading.prefilter import build_prefilter

CROP_MARGIN_PX = 8
SURFACE_SAMPLES = 2000
TYPICAL_ALBEDO = 0.35
"""The first light is as bright as would make the object's mean albedo this."""


class Decompose(PhotoDescent):
    """Materials and light from fitted splats. Implements `core.job.Job`."""

    name = "decompose"
    constant = frozenset({"scope", "double_sided"})

    def __init__(
        self,
        photos: Sequence[Photo],
        splats: Splats,
        config: DecompositionConfig,
        *,
        rasterize: Rasterizer,
        seed: int,
        scope: Scope | None = None,
        exposures: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Bake visibility and set starting values.

        Args:
            photos: Training photos only.
            splats: Their fitted radiance field; left unchanged.
            config: Stages, weights and rates.
            rasterize: Any backend.
            seed: Same seed, same machine: same result.
            scope: Where physics may explain the picture; None: everywhere.
            exposures: [P, 3] log gain of each photo, as the fit found it; None: all alike.
            device: Where to compute.
        """
        super().__init__(photos, seed, device)
        self.config, self.rasterize, self.total_steps = config, rasterize, config.steps
        self.exposures = exposures
        if not config.normal_rate:
            self.constant = self.constant | {"normals"}
        self.cameras = [cameras_of([photo.view]).to(device) for photo in photos]
        self.windows = [object_window(photo, CROP_MARGIN_PX) for photo in photos]
        self.splats = Splats(**{n: t.detach().to(device) for n, t in vars(splats).items()})
        self.gaussians = self.splats.gaussians()
        self.scope = scope or Scope.everything()
        sphere = self.scope.sphere
        axes = splat_normals(self.splats.quats_wxyz)
        self.occlusion = sky_room.bake(
            self.gaussians, axes, rasterize=rasterize, count=config.visibility_directions,
            environment_height=config.environment_height, shadow_map_px=config.shadow_map_px,
            sphere=sphere,
        )  # fmt: skip
        self.point_visibility = lighting.trace_point_lights(
            photos, self.gaussians, axes, rasterize, sphere
        )
        self.sides = seen_sides(
            self.gaussians, axes, self.cameras, open_side(axes, self.occlusion),
            rasterize=rasterize,
        )  # fmt: skip
        self.surface_share = _surface_share(self.splats, self.scope)
        self._kept: dict[int, Shown] = {}
        self._kept_bytes = 0
        self.parameters = self._start()
        self.own(self.parameters)

    def step(self) -> dict[str, float]:
        """One photo through physics and the radiance field, one descent."""
        step, config = self.steps_done, self.config
        if step == config.specular_steps:
            self._admit_diffuse()
        index = self.photo_index(step)
        generator = step_generator(self.seed, self.name, step)
        x0, y0, x1, y1 = part_of(self.windows[index], config.window_px, generator)
        cameras = crop_cameras(self.cameras[index], (x0, y0, x1, y1))
        photo = cut(self.photos[index], (x0, y0, x1, y1))
        target = in_planes(photo.srgb().to(self.device))
        alpha = photo.alpha()
        mask = None if alpha is None else alpha.to(self.device)
        if mask is not None:
            target = target * mask
        if self.exposures is not None:
            target = target * torch.exp(-self.exposures[index])
        image, drawn = self.compose(cameras, index, diffuse=step >= config.specular_steps)
        if mask is None:
            mask = drawn.maps["scope"].detach()  # what of the picture physics may explain at all
        late = step >= config.specular_steps
        terms = loss_terms(
            image, target, mask, drawn, self.parameters, self.sides.outward, config,
            Pulls(progress=late, materials=late),
        )  # fmt: skip
        for parameter in self.parameters.values():
            parameter.grad = None
        torch.stack(list(terms.values())).sum().backward()
        self.optimizer.step(self.parameters, self._learning_rates(step))
        self.steps_done += 1
        return {name: float(term.detach()) for name, term in terms.items()} | {
            "progress_mean": float(material_room.progress(self.parameters).detach().mean())
        }

    def compose(self, cameras: Cameras, index: int, *, diffuse: bool) -> tuple[Tensor, Drawn]:
        """Physics and radiance field mixed over black, of photo `index` or a part of it."""
        shown = self._shown(index)
        rows, normals = shown.rows, shown.normals
        found = material_room.activate(material_room.some(self.parameters, rows, shown.parameters))
        view_light = self.photos[index].view.light
        sky, surroundings = self._sky(view_light, diffuse), None
        if diffuse and sky is not None and self.config.bounce:
            surroundings = self._surroundings(sky)
        light = lighting.illuminate(
            view_light, sky, self.occlusion if diffuse else None, rows, normals, surroundings,
            [seen[rows] for seen in self.point_visibility[index]],
        )  # fmt: skip
        channels = channels_of(
            found, normals, shown.gaussians.means, cameras.centers[0], light,
            shown.mirror if diffuse else None,
        )  # fmt: skip
        drawn = draw(
            self.rasterize, shown.gaussians, channels, cameras, shown.weight,
            {"raw": shown.raw, "scope": shown.parameters["scope"]},
        )  # fmt: skip
        radiance = shade_drawn(drawn, light, diffuse=diffuse)
        return mix(drawn, srgb_from_linear(radiance.clamp_min(0.0))), drawn

    def _shown(self, index: int) -> Shown:
        """What photo `index` shows: as kept, or found anew, which is the same to the last bit."""
        if index in self._kept:
            return self._kept[index]
        shown = show(
            self.sides.rows_of_view[index],
            self.cameras[index].centers[0],
            self.splats,
            self.gaussians,
            self.parameters,
            self.occlusion.sh,
        )
        size = shown.size_bytes()
        if "normals" in self.constant and self._kept_bytes + size <= KEPT_BYTES:
            self._kept[index] = shown
            self._kept_bytes += size
        return shown

    def load_state_tensors(self, tensors: Mapping[str, Tensor], steps_done: int) -> None:
        """Continue from `state_tensors()`."""
        super().load_state_tensors(tensors, steps_done)
        self._kept.clear()
        self._kept_bytes = 0

    def _sky(self, light: ViewLight, gained: bool) -> lighting.Sky | None:
        if light.environment is None:
            return None
        log_radiance = self.parameters[lighting.PREFIX + light.environment]
        if gained:
            log_radiance = log_radiance + self.parameters["log_gain"]
        return lighting.sky_of(self.prefilter, self.occlusion, log_radiance, light.rotation_rad)

    @torch.no_grad()
    def _surroundings(self, sky: lighting.Sky) -> Tensor:
        """What occluded directions show, from every k-th splat: a mean needs no more."""
        rows = torch.arange(0, len(self.gaussians), max(1, len(self.gaussians) // SURFACE_SAMPLES))
        rows = rows.to(self.device)
        found = material_room.activate(material_room.some(self.parameters, rows))
        return self.occlusion.surroundings(
            found.albedo_linear * (1.0 - found.metallic), found.normals, sky.cells,
            self.surface_share[rows], rows,
        )  # fmt: skip

    def materials(self) -> Materials:
        """Materials of the present parameters, differentiable."""
        return material_room.activate(self.parameters)

    def asset(self) -> Asset:
        """The result so far."""
        found = self.materials()
        plain = Materials(**{name: value.detach().clone() for name, value in vars(found).items()})
        gain = float(self.parameters["log_gain"].detach().exp())
        lights = lighting.recovered(self.parameters, gain)
        return Asset(self.splats, plain, lights, visibility_sh=self.occlusion.sh)

    def _start(self) -> dict[str, Tensor]:
        config = self.config
        inside = self.scope.contains(self.splats.means)
        started = material_room.white_metal(
            self.sides.outward, self.sides.double_sided, inside, config.initial_progress
        )
        color = self._constant_color()
        brightness = float((linear_from_srgb(color) * self.surface_share).sum(0).mean())
        names = lighting.environment_names(self.photos)
        self.prefilter = build_prefilter(config.environment_height).to(self.device)
        lights = lighting.initial_lights(
            names, config.environment_height, max(brightness, 0.01) / TYPICAL_ALBEDO
        )
        return started | lights

    def _admit_diffuse(self) -> None:
        """Between stages 2 and 3: metals keep what they learnt, the rest becomes dielectric."""
        p = self.parameters
        irradiance = torch.zeros_like(self.sides.outward)
        for index in range(0, len(self.photos), max(1, len(self.photos) // 16)):
            irradiance = irradiance + self._irradiance_outward(index)
        irradiance = irradiance / len(range(0, len(self.photos), max(1, len(self.photos) // 16)))
        self.own(material_room.admit_diffuse(p, self._constant_color(), irradiance))
        for name in ("albedo_logits", "roughness_logits", "metallic_logits"):
            self.optimizer.moments.pop(name, None)
            self.optimizer.steps.pop(name, None)

    def _constant_color(self) -> Tensor:
        """The part of the fitted radiance that does not depend on the view, display-referred."""
        return (0.5 + sh.C0 * self.splats.sh[:, 0]).clamp_min(0.0)

    def _irradiance_outward(self, index: int) -> Tensor:
        """Irradiance of every splat's outer side under one photo's light."""
        light = self.photos[index].view.light
        total = torch.zeros_like(self.sides.outward)
        if light.environment is not None:
            radiance = self.parameters[lighting.PREFIX + light.environment].exp()
            cells = self.occlusion.cells.integrate(radiance, light.rotation_rad)
            total = total + self.occlusion.irradiance(self.sides.outward, cells)[0]
        for point, seen in zip(light.points, self.point_visibility[index], strict=True):
            toward = self.splats.means.new_tensor(point.position) - self.splats.means
            squared = toward.square().sum(-1, keepdim=True)
            facing_it = (toward * self.sides.outward).sum(-1, keepdim=True).clamp_min(0.0)
            intensity = toward.new_tensor(point.intensity_linear)
            total = total + seen * facing_it / squared**1.5 * intensity
        return total

    def _learning_rates(self, step: int) -> dict[str, float]:
        config = self.config
        specular = step < config.specular_steps
        joint = step >= config.specular_steps + config.diffuse_steps
        done = (step - config.specular_steps) / max(1, config.steps - config.specular_steps)
        cool = 0.1 ** max(0.0, (done - 0.5) / 0.5)
        material = config.material_rate * cool
        known = all(photo.view.light.environment is None for photo in self.photos)
        lights = {
            n: config.light_rate * cool for n in self.parameters if n.startswith(lighting.PREFIX)
        }
        return lights | {
            "albedo_logits": material,
            "roughness_logits": material,
            "metallic_logits": 0.0 if specular else material,
            "progress_logits": config.progress_rate * (0.1 if joint else 1.0),
            "log_gain": 0.0 if specular or known else config.gain_rate * cool,
            "normals": config.normal_rate * cool,
        }


def mix(drawn: Drawn, physics_srgb: Tensor) -> Tensor:
    """A * physics + (1 - a) * radiance field over black, display-referred [H, W, 3]."""
    progress = drawn.at_covered("progress")
    raw = drawn.maps["raw"]
    mixed = progress * physics_srgb * drawn.coverage + (1 - progress) * drawn.pick(raw)
    return drawn.put(mixed, raw)


def open_side(axes: Tensor, occlusion: sky_room.Occlusion) -> Tensor:
    """Thin axes turned to the side from which more of the sky is seen."""
    open_to = occlusion.weights @ occlusion.cells.directions
    return torch.where((axes * open_to).sum(-1, keepdim=True) < 0, -axes, axes)


def _surface_share(splats: Splats, scope: Scope) -> Tensor:
    """Each splat's share of the visible surface in scope, roughly: opacity times area."""
    area = splats.log_scales[:, :2].exp().prod(-1, keepdim=True)
    weights = splats.opacity_logits.sigmoid()[:, None] * area * scope.contains(splats.means)
    return weights / weights.sum().clamp_min(1e-12)
