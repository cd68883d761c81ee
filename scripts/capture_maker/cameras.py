"""Where the cameras stand: spread round an object, or inside a room. OpenGL axes, z up."""

import dataclasses
import math

import numpy as np

GOLDEN_ANGLE = math.pi * (3.0 - math.sqrt(5.0))
"""Turns by it never fall together, and fill the circle evenly at every count."""


@dataclasses.dataclass(frozen=True)
class Orbit:
    """Cameras on a sphere round the origin that look at it.

    Heights are shares of the distance, from the highest to the lowest camera. Of a scene that
    is open on one side, `azimuth_deg` is the range the cameras keep to.
    """

    distance: float = 4.0
    train_height: tuple[float, float] = (0.9, -0.25)
    test_height: tuple[float, float] = (0.9, -0.1)
    azimuth_deg: tuple[float, float] = (0.0, 360.0)
    fov_x_rad: float = 0.5410520681182421  # 31 degrees: the unit sphere fills the picture

    def positions(self, count: int, heights: tuple[float, float], phase: float) -> np.ndarray:
        """Directions [count, 3] of unit length; `phase` in [0, 1) turns all of them."""
        index = np.arange(count)
        z = heights[0] + (heights[1] - heights[0]) * (index + 0.5) / max(1, count)
        share = (phase - index * GOLDEN_ANGLE / (2 * math.pi)) % 1.0
        low, high = np.radians(self.azimuth_deg)
        azimuth, flat = low + (high - low) * share, np.sqrt(1 - z * z)
        return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), z], 1)

    def poses(self, count: int, split: str, phase: float) -> np.ndarray:
        """Camera-to-world matrices [count, 4, 4]."""
        heights = self.train_height if split == "train" else self.test_height
        centers = self.distance * self.positions(count, heights, phase)
        return np.array([look_at(center, np.zeros(3)) for center in centers]).reshape(-1, 4, 4)

    def light_positions(self, count: int, split: str, phase: float) -> np.ndarray:
        """Point lights [count, 3] on the cameras' side, 3.8 to 5.2 units from the origin."""
        directions = self.positions(count, (0.9, 0.06), (phase + 0.37) % 1.0)
        share = _halton(np.arange(count) + (1 if split == "train" else 5001), 3)
        order = np.argsort(_halton(np.arange(count) + 1, 2), kind="stable")
        return directions[order] * (3.8 + 1.4 * share)[:, None]


@dataclasses.dataclass(frozen=True)
class Inside:
    """Cameras within a box, away from what stands in it, that look across the room."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    keep_out: tuple[tuple[float, float, float, float], ...] = ()
    """Spheres (x, y, z, radius) where no camera and no light stands."""
    fov_x_rad: float = math.radians(70.0)

    def places(self, count: int, first: int) -> np.ndarray:
        """Points [count, 3] that fill the free part of the box evenly."""
        found: list[np.ndarray] = []
        index = first
        low, high = np.array(self.low), np.array(self.high)
        while len(found) < count:
            share = np.array([float(_halton(np.array([index]), base)[0]) for base in (2, 3, 5)])
            point = low + (high - low) * share
            if all(np.linalg.norm(point - s[:3]) > s[3] for s in np.array(self.keep_out)):
                found.append(point)
            index += 1
        return np.array(found).reshape(-1, 3)

    def poses(self, count: int, split: str, phase: float) -> np.ndarray:
        """Camera-to-world matrices [count, 4, 4]; each looks through the room's middle third."""
        first = 1 + int(phase * 1000) + (0 if split == "train" else 5000)
        centers, targets = self.places(count, first), self.places(count, first + 10000)
        middle = 0.5 * (np.array(self.low) + np.array(self.high))
        targets = middle + (targets - middle) / 3
        near = np.linalg.norm(targets - centers, axis=1) < 0.3  # so near, a wall is the view
        targets = np.where(near[:, None], centers + np.array([0.0, 1.0, 0.0]), targets)
        poses = [look_at(*both) for both in zip(centers, targets, strict=True)]
        return np.array(poses).reshape(-1, 4, 4)

    def light_positions(self, count: int, split: str, phase: float) -> np.ndarray:
        """Point lights [count, 3] within the box."""
        return self.places(count, 20001 + int(phase * 1000) + (0 if split == "train" else 5000))


Views = Orbit | Inside


def look_at(center: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Camera to world, OpenGL axes: x right, y up, looks along -z; the picture stands upright."""
    back = (center - target) / np.linalg.norm(center - target)
    right = np.cross([0.0, 0.0, 1.0], back)
    if np.linalg.norm(right) < 1e-6:
        right = np.array([1.0, 0.0, 0.0])
    right = right / np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :4] = np.stack([right, np.cross(back, right), back, center], 1)
    return pose


def _halton(index: np.ndarray, base: int) -> np.ndarray:
    """The radical inverse: numbers in [0, 1) that fill it evenly at every count."""
    result, share, rest = np.zeros(len(index)), 1.0, index.astype(np.int64)
    while rest.any():
        share /= base
        result += share * (rest % base)
        rest = rest // base
    return result
