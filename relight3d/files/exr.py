"""OpenEXR files, float or half, scan lines or tiles: the only module that imports OpenEXR."""

from pathlib import Path

import numpy as np
import OpenEXR
from jaxtyping import Float

from relight3d.core.errors import FileFormatError, OutputError
from relight3d.files.atomic import atomic_file
from relight3d.files.reading import MAX_PIXELS, check_picture_size, file_size

MAGIC = b"\x76\x2f\x31\x01"
_WHAT = "The OpenEXR file"
_CHANNEL_NAMES = {1: ("Y",), 2: ("Y", "A"), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}


def write_exr(
    path: Path, pixels: Float[np.ndarray, "H W C"], channels: tuple[str, ...] | None = None
) -> None:
    """Write float32 channels, losslessly compressed (ZIP).

    Args:
        path: Target; replaced only when the new file is complete.
        pixels: Linear values, any range; NaN and infinity are kept.
        channels: One name per channel. Default for 1 to 4 channels: Y, YA, RGB, RGBA.

    Raises:
        OutputError: The file cannot be written.
    """
    names = channels or _CHANNEL_NAMES[pixels.shape[2]]
    assert len(names) == pixels.shape[2] == len(set(names)), names
    planes = {
        name: np.ascontiguousarray(pixels[..., index], np.float32)
        for index, name in enumerate(names)
    }
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with atomic_file(path) as temporary:
        try:
            OpenEXR.File(header, planes).write(str(temporary))
        except RuntimeError as error:  # the library does not say which system error it was
            reason = str(error).replace(str(temporary), str(path))
            raise OutputError(
                f"Could not write {path}: {reason} Nothing half written was left. "
                "Free some space or choose another place."
            ) from error


def read_exr(path: Path) -> tuple[Float[np.ndarray, "H W C"], tuple[str, ...]]:
    """Read every channel of the first part, as float32, over the display window.

    Pixels of the display window outside the data window are 0.

    Returns:
        Pixels and channel names: R, G, B, A first if present, then the others by name.

    Raises:
        FileFormatError: Missing, cut off, not OpenEXR, deep, subsampled, or absurdly large.
    """
    file_size(path, _WHAT)
    header = _read_header(path)
    names = _ordered([channel.name for channel in header["channels"]])
    (left, top), (right, bottom) = (_corner(header, "displayWindow", i) for i in (0, 1))
    (x0, y0), (x1, y1) = (_corner(header, "dataWindow", i) for i in (0, 1))
    for width, height in ((right - left + 1, bottom - top + 1), (x1 - x0 + 1, y1 - y0 + 1)):
        check_picture_size(path, _WHAT, width, height)
        if width * height * len(names) > 4 * MAX_PIXELS:
            raise FileFormatError(
                f"{_WHAT} {path} says it holds {len(names)} channels of {width} x {height} "
                "pixels, more than is read. Remove the channels that are not needed."
            )
    planes = _read_planes(path, names, (y1 - y0 + 1, x1 - x0 + 1))
    pixels = np.zeros((bottom - top + 1, right - left + 1, len(names)), np.float32)
    rows = slice(max(y0, top), min(y1, bottom) + 1)
    columns = slice(max(x0, left), min(x1, right) + 1)
    if rows.start < rows.stop and columns.start < columns.stop:
        for index, plane in enumerate(planes):
            pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left,
                   index] = plane[rows.start - y0 : rows.stop - y0,
                                  columns.start - x0 : columns.stop - x0]  # fmt: skip
    return pixels, names


def declared_picture(path: Path) -> tuple[int, int, tuple[str, ...]]:
    """Width, height (display window) and channel names from the header alone.

    Raises:
        FileFormatError: As `read_exr`, except for damage to the pixels.
    """
    file_size(path, _WHAT)
    header = _read_header(path)
    (left, top), (right, bottom) = (_corner(header, "displayWindow", i) for i in (0, 1))
    width, height = right - left + 1, bottom - top + 1
    check_picture_size(path, _WHAT, width, height)
    return width, height, _ordered([channel.name for channel in header["channels"]])


def read_exr_rgb(
    path: Path,
) -> tuple[Float[np.ndarray, "H W 3"], Float[np.ndarray, "H W 1"] | None]:
    """Read linear colour, and alpha if there is one; a single Y channel becomes grey.

    OpenEXR's colour is premultiplied with alpha by its specification; it is returned as stored.

    Raises:
        FileFormatError: As `read_exr`, or the file has neither R, G, B nor Y.
    """
    pixels, names = read_exr(path)
    wanted = ("R", "G", "B") if {"R", "G", "B"} <= set(names) else ("Y", "Y", "Y")
    if not set(wanted) <= set(names):
        raise FileFormatError(
            f"{_WHAT} {path} has the channels {', '.join(names)}; a picture needs R, G and B "
            "(or Y). Export it as a plain RGB image, without layer names."
        )
    color = pixels[..., [names.index(name) for name in wanted]]
    alpha = pixels[..., [names.index("A")]] if "A" in names else None
    return color, alpha


def _read_header(path: Path) -> dict:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if magic != MAGIC:
            raise FileFormatError(f"{_WHAT} {path} does not begin like one. Is it another format?")
        header = OpenEXR.File(str(path), header_only=True).header()
    except OSError as error:
        raise FileFormatError(f"{_WHAT} {path} cannot be read: {error.strerror}.") from error
    except (RuntimeError, ValueError, KeyError) as error:
        raise FileFormatError(
            f"{_WHAT} {path} is cut off or damaged. Fetch or export it again."
        ) from error
    if header.get("type") not in (OpenEXR.scanlineimage, OpenEXR.tiledimage):
        raise FileFormatError(f"{_WHAT} {path} holds deep data. Export it as a flat image.")
    if any(channel.xSampling != 1 or channel.ySampling != 1 for channel in header["channels"]):
        raise FileFormatError(
            f"{_WHAT} {path} has subsampled channels (luminance/chroma). Export it as RGB."
        )
    if not header["channels"]:
        raise FileFormatError(f"{_WHAT} {path} has no channels. Export it again.")
    return header


def _read_planes(path: Path, names: tuple[str, ...], shape: tuple[int, int]) -> list[np.ndarray]:
    """Pixel planes in the order of `names`, checked against the header's promise."""
    try:
        channels = OpenEXR.File(str(path), separate_channels=True).channels()
        planes = [channels[name].pixels for name in names]
    except (RuntimeError, ValueError, KeyError, MemoryError) as error:
        raise FileFormatError(
            f"{_WHAT} {path} is cut off or damaged: its pixels cannot be decoded. "
            "Fetch or export it again."
        ) from error
    for name, plane in zip(names, planes, strict=True):
        if plane is None or plane.shape != shape:
            raise FileFormatError(f"{_WHAT} {path} is damaged: channel {name} is incomplete.")
    return planes


def _ordered(names: list[str]) -> tuple[str, ...]:
    first = [name for name in ("R", "G", "B", "A") if name in names]
    return tuple(first + sorted(set(names) - set(first)))


def _corner(header: dict, window: str, index: int) -> tuple[int, int]:
    x, y = header[window][index]
    return int(x), int(y)
