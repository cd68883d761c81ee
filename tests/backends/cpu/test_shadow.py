"""The compiled lookups in shadow maps against those of shading in float64, for every ISA."""

import dataclasses

import pytest
import torch
from balls import ball
from torch import Tensor

from relight3d.backends.cpu import library, shadow
from relight3d.backends.cpu.rasterize import rasterize
from relight3d.core.types import Cameras
from relight3d.decomposition import shadows
from relight3d.shading import shadow_map, visibility
from relight3d.shading.directions import spherical_fibonacci
from relight3d.shading.shadow_map import ShadowMaps, look_along

BIAS = 0.05


@pytest.fixture(params=library.available_isas())
def isa(request):
    """Each instruction set that runs here."""
    with library.use_isa(request.param):
        yield request.param


def cameras(size: int) -> Cameras:
    """Three of them around the origin, three units away."""
    forward = spherical_fibonacci(3)
    return look_along(-3 * forward, forward, 0.4, size)


def random_maps(size: int, generator: torch.Generator) -> ShadowMaps:
    """Noise about the origin: planes of every tilt, empty texels, partly covered ones."""
    alpha = torch.rand(3, size, size, generator=generator)
    alpha[alpha < 0.2] = 0.0
    normal = torch.randn(3, size, size, 3, generator=generator)
    normal = torch.nn.functional.normalize(normal, dim=-1) * (0.7 + 0.3 * alpha[..., None])
    depth = 2.5 + torch.rand(3, size, size, 1, generator=generator)
    views = cameras(size)
    offset = depth * (normal * shadow_map._pixel_rays(views)).sum(-1, keepdim=True)
    flip = torch.where(offset > 0.0, -1.0, 1.0)
    drawn = torch.cat([flip * normal, flip * offset, depth], -1) * alpha[..., None]
    return ShadowMaps(views, drawn, alpha)


def receivers(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points in and beside the maps and behind some cameras.

    The first camera sees some of their planes all but edge-on, some of them only once they are
    moved by the bias.
    """
    points = torch.randn(count, 3, generator=generator)
    points[::7] *= 6.0
    normals = torch.randn(count, 3, generator=generator)
    ray = points[::5] - cameras(8).centers[0]
    distance = torch.where(torch.arange(len(ray)) % 2 == 0, 0.01, -1.01 * BIAS)
    sine = distance[:, None] / ray.norm(dim=-1, keepdim=True)  # of the plane past the camera
    edge_on = torch.nn.functional.normalize(torch.linalg.cross(ray, normals[::5]), dim=-1)
    along = torch.nn.functional.normalize(ray, dim=-1)
    normals[::5] = (1.0 - sine**2).sqrt() * edge_on + sine * along
    return points, torch.nn.functional.normalize(normals, dim=-1)


def in_double(maps: ShadowMaps) -> ShadowMaps:
    views = maps.cameras.to(dtype=torch.float64)
    return ShadowMaps(views, maps.drawn.double(), maps.alpha.double())


def compiled(maps: ShadowMaps, points: Tensor, normals: Tensor | None) -> tuple[Tensor, Tensor]:
    return shadow.lit_fraction(maps.cameras, maps.drawn, maps.alpha, points, normals, BIAS)


@pytest.mark.parametrize("size", [1, 37, 64])
@pytest.mark.parametrize("count", [1, 16, 2011])
@pytest.mark.parametrize("oriented", [True, False])
def test_lookups(isa, size, count, oriented, generator):
    """Rounding may move a point across a threshold: few may differ, and the rest hardly."""
    maps, (points, normals) = random_maps(size, generator), receivers(count, generator)
    lit, inside = compiled(maps, points, normals if oriented else None)
    truth, covered = shadow_map.lit_fraction(
        in_double(maps), points.double(), normals.double() if oriented else None, BIAS
    )
    if count > 1000:
        assert 0.1 < float(inside.float().mean()) < 0.9  # the scene asks about both
        assert size == 1 or float(lit[inside].std()) > 0.1
    assert int((inside != covered).sum()) <= 1
    error = (lit - truth).abs()
    assert int((error > 1e-4).sum()) <= 0.002 * error.numel(), error.topk(9)
    assert float(error[error <= 1e-4].mean()) < 5e-6
    assert torch.equal(lit[~inside], torch.ones_like(lit[~inside]))


def test_as_exact_as_torch_in_float32(isa, generator):
    """Drawn splats seen from far away, as directional lights see them."""
    gaussians = ball(1500).gaussians()
    directions = spherical_fibonacci(4)
    views = look_along(30 * directions, -directions, 0.04, 64)
    planes = shadow_map.splat_planes(gaussians)
    maps = shadow_map.render_shadow_maps(gaussians, planes, views, rasterize)
    means, normals = gaussians.means, torch.nn.functional.normalize(gaussians.means, dim=-1)
    truth, _ = shadow_map.lit_fraction(in_double(maps), means.double(), normals.double(), BIAS)
    ours, theirs = (
        float((look_up(maps, means, normals, BIAS)[0] - truth).abs().mean())
        for look_up in (shadows.lit_fraction, shadow_map.lit_fraction)
    )
    assert 0.3 < float(truth.mean()) < 0.7
    assert ours < 1.5 * theirs + 1e-6 and ours < 1e-5


def test_threads_do_not_change_a_bit(generator):
    maps, given = random_maps(64, generator), receivers(3000, generator)
    results = []
    for threads in (1, 2, 5):
        library.set_num_threads(threads)
        try:
            results.append(compiled(maps, *given))
        finally:
            library.set_num_threads(None)
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


def test_points_that_are_not_finite_do_no_harm(isa, generator):
    maps, (points, normals) = random_maps(16, generator), receivers(40, generator)
    expected = compiled(maps, points[3:], normals[3:])[0]
    points[0], points[1], points[2] = torch.nan, torch.inf, 1e30
    torch.testing.assert_close(compiled(maps, points, normals)[0][:, 3:], expected)


def test_no_points(isa, generator):
    lit, inside = compiled(random_maps(16, generator), torch.zeros(0, 3), None)
    assert lit.shape == inside.shape == (3, 0)


def test_strided_inputs(generator):
    maps, (points, normals) = random_maps(16, generator), receivers(50, generator)
    channels_first = maps.drawn.movedim(-1, 0).contiguous().movedim(0, -1)
    strided = dataclasses.replace(maps, drawn=channels_first)
    found = compiled(strided, points.t().contiguous().t(), normals)
    assert torch.equal(found[0], compiled(maps, points, normals)[0])


@pytest.mark.parametrize("broken", ["drawn", "alpha", "points", "normals", "size"])
def test_wrong_shapes_are_refused(broken, generator):
    maps, (points, normals) = random_maps(16, generator), receivers(50, generator)
    given = {"drawn": maps.drawn, "alpha": maps.alpha, "points": points, "normals": normals}
    views = maps.cameras
    if broken == "size":
        views = dataclasses.replace(views, width_px=17, height_px=17)
    else:
        given[broken] = given[broken][..., 1:]
    with pytest.raises((AssertionError, TypeError)):  # the latter by checks of annotations
        shadow.lit_fraction(views, **given, bias=BIAS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("oriented", [True, False])
def test_the_room_takes_the_kernel_where_it_serves(monkeypatch, dtype, oriented, generator):
    real, calls = shadow.lit_fraction, []
    monkeypatch.setattr(
        shadow, "lit_fraction", lambda *given: (calls.append(given), real(*given))[1]
    )
    maps, (points, normals) = random_maps(16, generator), receivers(50, generator)
    maps = maps if dtype == torch.float32 else in_double(maps)
    found, _ = shadows.lit_fraction(
        maps, points.to(dtype), normals.to(dtype) if oriented else None, BIAS
    )
    assert len(calls) == (dtype == torch.float32)
    assert found.dtype == dtype


@pytest.mark.parametrize("position", [(0.0, 2.0, 2.0), (0.0, 0.0, 1.2)])
def test_traced_visibility_is_that_of_shading(position):
    gaussians, directions = ball(600).gaussians(), spherical_fibonacci(11)
    normals = torch.nn.functional.normalize(gaussians.means, dim=-1)
    receiver, how = (gaussians, gaussians.means, normals), {"resolution_px": 64}
    found, expected = (
        torch.cat(
            [
                room.trace_visibility(*receiver, directions, rasterize=rasterize, **how),
                room.point_light_visibility(*receiver, position, rasterize=rasterize, **how),
            ],
            -1,
        )
        for room in (shadows, visibility)
    )
    assert all(0.03 < float(lit) < 0.95 for lit in expected.mean(0))
    torch.testing.assert_close(found, expected, rtol=0.0, atol=2e-3)
