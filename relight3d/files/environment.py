"""Environment maps as files: Radiance .hdr and OpenEXR, linear, latitude-longitude."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from relight3d.core.errors import FileFormatError, OutputError
from relight3d.core.types import EnvironmentLight
from relight3d.files import exr, radiance
from relight3d.files.atomic import atomic_file
from relight3d.files.reading import check_picture_size, read_whole

_WHAT = "The environment map"
MAX_RADIANCE = 1e12
"""Far brighter than the sun in any unit; sums over a map must stay finite."""
_EIGHT_BIT = {
    b"\x89PNG": "a PNG", b"\xff\xd8\xff": "a JPEG", b"RIFF": "a WebP", b"BM": "a BMP",
    b"GIF8": "a GIF", b"II*\x00": "a TIFF", b"MM\x00*": "a TIFF",
}  # fmt: skip


def read_environment(path: Path) -> EnvironmentLight:
    """Read a lat-long map (layout: `core.conventions`), recognised by content, not by suffix.

    Returns:
        Linear radiance, float32, W = 2 H.

    Raises:
        FileFormatError: Missing, cut off, an 8-bit format, not 2:1, NaN, infinite or negative
            values, or a declared size beyond reason. One message, naming the file.
    """
    data = read_whole(path, _WHAT)
    if data.startswith(exr.MAGIC):
        pixels = exr.read_exr_rgb(path)[0]
        _check_aspect(path, pixels.shape[1], pixels.shape[0])
    elif data.startswith(radiance.MAGIC):
        pixels = _read_radiance(path, data)
    else:
        raise FileFormatError(_not_hdr(path, data))
    _check_values(path, pixels)
    return EnvironmentLight(radiance_linear=torch.from_numpy(np.ascontiguousarray(pixels)))


def write_environment(path: Path, light: EnvironmentLight) -> None:
    """Write a light as .hdr (8-bit mantissas) or .exr (float32), by suffix.

    Raises:
        OutputError: Unknown suffix, radiance that is NaN, infinite or negative, or the file
            cannot be written.
    """
    pixels = light.radiance_linear.detach().cpu().to(torch.float32).numpy()
    if not np.isfinite(pixels).all() or pixels.min() < 0:
        raise OutputError(
            f"Could not write {path}: the light has NaN, infinite or negative radiance, which no "
            "renderer can use. The fit that made it has diverged."
        )
    suffix = path.suffix.lower()
    if suffix == ".exr":
        exr.write_exr(path, pixels)
    elif suffix == ".hdr":
        with atomic_file(path) as temporary:
            temporary.write_bytes(radiance.encode(pixels))
    else:
        raise OutputError(f"Could not write {path}: a light is written as .hdr or .exr.")


def _read_radiance(path: Path, data: bytes) -> Float[np.ndarray, "H W 3"]:
    try:
        width, height, _, _ = radiance.declared_size(data)
        check_picture_size(path, _WHAT, width, height)
        _check_aspect(path, width, height)
        return radiance.decode(data)
    except FileFormatError as error:
        if str(path) in str(error):
            raise
        raise FileFormatError(f"{_WHAT} {path} {error}. Fetch or export it again.") from error


def _check_aspect(path: Path, width_px: int, height_px: int) -> None:
    if width_px != 2 * height_px:
        raise FileFormatError(
            f"{_WHAT} {path} is {width_px} x {height_px} pixels; a latitude-longitude map is "
            "exactly twice as wide as high. Cube maps and light probes must be converted first."
        )


def _check_values(path: Path, pixels: Float[np.ndarray, "H W 3"]) -> None:
    bad = ~(pixels <= MAX_RADIANCE).all(-1)
    kind = f"NaN, infinite or over {MAX_RADIANCE:g}"
    if not bad.any():
        bad, kind = (pixels < 0).any(-1), "negative"
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise FileFormatError(
            f"{_WHAT} {path} has {kind} radiance in {int(bad.sum())} of {bad.size} pixels, first "
            f"at row {row}, column {column}. Light cannot be so; repair the map in an editor."
        )


def _not_hdr(path: Path, data: bytes) -> str:
    for magic, name in _EIGHT_BIT.items():
        if data.startswith(magic):
            return (
                f"{_WHAT} {path} is {name}: such pictures are clipped at white and cannot hold "
                "the light of a lamp or the sun. Give a linear .hdr or .exr map."
            )
    return f"{_WHAT} {path} is neither Radiance .hdr nor OpenEXR. Give a linear .hdr or .exr map."
