"""Environment maps: read, reduced and scaled to a mean radiance; Mitsuba's emitters for lights.

Layout: `core.conventions` (Blender's). Maps are rendered as they are read back from the capture's
own .hdr, so pictures and file agree to the last bit.
"""

import dataclasses
import hashlib
import math
import re
from pathlib import Path

import numpy as np
import torch

from relight3d.core.errors import CaptureError
from relight3d.core.types import EnvironmentLight
from relight3d.files.environment import read_environment, write_environment

MAX_HEIGHT_PX = 512
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_LOOKS_TURNED = re.compile(r".*_\d{3}")
TO_LOCAL = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
"""World to the frame of Mitsuba's `envmap`, whose column is atan2(x, -z), whose row is acos(y)."""


@dataclasses.dataclass(frozen=True)
class MapSource:
    """An environment map somebody gave."""

    name: str
    """The light's name: the file's, without its suffix."""
    path: Path
    sha256: str


def map_sources(paths: list[Path]) -> list[MapSource]:
    """Check the names and the contents of all maps before anything is rendered.

    Raises:
        CaptureError: Two of one name, or a name that file names of the layout cannot carry.
        FileFormatError: A file that is no environment map.
    """
    found: list[MapSource] = []
    for path in paths:
        name = path.stem
        if not _NAME.fullmatch(name) or _LOOKS_TURNED.fullmatch(name):
            raise CaptureError(
                f"The environment map {path} cannot give its light the name {name!r}: letters, "
                "digits and _.+- are possible, and an end like _045 means a turn. Rename the file."
            )
        if any(other.name == name for other in found):
            raise CaptureError(f"Two environment maps are named {name!r}. Rename one.")
        read_environment(path)
        found.append(MapSource(name, path, hashlib.sha256(path.read_bytes()).hexdigest()))
    return found


def write_map(source: MapSource, target: Path, mean: float) -> None:
    """Write a map, at most `MAX_HEIGHT_PX` high, scaled to the mean radiance `mean`.

    Raises:
        CaptureError: The map is black.
    """
    radiance = reduced(read_environment(source.path).radiance_linear.double().numpy())
    weight = row_weights(len(radiance))
    found = float((radiance.mean((1, 2)) * weight).sum())
    if found <= 0:
        raise CaptureError(f"The environment map {source.path} is black. Give one with light.")
    light = EnvironmentLight(torch.from_numpy((radiance * (mean / found)).astype(np.float32)))
    write_environment(target, light)


def row_weights(height: int) -> np.ndarray:
    """The share of the sphere each row covers [height]; they sum to 1."""
    edges = np.cos(np.linspace(0, math.pi, height + 1))
    return 0.5 * (edges[:-1] - edges[1:])


def reduced(radiance: np.ndarray) -> np.ndarray:
    """Average blocks of pixels by the solid angle each covers, so that irradiance is kept."""
    height = len(radiance)
    factor = -(-height // MAX_HEIGHT_PX)
    while height % factor:
        factor += 1
    rows = height // factor
    if rows < 64 < height:  # a height with no useful divisor stays whole
        return radiance
    weight = row_weights(height).reshape(rows, factor, 1, 1, 1)
    blocks = radiance.reshape(rows, factor, 2 * rows, factor, 3)
    return (blocks * weight).sum((1, 3)) / (weight.sum((1, 2)) * factor)


def environment_emitter(
    path: Path, rotation_deg: float, window: tuple[float, float, float] | None = None
) -> dict:
    """A map of the capture as Mitsuba's emitter, turned counter-clockwise about +z.

    Given the way out through a `window`, the only one there is, what lies behind (and can light
    nothing) is made black, so that no path is spent on it.
    """
    import mitsuba as mi

    angle = math.radians(rotation_deg)
    turn = np.array(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    to_world = np.eye(4)
    to_world[:3, :3] = turn @ TO_LOCAL.T
    pixels = read_environment(path).radiance_linear.numpy()
    if window is not None:
        to_window = to_world[:3, :3].T @ np.array(window)
        seen = local_directions(len(pixels)) @ to_window > -0.02  # a texel more, for its edge
        pixels = np.where(seen[..., None], pixels, 0)
    return {
        "type": "envmap",
        "bitmap": mi.Bitmap(np.ascontiguousarray(pixels, np.float32)),
        "to_world": mi.ScalarTransform4f(to_world.tolist()),
    }


def local_directions(height: int) -> np.ndarray:
    """Directions of the texels [height, 2 height, 3] in the frame of Mitsuba's `envmap`."""
    polar = (np.arange(height) + 0.5)[:, None] / height * math.pi
    around = (np.arange(2 * height) + 0.5)[None] / height * math.pi
    flat = np.sin(polar)
    parts = (flat * np.sin(around), np.cos(polar) + 0 * around, -flat * np.cos(around))
    return np.stack(parts, -1)


def point_emitter(position: np.ndarray, intensity: float) -> dict:
    """A point light at a world position; the intensity is in W/sr, grey."""
    return {
        "type": "point",
        "position": [float(value) for value in position],
        "intensity": {"type": "rgb", "value": [float(intensity)] * 3},
    }
