"""What a run's result depends on, as JSON: settings, and the identity of what it was given."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from relight3d.core.errors import FileFormatError
from relight3d.core.views import Capture, View
from relight3d.pipeline.config import TrainConfig
from relight3d.pipeline.delta import apply_delta, settings_of
from relight3d.pipeline.run_folder import RunFolder

INPUTS = "inputs"


def run_settings(
    config: TrainConfig, capture: Capture, hold_out: int, start: Path | None
) -> dict[str, Any]:
    """Everything a resumed run must have in common with the one it continues."""
    inputs = {
        "capture": capture_fingerprint(capture),
        "hold_out": hold_out,
        "start": None if start is None else _digest_of_file(start),
    }
    return {INPUTS: inputs, **settings_of(config)}


def fit_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The part that the first stage depends on."""
    return {name: value for name, value in settings.items() if name != "decomposition"}


def stored_config(run: Path) -> TrainConfig:
    """The typed settings of an existing run.

    Raises:
        CheckpointError: The folder is not a run.
        ConfigurationError: It was made by a version with other settings.
    """
    folder = RunFolder(run)
    settings = dict(folder.read_config().get("settings", {}))
    settings.pop(INPUTS, None)
    return apply_delta(TrainConfig(), settings, str(folder.config_path))


def capture_fingerprint(capture: Capture) -> str:
    """Changes with any view, pose, light or picture size in bytes; not with the folder's place."""
    digest = hashlib.sha256(capture.kind.encode())
    for view in capture.views:
        digest.update(_view_bytes(view))
    if capture.points is not None:
        digest.update(np.ascontiguousarray(capture.points, np.float64).tobytes())
    return digest.hexdigest()[:16]


def _view_bytes(view: View) -> bytes:
    words = [view.name, view.split, view.color_space, repr(view.light), repr(view.exposure)]
    words += [
        str(path.stat().st_size) for path in (view.image_path, view.mask_path) if path is not None
    ]
    numbers = [view.intrinsics, view.world_to_camera]
    return "|".join(words).encode() + b"".join(
        np.ascontiguousarray(n, np.float64).tobytes() for n in numbers
    )


def _digest_of_file(path: Path) -> str:
    if not path.is_file():
        raise FileFormatError(f"There is no file {path} to start from. Give a 3DGS .ply.")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]
