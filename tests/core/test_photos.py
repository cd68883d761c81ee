import dataclasses

import pytest
import torch
from balls import ball, photos_of, view_of
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.core.photos import (
    Photo,
    cameras_at_one_size,
    cameras_of,
    crop_cameras,
    object_window,
    part_of,
)


def photo(coverage=None, size=(10, 20), pixels=None):
    cameras = orbit(1, size[1], size[0])
    pixels = torch.zeros(*size, 3, dtype=torch.uint8) if pixels is None else pixels
    return Photo(view_of(cameras, 0), pixels, coverage)


def mask(rows, columns, size=(10, 20)):
    coverage = torch.zeros(*size, 1, dtype=torch.uint8)
    coverage[rows, columns] = 200
    return coverage


def test_bytes_and_floats_decode_alike():
    values = torch.arange(256, dtype=torch.uint8)[:, None, None].expand(256, 2, 3).contiguous()
    as_bytes = photo(size=(256, 2), pixels=values)
    as_floats = photo(size=(256, 2), pixels=values.float() / 255)
    assert torch.equal(as_bytes.srgb(), as_floats.srgb())
    assert float(as_bytes.srgb().max()) == 1.0
    assert as_bytes.alpha() is None
    covered = photo(mask(slice(2, 5), slice(3, 4))).alpha()
    assert covered is not None
    assert float(covered.max()) == pytest.approx(200 / 255)


def test_window_holds_the_mask_and_a_margin():
    inner = photo(mask(slice(4, 6), slice(8, 13)))
    assert object_window(inner, 0) == (8, 4, 13, 6)
    assert object_window(inner, 2) == (6, 2, 15, 8)


def test_window_stays_in_the_frame():
    assert object_window(photo(mask(slice(0, 1), slice(18, 20))), 3) == (15, 0, 20, 4)


def test_window_is_everything_without_a_mask():
    assert object_window(photo(), 3) == (0, 0, 20, 10)
    assert object_window(photo(mask(slice(0, 0), slice(0, 0))), 3) == (0, 0, 20, 10)


def test_cameras_of_several_sizes_in_one_batch():
    views = [view_of(orbit(3, width, 20), i) for i, width in enumerate((20, 20, 30))]
    large = dataclasses.replace(
        views[1], width_px=90, height_px=60, intrinsics=views[1].intrinsics * [[3], [3], [1]]
    )
    large.intrinsics[0, 2] += 15  # 90 pixels wide and not 60: the middle has moved
    cameras = cameras_at_one_size([views[0], large, views[2]])
    assert (cameras.width_px, cameras.height_px) == (20, 20)
    plain = cameras_of(views[:2])
    torch.testing.assert_close(cameras.intrinsics[:2], plain.intrinsics)
    torch.testing.assert_close(cameras.world_to_camera[:2], plain.world_to_camera)
    assert torch.equal(cameras.world_to_camera[2:], cameras_of(views[2:]).world_to_camera)
    assert cameras.intrinsics[2, 0, 2] == views[2].intrinsics[0, 2] - 5
    upright = dataclasses.replace(views[2], width_px=20, height_px=30)
    assert cameras_at_one_size([views[0], upright]).intrinsics[1, 0, 0] == pytest.approx(
        upright.intrinsics[0, 0]
    )


def test_cropped_cameras_draw_the_same_pixels():
    """The object lies inside its window, so cutting the frame changes no pixel of it."""
    rasterize, cameras = get_rasterizer("cpu"), orbit(1, 48, 40, distance=8.0)
    splats = ball(120)
    shot = photos_of(splats, cameras, rasterize)[0]
    x0, y0, x1, y1 = window = object_window(shot, 4)
    assert (x1 - x0) * (y1 - y0) < 0.6 * 48 * 40
    colors = splats.sh[:, 0]
    whole = rasterize(splats.gaussians(), colors, cameras)
    part = rasterize(splats.gaussians(), colors, crop_cameras(cameras, window))
    assert part.features.shape[1:3] == (y1 - y0, x1 - x0)
    torch.testing.assert_close(
        part.features[0], whole.features[0, y0:y1, x0:x1], rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(part.alpha[0], whole.alpha[0, y0:y1, x0:x1], rtol=1e-5, atol=1e-5)


def test_cameras_of_views_are_float32_and_of_one_size():
    cameras = orbit(3, 12, 9)
    views = [view_of(cameras, index) for index in range(3)]
    found = cameras_of(views)
    assert found.world_to_camera.dtype == torch.float32
    torch.testing.assert_close(found.world_to_camera, cameras.world_to_camera)
    torch.testing.assert_close(found.intrinsics, cameras.intrinsics)
    assert (found.width_px, found.height_px) == (12, 9)
    with pytest.raises(AssertionError, match="several sizes"):
        cameras_of([views[0], dataclasses.replace(views[1], width_px=13)])


def test_a_part_stays_inside_its_window_and_below_the_limit():
    generator = torch.Generator().manual_seed(0)
    window = (3, 5, 43, 25)
    parts = {part_of(window, 200, generator) for _ in range(50)}
    assert len(parts) > 10
    for x0, y0, x1, y1 in parts:
        assert 3 <= x0 < x1 <= 43 and 5 <= y0 < y1 <= 25
        assert 150 < (x1 - x0) * (y1 - y0) <= 200 and x1 - x0 == 2 * (y1 - y0)
    assert part_of(window, 0, generator) == window == part_of(window, 800, generator)
