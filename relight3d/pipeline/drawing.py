"""An asset as maps of a view, under the light of its photos or any other."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.backends.fused import splat_look
from relight3d.backends.interface import Rasterizer
from relight3d.backends.tracing.interface import Tracer
from relight3d.core.color import linear_from_srgb, srgb_from_linear
from relight3d.core.errors import ConfigurationError
from relight3d.core.planes import pixel_rays, plane_depth
from relight3d.core.sh import degree_of
from relight3d.core.types import (
    Asset,
    Cameras,
    DirectionalLight,
    EnvironmentLight,
    LobeLight,
    PointLight,
)
from relight3d.core.views import Capture, ViewLight
from relight3d.decomposition.occlusion import Occlusion
from relight3d.decomposition.relight import Relighter
from relight3d.decomposition.splat_colors import display_colors
from relight3d.decomposition.trace_options import TraceOptions, required_proxy
from relight3d.decomposition.traced import TracedRelighter
from relight3d.export.bake import DisplayColor
from relight3d.shading.radiosity import SurfaceLinks

Maps = dict[str, Float[Tensor, "H W _"]]
"""AOV name -> straight (not premultiplied) values of one view, linear, plus 'alpha'."""

Gain = tuple[float, float, float]
NO_GAIN: Gain = (1.0, 1.0, 1.0)
KEPT_SPLATS = 250_000
"""Traced shadows take about 2 kB per splat and light: so many are remembered, of all lights."""


@dataclasses.dataclass(frozen=True, eq=False)
class Light:
    """What shines on the asset."""

    environment: EnvironmentLight | None = None
    rotation_rad: float = 0.0
    """Counter-clockwise about +z."""
    points: tuple[PointLight, ...] = ()
    directional: tuple[DirectionalLight, ...] = ()
    lobes: tuple[LobeLight, ...] = ()


def device_of(rasterize: Rasterizer) -> torch.device:
    """Where the backend computes: gsplat on the GPU, the others on the CPU."""
    on_gpu = rasterize.__module__.endswith("gsplat_cuda")
    return torch.device("cuda" if on_gpu else "cpu")


def tracer_of(asset: Asset) -> Tracer:
    """Rays against the asset's proxy.

    Raises:
        ConfigurationError: It has none.
    """
    mesh = required_proxy(asset).mesh
    from relight3d.backends.tracing.registry import get_tracer

    return get_tracer(mesh)


def lights_vary(capture: Capture) -> bool:
    """Whether the training photos were taken under more than one light."""
    return len({view.light for view in capture.split("train")}) > 1


class Painter:
    """Draws one asset; remembers the traced shadows of a few lights."""

    def __init__(
        self,
        asset: Asset,
        rasterize: Rasterizer,
        lights_vary: bool = False,
        trace: TraceOptions | None = None,
    ):
        """Take what to draw, and what with.

        Args:
            asset: What to draw.
            rasterize: The backend.
            lights_vary: The photos were taken under several lights, so that the radiance field,
                which knows only one look, is a mixture that none of them shows.
            trace: How physics is traced where nothing else is asked; None: fast shading without.
        """
        self.asset, self._rasterize, self._lights_vary = asset, rasterize, lights_vary
        self.trace = trace
        self._occlusion: Occlusion | None = None
        self._prepared: dict[Light, Relighter] = {}
        self._traced: dict[tuple[Light, TraceOptions], TracedRelighter] = {}
        self._tracer: Tracer | None = None
        self._links: SurfaceLinks | None = None
        self._own_lights: dict[ViewLight, Light] = {}

    def radiance(self, cameras: Cameras) -> Maps:
        """The photos' own look by the radiance field alone, with shape: no material is needed."""
        return draw_radiance(self.asset, self._rasterize, cameras)

    def look(self, cameras: Cameras, light: ViewLight) -> Maps:
        """'rgb normal depth alpha' of `captured`; physics is drawn only where that needs it."""
        mixed = self.asset.materials is not None and self._lights_vary
        return self.captured(cameras, light) if mixed else self.radiance(cameras)

    def captured(self, cameras: Cameras, light: ViewLight) -> Maps:
        """The look under the light of the photos, as faithful as we have it.

        With one light: the radiance field, which decomposition leaves as it was fitted. Under
        several: physics and radiance field mixed by progress. 'physics' is physics alone.
        """
        look = self.radiance(cameras)
        if self.asset.materials is None:
            return look
        maps = self.physics(cameras, light)
        maps["physics"] = maps["rgb"]
        if not self._lights_vary:
            return {**maps, "rgb": look["rgb"]}
        physics, share = srgb_from_linear(maps["rgb"]), maps["progress"]
        radiance = srgb_from_linear(look["rgb"])
        return {**maps, "rgb": linear_from_srgb(share * physics + (1 - share) * radiance)}

    def physics(self, cameras: Cameras, light: ViewLight) -> Maps:
        """The look under the light of the photos as it was recovered, by physics alone."""
        return self._lit(cameras, self.light_of(light), NO_GAIN, self.trace)

    def relit(
        self,
        cameras: Cameras,
        light: Light,
        gain: Gain = NO_GAIN,
        trace: TraceOptions | None = None,
    ) -> Maps:
        """The look under another light, by physics alone.

        Args:
            cameras: One camera.
            light: What shines.
            gain: Factor on linear albedo before shading.
            trace: How rays are traced; None: as this painter does. With a floor, 'rgb' lies over
                it and has a coverage of its own, 'rgb_alpha'.

        Raises:
            ConfigurationError: The asset has no materials yet, or none is in `light`; or rays are
                to be traced and it has no proxy.
        """
        return self._lit(cameras, light, gain, trace or self.trace)

    def splat_colors(self, light: Light) -> DisplayColor:
        """Display colour of the splats along viewing directions, for baking.

        Raises:
            ConfigurationError: The asset has no materials yet.
        """
        return display_colors(self._relighter(light, NO_GAIN))

    def light_of(self, light: ViewLight) -> Light:
        """The light of a photo, its environment as it was recovered."""
        if light not in self._own_lights:
            environment = self.asset.environments.get(light.environment or "")
            self._own_lights[light] = Light(environment, light.rotation_rad, light.points)
        return self._own_lights[light]

    def _relighter(self, light: Light, gain: Gain) -> Relighter:
        if self.asset.materials is None:
            raise ConfigurationError(
                "This run has no materials, so it cannot be relit: only its first stage is done. "
                "Run `relight3d decompose RUN` first, or leave --env away."
            )
        if light not in self._prepared:
            kept = max(1, KEPT_SPLATS // max(1, len(self.asset.splats)))
            while len(self._prepared) >= kept:
                self._prepared.pop(next(iter(self._prepared)))  # the oldest
            self._prepared[light] = Relighter(
                self.asset,
                self._rasterize,
                light.environment,
                points=light.points,
                directional=light.directional,
                lobes=light.lobes,
                rotation_rad=light.rotation_rad,
                occlusion=self._occlusion,
            )
            self._occlusion = self._prepared[light].occlusion or self._occlusion
        traced = self._prepared[light]
        return traced if gain == NO_GAIN else traced.with_gain(gain)

    def _tracing(self, light: Light, gain: Gain, trace: TraceOptions) -> TracedRelighter:
        if (light, trace) not in self._traced:
            tracer = self._tracer = self._tracer or tracer_of(self.asset)
            self._traced = {  # another light's is seldom asked for again, and cheap to make
                (light, trace): TracedRelighter(
                    self.asset,
                    self._rasterize,
                    tracer,
                    light.environment,
                    rotation_rad=light.rotation_rad,
                    points=light.points,
                    directional=light.directional,
                    lobes=light.lobes,
                    options=trace,
                    links=self._links,
                )
            }
            self._links = self._traced[light, trace].links or self._links
        traced = self._traced[light, trace]
        return traced if gain == NO_GAIN else traced.with_gain(gain)

    @torch.no_grad()
    def _lit(
        self, cameras: Cameras, light: Light, gain: Gain, trace: TraceOptions | None = None
    ) -> Maps:
        if trace is None:
            drawn = self._relighter(light, gain).render(cameras)
        else:
            drawn = self._tracing(light, gain, trace).render(cameras)
        alpha = drawn["alpha"]
        unblended = ("depth", "alpha", "rgb_alpha")
        maps = {
            name: values if name in unblended else straight(values, alpha)
            for name, values in drawn.items()
        }
        if "rgb_alpha" in drawn:
            maps["rgb"] = straight(drawn["rgb"], drawn["rgb_alpha"])
        return maps


def straight(
    premultiplied: Float[Tensor, "H W ch"], alpha: Float[Tensor, "H W 1"]
) -> Float[Tensor, "H W ch"]:
    """Divide by coverage; 0 where there is none."""
    return torch.where(alpha > 1e-6, premultiplied / alpha.clamp_min(1e-6), 0.0)


@torch.no_grad()
def draw_radiance(asset: Asset, rasterize: Rasterizer, cameras: Cameras) -> Maps:
    """The radiance field of one camera, with shape but no material: 'rgb normal depth alpha'."""
    splats, center = asset.splats, cameras.centers[0].to(asset.splats.means)
    degree = degree_of(splats.sh.shape[1])
    look = splat_look(
        splats.sh[:, :1], splats.sh[:, 1:], splats.means, splats.quats_wxyz, center, degree
    )
    raster = rasterize(splats.gaussians(), look, cameras.to(splats.means.device))
    color, normal, distance = raster.features[0].split([3, 3, 1], -1)
    alpha = raster.alpha[0]
    rays = pixel_rays(cameras.to(splats.means.device))
    return {
        "rgb": linear_from_srgb(straight(color, alpha)),
        "normal": torch.nn.functional.normalize(normal, dim=-1),
        "depth": plane_depth(normal, distance, rays),
        "alpha": alpha,
    }
