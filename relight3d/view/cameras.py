"""Camera paths: an orbit derived from the cameras that took the photos."""

import dataclasses
from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from relight3d.core.types import Cameras

_FULL_CIRCLE_GAP_RAD = 2 * pi / 3
"""Photos that leave a larger gap in azimuth do not show the back: the path then swings."""
_SMALLEST_SWING_RAD = 0.15
_STEEPEST_RAD = 1.4
"""80 degrees: above, an orbit would only spin the picture."""


@dataclasses.dataclass(frozen=True)
class Orbit:
    """Where the photos were taken from, seen from what they look at. World, z up, radians."""

    look_at: Float[Tensor, "3"]
    distance: float
    elevation_rad: float
    start_rad: float
    """Azimuth of the training camera nearest to the median elevation and distance."""
    arc_rad: tuple[float, float] | None
    """Azimuths from and to (counter-clockwise) that photos cover; None: all round."""


def turntable(cameras: Cameras, n_frames: int, turns: float = 1.0) -> Cameras:
    """A smooth, closed path round what the training cameras look at.

    Starts beside a training camera, at the median elevation and distance of all. Where the photos
    go all round, so does the path, counter-clockwise seen from above; where they do not, it swings
    to and fro over the arc they cover. Repeating the frames gives no jump.

    Args:
        cameras: The training cameras, at least one.
        n_frames: Frames of the path.
        turns: How often it goes round (or swings).

    Returns:
        Cameras of the same size, median focal lengths, principal point in the middle.
    """
    orbit = orbit_of(cameras)
    phase = torch.arange(n_frames, dtype=torch.float64) * (2 * pi * turns / n_frames)
    if orbit.arc_rad is None:
        azimuth = orbit.start_rad + phase
    else:
        low, high = orbit.arc_rad
        middle, swing = (low + high) / 2, max((high - low) / 2, _SMALLEST_SWING_RAD)
        where = ((orbit.start_rad - low) % (2 * pi) + low - middle) / swing
        azimuth = middle + swing * torch.sin(
            phase + torch.asin(phase.new_tensor(where).clamp(-1, 1))
        )
    elevation = azimuth.new_tensor(orbit.elevation_rad)
    offsets = orbit.distance * torch.stack(
        [elevation.cos() * azimuth.cos(), elevation.cos() * azimuth.sin(),
         elevation.sin().expand_as(azimuth)], -1,
    )  # fmt: skip
    poses = look_at_poses(orbit.look_at + offsets, orbit.look_at)
    focal = cameras.intrinsics.diagonal(dim1=1, dim2=2).median(0).values
    intrinsics = torch.diag(focal)
    intrinsics[0, 2], intrinsics[1, 2] = cameras.width_px / 2, cameras.height_px / 2
    return dataclasses.replace(
        cameras,
        world_to_camera=poses.to(cameras.world_to_camera),
        intrinsics=intrinsics.expand(n_frames, 3, 3).clone(),
    )


def orbit_of(cameras: Cameras) -> Orbit:
    """Summarise the training cameras as an orbit."""
    centers = cameras.centers.detach().double().cpu()
    look_at = look_at_point(cameras)
    offsets = centers - look_at
    distances = offsets.norm(dim=-1).clamp_min(1e-9)
    elevations = (offsets[:, 2] / distances).clamp(-1, 1).asin()
    azimuths = torch.atan2(offsets[:, 1], offsets[:, 0])
    distance, elevation = distances.median(), elevations.median()
    unlike = (elevations - elevation).abs() + (distances / distance).log().abs()
    return Orbit(
        look_at=look_at,
        distance=distance.item(),
        elevation_rad=elevation.clamp(-_STEEPEST_RAD, _STEEPEST_RAD).item(),
        start_rad=azimuths[unlike.argmin()].item(),
        arc_rad=_covered_arc(azimuths),
    )


def look_at_point(cameras: Cameras) -> Float[Tensor, "3"]:
    """The point nearest to all optical axes, float64; in front of the cameras in any case.

    Least squares over the distances to the axes. Where these are nearly parallel it lies far off
    or behind; then one and a half times the cameras' spread (at least 1) before their middle.
    """
    centers = cameras.centers.detach().double().cpu()
    axes = cameras.world_to_camera[:, 2, :3].detach().double().cpu()
    axes = torch.nn.functional.normalize(axes, dim=-1)
    across = torch.eye(3, dtype=torch.float64) - axes[:, :, None] * axes[:, None, :]
    weak = 1e-6 * len(cameras) * torch.eye(3, dtype=torch.float64)
    middle = centers.mean(0)
    right_side = (across @ centers[:, :, None]).sum(0)[:, 0] + weak @ middle
    point = torch.linalg.solve(across.sum(0) + weak, right_side)
    depths = ((point - centers) * axes).sum(-1)
    spread = (centers - middle).norm(dim=-1).max()
    if depths.median() > 1e-3 * spread and depths.median() > 1e-6:
        return point
    forward = torch.nn.functional.normalize(axes.mean(0), dim=0)
    return middle + forward * (1.5 * spread if spread > 1e-6 else 1.0)


def look_at_poses(
    centers: Float[Tensor, "C 3"], target: Float[Tensor, "3"]
) -> Float[Tensor, "C 4 4"]:
    """World-to-camera poses (OpenCV axes) of upright cameras that look at a point; z is up."""
    forward = torch.nn.functional.normalize(target - centers, dim=-1)
    up = forward.new_tensor([0.0, 0.0, 1.0]).expand_as(forward)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=-1)
    down = torch.linalg.cross(forward, right)
    rotation = torch.stack([right, down, forward], 1)
    poses = torch.eye(4, dtype=centers.dtype).repeat(len(centers), 1, 1)
    poses[:, :3, :3] = rotation
    poses[:, :3, 3] = -(rotation @ centers[:, :, None])[..., 0]
    return poses


def _covered_arc(azimuths: Float[Tensor, " C"]) -> tuple[float, float] | None:
    """The arc without the largest gap between neighbours; None if that gap is small."""
    ordered = azimuths.sort().values
    gaps = torch.cat([ordered[1:], ordered[:1] + 2 * pi]) - ordered
    widest = int(gaps.argmax())
    if gaps[widest] <= _FULL_CIRCLE_GAP_RAD:
        return None
    start = ordered[(widest + 1) % len(ordered)].item()
    return start, start + 2 * pi - gaps[widest].item()
