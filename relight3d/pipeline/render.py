"""A run's asset as picture files: `relight3d render`."""

import dataclasses
import json
from pathlib import Path

from relight3d import capture as capture_room
from relight3d.backends.registry import get_rasterizer
from relight3d.core.errors import ConfigurationError
from relight3d.core.photos import cameras_at_one_size, cameras_of
from relight3d.core.progress import Progress
from relight3d.core.types import Asset, Cameras
from relight3d.core.views import Capture, ViewLight
from relight3d.decomposition.trace_options import TraceOptions
from relight3d.files.atomic import atomic_file
from relight3d.files.pictures import over
from relight3d.files.video import write_video
from relight3d.pipeline import pictures
from relight3d.pipeline.asset_file import load_asset
from relight3d.pipeline.config import BackendName
from relight3d.pipeline.drawing import Gain, Light, Maps, Painter, device_of, lights_vary
from relight3d.pipeline.light_file import LightRequest, requested_light
from relight3d.pipeline.machine import prepare_torch
from relight3d.pipeline.run_folder import RunFolder
from relight3d.pipeline.run_settings import origin_of
from relight3d.view.camera_file import read_camera_file
from relight3d.view.cameras import turntable
from relight3d.view.frames import AOVS, Aov, frame_path, save_frames


@dataclasses.dataclass(frozen=True)
class RenderRequest:
    """What to draw of a run, under which light, and where to."""

    run: Path
    out: Path
    views: str
    """'test', 'train', 'turntable', or a file of cameras."""
    lights: LightRequest
    trace: TraceOptions | None
    """How rays are traced; None: not at all, fast shading."""
    albedo_gain: Gain
    aovs: tuple[str, ...]
    exr: bool
    frames: int
    fps: float
    backend: BackendName


@dataclasses.dataclass(frozen=True)
class Shot:
    """One picture to draw."""

    camera: Cameras
    light: ViewLight
    """Its light, where no other is asked for."""


def render(request: RenderRequest) -> int:
    """Draw and write every picture; returns how many views were drawn.

    Raises:
        CheckpointError: Not a finished run.
        ConfigurationError: A map the asset does not have; or relighting an asset without materials.
        CaptureError: A light cannot be used.
        FileFormatError: The environment, a file of lights or of cameras cannot be used.
        OutputError: A picture cannot be written.
    """
    prepare_torch()
    run = RunFolder(request.run)
    rasterize = get_rasterizer(request.backend)
    asset = load_asset(run.asset_path, device_of(rasterize))
    aovs = checked_aovs(request.aovs, asset)
    capture = capture_of(run)
    light = requested_light(request.lights, capture.capture_from_source)
    shots = shots_of(request, capture)
    painter = Painter(asset, rasterize, lights_vary=lights_vary(capture))
    depths = _depth_range(shots, asset) if "depth" in aovs else (0.0, 1.0)
    progress = Progress("render", len(shots))
    for index, shot in enumerate(shots):
        maps = draw(painter, shot, light, request.albedo_gain, request.trace)
        _write(request, capture, index, maps, aovs, depths)
        progress.update(index + 1, {})
    for aov in aovs:
        _remove_older(request.out / aov, len(shots))
    if "depth" in aovs:
        _note_depth_range(request.out, depths, capture)
    if request.views == "turntable":
        for aov in aovs:
            _write_video(request, aov, len(shots))
    progress.close(len(shots), {})
    return len(shots)


def checked_aovs(names: tuple[str, ...], asset: Asset) -> tuple[Aov, ...]:
    """The wanted maps, if they exist.

    Raises:
        ConfigurationError: Unknown, or not there before decomposition.
    """
    unknown = [name for name in names if name not in AOVS]
    if unknown or not names:
        raise ConfigurationError(
            f"--aovs: there is no map {', '.join(unknown) or 'named'}. Maps: {', '.join(AOVS)}."
        )
    chosen: tuple[Aov, ...] = tuple(aov for aov in AOVS if aov in names)
    missing = [aov for aov in chosen if aov in ("albedo", "roughness", "metallic", "progress")]
    if asset.materials is None and missing:
        raise ConfigurationError(
            f"This run has no materials, hence no {', '.join(missing)}: only its first stage is "
            "done. Run `relight3d decompose RUN` first."
        )
    return chosen


def capture_of(run: RunFolder) -> Capture:
    """The capture a run was made from."""
    origin = origin_of(run)
    return capture_room.load(origin.capture, origin.hold_out)


def shots_of(request: RenderRequest, capture: Capture) -> list[Shot]:
    """The views asked for, in order."""
    own = capture.split("train")[0].light
    if request.views in ("test", "train"):
        views = capture.split("test" if request.views == "test" else "train")
        if not views:
            raise ConfigurationError(
                f"--views {request.views}: the capture has no {request.views} views. "
                "Choose train or turntable, or train with --hold-out 8."
            )
        return [Shot(cameras_of([view]), view.light) for view in views]
    if request.views == "turntable":
        path = turntable(cameras_at_one_size(capture.split("train")), request.frames)
    elif Path(request.views).is_file():
        first = capture.views[0]
        path = read_camera_file(
            Path(request.views), capture.capture_from_source, (first.width_px, first.height_px)
        )
    else:
        raise ConfigurationError(
            f"--views {request.views} is neither test, train nor turntable, nor a file of cameras "
            "(transforms.json, or a camera path of nerfstudio's viewer)."
        )
    return [Shot(path[[index]], own) for index in range(len(path))]


def draw(
    painter: Painter,
    shot: Shot,
    light: Light | None,
    gain: Gain,
    trace: TraceOptions | None = None,
) -> Maps:
    """Maps of one shot; 'albedo' carries the gain, as it is what was shaded."""
    if light is None and trace is None and gain == (1.0, 1.0, 1.0):
        return painter.captured(shot.camera, shot.light)
    if light is None:
        light = painter.light_of(shot.light)
    return painter.relit(shot.camera, light, gain, trace)


def _write(
    request: RenderRequest,
    capture: Capture,
    index: int,
    maps: Maps,
    aovs: tuple[Aov, ...],
    depths: tuple[float, float],
) -> None:
    for aov in aovs:
        values, shown = maps[aov], (0.0, 1.0)
        alpha = maps.get("rgb_alpha", maps["alpha"]) if aov == "rgb" else maps["alpha"]
        if aov == "depth":
            scale = capture.capture_from_source.scale
            values, shown = values / scale, (depths[0] / scale, depths[1] / scale)
        save_frames(
            request.out, aov, index, values, alpha,
            premultiplied=False, grey_range=shown, exr=request.exr,
        )  # fmt: skip


def _remove_older(folder: Path, count: int) -> None:
    """Remove pictures of an earlier call that drew more views: they would pass for ours."""
    for path in folder.iterdir():
        if path.suffix in (".png", ".exr") and path.stem.isdigit() and int(path.stem) >= count:
            path.unlink()


def _depth_range(shots: list[Shot], asset: Asset) -> tuple[float, float]:
    ranges = [pictures.depth_range(shot.camera, asset.splats.means) for shot in shots]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _note_depth_range(out: Path, depths: tuple[float, float], capture: Capture) -> None:
    scale = capture.capture_from_source.scale
    with atomic_file(out / "depth" / "range.json") as temporary:
        temporary.write_text(
            json.dumps({"black": depths[0] / scale, "white": depths[1] / scale}) + "\n"
        )


def _write_video(request: RenderRequest, aov: Aov, count: int) -> None:
    """DIR/<aov>.mp4 on white, from the pictures just written."""
    from relight3d.files.images import read_image

    frames = (
        over(pictures.image_picture(read_image(frame_path(request.out, aov, index))))
        for index in range(count)
    )
    write_video(request.out / f"{aov}.mp4", frames, request.fps)
