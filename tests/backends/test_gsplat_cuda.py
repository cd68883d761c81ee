"""The gsplat adapter: its arguments against imitations of three versions, its pictures on a GPU."""

import sys
import types

import pytest
import torch
from gradients import assert_gradients_agree, draw_and_differentiate, relative_error
from scenes import Scene, bumpy_sphere

from relight3d.backends import gsplat_cuda, reference
from relight3d.backends.interface import RasterOptions
from relight3d.core.errors import BackendUnavailableError, ConfigurationError
from relight3d.core.types import Gaussians

COMMON = """means, quats, scales, opacities, colors, viewmats, Ks, width, height, near_plane=0.01,
    far_plane=1e10, radius_clip=0.0, eps2d=0.3, sh_degree=None, packed=True, tile_size=16,
    backgrounds=None, render_mode="RGB", sparse_grad=False, absgrad=False,
    rasterize_mode="classic", channel_chunk=32, distributed=False, camera_model="pinhole" """
SIGNATURES = {
    "1.4.0": COMMON + ", covars=None",
    "1.5.3": COMMON + ", segmented=False, covars=None, with_ut=False, with_eval3d=False",
    "1.6.0": COMMON
    + ", segmented=False, covars=None, with_ut=False, with_eval3d=False, extra=None",
}


def imitate(monkeypatch, signature, version="1.5.3", kernels: object = True):
    """Put a gsplat of that signature into sys.modules; returns the calls it gets."""
    calls = []
    space = {"calls": calls, "torch": torch}
    body = f"def rasterization({signature}):\n    return finish(dict(locals()))"

    def finish(arguments):
        calls.append(arguments)
        cameras, count = arguments["viewmats"].shape[0], arguments["means"].shape[0]
        size = (cameras, arguments["height"], arguments["width"])
        radii = torch.ones(cameras, count, 2, dtype=torch.int32)
        radii[:, 0, 1] = 0
        if version.startswith("1.4"):
            radii = radii[..., 1]
        drawn = torch.full((*size, arguments["colors"].shape[-1]), 0.25)
        return drawn, torch.full((*size, 1), 0.5), {"radii": radii}

    space["finish"] = finish
    exec(body, space)
    gsplat, cuda = types.ModuleType("gsplat"), types.ModuleType("gsplat.cuda")
    backend = types.ModuleType("gsplat.cuda._backend")
    gsplat.__dict__.update(rasterization=space["rasterization"], __version__=version)
    backend.__dict__["_C"] = kernels
    for name, module in (
        ("gsplat", gsplat),
        ("gsplat.cuda", cuda),
        ("gsplat.cuda._backend", backend),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    return calls


@pytest.fixture(autouse=True)
def fresh():
    gsplat_cuda._load.cache_clear()
    yield
    gsplat_cuda._load.cache_clear()


@pytest.mark.parametrize("version", SIGNATURES)
@pytest.mark.parametrize("per_camera", [False, True])
def test_arguments_and_results(monkeypatch, version, per_camera):
    calls = imitate(monkeypatch, SIGNATURES[version], version)
    scene = bumpy_sphere(6, 7, 9, 5, views=2)
    features = torch.rand(2, 6, 7) if per_camera else scene.features
    draw, fixed = gsplat_cuda._load()
    options = RasterOptions(antialias=per_camera, near=0.2, far=50.0)
    raster = gsplat_cuda._draw(draw, fixed, scene.gaussians, features, scene.cameras, options)
    (call,) = calls
    assert call["means"] is scene.gaussians.means
    assert call["quats"] is scene.gaussians.quats_wxyz
    assert call["scales"] is scene.gaussians.scales
    assert call["opacities"] is scene.gaussians.opacities
    assert call["colors"] is features
    assert torch.equal(call["viewmats"], scene.cameras.world_to_camera)
    assert torch.equal(call["Ks"], scene.cameras.intrinsics)
    assert (call["width"], call["height"]) == (9, 5)
    assert (call["near_plane"], call["far_plane"], call["eps2d"]) == (0.2, 50.0, 0.3)
    assert call["rasterize_mode"] == ("antialiased" if per_camera else "classic")
    assert (call["packed"], call["sh_degree"], call["render_mode"]) == (False, None, "RGB")
    assert call["backgrounds"] is None
    assert raster.features.shape == (2, 5, 9, 7)
    assert raster.visible.tolist() == [[False, *[True] * 5]] * 2
    assert gsplat_cuda.gsplat_version() == version


def test_a_gsplat_of_another_kind_is_refused(monkeypatch):
    imitate(monkeypatch, COMMON.replace("eps2d=0.3, ", ""), "2.0.0")
    with pytest.raises(
        BackendUnavailableError, match=r"2\.0\.0 has a `rasterization` without eps2d"
    ):
        gsplat_cuda._load()


def test_a_gsplat_without_kernels_is_refused(monkeypatch):
    imitate(monkeypatch, COMMON, kernels=None)
    with pytest.raises(BackendUnavailableError, match="no CUDA toolkit"):
        gsplat_cuda._load()


def test_a_missing_gsplat_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install relight3d\[cuda\]"):
        gsplat_cuda.gsplat_version()


def test_splats_elsewhere_are_refused(monkeypatch):
    imitate(monkeypatch, COMMON)
    scene = bumpy_sphere(6)
    with pytest.raises(ConfigurationError, match=r"on 'cpu'.*Move both to one GPU"):
        gsplat_cuda.rasterize(scene.gaussians, scene.features, scene.cameras)


def test_no_splats_never_reach_the_gpu(monkeypatch):
    calls = imitate(monkeypatch, COMMON)
    scene = bumpy_sphere(0, 3, 9, 5, views=2).leaves()
    raster = gsplat_cuda._draw(
        *gsplat_cuda._load(), scene.gaussians, scene.features, scene.cameras, RasterOptions()
    )
    assert not calls
    assert raster.features.shape == (2, 5, 9, 3)
    assert raster.visible.shape == (2, 0)
    raster.features.sum().backward()


def on_gpu(scene):
    parts = [x.cuda() for x in scene.tensors().values()]
    return Scene(Gaussians(*parts[:4]), parts[4], scene.cameras.to("cuda"))


@pytest.mark.gpu
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 17, 40])
def test_gpu_agrees_with_the_reference(channels, antialias):
    """Gsplat's fast exponential and its own outlines allow less than the CPU kernel's 1e-5."""
    scene, options = bumpy_sphere(300, channels), RasterOptions(antialias=antialias)
    expected, gradients = draw_and_differentiate(reference.rasterize, scene, options, torch.float64)
    actual, actual_gradients = draw_and_differentiate(gsplat_cuda.rasterize, on_gpu(scene), options)
    assert relative_error(actual.features.cpu(), expected.features) < 1e-3
    assert relative_error(actual.alpha.cpu(), expected.alpha) < 1e-3
    on_cpu = {name: gradient.cpu() for name, gradient in actual_gradients.items()}
    assert_gradients_agree(on_cpu, gradients, 1e-2)


@pytest.mark.gpu
def test_gpu_batch_with_features_per_camera():
    scene = bumpy_sphere(300, views=3)
    features = torch.rand(3, 300, 5)
    moved = on_gpu(Scene(scene.gaussians, features, scene.cameras))
    actual = gsplat_cuda.rasterize(moved.gaussians, moved.features, moved.cameras)
    expected = reference.rasterize(scene.gaussians, features, scene.cameras)
    assert relative_error(actual.features.cpu(), expected.features) < 1e-3
