import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from balls import ball, photos_of
from scenes import orbit

from relight3d.backends.registry import get_rasterizer
from relight3d.core import sh
from relight3d.core.errors import CaptureError
from relight3d.core.photos import cameras_of
from relight3d.core.planes import splat_normals
from relight3d.core.types import Cameras
from relight3d.core.views import Capture
from relight3d.field.config import FieldConfig
from relight3d.field.splats import initialize
from relight3d.shading.shadow_map import look_along

CENTER = torch.tensor([0.5, -0.2, 0.3])
FEW = FieldConfig(initial_splats=200, max_splats=200, sh_degree=1)


def cameras_around(count: int = 40, size: int = 32, distance: float = 4.0) -> Cameras:
    """From all sides, looking at `CENTER`."""
    outward = sh.even_directions(count).float()
    return look_along(CENTER + distance * outward, -outward, 0.4, size)


@pytest.fixture(scope="module")
def photos():
    splats = ball(300)
    moved = dataclasses.replace(splats, means=splats.means + CENTER)
    return photos_of(moved, cameras_around(), get_rasterizer("cpu"))


def capture_of(photos, points=None, rgb=None):
    views = tuple(photo.view for photo in photos)
    return Capture(Path(), views, "object", points, rgb)


def test_scene_sphere_is_what_the_cameras_look_at():
    center, radius = initialize.scene_sphere(cameras_around())
    torch.testing.assert_close(center, CENTER, rtol=0.0, atol=1e-5)
    assert radius == pytest.approx(4 * np.sin(np.arctan(0.4)), rel=1e-5)


def test_scene_sphere_ignores_one_stray_camera():
    cameras = cameras_around()
    pose = cameras.world_to_camera.clone()
    pose[0, :3, 3] += torch.tensor([0.0, 0.0, 50.0])
    stray = dataclasses.replace(cameras, world_to_camera=pose)
    center, radius = initialize.scene_sphere(stray)
    torch.testing.assert_close(center, CENTER, rtol=0.0, atol=1e-4)
    assert radius == pytest.approx(initialize.scene_sphere(cameras)[1], rel=0.01)


def test_parallel_cameras_have_some_sphere():
    pose = torch.eye(4).repeat(3, 1, 1)
    pose[:, 0, 3] = torch.tensor([-1.0, 0.0, 1.0])
    cameras = dataclasses.replace(cameras_around(3), world_to_camera=pose)
    center, radius = initialize.scene_sphere(cameras)
    assert torch.isfinite(center).all()
    assert radius > 0


def test_projection_agrees_with_the_rasterizer():
    cameras = cameras_around(1)
    splats = ball(2, radius=0.3)
    one = type(splats)(**{name: value[:1] for name, value in vars(splats).items()})
    tiny = dataclasses.replace(
        one, log_scales=torch.full((1, 3), 0.01).log(), means=one.means + CENTER
    )
    alpha = get_rasterizer("cpu")(tiny.gaussians(), torch.ones(1, 1), cameras).alpha[0, ..., 0]
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    middle = torch.stack([(alpha * (columns + 0.5)).sum(), (alpha * (rows + 0.5)).sum()])
    pixels, depth = initialize.project(tiny.means, cameras, 0)
    torch.testing.assert_close(pixels[0], middle / alpha.sum(), rtol=0.0, atol=0.1)
    assert float(depth) == pytest.approx(4.0, abs=0.3)


def test_images_are_sampled_at_pixel_centres():
    image = torch.arange(12.0).view(3, 4, 1)
    asked = torch.tensor([[0.5, 0.5], [3.5, 2.5], [2.0, 0.5], [9.0, 1.0]])
    found = initialize.sample_image(image, asked)
    torch.testing.assert_close(found[:, 0], torch.tensor([0.0, 11.0, 1.5, 0.0]))


def test_carving_keeps_the_ball_and_little_else(photos, generator):
    directions = torch.nn.functional.normalize(torch.randn(400, 3, generator=generator), dim=-1)
    inner, outer = CENTER + 0.97 * directions, CENTER + 1.35 * directions
    assert initialize.carve(inner, photos).all()
    assert not initialize.carve(outer, photos).any()
    behind = CENTER + 40.0 * directions
    assert not initialize.carve(behind, photos).any()


@pytest.mark.parametrize("tolerance", [0.0, 0.3])
def test_carving_forgives_a_share_of_the_photos(photos, generator, tolerance):
    """Points ruled out early are those that looking at every photo would rule out."""
    points = CENTER + 1.2 * torch.randn(600, 3, generator=generator)
    beside, seen = torch.zeros(600), torch.zeros(600)
    for photo in photos:
        cameras = cameras_of([photo.view])
        pixels, depth = initialize.project(points, cameras, 0)
        inside = (depth > 0) & (pixels >= 0).all(-1) & (pixels[:, 0] < cameras.width_px)
        inside &= pixels[:, 1] < cameras.height_px
        grown = torch.nn.functional.max_pool2d(photo.alpha().movedim(-1, 0), 3, 1, 1)
        covered = initialize.sample_image(grown.movedim(0, -1), pixels)[:, 0] >= 0.3
        beside, seen = beside + (inside & ~covered), seen + inside
    expected = (beside <= tolerance * seen) & (seen >= 3)
    assert 0 < int(expected.sum()) < 600
    assert torch.equal(initialize.carve(points, photos, tolerance), expected)


def test_visual_hull_of_a_ball(photos, generator):
    points, normals, spacing = initialize.visual_hull(photos, CENTER, 1.5, 600, generator, 32)
    assert points.shape == normals.shape == (600, 3)
    distance = (points - CENTER).norm(dim=-1)
    assert 0.9 < float(distance.min())
    assert float(distance.max()) < 1.4
    outward = torch.nn.functional.normalize(points - CENTER, dim=-1)
    agreement = (outward * normals).sum(-1)
    assert float(agreement.min()) > 0.3
    assert float(agreement.mean()) > 0.95
    area = 4 * np.pi * float(distance.mean()) ** 2
    assert 600 * spacing**2 == pytest.approx(area, rel=0.6)


def test_masks_that_agree_on_nothing_are_refused(photos, generator):
    empty = [
        dataclasses.replace(p, coverage=torch.zeros(32, 32, 1, dtype=torch.uint8)) for p in photos
    ]
    with pytest.raises(CaptureError, match="agree on no volume"):
        initialize.visual_hull(empty, CENTER, 1.5, 10, generator, 16)
    with pytest.raises(CaptureError, match="40 photos"):
        initialize.start_splats(capture_of(empty), empty, FEW, generator)


def test_a_body_that_fills_the_grid_starts_on_its_faces(photos, generator):
    points, normals, _ = initialize.visual_hull(photos, CENTER, 0.3, 50, generator, 16)
    assert float((points - CENTER).abs().amax(-1).min()) > 0.3 * (1 - 2 / 16)
    assert float(((points - CENTER) * normals).sum(-1).min()) > 0


def test_discs_turn_to_their_normals(generator):
    normals = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=-1)
    normals = torch.cat([normals, torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]])])
    turned = splat_normals(initialize.quaternion_to_axis(normals))
    torch.testing.assert_close(turned, normals, rtol=0.0, atol=1e-3)
    zero = initialize.quaternion_to_axis(torch.zeros(1, 3))
    assert zero.tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_nearest_spacing():
    grid = torch.stack(torch.meshgrid(*[torch.arange(4.0)] * 3, indexing="ij"), -1).view(-1, 3)
    torch.testing.assert_close(initialize.nearest_spacing(2 * grid), torch.full((64,), 2.0))
    assert initialize.nearest_spacing(torch.zeros(1, 3)).tolist() == [1.0]
    assert (initialize.nearest_spacing(torch.zeros(5, 3)) > 0).all()


def test_colours_are_those_of_the_photos(photos):
    points = CENTER + torch.tensor([[0.0, 0.0, 0.9], [0.0, 0.0, -0.9]])
    top, bottom = initialize.colors_seen(points, photos)
    assert (top[0] > top[1] > top[2]) and (bottom[0] > bottom[1] > bottom[2])
    assert bottom.sum() > top.sum()
    behind = photos[0].view.world_to_camera[2, :3] * -50.0
    never = initialize.colors_seen(torch.from_numpy(behind).float()[None], photos[:1])
    torch.testing.assert_close(never, torch.full((1, 3), 0.5))


def test_an_object_starts_on_its_hull(photos, generator):
    splats = initialize.start_splats(capture_of(photos), photos, FEW, generator)
    assert len(splats) == 200
    distance = (splats.means - CENTER).norm(dim=-1)
    assert 0.85 < float(distance.min()) and float(distance.max()) < 1.5
    assert (splats.log_scales[:, 2] < splats.log_scales[:, 0] - 1).all()
    torch.testing.assert_close(
        splats.opacity_logits.sigmoid(), torch.full((200,), initialize.INITIAL_OPACITY)
    )
    colors = 0.5 + sh.C0 * splats.sh[:, 0]
    assert (colors[:, 0] > colors[:, 2]).all()


@pytest.mark.parametrize("sparse", [0, 30, 200, 1000])
def test_a_scene_starts_from_points_and_never_over_the_cap(photos, generator, sparse):
    scene = [dataclasses.replace(photo, coverage=None) for photo in photos]
    points = np.random.default_rng(0).normal(size=(sparse, 3)) if sparse else None
    rgb = None if points is None else np.full((sparse, 3), 0.25)
    splats = initialize.start_splats(capture_of(scene, points, rgb), scene, FEW, generator)
    assert len(splats) == 200
    assert all(torch.isfinite(tensor).all() for tensor in vars(splats).values())
    if points is not None:
        first = torch.from_numpy(points[0]).float()
        torch.testing.assert_close(splats.means[0], first)
        torch.testing.assert_close(splats.sh[0, 0], torch.full((3,), -0.25 / sh.C0))
    far = (splats.means - CENTER).norm(dim=-1).max()
    assert 5.0 < float(far) < 31 * 1.5


def test_same_generator_same_start(photos):
    first, second = (
        initialize.start_splats(
            capture_of(photos), photos, FEW, torch.Generator().manual_seed(seed)
        )
        for seed in (3, 3)
    )
    assert all(
        torch.equal(a, b) for a, b in zip(vars(first).values(), vars(second).values(), strict=True)
    )


def test_orbit_and_look_along_agree_on_axes():
    """The cameras of these tests look at what they say: +z of the camera is forward."""
    for cameras in (orbit(3, 8, 8), cameras_around(3)):
        forward = cameras.world_to_camera[:, 2, :3]
        focus = initialize.scene_sphere(cameras)[0]
        toward = torch.nn.functional.normalize(focus - cameras.centers, dim=-1)
        torch.testing.assert_close(forward, toward, rtol=0.0, atol=1e-4)
