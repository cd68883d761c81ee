"""Maps to the 8-bit pictures that are written, scored and shown, all by the same code."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, UInt8

from relight3d.core.photos import Photo, cameras_of
from relight3d.core.types import Cameras, EnvironmentLight
from relight3d.core.views import Capture, View
from relight3d.evaluation.tasks import OTHER_LIGHTS
from relight3d.evaluation.truth import true_environment
from relight3d.files.images import SUFFIXES, Image, image_info
from relight3d.pipeline.drawing import NO_GAIN, Gain, Light, Maps, Painter
from relight3d.view.frames import Aov, encode_aov

Picture = UInt8[np.ndarray, "H W 4"]


def picture(maps: Maps, aov: Aov, grey_range: tuple[float, float] = (0.0, 1.0)) -> Picture:
    """One map of a view as it is written to a .png."""
    alpha = maps["alpha"].cpu().clamp(0.0, 1.0)
    values = alpha if aov == "alpha" else maps[aov].float().cpu()
    if aov == "normal":  # as `save_frames` writes it
        values = torch.nn.functional.normalize(values, dim=-1)
    return encode_aov(aov, values, alpha, grey_range)


def depth_range(cameras: Cameras, means: torch.Tensor) -> tuple[float, float]:
    """Nearest and farthest depth of most splats before any of the cameras, for grey pictures."""
    pose = cameras.world_to_camera.to(means)
    depths = means @ pose[:, 2, :3].T + pose[:, 2, 3]
    depths = depths[depths > 0].flatten().sort().values
    if len(depths) == 0:
        return (0.0, 1.0)
    low, high = depths[len(depths) // 50].item(), depths[-1 - len(depths) // 50].item()
    margin = 0.05 * (high - low) + 1e-6
    return (max(0.0, low - margin), high + margin)


def photo_picture(photo: Photo) -> Picture:
    """A photo as 8-bit RGBA; opaque without a mask."""
    color = (photo.srgb().clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    covered = photo.coverage
    if covered is None:
        covered = torch.full_like(color[..., :1], 255)
    return torch.cat([color, covered], -1).numpy()


def image_picture(image: Image) -> Picture:
    """A decoded sRGB picture as 8-bit RGBA; opaque without alpha."""
    alpha = np.ones_like(image.pixels[..., :1]) if image.alpha is None else image.alpha
    levels = np.concatenate([image.pixels, alpha], -1).clip(0, 1) * 255 + 0.5
    return levels.astype(np.uint8)


def reduced(pixels: Picture, largest_px: int) -> Picture:
    """Averaged over blocks until neither side exceeds `largest_px`; as it is, if none does."""
    factor = -(-max(pixels.shape[:2]) // largest_px)
    if factor == 1:
        return pixels
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    blocks = pixels[: height * factor, : width * factor].astype(np.float32)
    blocks[..., :3] *= blocks[..., 3:] / 255
    mean = blocks.reshape(height, factor, width, factor, 4).mean((1, 3))
    mean[..., :3] *= 255 / np.maximum(mean[..., 3:], 1e-6)
    return (mean.clip(0, 255) + 0.5).astype(np.uint8)


def environment_picture(light: EnvironmentLight) -> UInt8[np.ndarray, "H W 4"]:
    """A light for a screen: its 90th percentile becomes nearly white."""
    radiance = light.radiance_linear.detach().float().cpu()
    white = torch.quantile(radiance.flatten()[:: max(1, radiance.numel() // 100_000)], 0.9)
    opaque = torch.ones_like(radiance[..., :1])
    return encode_aov("rgb", radiance * (0.8 / white.clamp_min(1e-6)), opaque)


class AssetFrames:
    """Draws an asset for `evaluation`, as `relight3d render` writes it (a `FrameSource`)."""

    applies_gain = True

    def __init__(self, painter: Painter, capture: Capture):
        """Take the asset's painter, and the capture with the lights."""
        self.painter, self._capture = painter, capture
        self._lights: dict[str, Light] = {}
        self._last: tuple[str, Maps] | None = None

    def light(self, environment: str) -> Light:
        """One of the capture's environments; the same object every time, so shadows are kept."""
        if environment not in self._lights:
            self._lights[environment] = Light(true_environment(self._capture, environment))
        return self._lights[environment]

    def why_not(self, what: str) -> str | None:
        """Why a map cannot be drawn; None if it can."""
        if what in ("rgb", "normal", "depth"):
            return None
        if self.painter.asset.materials is None:
            return "the asset has no materials yet"
        name = what.removeprefix("relit/")
        if what.startswith("relit/") and name not in (*self._capture.environments, OTHER_LIGHTS):
            return f"the capture has no environment map of {name}"
        return None

    def draw(self, view: View, what: str, truth: Path, gain: Gain = NO_GAIN) -> Image:
        """8 bits against 8-bit truth, else unquantised and linear."""
        aov: Aov = "rgb"
        if what.startswith("relit/"):
            name = what.removeprefix("relit/")
            light = view.light.environment if name == OTHER_LIGHTS else name
            maps = self.painter.relit(cameras_of([view]), self.light(light or ""), gain)
        else:
            maps = self._captured(view)
            if what == "physics":
                maps = {**maps, "rgb": maps["physics"]}
            else:
                aov = cast(Aov, what)
        is_picture = truth.suffix.lower() in SUFFIXES
        if is_picture and image_info(truth).color_space == "linear" and aov == "rgb":
            values = maps[aov].float().cpu().numpy()
            return Image(values, maps["alpha"].float().cpu().numpy(), "linear", 32)
        pixels = picture(maps, aov).astype(np.float32) / 255.0
        return Image(pixels[..., :3], pixels[..., 3:], "srgb", 8)

    def depth(self, view: View) -> Float[np.ndarray, "H W"]:
        """0 where less than half is covered."""
        maps = self._captured(view)
        depth = torch.where(maps["alpha"] > 0.5, maps["depth"], 0.0)
        return depth[..., 0].float().cpu().numpy()

    def environment(self, name: str) -> Float[np.ndarray, "h w 3"] | None:
        """The recovered light of that name."""
        light = self.painter.asset.environments.get(name)
        return None if light is None else light.radiance_linear.detach().float().cpu().numpy()

    def relit(self, view: View, environment: str, gain: Gain) -> Picture:
        """The view under one of the capture's environments."""
        maps = self.painter.relit(cameras_of([view]), self.light(environment), gain)
        return picture(maps, "rgb")

    def _captured(self, view: View) -> Maps:
        """All maps of a view; the last view's are kept, for they are asked for one by one."""
        if self._last is None or self._last[0] != view.name:
            self._last = (view.name, self.painter.captured(cameras_of([view]), view.light))
        return self._last[1]


def spread(views: Sequence[View], count: int) -> list[View]:
    """Some of the views, evenly spaced."""
    if len(views) <= count:
        return list(views)
    return [views[i * len(views) // count] for i in range(count)]
