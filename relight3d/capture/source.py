"""What every reader of a layout returns, before lenses, frame and size are made tame."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from relight3d.core.errors import CaptureError
from relight3d.core.views import Capture

MIN_TRAIN_VIEWS = 3

MIDDLE_IS_X = np.diag([-1.0, -1.0, 1.0])
"""`Capture.environment_turns` of maps whose middle column looks along +x, so that u = 1/2 -
atan2(y, x) / 2 pi (Cycles' equirectangular mapping; what TensoIR and R3DG read from their maps)."""


@dataclasses.dataclass(frozen=True)
class Lens:
    """How a photo departs from a pinhole, with OpenCV's coefficients."""

    model: Literal["polynomial", "fisheye"]
    """'polynomial': k1 k2 p1 p2 k3 k4 k5 k6 of cv2; 'fisheye': k1 k2 k3 k4 of cv2.fisheye."""
    coefficients: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Source:
    """A capture in its source's own frame. Its photos may still be distorted."""

    capture: Capture
    lenses: Mapping[Path, Lens] = dataclasses.field(default_factory=dict)
    """By picture; one without an entry is a pinhole photo."""
    layout: str = ""
    """What was recognised, in words."""
    z_up: bool = True
    """Whether the layout promises a z-up world; otherwise an import looks for up."""
    is_normalised: bool = False
    """Whether frame and size were chosen by an import, and are to be kept."""


def lens_of(model: Literal["polynomial", "fisheye"], coefficients: Iterable[float]) -> Lens | None:
    """A lens, or None if every coefficient is zero: a pinhole."""
    values = tuple(float(value) for value in coefficients)
    values += (0.0,) * ((4 if model == "fisheye" else 8) - len(values))
    return Lens(model, values) if any(values) or model == "fisheye" else None


def pinhole(fx: float, fy: float, cx: float, cy: float) -> Float[np.ndarray, "3 3"]:
    """Intrinsics in pixels, pixel centres at +0.5."""
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def natural_key(text: str) -> tuple:
    """Sort key under which frame_2 comes before frame_10."""
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d{1,18})", text)
        if part
    )


def files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The visible files of one folder with one of the suffixes (any case), in natural order.

    Raises:
        CaptureError: The folder cannot be listed.
    """
    try:
        found = [
            path
            for path in folder.iterdir()
            if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
        ]
    except OSError as error:
        raise CaptureError(f"The folder {folder} cannot be listed: {error.strerror}.") from error
    return sorted(found, key=lambda path: natural_key(path.name))
