"""A run of a suite scored: RUN/eval.json, and RUN/shown/ with pictures beside the truth."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relight3d.core.errors import FileFormatError
from relight3d.core.views import Capture
from relight3d.evaluation.bench_page import Shown
from relight3d.evaluation.compared import in_space
from relight3d.evaluation.evaluate import evaluate
from relight3d.evaluation.protocols import protocols_named
from relight3d.evaluation.report import Comparison
from relight3d.evaluation.tasks import novel_views, relit_lights
from relight3d.files.atomic import atomic_folder
from relight3d.files.images import Image, read_image, write_png
from relight3d.pipeline import pictures
from relight3d.pipeline.config import BackendName
from relight3d.pipeline.drawing import NO_GAIN, Gain
from relight3d.pipeline.judge import run_source
from relight3d.pipeline.machine import peak_memory_mb, prepare_torch, reset_peak_memory
from relight3d.pipeline.review import compare
from relight3d.pipeline.run_folder import RunFolder, write_json

SHOWN_PX = 480
"""Pictures of the page are no larger."""


def score_run(path: Path, capture: Path, protocols: Sequence[str], backend: BackendName) -> None:
    """Score a finished run, draw its pictures, and note the time in run.json."""
    reset_peak_memory()
    start = time.monotonic()
    run = RunFolder(path)
    prepare_torch()
    seen, frames = run_source(path, capture, backend)  # one painter: shadows are traced once
    found = {"run": str(path), **evaluate(seen, frames, protocols_named(protocols))}
    write_shown(run, seen, frames, _gain(found["results"]))
    cost = {"seconds": time.monotonic() - start, "peak_memory_mb": peak_memory_mb()}
    run.update_record({"bench": cost})
    write_json(run.eval_path, {"asset": asset_digest(run), **found})


def current_scores(run: RunFolder, protocols: Sequence[str]) -> dict[str, Any] | None:
    """eval.json, if it is of this asset and these protocols as they are now."""
    try:
        found = json.loads(run.eval_path.read_text(encoding="utf-8"))
        known = {name: one["protocol"] for name, one in found["results"].items()}
        asset = found["asset"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    wanted = {one.name: one.as_json() for one in protocols_named(protocols)}
    same = known == json.loads(json.dumps(wanted)) and asset == asset_digest(run)
    return found if same and run.shown_path.is_dir() else None


def asset_digest(run: RunFolder) -> str:
    """Of the asset's bytes."""
    return hashlib.sha256(run.asset_path.read_bytes()).hexdigest()


def write_shown(run: RunFolder, capture: Capture, frames: pictures.AssetFrames, gain: Gain) -> None:
    """One novel view, and one relit view per light, ours beside the truth."""
    shown = []
    if novel := novel_views(capture):
        one = compare(frames.painter, novel[len(novel) // 2], SHOWN_PX)
        shown.append(Comparison(f"unseen view {one.name}", one.ours, one.truth))
    for light, entries in relit_lights(capture).items():
        if frames.why_not(f"relit/{light}") is None:
            view, path = entries[len(entries) // 2]
            ours = _picture(frames.draw(view, f"relit/{light}", path, gain))
            truth = _picture(read_image(path))
            shown.append(Comparison(f"relit by {light}, {view.name}", ours, truth))
    with atomic_folder(run.shown_path, overwrite=True) as folder:
        for index, one in enumerate(shown):
            write_png(folder / f"{index}_ours.png", one.ours)
            write_png(folder / f"{index}_truth.png", one.truth)
        write_json(folder / "names.json", [one.name for one in shown])


def read_shown(run: RunFolder) -> Shown:
    """What `write_shown` wrote.

    Raises:
        FileFormatError: It is damaged.
    """
    path = run.shown_path / "names.json"
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileFormatError(
            f"{path} cannot be read ({error}). Remove {run.eval_path}, and the run is scored again."
        ) from error
    folder = run.shown_path
    return [
        Comparison(
            str(name),
            pictures.image_picture(read_image(folder / f"{index}_ours.png")),
            pictures.image_picture(read_image(folder / f"{index}_truth.png")),
        )
        for index, name in enumerate(names)
    ]


def _picture(image: Image) -> pictures.Picture:
    image = dataclasses.replace(image, pixels=in_space(image, "srgb"), color_space="srgb")
    return pictures.reduced(pictures.image_picture(image), SHOWN_PX)


def _gain(results: Mapping[str, Any]) -> Gain:
    """The first protocol's scale of albedo."""
    for found in results.values():
        if gain := found.get("albedo", {}).get("gain"):
            return (gain[0], gain[1], gain[2])
    return NO_GAIN
