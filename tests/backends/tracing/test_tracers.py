"""Every tracer against the reference in float64, and against what can be told by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from relight3d.backends.cpu import library
from relight3d.backends.tracing.embree import EmbreeTracer
from relight3d.backends.tracing.interface import Hits, Tracer
from relight3d.backends.tracing.reference import ReferenceTracer
from relight3d.backends.tracing.registry import get_tracer
from relight3d.core.surface import Mesh
from tests.backends.tracing.meshes import crossing_rays, normalized, soup, sphere, square

INFINITE, NAN = float("inf"), float("nan")
DOWN = torch.tensor([0.0, 0.0, -1.0])


@pytest.fixture(params=["embree", "warp", "reference"])
def make(request) -> Callable[[Mesh], Tracer]:
    """One tracer after the other."""
    return lambda mesh: get_tracer(mesh, request.param)


def exact(mesh: Mesh, origins: Tensor, directions: Tensor, far: Tensor | None = None) -> Hits:
    double = Mesh(mesh.vertices.double(), mesh.faces)
    limit = None if far is None else far.double()
    return ReferenceTracer(double).hit(origins.double(), directions.double(), limit)


def assert_agree(tracer: Tracer, mesh: Mesh, rays: tuple[Tensor, ...], wrong: float) -> None:
    """The same triangles but for a share of rays `wrong`, and the same places on them."""
    expected, found = exact(mesh, *rays), tracer.hit(*rays)
    same = found.triangle == expected.triangle
    assert (~same).float().mean() <= wrong
    hit = same & (expected.triangle >= 0)
    assert 0.05 < hit.float().mean() < 1.0  # else this test would show nothing
    assert (found.distance - expected.distance)[hit].abs().max() < 1e-4
    assert (found.barycentrics - expected.barycentrics)[hit].abs().max() < 1e-4
    missed = found.triangle < 0
    assert found.distance[missed].isposinf().all()
    assert not found.barycentrics[missed].any()
    occluded = tracer.occluded(*rays)
    assert (occluded != (expected.triangle >= 0)).float().mean() <= wrong


def test_soup(make, generator):
    mesh, rays = soup(60, generator), crossing_rays(1500, generator)
    assert_agree(make(mesh), mesh, rays, wrong=1e-3)


def test_soup_up_to_a_distance(make, generator):
    mesh, rays = soup(60, generator), crossing_rays(1500, generator)
    far = 0.6 * torch.rand(1500, generator=generator)
    assert_agree(make(mesh), mesh, (*rays, far), wrong=1e-3)


def test_sphere_from_outside(make, generator):
    origins = 3 * normalized(torch.randn(1500, 3, generator=generator))
    directions = normalized(1.2 * torch.randn(1500, 3, generator=generator) - origins)
    assert_agree(make(sphere()), sphere(), (origins, directions), wrong=2e-3)


def test_grazing_rays(make, generator):
    """Past the rim of the sphere within a hundredth of its radius, where facets are edge-on."""
    toward = normalized(torch.randn(1500, 3, generator=generator))
    sideways = normalized(torch.linalg.cross(toward, torch.randn(1500, 3, generator=generator)))
    height = 0.98 + 0.03 * torch.rand(1500, 1, generator=generator)
    assert_agree(make(sphere()), sphere(), (height * sideways - 2 * toward, toward), wrong=5e-3)


@pytest.mark.parametrize(("name", "leaks"), [("embree", 1e-3), ("warp", 2e-2)])
def test_closed_surfaces_do_not_leak(name, leaks, generator):
    """From within, aimed at edges: no ray gets out. Aimed at the very corners, hardly any."""
    mesh = sphere()
    origins = 0.4 * torch.randn(8000, 3, generator=generator).clamp(-1, 1)
    first, second, _ = mesh.vertices[
        mesh.faces[torch.randint(len(mesh), (8000,), generator=generator)]
    ].unbind(1)
    share = 0.01 + 0.98 * torch.rand(8000, 1, generator=generator)
    tracer = get_tracer(mesh, name)
    for aims, allowed in ((share * first + (1 - share) * second, 0.0), (first, leaks)):
        rays = origins, normalized(aims - origins)
        out = ~tracer.occluded(*rays)
        assert out.float().mean() <= allowed
        off = ((aims - origins).norm(dim=-1) - tracer.hit(*rays).distance).abs()
        assert off[~out].max() < 1e-4


def test_both_sides_count(make):
    origins = torch.tensor([[0.3, 0.2, 2.0], [0.3, 0.2, -2.0], [0.3, 0.2, 2.0]])
    hits = make(square()).hit(origins, torch.stack([DOWN, -DOWN, -DOWN]))
    torch.testing.assert_close(hits.distance, torch.tensor([2.0, 2.0, INFINITE]))
    assert hits.triangle.tolist() == [0, 0, -1]
    weights = torch.tensor([[0.05, 0.6], [0.05, 0.6], [0.0, 0.0]])  # (x - y) / 2 and (y + 1) / 2
    torch.testing.assert_close(hits.barycentrics, weights)


def test_far(make):
    far = torch.tensor([1.99999, 2.00001, INFINITE, 0.0, -1.0, NAN])
    rays = torch.tensor([[0.3, 0.2, 2.0]]).expand(6, 3), DOWN.expand(6, 3)
    tracer, expected = make(square()), [False, True, True, False, False, False]
    assert tracer.occluded(*rays, far).tolist() == expected
    assert (tracer.hit(*rays, far).triangle >= 0).tolist() == expected


def test_rays_that_are_not_finite_hit_nothing(make, generator):
    mesh, (origins, directions) = soup(60, generator), crossing_rays(99, generator)
    tracer = make(mesh)
    whole, expected = tracer.hit(origins, directions), tracer.occluded(origins, directions)
    assert expected[:40].any()
    origins[0:8, 1], origins[8:16, 2] = NAN, INFINITE
    directions[16:24, 0], directions[24:32, 2] = NAN, -INFINITE
    directions[32:40] = 0.0
    hits = tracer.hit(origins, directions)
    assert (hits.triangle[:40] == -1).all()
    assert hits.distance[:40].isposinf().all()
    assert torch.equal(hits.triangle[40:], whole.triangle[40:])
    expected[:40] = False
    assert torch.equal(tracer.occluded(origins, directions), expected)


def test_no_triangles_and_no_rays(make, generator):
    nothing = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    tracer, rays = make(nothing), crossing_rays(5, generator)
    assert isinstance(tracer, Tracer)
    assert not tracer.occluded(*rays).any()
    assert tracer.hit(*rays).triangle.tolist() == [-1] * 5
    for mesh in (nothing, square()):
        hits = make(mesh).hit(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0))
        assert hits.distance.shape == hits.triangle.shape == (0,)
        assert hits.barycentrics.shape == (0, 2)
        assert make(mesh).occluded(torch.zeros(0, 3), torch.zeros(0, 3)).shape == (0,)


def test_triangles_without_area_are_not_hit(make):
    mesh = square()
    flat = torch.tensor([[0, 0, 1], [2, 2, 2], [0, 2, 0]])
    mesh = Mesh(mesh.vertices, torch.cat([flat, mesh.faces]))
    origins = torch.tensor([[0.0, 0.0, 1.0], [0.5, -1.0, 1.0], [-0.4, 0.3, 1.0]])
    assert (make(mesh).hit(origins, DOWN.expand(3, 3)).triangle >= 3).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_answers_come_in_the_type_of_the_rays(make, dtype, generator):
    mesh, rays = soup(20, generator), crossing_rays(50, generator)
    origins, directions = (x.to(dtype).requires_grad_() for x in rays)
    hits = make(mesh).hit(origins, directions, torch.ones(50, dtype=dtype))
    assert (hits.distance.dtype, hits.barycentrics.dtype) == (dtype, dtype)
    assert hits.triangle.dtype == torch.long
    assert not hits.distance.requires_grad


def test_a_tracer_keeps_its_own_mesh(make, generator):
    mesh, rays = soup(20, generator), crossing_rays(200, generator)
    tracer = make(mesh)
    before = tracer.hit(*rays)
    mesh.vertices.zero_()
    mesh.faces.zero_()
    assert torch.equal(tracer.hit(*rays).distance, before.distance)


def test_dense_memory_is_not_needed(make, generator):
    mesh, (origins, directions) = soup(20, generator), crossing_rays(200, generator)
    tracer = make(mesh)
    expected = tracer.hit(origins[::2], directions[:1].expand(100, 3))
    found = tracer.hit(origins[::2].clone(), directions[:1].repeat(100, 1))
    assert torch.equal(found.triangle, expected.triangle)
    strided = torch.cat([origins, directions], 1)
    assert torch.equal(
        tracer.occluded(strided[:, :3], strided[:, 3:]), tracer.occluded(origins, directions)
    )


@pytest.mark.parametrize("isa", library.available_isas())
@pytest.mark.parametrize("order", ["scattered", "from one point"])
def test_sorting_and_threads_change_no_answer(isa, order, generator):
    """More rays than are traced unsorted, or by one thread; not a multiple of a packet."""
    mesh, (origins, directions) = soup(60, generator), crossing_rays(20_003, generator)
    if order == "from one point":
        origins = origins[:1].expand_as(origins)
    plain, sorting = EmbreeTracer(mesh, sort_rays=False), EmbreeTracer(mesh)
    with library.use_isa(isa):
        expected, occluded = plain.hit(origins, directions), plain.occluded(origins, directions)
        try:
            for threads in (1, 3):
                library.set_num_threads(threads)
                found = sorting.hit(origins, directions)
                assert torch.equal(found.triangle, expected.triangle)
                torch.testing.assert_close(found.distance, expected.distance, rtol=1e-6, atol=1e-6)
                assert torch.equal(sorting.occluded(origins, directions), occluded)
        finally:
            library.set_num_threads(None)
    assert torch.equal(occluded, expected.triangle >= 0)
    sample = torch.arange(0, 20_003, 50)
    assert_agree(sorting, mesh, (origins[sample], directions[sample]), wrong=3e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["auto", "embree"])
def test_on_a_gpu(name, generator):
    """Warp on the mesh's own device, and Embree for rays that come from there."""
    mesh, rays = soup(60, generator), crossing_rays(1500, generator)
    far = torch.rand(1500, generator=generator)
    expected = exact(mesh, *rays, far)
    tracer = get_tracer(Mesh(mesh.vertices.cuda(), mesh.faces.cuda()), name)
    assert type(tracer).__name__ == {"auto": "WarpTracer", "embree": "EmbreeTracer"}[name]
    on_gpu = [x.cuda() for x in (*rays, far)]
    hits = tracer.hit(*on_gpu)
    assert hits.distance.is_cuda and hits.triangle.is_cuda and hits.barycentrics.is_cuda
    same = hits.triangle.cpu() == expected.triangle
    assert same.float().mean() > 0.999
    hit = same & (expected.triangle >= 0)
    assert (hits.distance.cpu() - expected.distance)[hit].abs().max() < 1e-4
    assert (hits.barycentrics.cpu() - expected.barycentrics)[hit].abs().max() < 1e-4
    occluded = tracer.occluded(*on_gpu).cpu()
    assert (occluded == (expected.triangle >= 0)).float().mean() > 0.999
