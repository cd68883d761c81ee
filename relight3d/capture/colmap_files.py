"""COLMAP's model files, text and binary, read with bounds: counts are never believed.

Source: colmap.github.io/format.html. Nothing of COLMAP itself is used, so a damaged file can
neither crash the process nor ask for memory.
"""

import dataclasses
import math
import struct
from pathlib import Path

import numpy as np
from jaxtyping import Float

from relight3d.core.errors import FileFormatError
from relight3d.files.reading import read_whole

_WHAT = "The COLMAP file"
_MODELS = {
    0: ("SIMPLE_PINHOLE", 3), 1: ("PINHOLE", 4), 2: ("SIMPLE_RADIAL", 4), 3: ("RADIAL", 5),
    4: ("OPENCV", 8), 5: ("OPENCV_FISHEYE", 8), 6: ("FULL_OPENCV", 12), 7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4), 9: ("RADIAL_FISHEYE", 5), 10: ("THIN_PRISM_FISHEYE", 12),
}  # fmt: skip
_PARAMETER_COUNTS = dict(_MODELS.values())


@dataclasses.dataclass(frozen=True)
class ModelCamera:
    """Intrinsics shared by some images."""

    model: str
    width_px: int
    height_px: int
    parameters: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class ModelImage:
    """One posed image."""

    name: str
    camera_id: int
    world_to_camera: Float[np.ndarray, "4 4"]
    """As the file says; not yet checked."""


@dataclasses.dataclass(frozen=True)
class ModelPoints:
    """Sparse points."""

    xyz: Float[np.ndarray, "p 3"]
    rgb: Float[np.ndarray, "p 3"]
    """sRGB in [0, 1]."""
    error_px: Float[np.ndarray, " p"]
    """Mean reprojection error."""
    track_length: Float[np.ndarray, " p"]
    """By how many images the point is seen."""


class _Bytes:
    """A cursor that refuses to run off the end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, layout: str) -> tuple:
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values

    def count(self, least_bytes: int) -> int:
        """A count of records of at least `least_bytes`, which the rest of the file must hold."""
        (count,) = self.take("Q")
        if count * least_bytes > len(self.data) - self.at:
            raise ValueError(f"{count} records do not fit")
        return count

    def skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self.data):
            raise ValueError("a record runs off the end")

    def text(self) -> str:
        end = self.data.index(b"\0", self.at)
        word = self.data[self.at : end].decode()
        self.at = end + 1
        return word


def read_cameras(folder: Path) -> dict[int, ModelCamera]:
    """cameras.bin or cameras.txt, by camera id.

    Raises:
        FileFormatError: Missing, cut off or damaged.
    """
    return _read(folder, "cameras", _binary_cameras, _text_cameras)


def read_images(folder: Path) -> list[ModelImage]:
    """images.bin or images.txt; raises as `read_cameras`."""
    return _read(folder, "images", _binary_images, _text_images)


def read_model_points(folder: Path) -> ModelPoints:
    """points3D.bin or points3D.txt; raises as `read_cameras`."""
    rows = _read(folder, "points3D", _binary_points, _text_points)
    table = np.array(rows, np.float64).reshape(-1, 8)
    return ModelPoints(table[:, :3], table[:, 3:6] / 255.0, table[:, 6], table[:, 7])


def _read(folder: Path, name: str, from_binary, from_text):
    path = folder / f"{name}.bin"
    binary = path.is_file()
    if not binary:
        path = folder / f"{name}.txt"
    data = read_whole(path, _WHAT)
    try:
        if binary:
            return from_binary(_Bytes(data))
        lines = data.decode().splitlines()
        return from_text([line for line in lines if not line.startswith("#")])
    except (struct.error, ValueError, IndexError, KeyError, OverflowError) as error:
        raise FileFormatError(
            f"{_WHAT} {path} is cut off or damaged ({error}). Export the model again."
        ) from error


def _camera(model: str, width: int, height: int, parameters: list[float]) -> ModelCamera:
    if len(parameters) != _PARAMETER_COUNTS.get(model, len(parameters)):
        raise ValueError(f"{model} has {len(parameters)} parameters")
    return ModelCamera(model, width, height, tuple(parameters))


def _image(name: str, camera: int, quaternion: list[float], translation: list[float]) -> ModelImage:
    length = math.hypot(*quaternion)
    w, x, y, z = (value / length if length > 0 else math.nan for value in quaternion)
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = translation
    return ModelImage(name, camera, pose)


def _binary_cameras(file: _Bytes) -> dict[int, ModelCamera]:
    cameras = {}
    for _ in range(file.count(48)):
        identity, number, width, height = file.take("iiQQ")
        if number not in _MODELS:
            raise ValueError(f"the camera model number {number} is not known")
        model, count = _MODELS[number]
        cameras[identity] = _camera(model, width, height, list(file.take(f"{count}d")))
    return cameras


def _text_cameras(lines: list[str]) -> dict[int, ModelCamera]:
    cameras = {}
    for words in (line.split() for line in lines if line.strip()):
        values = [float(word) for word in words[4:]]
        cameras[int(words[0])] = _camera(words[1], int(words[2]), int(words[3]), values)
    return cameras


def _binary_images(file: _Bytes) -> list[ModelImage]:
    images = []
    for _ in range(file.count(73)):
        _, *pose, camera = file.take("i7di")
        images.append(_image(file.text(), camera, pose[:4], pose[4:]))
        file.skip(24 * file.count(24))
    return images


def _text_images(lines: list[str]) -> list[ModelImage]:
    """Every second line lists the image's points, and may be empty."""
    images = []
    for line in lines[::2]:
        if not line.strip():
            continue
        words = line.split(maxsplit=9)
        pose = [float(word) for word in words[1:8]]
        images.append(_image(words[9].strip(), int(words[8]), pose[:4], pose[4:]))
    return images


def _binary_points(file: _Bytes) -> list[tuple]:
    rows = []
    for _ in range(file.count(51)):
        _, x, y, z, red, green, blue, error = file.take("Q3d3Bd")
        length = file.count(8)
        file.skip(8 * length)
        rows.append((x, y, z, red, green, blue, error, length))
    return rows


def _text_points(lines: list[str]) -> list[tuple]:
    rows = []
    for words in (line.split() for line in lines if line.strip()):
        values = [float(word) for word in words[1:8]]
        if len(values) != 7:
            raise ValueError("a point has too few numbers")
        rows.append((*values, (len(words) - 8) // 2))
    return rows
