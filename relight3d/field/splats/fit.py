"""The fit as a resumable job: one photo a step, MCMC densification, planar regularisers."""

import math
from collections.abc import Sequence

import torch

from relight3d.backends.fused import splat_look
from relight3d.backends.interface import Rasterizer
from relight3d.core.errors import CaptureError
from relight3d.core.job import step_generator
from relight3d.core.photo_descent import PhotoDescent
from relight3d.core.photos import (
    Photo,
    cameras_at_one_size,
    cameras_of,
    crop_cameras,
    cut,
    object_window,
    part_of,
)
from relight3d.core.planes import pixel_rays
from relight3d.core.types import Cameras, Gaussians, Splats
from relight3d.field.config import FieldConfig
from relight3d.field.splats import densify
from relight3d.field.splats.initialize import scene_sphere
from relight3d.field.splats.objective import Rendered, Surface, loss_terms

CROP_MARGIN_PX = 12
WHOLE_FRAME_EVERY = 7
"""Most steps look only at the window around the object's mask, where there is one; every seventh
sees the whole frame, so that nothing can settle outside of all windows. (A prime: comparisons of
normals every so many steps must not fall on whole frames alone.)"""


class SplatFit(PhotoDescent):
    """Radiance stage. Implements `core.job.Job`."""

    name = "fit"

    def __init__(
        self,
        photos: Sequence[Photo],
        config: FieldConfig,
        *,
        rasterize: Rasterizer,
        seed: int,
        start: Splats,
        exposures: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        """Prepare; nothing is fitted yet.

        Args:
            photos: Training photos only.
            config: Weights, rates and schedule.
            rasterize: Any backend.
            seed: Same seed, same machine: same result.
            start: Where splats start (`start_splats`, or an existing .ply).
            exposures: Fit one gain per photo and channel (photos whose camera chose exposure).
            device: Where to compute.
        """
        if len(photos) < 3:
            raise CaptureError(
                f"A fit needs at least 3 training photos, got {len(photos)}: with fewer, depth is "
                "undetermined. Add photos, or hold out fewer of them for testing."
            )
        super().__init__(photos, seed, device)
        self.config, self.rasterize, self.total_steps = config, rasterize, config.steps
        self.cameras = [cameras_of([photo.view]).to(device) for photo in photos]
        self.windows = [object_window(photo, CROP_MARGIN_PX) for photo in photos]
        self.extent = capture_extent(photos)
        self.parameters = {
            "means": start.means, "quats_wxyz": start.quats_wxyz, "log_scales": start.log_scales,
            "opacity_logits": start.opacity_logits,
            "sh_dc": start.sh[:, :1], "sh_rest": start.sh[:, 1:],
        }  # fmt: skip
        self.exposures = exposures
        if exposures:
            self.parameters["log_exposure"] = torch.zeros(len(photos), 3)
        self.own(self.parameters)

    def step(self) -> dict[str, float]:
        """One photo: render, compare, descend, and now and then densify."""
        step, config = self.steps_done, self.config
        generator = step_generator(self.seed, self.name, step)
        index = self.photo_index(step)
        photo, cameras = self.photos[index], self.cameras[index]
        window = (0, 0, cameras.width_px, cameras.height_px)
        if step % WHOLE_FRAME_EVERY:
            window = self.windows[index]
        x0, y0, x1, y1 = part_of(window, config.window_px, generator)
        cameras = crop_cameras(cameras, (x0, y0, x1, y1))
        photo = cut(photo, (x0, y0, x1, y1))
        target, mask = photo.srgb(), photo.alpha()
        background = torch.rand(3, generator=generator) if mask is not None else torch.zeros(3)
        background = background.to(self.device)
        target = target.to(self.device)
        if self.exposures:  # of the photo alone: the background behind it was not photographed
            target = target * torch.exp(-self.parameters["log_exposure"][index])
        if mask is not None:
            mask = mask.to(self.device)
            target = target * mask + (1 - mask) * background
        rendered, surface = self.render(
            cameras, min(config.sh_degree, step // config.sh_interval), self._surface_scale(step)
        )
        terms = loss_terms(
            rendered, surface, target, mask, background, self.parameters, config,
            extent=self.extent,
        )  # fmt: skip
        loss = torch.stack(list(terms.values())).sum()
        for parameter in self.parameters.values():
            parameter.grad = None
        loss.backward()
        rates = self._learning_rates(step)
        self.optimizer.step(self.parameters, rates)
        if self.exposures:
            self._center_exposures()
        self._densify(step, rates["means"], generator)
        self.steps_done += 1
        return {name: float(term.detach()) for name, term in terms.items()} | {
            "splats": float(len(self.parameters["means"]))
        }

    def render(
        self, cameras: Cameras, sh_degree: int, surface_scale: float | None
    ) -> tuple[Rendered, Surface | None]:
        """One view, and its surface in a picture so many times as wide; None: no surface.

        At scale 1 it is one pass of the rasterizer.
        """
        p, center, gaussians = self.parameters, cameras.centers[0], self._gaussians()
        look = splat_look(p["sh_dc"], p["sh_rest"], p["means"], p["quats_wxyz"], center, sh_degree)
        if surface_scale == 1.0:
            raster = self.rasterize(gaussians, look, cameras)
            color, shape = raster.features[0].split([3, 4], -1)
            shape_cameras, shape_alpha = cameras, raster.alpha[0]
        else:
            color_look, shape_look = look.split([3, 4], -1)
            raster = self.rasterize(gaussians, color_look, cameras)
            color = raster.features[0]
            if surface_scale is None:
                return Rendered(color, raster.alpha[0]), None
            shape_cameras = cameras.scaled(surface_scale)
            shape_raster = self.rasterize(gaussians, shape_look, shape_cameras)
            shape, shape_alpha = shape_raster.features[0], shape_raster.alpha[0]
        normal, distance = shape.split([3, 1], -1)
        surface = Surface(normal, distance, shape_alpha, pixel_rays(shape_cameras))
        return Rendered(color, raster.alpha[0]), surface

    def _surface_scale(self, step: int) -> float | None:
        """Size of the surface's picture in this step; None in steps that do not look at it."""
        config = self.config
        due = step >= config.normal_from_fraction * config.steps and step % config.normal_every == 0
        wanted = config.normal_weight > 0.0 or config.spread_weight > 0.0
        return config.normal_scale if due and wanted else None

    def splats(self) -> Splats:
        """The fitted splats so far."""
        p = {name: value.detach().clone() for name, value in self.parameters.items()}
        return Splats(
            p["means"], p["quats_wxyz"], p["log_scales"], p["opacity_logits"],
            torch.cat([p["sh_dc"], p["sh_rest"]], 1),
        )  # fmt: skip

    def _gaussians(self) -> Gaussians:
        p = self.parameters
        return Gaussians(
            p["means"], p["quats_wxyz"], p["log_scales"].exp(), p["opacity_logits"].sigmoid()
        )

    def _learning_rates(self, step: int) -> dict[str, float]:
        config = self.config
        start, end = config.means_rate
        done = step / max(1, config.steps - 1)
        means = self.extent * math.exp((1 - done) * math.log(start) + done * math.log(end))
        cool = 0.1 ** max(0.0, (done - 0.6) / 0.4)
        rates = {
            "means": means,
            "quats_wxyz": config.quats_rate * cool,
            "log_scales": config.scales_rate * cool,
            "opacity_logits": config.opacities_rate * cool,
            "sh_dc": config.sh_rate * cool,
            "sh_rest": config.sh_rate / 10 * cool,
        }
        return rates | ({"log_exposure": 2e-3 * cool} if self.exposures else {})

    @torch.no_grad()
    def _center_exposures(self) -> None:
        """Keep the mean at 0: a gain common to all photos belongs to the splats' colour."""
        gains = self.parameters["log_exposure"]
        gains -= gains.mean(0)

    def _densify(self, step: int, means_rate: float, generator: torch.Generator) -> None:
        config = self.config
        last = config.densify_until_fraction * config.steps
        if config.densify_from <= step < last and step % config.densify_every == 0:
            plain = {n: self.parameters[n].detach() for n in densify.PARAMETERS}
            densify.relocate_dead(plain, self.optimizer, generator)
            count = len(plain["means"])
            wanted = min(config.max_splats, int((1 + config.growth) * count) + 1) - count
            if wanted > 0:
                plain = densify.grow(plain, self.optimizer, wanted, generator)
            rest = {n: p for n, p in self.parameters.items() if n not in plain}
            self.own(plain | rest)
        if step < last:
            with torch.no_grad():
                plain = {n: p.detach() for n, p in self.parameters.items()}
                densify.explore(plain, config.noise * means_rate, generator)


def capture_extent(photos: Sequence[Photo]) -> float:
    """Radius, in world units, of what the photos look at together."""
    return scene_sphere(cameras_at_one_size([photo.view for photo in photos]))[1]
