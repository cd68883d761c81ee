"""What a run's result depends on, as JSON: settings, and the identity of what it was given."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from relight3d.core.errors import CheckpointError, FileFormatError
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
    return _without(settings, "decomposition", "proxy", "inverse", "score_spp")


def decompose_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The part that the second stage depends on."""
    return _without(settings, "proxy", "inverse", "score_spp")


def inverse_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The part that the third stage depends on."""
    return _without(settings, "score_spp")


def _without(settings: dict[str, Any], *later: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in later}


def stored_config(run: Path) -> TrainConfig:
    """The typed settings of an existing run.

    Raises:
        CheckpointError: The folder is not a run.
        ConfigurationError: It was made by a version with other settings.
    """
    folder = RunFolder(run)
    settings = folder.read_config().get("settings")
    if not isinstance(settings, dict):
        raise CheckpointError(_damaged(folder, "settings"))
    own = {name: value for name, value in settings.items() if name != INPUTS}
    return apply_delta(TrainConfig(), own, str(folder.config_path))


@dataclasses.dataclass(frozen=True)
class Origin:
    """What a run was made from."""

    capture: Path
    start: Path | None
    hold_out: int


def origin_of(run: RunFolder) -> Origin:
    """What a run was made from, which must still be there.

    Raises:
        CheckpointError: Not a run, config.json is damaged, or the capture is gone.
    """
    config = run.read_config()
    settings = config.get("settings")
    inputs = settings.get(INPUTS) if isinstance(settings, dict) else None
    capture, start = config.get("capture_path"), config.get("start_path")
    if not isinstance(inputs, dict) or type(inputs.get("hold_out")) is not int:
        raise CheckpointError(_damaged(run, f"settings.{INPUTS}.hold_out"))
    if not isinstance(capture, str):
        raise CheckpointError(_damaged(run, "capture_path"))
    if not isinstance(start, str | None):
        raise CheckpointError(_damaged(run, "start_path"))
    if not Path(capture).exists():
        raise CheckpointError(
            f"The run {run.path} was made from the capture {capture}, which is not there any more. "
            "Put it back; or, if it was moved, repeat the command that trained the run with its "
            "new place and --resume, which notes it."
        )
    return Origin(Path(capture), None if start is None else Path(start), inputs["hold_out"])


def _damaged(run: RunFolder, field: str) -> str:
    return (
        f"{run.config_path} has no usable '{field}'; the run is damaged or of another version. "
        "Restore the file, or train again with --overwrite."
    )


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
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read to start from: {error.strerror}.") from error
    return digest.hexdigest()[:16]
