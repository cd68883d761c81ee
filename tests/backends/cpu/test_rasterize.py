"""The kernel against the float64 specification, for every instruction set this machine runs."""

import functools
import math
import os
import threading

import pytest
import torch
from gradients import assert_gradients_agree, draw_and_differentiate, relative_error
from scenes import Scene, bumpy_sphere, four_splats, orbit

from relight3d.backends import reference
from relight3d.backends.cpu import library, torch_ops
from relight3d.backends.cpu.rasterize import rasterize
from relight3d.backends.interface import RasterOptions
from relight3d.core.conventions import ALPHA_MAX, ALPHA_THRESHOLD, TRANSMITTANCE_STOP
from relight3d.core.errors import ConfigurationError, Relight3dError
from relight3d.core.types import Cameras, Gaussians

ISAS = library.available_isas()
LIMIT = 1e-5
"""Largest relative L2 error of values and of each gradient, to float64."""


@pytest.fixture(params=ISAS)
def isa(request):
    with library.use_isa(request.param):
        yield request.param


@pytest.fixture
def threads():
    yield library.set_num_threads
    library.set_num_threads(None)


def distance_from_jumps(scene, options):
    """How far, relatively, the nearest (splat, pixel) pair is from the alpha threshold or the stop.

    There the specification itself jumps, and rounding decides on which side a pixel falls.
    """
    leaves = scene.leaves(torch.float64)
    with torch.no_grad():
        splats = reference.project(leaves.gaussians, leaves.cameras, 0, options)
        u, v = torch.arange(scene.cameras.width_px), torch.arange(scene.cameras.height_px)
        pixels = torch.cartesian_prod(u, v).double() + 0.5
        dx, dy = (pixels[:, None] - splats.means_px).unbind(-1)
        xx, xy, yy = splats.conics.unbind(-1)
        alpha = splats.opacities * torch.exp(-0.5 * (xx * dx**2 + yy * dy**2) - xy * dx * dy)
        kept = alpha.clamp_max(ALPHA_MAX) * (alpha >= ALPHA_THRESHOLD)
        left = torch.cumprod(1 - kept, 1)
        jumps = (alpha / ALPHA_THRESHOLD, alpha / ALPHA_MAX, left / TRANSMITTANCE_STOP)
        return min((float((x - 1).abs().min()) for x in jumps if x.numel()), default=1.0)


@functools.cache
def oracle(channels, antialias, width=61, height=45, count=300, scale=0.7):
    options = RasterOptions(antialias=antialias)
    scenes = (bumpy_sphere(count, channels, width, height, 1, seed, scale) for seed in range(50))
    scene = next(scene for scene in scenes if distance_from_jumps(scene, options) > 1e-5)
    return (
        scene,
        options,
        *draw_and_differentiate(reference.rasterize, scene, options, torch.float64),
    )


def assert_agrees(scene, options, raster, gradients):
    actual, actual_gradients = draw_and_differentiate(rasterize, scene, options)
    assert relative_error(actual.features, raster.features) < LIMIT
    assert relative_error(actual.alpha, raster.alpha) < LIMIT
    assert_gradients_agree(actual_gradients, gradients, LIMIT)
    # A splat that colours a pixel is visible; the outlines of visible ones only meet a tile.
    assert (actual.visible | ~raster.visible).all()
    hidden = ~actual.visible.any(0)
    assert not any(gradient[hidden].any() for gradient in actual_gradients.values())


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 16, 17, 24, 32, 40])
def test_any_number_of_channels(isa, channels):
    assert_agrees(*oracle(channels, antialias=channels % 2 == 1))


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [(64, 48), (75, 53), (1, 1), (17, 16), (16, 33)])
def test_any_size(isa, size, antialias):
    assert_agrees(*oracle(4, antialias, *size))


def test_many_small_splats(isa):
    assert_agrees(*oracle(8, False, 40, 40, 2000, 0.5))


def test_splats_larger_than_the_image(isa):
    assert_agrees(*oracle(3, False, 70, 40, 150, 4.0))


def test_gradient_matches_finite_differences(isa):
    """End to end, against the kernel's own values; float32 differences allow three digits."""
    scene = four_splats()
    leaves = scene.leaves()
    generator = torch.Generator().manual_seed(3)
    weights = torch.rand(12, 20, 3, generator=generator)

    def loss(gaussians, features):
        raster = rasterize(gaussians, features, scene.cameras)
        return (raster.features[0] * weights).double().sum() + raster.alpha.double().sum()

    loss(leaves.gaussians, leaves.features).backward()
    for name, leaf in leaves.tensors().items():
        numeric = torch.zeros(leaf.numel())
        for i in range(leaf.numel()):
            sides = []
            for step in (0.01, -0.01):
                moved = {k: v.detach().clone() for k, v in leaves.tensors().items()}
                moved[name].view(-1)[i] += step
                features = moved.pop("features")
                sides.append(float(loss(Gaussians(**moved), features)))
            numeric[i] = (sides[0] - sides[1]) / 0.02
        assert leaf.grad is not None
        assert relative_error(leaf.grad.flatten(), numeric) < 2e-3, name


@pytest.mark.parametrize("per_camera", [False, True])
def test_batch_of_cameras_is_a_loop_over_them(isa, per_camera):
    scene = bumpy_sphere(300, 5, 40, 33, views=3)
    if per_camera:
        scene = Scene(scene.gaussians, torch.rand(3, 300, 5), scene.cameras)
    raster, gradients = draw_and_differentiate(rasterize, scene)
    generator = torch.Generator().manual_seed(1)
    cotangents = [
        torch.randn(x.shape, generator=generator) for x in (raster.features, raster.alpha)
    ]
    leaves = scene.leaves()
    for i in range(3):
        features = leaves.features[i] if per_camera else leaves.features
        alone = rasterize(leaves.gaussians, features, leaves.cameras[i : i + 1])
        assert torch.equal(alone.features[0], raster.features[i])
        assert torch.equal(alone.visible[0], raster.visible[i])
        torch.autograd.backward(
            [alone.features, alone.alpha], [cotangent[i : i + 1] for cotangent in cotangents]
        )
    summed = {k: leaf.grad for k, leaf in leaves.tensors().items() if leaf.grad is not None}
    assert_gradients_agree(gradients, summed, 1e-6)


def bits(raster, gradients):
    return [raster.features, raster.alpha, raster.visible, *gradients.values()]


def test_every_bit_is_the_same_for_any_number_of_threads(isa, threads):
    scene = bumpy_sphere(25000, 6, 120, 83)  # enough splats for the sort to use all threads
    runs = []
    for count in (1, 2, 3, 5, 2):
        threads(count)
        runs.append(bits(*draw_and_differentiate(rasterize, scene)))
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(run, runs[0], strict=True))


@pytest.mark.parametrize("channels", [3, 40])
@pytest.mark.parametrize("budget", [1, 20_000])
def test_every_bit_is_the_same_for_any_budget_of_rows(isa, threads, monkeypatch, channels, budget):
    """Splats over the whole image, so that rows are many; one tile or a few at a time."""
    threads(2)
    scene = bumpy_sphere(60, channels, 100, 70, views=2, scale=6.0)
    whole = bits(*draw_and_differentiate(rasterize, scene))
    monkeypatch.setattr(torch_ops, "ROW_BYTES", budget)
    banded = bits(*draw_and_differentiate(rasterize, scene))
    assert all(torch.equal(a, b) for a, b in zip(banded, whole, strict=True))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30, -1e30, 0.0])
@pytest.mark.parametrize("field", ["means", "quats_wxyz", "scales", "opacities"])
def test_absurd_splats_do_no_harm(isa, field, value):
    scene = bumpy_sphere(120)
    broken = {**scene.tensors(), field: scene.tensors()[field].clone()}
    broken[field][7:9] = value
    broken[field][20].view(-1)[0] = value
    features = broken.pop("features")
    raster, gradients = draw_and_differentiate(
        rasterize, Scene(Gaussians(**broken), features, scene.cameras)
    )
    assert raster.features.isfinite().all()
    assert raster.alpha.min() >= 0
    assert raster.alpha.max() <= 1
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    if not math.isfinite(value):
        assert not raster.visible[0, [7, 8, 20]].any()


def test_skipped_splats_leave_the_others_alone(isa):
    scene = bumpy_sphere(120)
    means = scene.gaussians.means.clone()
    means[7] = math.nan
    kept = torch.arange(120) != 7
    rest = [x[kept] for x in scene.tensors().values()]
    raster = rasterize(
        Gaussians(means, *list(scene.tensors().values())[1:4]), scene.features, scene.cameras
    )
    expected = rasterize(Gaussians(*rest[:4]), rest[4], scene.cameras)
    assert torch.equal(raster.features, expected.features)


@pytest.mark.parametrize("count", [0, 5])
def test_nothing_to_see(isa, count):
    """No splats, or all of them behind the camera."""
    scene = bumpy_sphere(count, 3, 33, 21, views=2)
    away = Cameras(scene.cameras.world_to_camera.clone(), scene.cameras.intrinsics, 33, 21)
    away.world_to_camera[:, 2, 3] -= 20
    scene = Scene(scene.gaussians, scene.features, away)
    raster, gradients = draw_and_differentiate(rasterize, scene)
    assert raster.features.shape == (2, 21, 33, 3)
    assert raster.visible.shape == (2, count)
    assert not raster.features.any()
    assert not raster.alpha.any()
    assert not raster.visible.any()
    assert not any(gradient.any() for gradient in gradients.values())


def test_no_cameras():
    scene = bumpy_sphere(20)
    raster = rasterize(scene.gaussians, scene.features, scene.cameras[0:0])
    assert raster.features.shape == (0, 45, 61, 3)


def test_near_and_far_leave_out():
    scene = four_splats()  # depths 2, 2.5, 3, 3.6
    options = RasterOptions(near=2.2, far=3.2)
    raster = rasterize(scene.gaussians, scene.features, scene.cameras, options)
    assert raster.visible.tolist() == [[False, True, True, False]]


def test_other_types_and_layouts_are_converted():
    scene = bumpy_sphere(150, 4)
    expected, gradients = draw_and_differentiate(rasterize, scene)
    doubles, double_gradients = draw_and_differentiate(rasterize, scene, dtype=torch.float64)
    assert torch.equal(doubles.features, expected.features)
    assert double_gradients["means"].dtype == torch.float64
    assert_gradients_agree(double_gradients, gradients, 1e-6)
    strided = scene.features.T.contiguous().T
    assert not strided.is_contiguous()
    assert torch.equal(
        rasterize(scene.gaussians, strided, scene.cameras).features, expected.features
    )


def test_gradient_of_alpha_alone():
    scene = bumpy_sphere(150, 4)
    results = []
    for draw, dtype in ((rasterize, torch.float32), (reference.rasterize, torch.float64)):
        leaves = scene.leaves(dtype)
        alpha = draw(leaves.gaussians, leaves.features, leaves.cameras).alpha
        means = leaves.gaussians.means
        results.append({"means": torch.autograd.grad(alpha.square().sum(), means)[0]})
    assert_gradients_agree(*results)


def test_two_callers_at_once():
    """The lock of the interpreter is released while drawing, so calls do overlap."""
    scenes = [bumpy_sphere(2000, 3, 80, 60, seed=seed) for seed in range(3)]
    alone = [bits(*draw_and_differentiate(rasterize, scene)) for scene in scenes]
    together = [[] for _ in scenes]

    def work(i):
        for _ in range(5):
            together[i].append(bits(*draw_and_differentiate(rasterize, scenes[i])))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(scenes))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i, runs in enumerate(together):
        assert len(runs) == 5
        for run in runs:
            assert all(torch.equal(a, b) for a, b in zip(run, alone[i], strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_draws_too(threads):
    """Its parent's sleeping threads do not exist in it; it must start its own."""
    threads(3)
    scene = bumpy_sphere(500)
    expected = rasterize(scene.gaussians, scene.features, scene.cameras).features
    child = os.fork()
    if child == 0:
        same = torch.equal(
            rasterize(scene.gaussians, scene.features, scene.cameras).features, expected
        )
        os._exit(0 if same else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_too_many_intersections_are_refused():
    """8,200 splats, each over all 524,288 tiles: more than 32 bits count. Nothing is drawn."""
    count = 8200
    gaussians = Gaussians(
        torch.tensor([[0.0, 0.0, 3.0]]).repeat(count, 1),
        torch.eye(4)[:1].repeat(count, 1),
        torch.full((count, 3), 1e3),
        torch.full((count,), 0.5),
    )
    k = torch.tensor([[[1000.0, 0, 32768], [0, 1000.0, 1024], [0, 0, 1]]])
    cameras = Cameras(torch.eye(4)[None], k, 65536, 2048)
    with pytest.raises(Relight3dError, match=r"4299161600 tiles.*scales are far too large"):
        rasterize(gaussians, torch.ones(count, 1), cameras)


def test_guards_are_alive():
    scene = bumpy_sphere(20, views=2)
    with pytest.raises(ConfigurationError, match=r"Features must be \[20, F\]"):
        rasterize(scene.gaussians, torch.ones(3, 20, 2), scene.cameras)
    with pytest.raises(ConfigurationError, match="F >= 1"):
        rasterize(scene.gaussians, torch.ones(20, 0), scene.cameras)
    with pytest.raises(ConfigurationError, match="65536 pixels"):
        rasterize(scene.gaussians, scene.features, orbit(1, 70000, 2))
    elsewhere = Gaussians(*[x.to("meta") for x in list(scene.tensors().values())[:4]])
    with pytest.raises(ConfigurationError, match=r"on 'meta'.*Move the scene to the CPU"):
        rasterize(elsewhere, scene.features, scene.cameras)
