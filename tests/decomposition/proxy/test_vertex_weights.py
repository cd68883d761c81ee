import torch
from balls import ball

from relight3d.core.planes import facing, splat_normals
from relight3d.core.surface import Mesh, Proxy
from relight3d.core.types import Materials
from relight3d.decomposition.proxy.vertex_weights import lifted, vertex_weights, with_materials

SPLATS = ball(1500)
OUTWARD = -facing(splat_normals(SPLATS.quats_wxyz), SPLATS.means, torch.zeros(3))


def on_ball(points: torch.Tensor, sign: float = 1.0) -> Proxy:
    normals = torch.nn.functional.normalize(points, dim=-1)
    mesh = Mesh(normals, torch.arange(len(points)).view(-1, 3))
    some = torch.ones(len(points), 3)
    return Proxy(mesh, sign * normals, some, some[:, :1], 0.03)


def proxy(count: int = 300) -> Proxy:
    return on_ball(torch.randn(count, 3, generator=torch.Generator().manual_seed(1)))


def test_values_of_splats_arrive_where_the_splats_are():
    at = vertex_weights(proxy(), SPLATS.gaussians(), OUTWARD)
    torch.testing.assert_close(at.weights.sum(1), torch.ones(300))
    torch.testing.assert_close(at.gather(SPLATS.means), proxy().mesh.vertices, atol=0.06, rtol=0.0)


def test_gather_is_differentiable():
    at = vertex_weights(proxy(), SPLATS.gaussians(), OUTWARD)
    values = torch.rand(len(SPLATS), 2, requires_grad=True)
    at.gather(values).sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad.sum(), torch.tensor(600.0))


def test_the_other_side_of_a_sheet_does_not_count():
    doubled = torch.cat([SPLATS.means, 0.99 * SPLATS.means])
    gaussians = SPLATS.gaussians()
    both = type(gaussians)(
        doubled, *[torch.cat([x, x]) for x in list(vars(gaussians).values())[1:]]
    )
    side = torch.cat([torch.ones(1500, 1), torch.zeros(1500, 1)])
    outward = torch.cat([OUTWARD, -OUTWARD])
    front = vertex_weights(proxy(), both, outward, neighbours=16).gather(side)
    back = vertex_weights(on_ball(proxy().mesh.vertices, -1.0), both, outward, 16).gather(side)
    assert front.min() > 0.99 and back.max() < 0.01


def test_faint_splats_count_little():
    gaussians = SPLATS.gaussians()
    faint = torch.rand(1500, generator=torch.Generator().manual_seed(2)) < 0.5
    gaussians.opacities[faint] = 1e-4
    shares = vertex_weights(proxy(), gaussians, OUTWARD).gather(faint.float()[:, None])
    assert shares.mean() < 0.05


def test_fewer_splats_than_neighbours():
    few = ball(3)
    at = vertex_weights(proxy(), few.gaussians(), few.means)
    assert at.indices.shape == (300, 3) and at.weights.isfinite().all()


def test_materials_reach_the_vertices_and_gradients_the_materials():
    roughness = torch.full((1500, 1), 0.4, requires_grad=True)
    one = torch.ones(1500, 1)
    materials = Materials(SPLATS.means.abs(), roughness, 0 * one, OUTWARD, one, one)
    surface = with_materials(proxy(), materials, SPLATS.gaussians()).materials
    assert surface is not None
    torch.testing.assert_close(surface.roughness, torch.full((300, 1), 0.4))
    torch.testing.assert_close(
        surface.albedo_linear, proxy().mesh.vertices.abs(), atol=0.07, rtol=0.0
    )
    surface.roughness.sum().backward()
    assert roughness.grad is not None and float(roughness.grad.sum()) > 299.0


def test_points_below_the_surface_are_lifted_and_those_above_left():
    dense = proxy(3000)
    directions = torch.nn.functional.normalize(SPLATS.means, dim=-1)
    low, normals = lifted(0.95 * directions, dense, 1.5)
    assert ((low.norm(dim=-1) - 1.0) / dense.voxel > 1.2).all()
    assert (normals * directions).sum(-1).min() > 0.9
    high = 1.1 * directions
    assert torch.equal(lifted(high, dense, 1.5)[0], high)
