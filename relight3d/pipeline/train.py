"""Capture to asset: what `relight3d train`, `fit` and `decompose` do."""

import dataclasses
from pathlib import Path
from typing import Literal

from relight3d import capture as capture_room
from relight3d.backends.registry import get_rasterizer
from relight3d.core.errors import CheckpointError
from relight3d.core.views import Capture
from relight3d.decomposition.config import DecompositionConfig
from relight3d.decomposition.inverse.config import InverseConfig
from relight3d.decomposition.proxy.config import ProxyConfig
from relight3d.files.environment import read_environment
from relight3d.pipeline.config import TrainConfig
from relight3d.pipeline.flow import Flow
from relight3d.pipeline.loop import Cadence, check_continues
from relight3d.pipeline.machine import installed_versions, prepare_torch
from relight3d.pipeline.run_folder import Mode, RunFolder, hold_run, open_run, remove, write_json
from relight3d.pipeline.run_settings import (
    decompose_settings,
    inverse_settings,
    origin_of,
    run_settings,
    stored_config,
)


@dataclasses.dataclass(frozen=True)
class TrainRequest:
    """What to train, where to, and how far."""

    capture: Path
    out: Path
    config: TrainConfig
    mode: Mode = "new"
    last_stage: Literal["fit", "decompose"] = "decompose"
    hold_out: int = 0
    start: Path | None = None
    review: bool = True
    """Whether to score and report at the end."""
    cadence: Cadence = dataclasses.field(default_factory=Cadence)


def train(request: TrainRequest) -> RunFolder:
    """Run the stages that are not done yet, then score and report.

    Raises:
        Interrupted: Stopped by the user; everything done is saved.
        Relight3dError: Anything wrong with capture, settings, machine or disk.
    """
    prepare_torch()
    rasterize = get_rasterizer(request.config.backend)
    capture = capture_room.load(request.capture, request.hold_out)
    if request.review:
        check_lights(capture)
    settings = run_settings(request.config, capture, request.hold_out, request.start)
    about = {
        "capture_path": str(request.capture.resolve()),
        "start_path": None if request.start is None else str(request.start.resolve()),
        "versions": installed_versions(),
    }
    photos = capture_room.load_photos(capture.split("train"), request.config.photo_px)
    with open_run(request.out, settings, request.mode, about) as run:
        flow = Flow(run, capture, photos, request.config, settings, rasterize, request.cadence)
        flow.run_to(request.last_stage, request.start, request.review)
    return run


def check_lights(capture: Capture) -> None:
    """Refuse damaged environment maps now, not when the scores ask for them.

    Raises:
        FileFormatError: A map of the capture cannot be used.
    """
    for path in capture.environments.values():
        read_environment(path)


@dataclasses.dataclass(frozen=True)
class LaterStages:
    """Settings of what follows the fit."""

    decomposition: DecompositionConfig
    proxy: ProxyConfig
    inverse: InverseConfig
    score_spp: int


def decompose_run(
    path: Path, later: LaterStages, overwrite: bool, cadence: Cadence, review: bool = True
) -> RunFolder:
    """All stages after the first, in a run where that is done; scored and reported if `review`.

    Raises:
        CheckpointError: Not a run; its first stage is not done; or it has a decomposition made
            with other settings and `overwrite` was not asked for.
    """
    prepare_torch()
    with hold_run(path) as run:
        train_config = dataclasses.replace(stored_config(path), **vars(later))
        origin = origin_of(run)
        if not run.read_record().get("stages", {}).get("fit"):
            raise CheckpointError(
                f"The run {path} has no finished fit. Finish it: `relight3d fit ... --resume`."
            )
        capture = capture_room.load(origin.capture, origin.hold_out)
        check_lights(capture)
        settings = run_settings(train_config, capture, origin.hold_out, origin.start)
        photos = capture_room.load_photos(capture.split("train"), train_config.photo_px)
        if overwrite:
            for stage in ("decompose", "inverse"):
                remove(run.checkpoint_path(stage))
        check_continues(run.checkpoint_path("decompose"), decompose_settings(settings))
        check_continues(run.checkpoint_path("inverse"), inverse_settings(settings))
        write_json(run.config_path, {**run.read_config(), "settings": settings})
        rasterize = get_rasterizer(train_config.backend)
        flow = Flow(run, capture, photos, train_config, settings, rasterize, cadence)
        flow.run_to("decompose", origin.start, review)
    return run
