import dataclasses

import numpy as np
import pytest
import torch

from relight3d.core.types import Cameras, Gaussians, Splats
from relight3d.core.views import Similarity


def two_cameras() -> Cameras:
    world_to_camera = torch.eye(4).repeat(2, 1, 1)
    world_to_camera[0, :3, 3] = torch.tensor([0.0, 0, 5])
    # looks along world +x: camera x = -y, y = -z, z = x; stands at (1, 2, 3)
    world_to_camera[1, :3, :3] = torch.tensor([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    world_to_camera[1, :3, 3] = -world_to_camera[1, :3, :3] @ torch.tensor([1.0, 2, 3])
    intrinsics = torch.tensor([[100.0, 0, 32], [0, 110, 24], [0, 0, 1]]).repeat(2, 1, 1)
    return Cameras(world_to_camera, intrinsics, width_px=64, height_px=48)


def test_camera_centres():
    expected = torch.tensor([[0.0, 0, -5], [1, 2, 3]])
    torch.testing.assert_close(two_cameras().centers, expected)


def test_some_cameras_are_still_a_batch():
    assert len(two_cameras()[1:]) == 1
    assert len(two_cameras()[[1, 0, 1]]) == 3
    torch.testing.assert_close(two_cameras()[[1]].centers, torch.tensor([[1.0, 2, 3]]))


def test_scaled_cameras_see_the_same():
    small = two_cameras().scaled(0.5)
    assert (small.width_px, small.height_px) == (32, 24)
    expected = torch.tensor([[50.0, 0, 16], [0, 55, 12], [0, 0, 1]])
    torch.testing.assert_close(small.intrinsics[0], expected)
    odd = two_cameras().scaled(0.33)  # 21.12 -> 21, 15.84 -> 16: each axis by its own factor
    assert (odd.width_px, odd.height_px) == (21, 16)
    torch.testing.assert_close(odd.intrinsics[0, 0, 2].item(), 32 * 21 / 64)


def test_cameras_change_type():
    assert two_cameras().to(dtype=torch.float64).intrinsics.dtype == torch.float64


def test_splats_activate():
    zeros = torch.zeros
    splats = Splats(zeros(2, 3), zeros(2, 4), zeros(2, 3), zeros(2), zeros(2, 4, 3))
    gaussians = splats.gaussians()
    assert len(gaussians) == len(splats) == 2
    torch.testing.assert_close(gaussians.scales, torch.ones(2, 3))
    torch.testing.assert_close(gaussians.opacities, torch.full((2,), 0.5))


def test_shape_guard_is_alive():
    zeros = torch.zeros
    with pytest.raises(Exception, match=r"(?i)type-check"):  # five scales for two Gaussians
        Gaussians(zeros(2, 3), zeros(2, 4), zeros(5, 3), zeros(2))


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        two_cameras().width_px = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_similarity_and_its_inverse():
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    similarity = Similarity(turn, np.array([10.0, 0, 0]), 2.0)
    np.testing.assert_allclose(similarity.apply(np.array([[1.0, 0, 3]])), [[10, 2, 6]])
    points = np.random.default_rng(0).normal(size=(20, 3))
    np.testing.assert_allclose(similarity.inverse().apply(similarity.apply(points)), points)
