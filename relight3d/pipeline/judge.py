"""`relight3d eval`: a run, or anybody's frames, under protocols."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relight3d import capture as capture_room
from relight3d.backends.registry import get_rasterizer
from relight3d.core.settings import DEFAULT_BOUNCES
from relight3d.core.views import Capture
from relight3d.evaluation.evaluate import evaluate
from relight3d.evaluation.folder_frames import FolderFrames
from relight3d.evaluation.protocols import protocols_named
from relight3d.evaluation.sources import FrameSource
from relight3d.pipeline.asset_file import load_asset
from relight3d.pipeline.config import BackendName
from relight3d.pipeline.drawing import device_of
from relight3d.pipeline.machine import prepare_torch
from relight3d.pipeline.pictures import AssetFrames
from relight3d.pipeline.review import frames_of
from relight3d.pipeline.run_folder import RunFolder
from relight3d.pipeline.run_settings import origin_of, stored_config


@dataclasses.dataclass(frozen=True)
class EvalRequest:
    """What to score, and how."""

    protocols: tuple[str, ...]
    run: Path | None = None
    frames: Path | None = None
    capture: Path | None = None
    """For a run: another place of its capture. For frames: needed."""
    hold_out: int = 0
    lights: tuple[str, ...] = ()
    perceptual: bool = True
    backend: BackendName = "auto"
    spp: int | None = None
    """Rays a pixel of a run's relit pictures; None: as the run was made to be scored."""
    bounces: int = DEFAULT_BOUNCES
    """Of light between surfaces, where rays are traced."""


def judge(request: EvalRequest, say: Callable[[str], None]) -> dict[str, Any]:
    """Score what the request names (see `evaluation.evaluate`); the result is plain JSON.

    Raises:
        ConfigurationError: An unknown protocol.
        Relight3dError: Capture, run or frames that cannot be used.
    """
    protocols = protocols_named(request.protocols)
    prepare_torch()
    source: FrameSource
    if request.run is not None:
        capture, source = run_source(
            request.run, request.capture, request.backend, request.spp, request.bounces
        )
        what = {"run": str(request.run)}
    else:
        assert request.frames is not None and request.capture is not None
        capture = capture_room.load(request.capture, request.hold_out)
        source = FolderFrames(request.frames, capture)
        what = {"frames": str(request.frames)}
    result = evaluate(capture, source, protocols, request.lights, request.perceptual, say)
    return {**what, **result}


def run_source(
    path: Path,
    capture_path: Path | None,
    backend: BackendName,
    spp: int | None = None,
    bounces: int = DEFAULT_BOUNCES,
) -> tuple[Capture, AssetFrames]:
    """A finished run, ready to draw, and its capture."""
    run = RunFolder(path)
    rasterize = get_rasterizer(backend)
    asset = load_asset(run.asset_path, device_of(rasterize))
    origin = origin_of(run)
    capture = capture_room.load(capture_path or origin.capture, origin.hold_out)
    spp = stored_config(path).score_spp if spp is None else spp
    return capture, frames_of(capture, asset, rasterize, spp, bounces)
