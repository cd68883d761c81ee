"""Open a file somebody else wrote, with one clear message when that is not possible."""

from pathlib import Path

import numpy as np

from relight3d.core.errors import FileFormatError

MAX_FILE_BYTES = 4 << 30
MAX_PIXELS = 1 << 27
"""16384 x 8192: larger pictures are refused before memory is asked for."""


def file_size(path: Path, what: str) -> int:
    """Size of a plain file in bytes.

    Args:
        path: The file.
        what: What it should be, for the message: "The environment map".

    Raises:
        FileFormatError: Missing, not a plain file, empty, or larger than `MAX_FILE_BYTES`.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise FileFormatError(f"{what} {path} cannot be opened: {error.strerror}.") from error
    if not path.is_file():
        raise FileFormatError(f"{what} {path} is not a file. Give the path of one.")
    if status.st_size == 0:
        raise FileFormatError(f"{what} {path} is empty (0 bytes). Fetch or export it again.")
    if status.st_size > MAX_FILE_BYTES:
        raise FileFormatError(
            f"{what} {path} has {status.st_size:,} bytes, more than the {MAX_FILE_BYTES:,} "
            "that are read. Reduce it."
        )
    return status.st_size


def read_whole(path: Path, what: str) -> bytes:
    """All bytes of a file; refuses what `file_size` refuses, and what may not be read."""
    file_size(path, what)
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileFormatError(f"{what} {path} cannot be read: {error.strerror}.") from error


def check_picture_size(path: Path, what: str, width_px: int, height_px: int) -> None:
    """Refuse a declared picture size that is not positive or beyond `MAX_PIXELS`."""
    if width_px < 1 or height_px < 1 or width_px * height_px > MAX_PIXELS:
        raise FileFormatError(
            f"{what} {path} says it is {width_px} x {height_px} pixels. Sizes from 1 x 1 to "
            f"{MAX_PIXELS:,} pixels are read; the header may be damaged."
        )


def read_array(path: Path, what: str) -> np.ndarray:
    """An array of numbers from a .npy file, which never runs what the file says.

    Raises:
        FileFormatError: What `file_size` refuses; not such a file, cut off, or not of numbers; more
            values than four pictures of `MAX_PIXELS`.
    """
    size = file_size(path, what)
    if size > 4 * 8 * MAX_PIXELS:
        raise FileFormatError(f"{what} {path} has {size:,} bytes, too many for a picture's map.")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, MemoryError) as error:
        raise FileFormatError(
            f"{what} {path} cannot be read as a .npy array ({str(error)[:100]}). Write it with "
            "numpy.save."
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise FileFormatError(f"{what} {path} does not hold an array of numbers.")
    return array
