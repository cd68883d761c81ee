"""What a camera wrote into its photo: focal length, exposure, which camera it was."""

import dataclasses
import math
from pathlib import Path

import PIL.Image

_EXIF_IFD = 0x8769
_MAKE, _MODEL = 0x010F, 0x0110
_EXPOSURE_TIME, _F_NUMBER, _ISO = 0x829A, 0x829D, 0x8827
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x920A, 0xA405
_DIAGONAL_35MM = math.hypot(36.0, 24.0)


@dataclasses.dataclass(frozen=True)
class Exif:
    """Camera metadata; every field may be missing."""

    camera: str = ""
    """Make and model."""
    focal_mm: float | None = None
    focal_diagonals: float | None = None
    """Focal length in units of the picture's diagonal, from the 35 mm equivalent."""
    exposure: float | None = None
    """Time x sensitivity / f-number^2, in s ISO: proportional to what the pixels say."""


def read_exif(path: Path) -> Exif:
    """Read the metadata; damaged or missing metadata is empty, never an error."""
    try:
        with PIL.Image.open(path, formats=("JPEG", "TIFF", "PNG", "WEBP")) as picture:
            tags = picture.getexif()
            camera = tags.get_ifd(_EXIF_IFD)
            name = " ".join(str(tags.get(tag, "")).strip("\0 ") for tag in (_MAKE, _MODEL))
    except Exception:  # any decoder error: metadata is a hint, the pixels are checked elsewhere
        return Exif()
    focal_35mm = _positive(camera.get(_FOCAL_LENGTH_35MM))
    time, f_number, iso = (_positive(camera.get(tag)) for tag in (_EXPOSURE_TIME, _F_NUMBER, _ISO))
    return Exif(
        camera=name.strip(),
        focal_mm=_positive(camera.get(_FOCAL_LENGTH)),
        focal_diagonals=None if focal_35mm is None else focal_35mm / _DIAGONAL_35MM,
        exposure=time * iso / f_number**2 if time and f_number and iso else None,
    )


def _positive(value: object) -> float | None:
    if isinstance(value, tuple | list):
        value = value[0] if value else None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 < number < 1e9 else None
