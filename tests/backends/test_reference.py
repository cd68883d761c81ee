"""The specification against simpler arithmetic: loops, finite differences, known values."""

import math

import pytest
import torch
from gradients import assert_gradients_agree, draw_and_differentiate
from scenes import bumpy_sphere, four_splats, orbit
from torch.autograd import gradcheck

from relight3d.backends import reference
from relight3d.backends.interface import RasterOptions
from relight3d.core.rotation import matrix_from_quaternion
from relight3d.core.types import Cameras, Gaussians


def draw_by_hand(scene, antialias=False):
    """Pixel by pixel and splat by splat, in Python floats; the Jacobian is not clamped."""
    cameras = scene.cameras.to(dtype=torch.float64)
    g = Gaussians(*[x.double() for x in list(scene.tensors().values())[:4]])
    pose, k = cameras.world_to_camera[0], cameras.intrinsics[0]
    splats = []
    for i in range(len(g)):
        x, y, z = (pose[:3, :3] @ g.means[i] + pose[:3, 3]).tolist()
        axes = matrix_from_quaternion(g.quats_wxyz[i]) * g.scales[i]
        fx, fy = float(k[0, 0]), float(k[1, 1])
        jacobian = torch.tensor([[fx / z, 0, -fx * x / z**2], [0, fy / z, -fy * y / z**2]]).double()
        half = jacobian @ pose[:3, :3] @ axes
        before = half @ half.T
        after = before + 0.3 * torch.eye(2)
        weaker = math.sqrt(torch.det(before) / torch.det(after)) if antialias else 1.0
        mean = torch.tensor([fx * x / z + k[0, 2], fy * y / z + k[1, 2]]).double()
        splats.append((z, mean, torch.linalg.inv(after), float(g.opacities[i]) * weaker, i))
    image = torch.zeros(cameras.height_px, cameras.width_px, scene.features.shape[1]).double()
    alphas = torch.zeros(cameras.height_px, cameras.width_px).double()
    for v in range(cameras.height_px):
        for u in range(cameras.width_px):
            left = 1.0
            for _, mean, inverse, opacity, i in sorted(splats, key=lambda s: s[0]):
                d = torch.tensor([u + 0.5, v + 0.5]).double() - mean
                alpha = min(0.999, opacity * math.exp(-0.5 * float(d @ inverse @ d)))
                if alpha < 1 / 255:
                    continue
                if left * (1 - alpha) <= 1e-4:
                    break
                image[v, u] += left * alpha * scene.features[i]
                left *= 1 - alpha
            alphas[v, u] = 1 - left
    return image, alphas


@pytest.mark.parametrize("antialias", [False, True])
def test_matches_loops(antialias):
    scene = four_splats()
    image, alphas = draw_by_hand(scene, antialias)
    leaves = scene.leaves(torch.float64)
    raster = reference.rasterize(
        leaves.gaussians, leaves.features, leaves.cameras, RasterOptions(antialias=antialias)
    )
    torch.testing.assert_close(raster.features[0], image)
    torch.testing.assert_close(raster.alpha[0, ..., 0], alphas)


def test_opaque_stack_stops_as_loops_do():
    """Eight opaque splats in line: the clamp to 0.999 and the stop at 1e-4 both act."""
    n = 8
    means = torch.zeros(n, 3)
    means[:, 2] = torch.linspace(2, 5, n)
    gaussians = Gaussians(
        means, torch.eye(4)[:1].repeat(n, 1), torch.full((n, 3), 0.4), torch.ones(n)
    )
    scene = four_splats()
    scene = type(scene)(gaussians, torch.rand(n, 2), scene.cameras)
    image, alphas = draw_by_hand(scene)
    assert alphas.max() > 0.99
    leaves = scene.leaves(torch.float64)
    raster = reference.rasterize(leaves.gaussians, leaves.features, leaves.cameras)
    torch.testing.assert_close(raster.features[0], image)
    torch.testing.assert_close(raster.alpha[0, ..., 0], alphas)


@pytest.mark.parametrize("antialias", [False, True])
def test_gradient_matches_finite_differences(antialias):
    scene = four_splats().leaves(torch.float64)

    def draw(*tensors):
        raster = reference.rasterize(
            Gaussians(*tensors[:4]), tensors[4], scene.cameras, RasterOptions(antialias=antialias)
        )
        return raster.features, raster.alpha

    inputs = tuple(scene.tensors().values())
    assert gradcheck(draw, inputs, eps=1e-6, atol=1e-6, rtol=1e-5, fast_mode=True)
    assert gradcheck(lambda *x: draw(*x)[1][:, :2, :2], inputs, eps=1e-6, atol=1e-6, rtol=1e-5)


def test_known_value_at_the_centre():
    """A splat's alpha at its own centre is its opacity, and pixel centres lie at + 0.5."""
    k = torch.tensor([[[50.0, 0, 4.5], [0, 50.0, 2.5], [0, 0, 1]]])
    cameras = Cameras(torch.eye(4)[None], k, 9, 6)
    gaussians = Gaussians(
        torch.tensor([[0.0, 0.0, 3.0]]),
        torch.eye(4)[:1],
        torch.full((1, 3), 0.1),
        torch.tensor([0.75]),
    )
    raster = reference.rasterize(gaussians, torch.tensor([[2.0]]), cameras)
    torch.testing.assert_close(float(raster.alpha[0, 2, 4, 0]), 0.75)
    torch.testing.assert_close(float(raster.features[0, 2, 4, 0]), 1.5)


def test_recomputing_tiles_changes_nothing(monkeypatch):
    """Above the budget of pairs, tiles are composited again in the backward pass."""
    scene = bumpy_sphere(200)
    kept = draw_and_differentiate(reference.rasterize, scene, dtype=torch.float64)
    monkeypatch.setattr(reference, "KEPT_PAIRS", 0)
    again = draw_and_differentiate(reference.rasterize, scene, dtype=torch.float64)
    torch.testing.assert_close(again[0].features, kept[0].features, rtol=0, atol=0)
    assert_gradients_agree(again[1], kept[1], relative=1e-13)


def test_batch_of_cameras_is_a_loop_over_them():
    scene = bumpy_sphere(150, views=3)
    own = torch.rand(3, 150, 2)
    together = reference.rasterize(scene.gaussians, own, scene.cameras)
    for i in range(3):
        alone = reference.rasterize(scene.gaussians, own[i], scene.cameras[i : i + 1])
        assert torch.equal(together.features[i], alone.features[0])
        assert torch.equal(together.visible[i], alone.visible[0])


def test_near_and_far_leave_out():
    scene = four_splats()  # depths 2, 2.5, 3, 3.6
    raster = reference.rasterize(
        scene.gaussians, scene.features, scene.cameras, RasterOptions(near=2.2, far=3.2)
    )
    assert raster.visible.tolist() == [[False, True, True, False]]


def test_nothing_to_draw():
    scene = bumpy_sphere(0, views=2)
    raster = reference.rasterize(scene.gaussians, scene.features, scene.cameras)
    assert raster.features.shape == (2, 45, 61, 3)
    assert raster.visible.shape == (2, 0)
    assert not raster.features.any()


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("field", ["means", "quats_wxyz", "scales", "opacities"])
def test_splats_that_are_not_finite_are_skipped(field, value):
    scene = bumpy_sphere(120)
    broken = {**scene.tensors(), field: scene.tensors()[field].clone()}
    broken[field][7] = value
    features = broken.pop("features")
    whole = type(scene)(Gaussians(**broken), features, orbit(1, 61, 45))
    kept = torch.arange(120) != 7
    rest = type(scene)(
        Gaussians(*[x[kept] for x in list(scene.tensors().values())[:4]]),
        features[kept],
        whole.cameras,
    )
    raster, gradients = draw_and_differentiate(reference.rasterize, whole)
    expected, _ = draw_and_differentiate(reference.rasterize, rest)
    torch.testing.assert_close(raster.features, expected.features)
    assert not raster.visible[0, 7]
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert all(not gradient[7].any() for gradient in gradients.values())
