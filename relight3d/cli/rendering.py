"""`relight3d render`."""

import dataclasses
import math
from pathlib import Path
from typing import Literal

import tyro

from relight3d.cli.parsing import parse
from relight3d.core.errors import ConfigurationError
from relight3d.core.settings import DEFAULT_BOUNCES
from relight3d.pipeline.config import BackendName

CLEAN_SPP = 64
"""Rays a pixel from which the denoiser would take more detail than noise."""


@dataclasses.dataclass(frozen=True)
class RenderArguments:
    """Draw a run's asset: OUT/<map>/NNN.png, and OUT/<map>.mp4 for a turntable."""

    run: tyro.conf.Positional[Path]
    """A finished run."""
    out: Path
    """Folder for the pictures."""
    views: str = "test"
    """test, train (in the capture's order), turntable, or a file of cameras: transforms.json or a
    camera path of nerfstudio's viewer."""
    env: Path | None = None
    """Relight by this environment map (.hdr or .exr, latitude-longitude). Without any light of
    your own, it is that of the photos."""
    env_rotation_deg: float = 0.0
    """Turn the map counter-clockwise about the vertical, seen from above."""
    env_gain: float = 1.0
    """Factor on the map."""
    lights: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """A file of lights (JSON, see the README); may be given several times. All lights that are
    asked for shine together."""
    sun: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Parallel light as AZIMUTH,ELEVATION:R,G,B, such as 30,50:3,2.8,2.5: degrees counter-clockwise
    from +x and above the horizon, and the linear irradiance facing it (one number: white). May be
    given several times; write --sun=-30,50:3 where it begins with a minus."""
    softlight: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Light from a soft spot of the sky as AZIMUTH,ELEVATION,WIDTH:R,G,B: as a sun, WIDTH degrees
    wide (at half of its peak)."""
    point: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Point light as X,Y,Z:R,G,B: where, in the frame that the photos' poses came in, and its
    intensity (irradiance at distance 1 facing it)."""
    spp: int = 0
    """Rays a pixel, 2 to 512: light is traced, with sharp and soft shadows of all lights and
    reflections of what is near. 0: fast shading without."""
    denoise: Literal["auto", "on", "off"] = "auto"
    """Whether the noise of the rays is filtered; auto: below 64 rays a pixel."""
    bounces: int = DEFAULT_BOUNCES
    """0: what is in the way of light is black; 1: it sends back light itself; more: what it
    received in turn."""
    floor: float | Literal["lowest"] | None = None
    """Height of a floor that catches shadow and reflection (needs --spp): z in the capture's
    upright frame, or lowest, where the asset's lowest point is."""
    seed: int = 0
    """Of the rays."""
    albedo_gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factors on linear albedo (red, green, blue) before shading; `metrics.json` has the ones that
    TensoIR's rule gives."""
    aovs: str = "rgb"
    """Which maps, with commas: rgb,albedo,normal,roughness,metallic,depth,alpha,progress."""
    exr: tyro.conf.FlagCreatePairsOff[bool] = False
    """Also write every map as OpenEXR, unquantised and linear."""
    frames: int = 120
    """Pictures of a turntable."""
    fps: float = 30.0
    """Frames per second of a turntable."""
    backend: BackendName = "auto"
    """Rasterizer."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not all(math.isfinite(g) and g >= 0 for g in self.albedo_gain):
            raise ConfigurationError(
                f"--albedo-gain must be three numbers >= 0, got {self.albedo_gain}."
            )
        placed = self.floor is None or self.floor == "lowest" or math.isfinite(self.floor)
        if not placed or (self.floor is not None and self.spp == 0):
            raise ConfigurationError(
                f"--floor {self.floor} catches traced shadows: give --spp too, such as --spp 32, "
                "and a finite height."
            )
        if self.frames < 1 or not 0 < self.fps <= 240 or not math.isfinite(self.env_rotation_deg):
            raise ConfigurationError(
                f"--frames must be positive, --fps in (0, 240] and --env-rotation-deg finite, got "
                f"{self.frames}, {self.fps} and {self.env_rotation_deg}."
            )


def run_render(arguments: list[str]) -> None:
    """Draw pictures."""
    parsed = parse("render", RenderArguments, arguments, {})

    from relight3d.decomposition.trace_options import TraceOptions
    from relight3d.pipeline.light_file import LightRequest
    from relight3d.pipeline.render import RenderRequest, render

    trace = None
    if parsed.spp != 0:
        by_default = parsed.spp < CLEAN_SPP
        trace = TraceOptions(
            spp=parsed.spp,
            bounces=parsed.bounces,
            denoise=by_default if parsed.denoise == "auto" else parsed.denoise == "on",
            seed=parsed.seed,
            floor=parsed.floor,
        )
    count = render(
        RenderRequest(
            run=parsed.run,
            out=parsed.out,
            views=parsed.views,
            lights=LightRequest(
                env=parsed.env,
                rotation_rad=math.radians(math.fmod(parsed.env_rotation_deg, 360.0)),
                gain=parsed.env_gain,
                files=parsed.lights,
                points=parsed.point,
                suns=parsed.sun,
                softlights=parsed.softlight,
            ),
            trace=trace,
            albedo_gain=parsed.albedo_gain,
            aovs=tuple(name.strip() for name in parsed.aovs.split(",") if name.strip()),
            exr=parsed.exr,
            frames=parsed.frames,
            fps=parsed.fps,
            backend=parsed.backend,
        )
    )
    print(f"{count} views are in {parsed.out}")
