"""RUN/report.html: what was made, how good it is, and what it cost, on one page."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from relight3d.core.progress import duration
from relight3d.evaluation import page
from relight3d.evaluation.metrics import decibels
from relight3d.files.pictures import colorize

Pixels = UInt8[np.ndarray, "_ _ _"]
LARGEST_ERROR = 0.15
"""Error, as a fraction of white, that is shown in the brightest colour."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A picture of ours beside the true one."""

    name: str
    ours: UInt8[np.ndarray, "H W 4"]
    truth: UInt8[np.ndarray, "H W 4"]


@dataclasses.dataclass(frozen=True)
class ReportContent:
    """Everything the page shows. Pictures are 8-bit, straight alpha, as written to files."""

    title: str
    lead: str
    comparisons: Sequence[Comparison]
    """Photos and our pictures under the light of the photos."""
    compared_split: str
    """'test' or 'train': which photos these are."""
    maps: Mapping[str, Pixels]
    """Name of the map -> picture, all of one view."""
    turntables: Mapping[str, bytes]
    """Caption -> animated WebP."""
    relit: Sequence[Comparison]
    environments: Mapping[str, Pixels]
    """Name -> recovered light, encoded for a screen."""
    losses: Mapping[str, Mapping[str, page.Curve]]
    """Stage -> scalar -> 'steps', 'values'."""
    record: Mapping[str, Any]
    """run.json."""
    config: Mapping[str, Any]
    """config.json."""
    metrics: Mapping[str, Any]
    """Scores by our own protocol (`evaluate`), empty without test views."""
    splats: int


MAPS = {
    "albedo": "Albedo: the colour of the material without any light, sRGB",
    "normal": "Normal: red, green, blue are x, y, z of the surface's direction",
    "roughness": "Roughness: black is a mirror, white is chalk",
    "metallic": "Metallic: white is metal",
    "depth": "Depth: blue is near, red is far",
    "progress": "Progress: white where physics explains the photo, black where it does not",
}


def report_html(content: ReportContent) -> str:
    """The page."""
    body = [
        page.numbers(_key_numbers(content)),
        _photos(content),
        _maps(content),
        _turntables(content),
        _relit(content),
        _lights(content),
        _losses(content),
        _costs(content),
        _settings(content),
    ]
    return page.page(content.title, content.lead, [piece for piece in body if piece])


def _key_numbers(content: ReportContent) -> list[tuple[str, str]]:
    metrics, entries = content.metrics, []
    if "novel" in metrics:
        novel = metrics["novel"]
        count = len(novel["views"]["psnr"])
        entries += [
            (decibel_words(novel["psnr"]), f"PSNR of {count} unseen views"),
            (f"{novel['ssim']:.3f}", "SSIM of the unseen views"),
        ]
    if "normal" in metrics:
        entries.append((f"{metrics['normal']['mae_deg']:.1f}°", "mean error of normals"))
    for name, light in metrics.get("relit", {}).get("lights", {}).items():
        label = f"relit by {name}"
        if "gain_over_unrelit_db" in light:
            more = float(light["gain_over_unrelit_db"])
            label += f"; {more:+.2f} dB over not relighting"
        entries.append((decibel_words(light["psnr"]), label))
    stages = content.record.get("stages", {})
    entries += [
        (duration(sum(s["seconds"] for s in stages.values())), "in all"),
        (f"{content.splats:,}", "splats"),
    ]
    memory = [s["peak_memory_mb"].get("host", 0.0) for s in stages.values()]
    if memory:
        entries.append((f"{max(memory):,.0f} MB", "most memory held"))
    return entries


def _photos(content: ReportContent) -> str:
    unseen = content.compared_split == "test"
    said = (
        "Left the photo, in the middle our picture from the same place, right where they differ: "
        f"dark blue is equal, red is {LARGEST_ERROR:.0%} of white or more. "
        + ("These photos were kept back: the fit never saw them." if unseen else "")
    )
    return _compared("Photos and renderings", said, "photo", content.comparisons)


def _relit(content: ReportContent) -> str:
    said = (
        "Left the path-traced truth under a light the fit never saw, in the middle our picture, "
        "right the difference. Albedo is scaled by one factor per channel, TensoIR's official rule."
    )
    return _compared("Relit, against the truth", said, "truth", content.relit)


def _compared(title: str, said: str, word: str, comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    return page.section(title, said, *compared_rows(comparisons, word))


def compared_rows(comparisons: Sequence[Comparison], word: str) -> list[str]:
    """Rows of truth (which `word` calls it), ours, and their difference."""
    return [
        page.row(
            [
                page.still(c.truth, f"{c.name}: {word}"),
                page.still(c.ours, "ours"),
                page.still(error_map(c.ours, c.truth), f"difference ({_psnr_words(c)})"),
            ]
        )
        for c in comparisons
    ]


def _maps(content: ReportContent) -> str:
    figures = [page.still(pixels, MAPS.get(name, name)) for name, pixels in content.maps.items()]
    said = "What the picture is made of, seen from one of the views above."
    return page.section("Materials and shape", said, page.row(figures, 3)) if figures else ""


def _turntables(content: ReportContent) -> str:
    figures = [page.animation(webp, caption) for caption, webp in content.turntables.items()]
    said = "The same asset, turned once round."
    return (
        page.section("All round", said, page.row(figures, min(3, len(figures)))) if figures else ""
    )


def _lights(content: ReportContent) -> str:
    figures = [page.still(pixels, name) for name, pixels in content.environments.items()]
    said = (
        "The light that was found in the photos, as a map of all directions: the horizon runs "
        "through the middle, up is at the top."
    )
    columns = max(2, min(3, len(figures)))
    return page.section("Recovered light", said, page.row(figures, columns)) if figures else ""


def _losses(content: ReportContent) -> str:
    charts = [
        page.card(f"<b>{page.text(stage)}</b>", page.line_chart(_without_counts(curves)))
        for stage, curves in content.losses.items()
    ]
    said = "Every term of the loss over the steps, logarithmic; means over short spans of steps."
    return page.section("Losses", said, page.row(charts, min(2, len(charts)))) if charts else ""


def _without_counts(curves: Mapping[str, Any]) -> dict[str, Any]:
    return {name: curve for name, curve in curves.items() if name != "splats"}


def _costs(content: ReportContent) -> str:
    rows = []
    kinds = ["host"] + ["gpu"] * any(
        "gpu" in stage["peak_memory_mb"] for stage in content.record.get("stages", {}).values()
    )
    for name, stage in content.record.get("stages", {}).items():
        steps = stage.get("steps")
        memory = stage["peak_memory_mb"]
        rows.append(
            [
                name,
                duration(stage["seconds"]),
                steps or "",
                f"{1000 * stage['seconds'] / steps:.0f} ms" if steps else "",
                *(f"{memory[kind]:,.0f} MB" if kind in memory else "" for kind in kinds),
            ]
        )
    header = ["stage", "time", "steps", "per step", "peak memory", "peak GPU memory"][
        : 4 + len(kinds)
    ]
    machine = content.record.get("machine", {})
    words = " · ".join(machine[k] for k in ("processor", "gpu", "system") if k in machine)
    said = f"{words} · {machine.get('cores', '?')} cores" if words else ""
    return page.section("Time and memory", said, page.table(header, rows)) if rows else ""


def _settings(content: ReportContent) -> str:
    said = "With these settings, this capture and these versions the run can be repeated."
    return page.section(
        "Configuration",
        said,
        page.folded("settings and versions", json.dumps(content.config, indent=2)),
        page.folded("scores", json.dumps(content.metrics, indent=2)) if content.metrics else "",
    )


def decibel_words(value: float | str) -> str:
    """A PSNR, which may be "inf"."""
    return f"{float(value):.2f} dB"


def error_map(ours: Pixels, truth: Pixels) -> UInt8[np.ndarray, "H W 4"]:
    """Mean absolute difference on white in false colours; clear where both show nothing."""
    error = np.abs(_on_white(ours) - _on_white(truth)).mean(-1)
    seen = np.maximum(ours[..., 3], truth[..., 3])
    return np.dstack([colorize(error, 0.0, LARGEST_ERROR), seen])


def _psnr_words(comparison: Comparison) -> str:
    squared = np.square(_on_white(comparison.ours) - _on_white(comparison.truth)).mean()
    return "equal" if squared == 0 else f"{decibels(float(squared)):.1f} dB"


def _on_white(pixels: Pixels) -> np.ndarray:
    alpha = pixels[..., 3:].astype(np.float32) / 255
    return pixels[..., :3].astype(np.float32) / 255 * alpha + 1 - alpha
