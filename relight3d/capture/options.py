"""Settings of an import."""

import dataclasses
from pathlib import Path
from typing import Literal

from relight3d.core.errors import ConfigurationError


@dataclasses.dataclass(frozen=True)
class ImportOptions:
    """How a source of photos becomes a capture."""

    hold_out: int = 0
    """Every so many-th photo becomes a test view: 8 is usual, 0 holds out none. A source that
    brings its own test views keeps its split."""
    max_size_px: int = 1600
    """Photos whose longer side is larger are reduced to this."""
    frames: int = 80
    """How many frames to choose from a video: sharp ones, evenly spread over its motion."""
    kind: Literal["auto", "object", "scene"] = "auto"
    """'object': only what the masks show is fitted. 'scene': the background too. 'auto': 'object'
    if every photo has a mask or a used alpha channel."""
    masks: Path | None = None
    """Folder of masks, white = object, named like their photos (NAME.png or NAME.jpg.png). Default:
    a folder 'masks' beside or in the photo folder, if there is one."""
    up: Literal["auto", "cameras", "keep"] = "auto"
    """'cameras': turn the world so that the cameras' common up is +z. 'keep': leave it. 'auto':
    turn it unless the source already is z-up or its lights are known."""
    seed: int = 0
    """For the sampling inside the pose estimation."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if self.hold_out < 0 or self.hold_out == 1:
            raise ConfigurationError(
                f"--hold-out must be 0 (none) or at least 2, got {self.hold_out}. 8 is usual."
            )
        if not 16 <= self.max_size_px <= 16384:
            raise ConfigurationError(
                f"--max-size-px must be from 16 to 16384, got {self.max_size_px}."
            )
        if not 3 <= self.frames <= 5000:
            raise ConfigurationError(f"--frames must be from 3 to 5000, got {self.frames}.")
        if not 0 <= self.seed < 2**31:
            raise ConfigurationError(f"--seed must be in [0, 2^31), got {self.seed}.")
