from math import pi

import pytest
import torch

from relight3d.core.types import Cameras
from relight3d.view.cameras import look_at_point, look_at_poses, orbit_of, turntable

TARGET = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def ring(azimuths: list[float], elevation: float = 0.4, distance: float = 3.0) -> Cameras:
    angle, tilt = torch.tensor(azimuths, dtype=torch.float64), torch.tensor(elevation)
    offsets = torch.stack(
        [tilt.cos() * angle.cos(), tilt.cos() * angle.sin(), tilt.sin().expand_as(angle)], -1
    )
    poses = look_at_poses(TARGET + distance * offsets, TARGET).float()
    intrinsics = torch.tensor([[120.0, 0, 30], [0, 125, 26], [0, 0, 1]])
    return Cameras(poses, intrinsics.repeat(len(azimuths), 1, 1), width_px=64, height_px=48)


def azimuths_of(cameras: Cameras) -> torch.Tensor:
    offsets = cameras.centers.double() - TARGET
    return torch.atan2(offsets[:, 1], offsets[:, 0])


def project(cameras: Cameras, point: torch.Tensor) -> torch.Tensor:
    seen = cameras.world_to_camera[:, :3, :3] @ point.float() + cameras.world_to_camera[:, :3, 3]
    pixels = (cameras.intrinsics @ seen[..., None])[..., 0]
    return pixels[:, :2] / pixels[:, 2:]


def test_look_at_pose_by_hand():
    pose = look_at_poses(torch.tensor([[0.0, -5.0, 0.0]]), torch.zeros(3))[0]
    expected = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 5], [0, 0, 0, 1]])
    torch.testing.assert_close(pose, expected)


def test_look_at_point_is_where_the_axes_meet():
    torch.testing.assert_close(look_at_point(ring([0, 1, 2, 4])), TARGET, atol=1e-4, rtol=0)


def test_parallel_cameras_look_ahead():
    cameras = ring([0.0, 0.0])
    cameras.world_to_camera[1, 0, 3] += 1.0  # one unit beside, same direction
    point = look_at_point(cameras)
    depths = cameras.world_to_camera[:, :3, :3].double() @ point + cameras.world_to_camera[:, :3, 3]
    assert (depths[:, 2] > 0.1).all()
    assert look_at_point(cameras[:1]).isfinite().all()


def test_turntable_goes_round_once_at_the_training_height():
    cameras = ring([0.3 + 2 * pi * k / 9 for k in range(9)])
    path = turntable(cameras, 12)
    assert (len(path), path.width_px, path.height_px) == (12, 64, 48)
    middle = torch.tensor([[32.0, 24.0]]).expand(12, 2)
    torch.testing.assert_close(project(path, TARGET), middle, atol=1e-3, rtol=0)
    offsets = path.centers.double() - TARGET
    torch.testing.assert_close(offsets.norm(dim=-1).float(), torch.full((12,), 3.0))
    steps = azimuths_of(path).diff() % (2 * pi)
    torch.testing.assert_close(steps, torch.full_like(steps, 2 * pi / 12), atol=1e-5, rtol=0)
    nearest = (cameras.centers - path.centers[0]).norm(dim=-1).min()
    assert nearest < 1e-4  # starts at a training view
    torch.testing.assert_close(path.intrinsics[0].diagonal(), torch.tensor([120.0, 125.0, 1.0]))


def test_partial_captures_swing_over_what_was_seen():
    cameras = ring([3.0, 3.4, 3.8, 4.2])  # across the cut of atan2
    orbit = orbit_of(cameras)
    assert orbit.arc_rad is not None
    assert orbit.arc_rad[1] - orbit.arc_rad[0] == pytest.approx(1.2, abs=1e-5)
    path = turntable(cameras, 40)
    azimuths = azimuths_of(path) % (2 * pi)
    assert azimuths.min() == pytest.approx(3.0, abs=0.02)
    assert azimuths.max() == pytest.approx(4.2, abs=0.02)
    steps = torch.cat([azimuths, azimuths[:1]]).diff().abs()
    assert steps.max() < 1.2 / 2 * 2 * pi / 40 * 1.01  # smooth, also from the last to the first


def test_one_camera_and_cameras_overhead_still_give_a_path():
    for cameras in (ring([1.0]), ring([0.0, 2, 4], elevation=1.57)):
        path = turntable(cameras, 8)
        assert path.world_to_camera.isfinite().all()
        assert (path.centers - path.centers[0]).norm(dim=-1).max() > 0.1
