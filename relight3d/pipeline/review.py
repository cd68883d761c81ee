"""A finished asset judged and shown: metrics.json and report.html."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

from relight3d.backends.interface import Rasterizer
from relight3d.capture import load_photo
from relight3d.core.photos import cameras_at_one_size, cameras_of
from relight3d.core.settings import DEFAULT_BOUNCES
from relight3d.core.types import Asset, Cameras
from relight3d.core.views import Capture, View
from relight3d.decomposition.trace_options import TraceOptions
from relight3d.evaluation.evaluate import evaluate
from relight3d.evaluation.protocols import RELIGHT3D
from relight3d.evaluation.report import Comparison, ReportContent, report_html
from relight3d.files.atomic import atomic_file
from relight3d.files.images import read_image
from relight3d.files.pictures import colorize
from relight3d.files.video import encode_animated_webp
from relight3d.pipeline import pictures
from relight3d.pipeline.drawing import NO_GAIN, Gain, Maps, Painter, lights_vary
from relight3d.pipeline.run_folder import RunFolder, write_json
from relight3d.view.cameras import turntable

COMPARED_VIEWS = 4
RELIT_VIEWS = 2
TURNTABLE_FRAMES = 36
TURNTABLE_FPS = 12.0
TURNTABLE_WIDTH_PX = 320
TURNTABLE_SPP = 8
LARGEST_PICTURE_PX = 800
"""Views are drawn for the page no wider than this."""


def frames_of(
    capture: Capture, asset: Asset, rasterize: Rasterizer, spp: int, bounces: int = DEFAULT_BOUNCES
) -> pictures.AssetFrames:
    """Draws the asset for scores and report, physics by so many rays a pixel; 0: fast shading."""
    trace = TraceOptions(spp=spp, bounces=bounces) if spp and asset.proxy is not None else None
    painter = Painter(asset, rasterize, lights_vary=lights_vary(capture), trace=trace)
    return pictures.AssetFrames(painter, capture)


def write_metrics(run: RunFolder, capture: Capture, frames: pictures.AssetFrames) -> None:
    """Score the test views by our own protocol into RUN/metrics.json."""
    write_json(run.metrics_path, evaluate(capture, frames, [RELIGHT3D], perceptual=False))


def read_metrics(run: RunFolder) -> dict[str, Any]:
    """The scores of `write_metrics`; empty if there are none."""
    if not run.metrics_path.exists():
        return {}
    metrics = json.loads(run.metrics_path.read_text())
    return metrics.get("results", {}).get(RELIGHT3D.name, {})


def write_report(run: RunFolder, capture: Capture, frames: pictures.AssetFrames) -> None:
    """Show everything in RUN/report.html."""
    painter, asset = frames.painter, frames.painter.asset
    split = "test" if capture.split("test") else "train"
    views = pictures.spread(capture.split(split), COMPARED_VIEWS)
    metrics = read_metrics(run)
    content = ReportContent(
        title=capture.root.name,
        lead=_lead(capture, asset),
        comparisons=[compare(painter, view) for view in views],
        compared_split=split,
        maps=_maps(painter, views[0]),
        turntables=_turntables(frames, capture, _gain(metrics)),
        relit=_relit(frames, views, metrics),
        environments=_lights(frames, capture, asset),
        losses=run.read_losses(),
        record=run.read_record(),
        config=run.read_config(),
        metrics=metrics,
        splats=len(asset.splats),
    )
    with atomic_file(run.report_path) as temporary:
        temporary.write_text(report_html(content), encoding="utf-8")


def _lead(capture: Capture, asset: Asset) -> str:
    train, test = len(capture.split("train")), len(capture.split("test"))
    kept = f", {test} kept back for testing" if test else ""
    made = "materials and light" if asset.materials is not None else "splats, light baked in"
    sizes = {f"{view.width_px} x {view.height_px} pixels" for view in capture.views}
    size = sizes.pop() if len(sizes) == 1 else f"{len(sizes)} sizes"
    return f"{train} photos of {size}{kept}; {len(asset.splats):,} splats with {made}."


def compare(painter: Painter, view: View, limit: int = LARGEST_PICTURE_PX) -> Comparison:
    """A view of the asset, lit as in its photo, beside the photo; neither side over `limit`."""
    maps = painter.look(cameras_of([view]), view.light)
    truth = pictures.photo_picture(load_photo(view))
    ours = pictures.picture(maps, "rgb")
    if view.mask_path is None and truth[..., 3].min() == 255:
        ours = _on_black(ours)
    return Comparison(view.name, pictures.reduced(ours, limit), pictures.reduced(truth, limit))


def _on_black(ours: pictures.Picture) -> pictures.Picture:
    """A place has no transparency: what is not covered is black."""
    shown = ours.copy()
    shown[..., :3] = (ours[..., :3].astype(float) * ours[..., 3:] / 255 + 0.5).astype("uint8")
    shown[..., 3] = 255
    return shown


def _maps(painter: Painter, view: View) -> dict[str, Any]:
    cameras = cameras_of([view])
    maps = painter.captured(cameras, view.light)
    names = ("albedo", "normal", "roughness", "metallic", "progress")
    shown: dict[str, Any] = {n: pictures.picture(maps, n) for n in names if n in maps}
    if "albedo" in maps:  # for eyes, not for measuring
        shown["albedo"] = pictures.picture({**maps, "rgb": maps["albedo"]}, "rgb")
    low, high = pictures.depth_range(cameras, painter.asset.splats.means)
    depth = colorize(maps["depth"][..., 0].cpu().numpy(), low, high)
    covered = pictures.picture(maps, "rgb")
    covered[..., :3] = depth
    shown["depth"] = covered
    return {name: pictures.reduced(map, LARGEST_PICTURE_PX) for name, map in shown.items()}


def _gain(metrics: dict[str, Any]) -> Gain:
    """The albedo alignment, if the truth is known."""
    red, green, blue = metrics.get("albedo", {}).get("gain") or NO_GAIN
    return (red, green, blue)


def _turntables(frames: pictures.AssetFrames, capture: Capture, gain: Gain) -> dict[str, bytes]:
    """Under the light of the photos, and under up to two others, or the same light turning."""
    views = capture.split("train")
    path = turntable(cameras_at_one_size(views), TURNTABLE_FRAMES)
    path = path.scaled(min(1.0, TURNTABLE_WIDTH_PX / path.width_px))
    own, painter, fewer = views[0].light, frames.painter, frames.painter.trace
    if fewer is not None:
        fewer = dataclasses.replace(fewer, spp=min(fewer.spp, TURNTABLE_SPP))
    shown = {"under the light of the photos": _animated(path, lambda one: painter.look(one, own))}
    if painter.asset.materials is None:
        return shown
    for name in new_lights(capture)[:2]:
        light = frames.light(name)
        shown[f"relit by {name}"] = _animated(
            path, lambda one, light=light: painter.relit(one, light, gain, fewer)
        )
    return shown


def new_lights(capture: Capture) -> list[str]:
    """Environments that came with the capture, those that its test views know relit first."""
    known = {name for view in capture.split("test") for name in view.truth}
    return sorted(capture.environments, key=lambda name: (f"relit/{name}" not in known, name))


def _animated(path: Cameras, draw: Callable[[Cameras], Maps]) -> bytes:
    drawn = (pictures.picture(draw(path[[index]]), "rgb") for index in range(len(path)))
    return encode_animated_webp(drawn, TURNTABLE_FPS)


def _lights(
    frames: pictures.AssetFrames, capture: Capture, asset: Asset
) -> dict[str, pictures.Picture]:
    """Recovered lights, each beside the true one where the capture brings it."""
    shown = {}
    for name, light in asset.environments.items():
        shown[f"{name}, as recovered"] = pictures.environment_picture(light)
        if name in capture.environments:
            true = frames.light(name).environment
            assert true is not None
            shown[f"{name}, the truth"] = pictures.reduced(pictures.environment_picture(true), 512)
    return shown


def _relit(
    frames: pictures.AssetFrames, views: Sequence[View], metrics: dict[str, Any]
) -> list[Comparison]:
    compared = []
    for name in metrics.get("relit", {}).get("lights", {}):
        for view in views[:RELIT_VIEWS]:
            if f"relit/{name}" not in view.truth:
                continue
            ours = frames.relit(view, name, _gain(metrics))
            truth = pictures.image_picture(read_image(view.truth[f"relit/{name}"]))
            compared.append(Comparison(f"{name}, {view.name}", ours, truth))
    return compared
