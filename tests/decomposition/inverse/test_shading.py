import torch
from sampling import mean_and_error
from traced_ball import BallTracer, ball_proxy

from relight3d.core.types import PointLight
from relight3d.decomposition.inverse.shading import PhotoLight, counts_for, shade_points
from relight3d.shading.montecarlo.estimator import SurfacePoints
from relight3d.shading.montecarlo.lights import EnvironmentSampler

LAMP = PointLight((0.0, 0.0, 3.0), (8.0, 8.0, 8.0))
TRACER = BallTracer(ball_proxy())


def sky(value: float = 1.0) -> EnvironmentSampler:
    return EnvironmentSampler(torch.full((8, 16, 3), value))


def glow(origins: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    return torch.full_like(origins, 1.0)


def hidden(origins: torch.Tensor, directions: torch.Tensor, far=None) -> torch.Tensor:
    return torch.ones(len(origins), dtype=torch.bool)


def top(count: int = 400, height: float = 1.01) -> SurfacePoints:
    """The same matt point on top of the ball, so many times."""
    one, up = torch.ones(count, 1), torch.tensor([[0.0, 0.0, 1.0]]).expand(count, 3)
    return SurfacePoints(height * up, up, up, up, 0.5 * one.expand(-1, 3), one, 0.0 * one)


def shaded(light: PhotoLight, rays: int = 16, occluded=TRACER.occluded) -> torch.Tensor:
    parts = shade_points(top(), light, rays, occluded, torch.Generator().manual_seed(0))
    return parts[0] + parts[1]


def test_rays_are_spent_where_they_can_find_something():
    assert counts_for(16, PhotoLight(None, (LAMP,), None)) is None
    within = counts_for(16, PhotoLight(None, (LAMP,), glow))
    assert within is not None and (within.total, within.light) == (16, 0)
    for rays in (4, 7, 16, 48):
        both = counts_for(rays, PhotoLight(sky(), (), None))
        assert both is not None and both.total == rays
        assert min(both.cosine, both.ggx, both.light) >= 1


def test_a_lamp_alone_is_exact_and_shadowed():
    light = PhotoLight(None, (LAMP,), None)
    found = shaded(light)
    assert torch.equal(found, found[:1].expand_as(found))
    half = shaded(PhotoLight(None, (PointLight(LAMP.position, (4.0, 4.0, 4.0)),), None))
    torch.testing.assert_close(found, 2.0 * half)
    assert not shaded(light, occluded=hidden).any()


def test_lights_add():
    parts = (sky(), ()), (None, (LAMP,)), (sky(), (LAMP,))
    sums = [shaded(PhotoLight(distant, lamps, None)) for distant, lamps in parts]
    torch.testing.assert_close(sums[2], sums[0] + sums[1])


def test_what_hides_a_uniform_sky_and_shines_alike_makes_no_difference():
    free, dark, closed = (
        mean_and_error(shaded(PhotoLight(sky(), (), bounce), occluded=occluded))
        for bounce, occluded in ((None, TRACER.occluded), (None, hidden), (glow, hidden))
    )
    assert not dark[0].any()
    assert torch.all((free[0] - closed[0]).abs() < 4 * (free[1] + closed[1]) + 1e-6)
    assert 0.4 < float(free[0].mean()) < 0.6


def test_gradients_reach_the_light_and_the_material():
    radiance = torch.ones(8, 16, 3, requires_grad=True)
    light = PhotoLight(EnvironmentSampler(radiance), (LAMP,), glow)
    points = top(20)
    albedo = points.albedo.clone().requires_grad_()
    lit = SurfacePoints(**(vars(points) | {"albedo": albedo}))
    parts = shade_points(lit, light, 16, TRACER.occluded, torch.Generator().manual_seed(0))
    (parts[0] + parts[1]).sum().backward()
    assert radiance.grad is not None and albedo.grad is not None
    assert radiance.grad[:4].sum() > 0 and (albedo.grad > 0).all()
    assert float(radiance.grad[4:].sum()) < 0.2 * float(radiance.grad[:4].sum())
