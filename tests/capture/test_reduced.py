"""Photos reduced for training: what they show, and where from, stays as it was."""

import dataclasses

import numpy as np
import pytest
import tiny_captures as tiny
import torch

from relight3d.capture import load, load_photos
from relight3d.capture.photos import reduced
from relight3d.core.photos import Photo


@pytest.fixture
def photo(tmp_path) -> Photo:
    """A disc of one colour on bright green, 120 x 80 pixels, half of whose mask is a fraction."""
    tiny.nerfstudio(tmp_path)
    view = load(tmp_path).views[0]
    intrinsics = np.array([[100.0, 0, 58.0], [0, 90.0, 41.0], [0, 0, 1]])
    view = dataclasses.replace(view, width_px=120, height_px=80, intrinsics=intrinsics)
    y, x = torch.meshgrid(torch.arange(80), torch.arange(120), indexing="ij")
    inside = ((x - 60) ** 2 + (y - 40) ** 2 < 30**2)[..., None]
    pixels = torch.where(inside, torch.tensor([200, 100, 50]), torch.tensor([0, 255, 0]))
    coverage = torch.where(inside, 255, 0) // torch.where(x[..., None] < 60, 1, 2)
    return Photo(view, pixels.to(torch.uint8), coverage.to(torch.uint8))


def test_small_photos_are_left_alone(photo):
    assert reduced(photo, 0) is photo
    assert reduced(photo, 120 * 80) is photo


def test_the_background_does_not_bleed_in(photo):
    small = reduced(photo, 600)
    assert small.pixels.shape == (20, 30, 3)
    assert small.pixels.dtype == torch.uint8
    assert small.coverage is not None
    covered = small.coverage[..., 0] > 20
    colors = small.pixels[covered].float()
    assert float((colors - torch.tensor([200.0, 100, 50])).abs().max()) <= 3
    assert photo.coverage is not None
    assert abs(float(small.coverage.float().mean() - photo.coverage.float().mean())) < 0.5


def test_the_same_ray_goes_through_the_same_place(photo):
    small = reduced(photo, 600)
    assert (small.view.width_px, small.view.height_px) == (30, 20)
    corner = np.array([120.0, 80.0, 1.0])
    ray = np.linalg.inv(photo.view.intrinsics) @ corner
    np.testing.assert_allclose(small.view.intrinsics @ ray, [30, 20, 1], rtol=1e-12)
    assert np.array_equal(small.view.world_to_camera, photo.view.world_to_camera)


def test_deep_photos_stay_deep_and_maskless_ones_maskless(photo):
    deep = reduced(Photo(photo.view, photo.srgb() ** 1.1, None), 600)
    assert deep.pixels.dtype == torch.float32
    assert deep.coverage is None
    assert float(deep.pixels.mean()) == pytest.approx(float((photo.srgb() ** 1.1).mean()), rel=1e-4)


def test_a_sliver_keeps_a_pixel(photo):
    thin = Photo(photo.view, torch.zeros(1, 5000, 3, dtype=torch.uint8), None)
    assert reduced(thin, 256).pixels.shape == (1, 1131, 3)


def test_all_photos_are_reduced(tmp_path):
    tiny.nerfstudio(tmp_path)
    views = load(tmp_path).views
    whole, small = load_photos(views), load_photos(views, 100)
    assert [len(p.pixels) for p in whole] == [tiny.SIZE] * len(views)
    assert {len(p.pixels) for p in small} == {10}
