"""Photos, masks and maps as files: PNG, JPEG, TIFF, WebP, BMP; OpenEXR and Radiance .hdr.

A format is recognised by content, not by suffix. Sizes are checked before memory is asked for.
Pictures stand upright: the EXIF orientation is applied.
"""

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import PIL.Image
from jaxtyping import Float, UInt8

from relight3d.core.errors import FileFormatError
from relight3d.core.views import ColorSpace
from relight3d.files import exr, radiance
from relight3d.files.atomic import atomic_file
from relight3d.files.reading import check_picture_size, file_size

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".exr", ".hdr")
_WHAT = "The picture"
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
_ORIENTATION_TAG = 0x0112
_BITS_PER_SAMPLE_TAG = 258
_NO_PICTURE = "Fetch or export it again as PNG, JPEG, TIFF, WebP, EXR or HDR, or remove it."


@dataclasses.dataclass(frozen=True)
class Image:
    """One decoded picture, upright, straight (not premultiplied)."""

    pixels: Float[np.ndarray, "H W 3"]
    """float32. sRGB in [0, 1], or linear >= 0, as `color_space` says."""
    alpha: Float[np.ndarray, "H W 1"] | None
    """float32 in [0, 1]."""
    color_space: ColorSpace
    bits: Literal[8, 16, 32]
    """Precision of the file: 8 and 16 are integers, 32 stands for half or float."""


@dataclasses.dataclass(frozen=True)
class ImageInfo:
    """What a picture's header says."""

    width_px: int
    height_px: int
    """Upright, after the EXIF orientation."""
    has_alpha: bool
    color_space: ColorSpace


def read_image(path: Path) -> Image:
    """Decode a picture.

    Raises:
        FileFormatError: Missing, empty, cut off, not a picture, NaN or infinite values, or a
            declared size beyond `reading.MAX_PIXELS`. One message, naming the file.
    """
    kind = _kind(path)
    if kind == "pillow":
        return _read_with_pillow(path)
    if kind == "exr":
        pixels, alpha = exr.read_exr_rgb(path)
    else:
        pixels, alpha = _read_radiance(path), None
    if not np.isfinite(pixels).all() or (alpha is not None and not np.isfinite(alpha).all()):
        raise FileFormatError(f"{_WHAT} {path} has NaN or infinite pixels. Export it again.")
    if alpha is not None:  # OpenEXR's colour is premultiplied by its specification
        alpha = np.clip(alpha, 0, 1)
        pixels = np.where(alpha > 0, pixels / np.maximum(alpha, 1e-6), 0)
    # Ringing of a resampler leaves small negative values, which no light can have.
    return Image(np.maximum(pixels, 0).astype(np.float32), alpha, "linear", 32)


def image_info(path: Path) -> ImageInfo:
    """Size, alpha and colour space from the header alone; refuses what `read_image` refuses."""
    kind = _kind(path)
    if kind == "exr":
        width, height, names = exr.declared_picture(path)
        return ImageInfo(width, height, "A" in names, "linear")
    if kind == "hdr":
        width, height = _radiance_size(path)
        return ImageInfo(width, height, False, "linear")
    with _opened(path) as picture:
        width, height = picture.size
        if _orientation(picture) >= 5:
            width, height = height, width
        return ImageInfo(width, height, picture.has_transparency_data, "srgb")


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, upright, without decoding the pixels."""
    info = image_info(path)
    return info.width_px, info.height_px


def read_mask(
    path: Path, size: tuple[int, int] | None = None, below: float | None = None
) -> Float[np.ndarray, "H W 1"]:
    """Read a mask, white = object: the grey value, or the alpha of a picture that has one.

    Args:
        path: The file.
        size: The width and height it must have, those of its photo.
        below: If given, the file is a depth picture and the object is where it is below this.

    Raises:
        FileFormatError: As `read_image`, or of another size.
    """
    if size is not None and (found := image_size(path)) != size:
        raise FileFormatError(
            f"The mask {path} is {found[0]} x {found[1]} pixels, its photo is {size[0]} x "
            f"{size[1]}. Every mask must have its photo's size; export it again."
        )
    image = read_image(path)
    if below is not None:
        return (image.pixels[..., :1] < below).astype(np.float32)
    if image.alpha is not None and image.alpha.min() < 1:
        return image.alpha
    return np.clip(image.pixels.max(-1, keepdims=True), 0, 1)


def write_png(path: Path, pixels: UInt8[np.ndarray, "H W C"]) -> None:
    """Write 1 (grey), 3 (RGB) or 4 (RGBA, straight) channels of 8 bits, atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    squeezed = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    with atomic_file(path) as temporary:
        PIL.Image.fromarray(np.ascontiguousarray(squeezed)).save(temporary, format="PNG")


def write_jpeg(path: Path, pixels: UInt8[np.ndarray, "H W 3"], quality: int = 95) -> None:
    """Write 8-bit sRGB with full chroma resolution, atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_file(path) as temporary:
        picture = PIL.Image.fromarray(np.ascontiguousarray(pixels))
        picture.save(temporary, format="JPEG", quality=quality, subsampling=0)


def write_image(path: Path, image: Image) -> None:
    """Write a picture by suffix, atomically: .jpg (no alpha), .png (8 or 16 bit), .exr (linear).

    OpenEXR gets premultiplied colour, as its specification asks.

    Raises:
        OutputError: The file cannot be written.
    """
    if path.suffix == ".exr":
        planes = image.pixels if image.alpha is None else image.pixels * image.alpha
        exr.write_exr(path, planes if image.alpha is None else np.dstack([planes, image.alpha]))
        return
    planes = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
    if image.bits == 16 and path.suffix == ".png":
        values = np.rint(planes * 65535).astype(np.uint16)
        bgr = values[..., [2, 1, 0, 3][: values.shape[2]]]
        with atomic_file(path) as temporary:
            temporary.write_bytes(cv2.imencode(".png", np.ascontiguousarray(bgr))[1].tobytes())
        return
    values = np.rint(planes * 255).astype(np.uint8)
    if path.suffix == ".jpg":
        write_jpeg(path, values[..., :3])
    else:
        write_png(path, values)


def is_stored_upright(path: Path) -> bool:
    """Whether a reader that ignores EXIF sees an 8- or 16-bit picture as one that honours it."""
    if _kind(path) != "pillow":
        return True
    with _opened(path) as picture:
        return _orientation(picture) == 1


def _kind(path: Path) -> Literal["exr", "hdr", "pillow"]:
    file_size(path, _WHAT)
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise FileFormatError(f"{_WHAT} {path} cannot be read: {error.strerror}.") from error
    if start == exr.MAGIC:
        return "exr"
    return "hdr" if start.startswith(radiance.MAGIC) else "pillow"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[PIL.Image.Image]:
    """An 8- or 16-bit picture with its header read; every failure becomes one message."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(path, formats=_FORMATS) as picture:
                check_picture_size(path, _WHAT, *picture.size)
                yield picture
    except PIL.UnidentifiedImageError as error:
        raise FileFormatError(
            f"{_WHAT} {path} is not a picture of a format that is read. {_NO_PICTURE}"
        ) from error
    except PIL.Image.DecompressionBombError as error:
        raise FileFormatError(
            f"{_WHAT} {path} declares more pixels than are read ({error}). Reduce it."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, KeyError, TypeError, IndexError,
            AttributeError, OverflowError, MemoryError) as error:  # fmt: skip
        raise FileFormatError(
            f"{_WHAT} {path} is cut off or damaged ({error}). {_NO_PICTURE}"
        ) from error


def _read_with_pillow(path: Path) -> Image:
    with _opened(path) as picture:
        orientation = _orientation(picture)
        picture.load()  # refuses a file that is cut off; OpenCV would fill with grey
        if picture.mode in ("F", "I"):
            raise FileFormatError(
                f"{_WHAT} {path} holds 32-bit numbers. Save it as OpenEXR (linear) or 16-bit PNG."
            )
        sixteen = picture.mode.startswith("I;16") or _is_16_bit(path, picture)
        values = None if sixteen else np.asarray(_to_rgb(picture))
    if values is None:
        values = _decode_16_bit(path)
    values = np.ascontiguousarray(_upright(values, orientation))
    scale = np.float32(65535 if values.dtype == np.uint16 else 255)
    pixels = values[..., :3].astype(np.float32) / scale
    alpha = values[..., 3:].astype(np.float32) / scale if values.shape[2] == 4 else None
    return Image(pixels, alpha, "srgb", 16 if values.dtype == np.uint16 else 8)


def _to_rgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    wanted = "RGBA" if picture.has_transparency_data else "RGB"
    return picture if picture.mode == wanted else picture.convert(wanted)


def _is_16_bit(path: Path, picture: PIL.Image.Image) -> bool:
    """Whether Pillow would halve the precision of a colour picture."""
    if picture.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24:] == b"\x10"
    if picture.format == "TIFF":
        return 16 in tuple(getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE_TAG, ()))
    return False


def _decode_16_bit(path: Path) -> np.ndarray:
    try:
        bgr = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise FileFormatError(f"{_WHAT} {path} is damaged. {_NO_PICTURE}") from error
    if bgr is None or bgr.dtype != np.uint16:
        raise FileFormatError(f"{_WHAT} {path} cannot be decoded as 16 bit. Save it as 16-bit PNG.")
    if bgr.ndim == 2:
        return np.repeat(bgr[..., None], 3, -1)
    if bgr.shape[2] == 2:  # grey with alpha
        return bgr[..., [0, 0, 0, 1]]
    return bgr[..., [2, 1, 0, 3][: bgr.shape[2]]]


def _orientation(picture: PIL.Image.Image) -> int:
    value = picture.getexif().get(_ORIENTATION_TAG, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the eight EXIF orientations."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values


def _radiance_size(path: Path) -> tuple[int, int]:
    try:
        with path.open("rb") as file:
            width, height, _, _ = radiance.declared_size(file.read(1 << 17))
    except FileFormatError as error:
        raise FileFormatError(f"{_WHAT} {path} {error}. {_NO_PICTURE}") from error
    check_picture_size(path, _WHAT, width, height)
    return width, height


def _read_radiance(path: Path) -> Float[np.ndarray, "H W 3"]:
    _radiance_size(path)
    try:
        return radiance.decode(path.read_bytes())
    except FileFormatError as error:
        raise FileFormatError(f"{_WHAT} {path} {error}. {_NO_PICTURE}") from error
