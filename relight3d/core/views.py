"""A capture: photos, where they were taken from, and under which light."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from relight3d.core.types import PointLight

ColorSpace = Literal["srgb", "linear"]
Split = Literal["train", "test"]
SHARED_ENVIRONMENT = "environment"


@dataclasses.dataclass(frozen=True)
class ViewLight:
    """The light a photo was taken under. The default is one unknown light shared by all photos."""

    environment: str | None = SHARED_ENVIRONMENT
    """Name of the (unknown, to be recovered) environment; None if only point lights shine."""
    rotation_rad: float = 0.0
    """Known turn of that environment, counter-clockwise about +z."""
    points: tuple[PointLight, ...] = ()
    """Known point lights, in the capture's frame."""


@dataclasses.dataclass(frozen=True)
class View:
    """One photo. Images are undistorted; paths are absolute and inside the capture's folder.

    A scene of a benchmark may name pictures of the benchmark's other folders beside it.
    """

    name: str
    image_path: Path
    width_px: int
    height_px: int
    intrinsics: Float[np.ndarray, "3 3"]
    world_to_camera: Float[np.ndarray, "4 4"]
    split: Split = "train"
    mask_path: Path | None = None
    """Single channel, white = object. None: the image's own alpha, if any, is the mask."""
    mask_below: float | None = None
    """If given, `mask_path` is a depth picture: the object is where it is below this, in [0, 1]."""
    color_space: ColorSpace = "srgb"
    light: ViewLight = ViewLight()
    exposure: float | None = None
    """Relative exposure from metadata, None if unknown."""
    truth: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    """Scoring only, never for fitting: 'albedo', 'normal' (0.5 n + 0.5, world), 'roughness',
    'metallic', 'depth' (.npy, along the optical axis), 'camera_normal' (.npy, H W 3, in OpenGL
    camera axes), and 'relit/NAME' for the view under environment NAME."""
    albedo_space: ColorSpace = "linear"
    """How the picture truth['albedo'] is encoded."""


@dataclasses.dataclass(frozen=True)
class Similarity:
    """x_to = scale * rotation @ x_from + translation."""

    rotation: Float[np.ndarray, "3 3"] = dataclasses.field(default_factory=lambda: np.eye(3))
    translation: Float[np.ndarray, "3"] = dataclasses.field(default_factory=lambda: np.zeros(3))
    scale: float = 1.0

    def inverse(self) -> "Similarity":
        """The similarity that undoes this one."""
        rotation = self.rotation.T
        return Similarity(rotation, -(rotation @ self.translation) / self.scale, 1.0 / self.scale)

    def apply(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Move points."""
        return self.scale * points @ self.rotation.T + self.translation


@dataclasses.dataclass(frozen=True)
class Capture:
    """Everything a fit may look at, in one right-handed, z-up frame of a tame size."""

    root: Path
    views: tuple[View, ...]
    kind: Literal["object", "scene"]
    """'object': every photo has a mask or alpha. 'scene': none does; background is fitted too."""
    points: Float[np.ndarray, "p 3"] | None = None
    """Sparse points in the capture's frame."""
    points_rgb: Float[np.ndarray, "p 3"] | None = None
    """sRGB in [0, 1]."""
    capture_from_source: Similarity = Similarity()
    """How the source's frame was normalised; exporters undo it."""
    environments: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    """Environment maps that came with the capture, for relighting and scoring only."""
    environment_turns: Mapping[str, Float[np.ndarray, "3 3"]] = dataclasses.field(
        default_factory=dict
    )
    """By environment, where its map has axes of its own: the radiance from direction d of the
    capture's frame lies at turn @ d of the map, read as `conventions` lays maps out."""

    def split(self, which: Split) -> tuple[View, ...]:
        """The views of one split, in the capture's order."""
        return tuple(view for view in self.views if view.split == which)
