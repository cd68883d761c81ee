import dataclasses
from math import pi

import pytest
import torch
from sampling import DOUBLE, graded_sphere, mean_and_error, tilted, uniform, unit_vectors
from torch import Tensor

from relight3d.core.errors import ConfigurationError
from relight3d.core.types import DirectionalLight, LobeLight, PointLight
from relight3d.shading.brdf import evaluate
from relight3d.shading.montecarlo.estimator import (
    Rays,
    SampleCounts,
    SurfacePoints,
    draw_rays,
    gather,
    incoming,
    shade_delta,
)
from relight3d.shading.montecarlo.lights import EnvironmentSampler, LightSampler
from relight3d.shading.montecarlo.planes import dot

COUNTS = SampleCounts(cosine=4, ggx=4, light=4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same_points(
    count: int, degrees: float, roughness: float, metallic: float, dtype: torch.dtype = DOUBLE,
    albedo: tuple[float, float, float] = (0.9, 0.5, 0.2),
) -> SurfacePoints:  # fmt: skip
    """A point as often as wanted: each is an independent estimate."""
    up = tilted(0.0, dtype).expand(count, 3)
    constant = lambda *values: torch.tensor(values, dtype=dtype).expand(count, len(values))  # noqa: E731
    return SurfacePoints(
        torch.zeros(count, 3, dtype=dtype), up, up, tilted(degrees, dtype).expand(count, 3),
        constant(*albedo), constant(roughness), constant(metallic),
    )  # fmt: skip


def random_points(count: int, dtype: torch.dtype = DOUBLE) -> SurfacePoints:
    normal = unit_vectors(count, dtype=dtype)
    view = torch.nn.functional.normalize(
        normal + 0.8 * unit_vectors(count, seed=1, dtype=dtype), dim=-1
    )
    values = [uniform(count, size, seed=size, dtype=dtype) for size in (3, 1, 1)]
    return SurfacePoints(normal.clone(), normal, normal, view, *values)


def nothing_in_the_way(origins: Tensor, directions: Tensor, far: Tensor | None = None) -> Tensor:
    return torch.zeros(len(origins), dtype=torch.bool)


BALL = torch.tensor([0.8, 0.3, 1.0], dtype=DOUBLE)


def behind_a_ball(origins: Tensor, directions: Tensor, far: Tensor | None = None) -> Tensor:
    """An occluder with an exact answer: a ball of radius 0.6."""
    toward = BALL.to(origins) - origins
    along = dot(toward, directions)
    miss2 = dot(toward, toward) - along.square()
    hit = (miss2 < 0.36) & (along > 0.0)
    return hit if far is None else hit & (along < far)


def sky(height: int = 8) -> Tensor:
    return uniform(height, 2 * height, 3, seed=9) ** 2


def by_quadrature(
    point: SurfacePoints, light, occluded, rings: int = 600, spokes: int = 400
) -> tuple[Tensor, Tensor]:
    """`brdf.evaluate` over a grid that is dense about the mirror direction, for the first point."""
    view = point.view[0]
    axis = torch.stack([-view[0], -view[1], view[2].abs()])
    directions, areas = graded_sphere(axis, rings, spokes)
    free = ~occluded(torch.zeros_like(directions), directions)
    arriving = light.radiance(directions) * (areas * free)[:, None]
    parts = evaluate(
        point.normal[:1], view, directions, point.albedo[:1], point.roughness[:1],
        point.metallic[:1],
    )  # fmt: skip
    return (parts[0] * arriving).sum(0), (parts[1] * arriving).sum(0)


def estimates(
    points: SurfacePoints, light, counts=COUNTS, occluded=nothing_in_the_way, seed: int = 0
) -> tuple[Tensor, Tensor]:
    rays = draw_rays(points, light, counts, seeded(seed))
    return gather(points, rays, incoming(points, rays, light, occluded, lift=0.0))


WHITE_SKY = torch.ones(4, 8, 3, dtype=DOUBLE)


@pytest.mark.parametrize("metallic", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("roughness", [0.0, 0.1, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("degrees", [0.0, 60.0, 85.0])
def test_white_furnace(degrees, roughness, metallic):
    """Under light from everywhere a white surface returns its BRDF's albedo, within 1 %.

    That albedo is not 1. glTF's lobe scatters once, so rough metals return less; and its Lambert
    base is weakened by Fresnel's share of each half vector, not of the view, so smooth dielectrics
    return more toward grazing: what is exact is the integral of the BRDF itself. Estimates are in
    float32, the type that is used.
    """
    white = (1.0, 1.0, 1.0)
    points = same_points(512, degrees, roughness, metallic, torch.float32, white)
    light = LightSampler(EnvironmentSampler(WHITE_SKY.float()))
    found = sum(estimates(points, light, SampleCounts(16, 16, 8))).mean(0).double()  # pyright: ignore
    exact_points = same_points(1, degrees, roughness, metallic, DOUBLE, white)
    parts = by_quadrature(exact_points, EnvironmentSampler(WHITE_SKY), nothing_in_the_way, 400, 200)
    torch.testing.assert_close(found, sum(parts), rtol=0.01, atol=0.0)  # pyright: ignore


@pytest.mark.parametrize("degrees", [0.0, 45.0, 80.0])
def test_no_part_creates_energy(degrees):
    """Neither the lobe of a white mirror nor the Lambert base returns more than arrives."""
    for roughness in (0.0, 0.2, 0.5, 1.0):
        for metallic in (0.0, 1.0):
            points = same_points(2000, degrees, roughness, metallic, albedo=(1.0, 1.0, 1.0))
            for part in estimates(points, EnvironmentSampler(WHITE_SKY), SampleCounts(8, 16, 0)):
                mean, error = mean_and_error(part[:, 0])
                assert float(mean) <= 1.0 + 3.0 * float(error)


def test_irradiance_by_the_cosine_is_exact():
    """A Lambert surface's furnace has no noise: every ray counts pi / S."""
    points = random_points(50, torch.float32)
    rays = draw_rays(points, None, SampleCounts(16, 0, 0), seeded())
    cosine = dot(points.normal[:, None], rays.directions)
    torch.testing.assert_close((cosine / rays.density).sum(1), torch.full((50,), pi))


MATERIALS = [(0.05, 1.0, 30.0), (0.25, 0.0, 60.0), (0.5, 0.5, 80.0), (1.0, 0.0, 10.0)]


@pytest.mark.parametrize(("roughness", "metallic", "degrees"), MATERIALS)
@pytest.mark.parametrize("counts", [COUNTS, SampleCounts(1, 1, 1), SampleCounts(0, 3, 5)])
def test_estimates_are_unbiased(roughness, metallic, degrees, counts):
    """Means lie within what their own spread allows of quadrature, past an occluder."""
    lobe = LobeLight((0.5, -0.5, 1.0), 30.0, (4.0, 5.0, 6.0))
    light = LightSampler(EnvironmentSampler(sky(), 0.7), [lobe])
    points = same_points(6000, degrees, roughness, metallic)
    exact = by_quadrature(points, light, behind_a_ball)
    for found, true in zip(estimates(points, light, counts, behind_a_ball), exact, strict=True):
        mean, error = mean_and_error(found)
        assert bool(((mean - true).abs() <= 4.0 * error + 5e-4 * true).all()), (mean, true, error)


def sunny_sky() -> Tensor:
    environment = 0.2 * torch.ones(16, 32, 3, dtype=DOUBLE)
    environment[4, 3] = 1e5
    return environment


SCENES = {
    "matte under a sky": (1.0, 0.0, sky()),
    "matte under a sun": (0.9, 0.0, sunny_sky()),
    "polished under a sky": (0.08, 1.0, sky(32)),
    "half glossy under a sun": (0.3, 1.0, sunny_sky()),
}
SINGLE = [SampleCounts(12, 0, 0), SampleCounts(0, 12, 0), SampleCounts(0, 0, 12)]


def relative_spread(scene: str, counts: SampleCounts) -> float:
    """The variance of one point's estimate over its squared mean."""
    roughness, metallic, environment = SCENES[scene]
    light = EnvironmentSampler(environment)
    points = same_points(3000, 50.0, roughness, metallic)
    found = sum(estimates(points, light, counts))
    return float(found.var(0).sum() / found.mean(0).square().sum())  # pyright: ignore


@pytest.mark.parametrize("scene", SCENES)
def test_strategies_together_are_nearly_as_good_as_the_best_alone(scene):
    """A third of the rays is the best strategy's, so the variance may be three times its.

    Veach's bound (1997, theorem 9.2) adds (1 / 4 - 1 / 12) of the squared mean; where a strategy
    alone is next to perfect, as the light's is for a sun, a tenth of that is what is seen.
    """
    best = min(relative_spread(scene, counts) for counts in SINGLE)
    assert relative_spread(scene, COUNTS) < 3.0 * best + 0.1 * (1 / 4 - 1 / 12)


def test_every_strategy_alone_fails_somewhere():
    together = {scene: relative_spread(scene, COUNTS) for scene in SCENES}
    for counts in SINGLE:
        assert max(relative_spread(scene, counts) / together[scene] for scene in SCENES) > 5.0


def test_gradients_match_finite_differences_through_everything():
    """Light, surface and radiance; rays and what they hit stay fixed."""
    points, environment = random_points(3), (0.2 + sky(2)).requires_grad_()
    rays = draw_rays(points, EnvironmentSampler(environment), SampleCounts(2, 2, 2), seeded(4))

    def radiance(normal, albedo, roughness, metallic, environment) -> Tensor:
        changed = dataclasses.replace(
            points, normal=torch.nn.functional.normalize(normal, dim=-1), albedo=albedo,
            roughness=roughness, metallic=metallic,
        )  # fmt: skip
        arriving = incoming(points, rays, EnvironmentSampler(environment), behind_a_ball)
        diffuse, specular = gather(changed, rays, arriving)
        return torch.cat([diffuse, specular])

    inputs = [t.clone().requires_grad_() for t in (
        points.normal, points.albedo, 0.1 + 0.8 * points.roughness, points.metallic)]  # fmt: skip
    assert torch.autograd.gradcheck(radiance, (*inputs, environment), atol=1e-7, rtol=1e-5)


def test_the_same_seed_gives_the_same_radiance():
    points, light = random_points(30, torch.float32), EnvironmentSampler(sky().float())
    first, again, other = (estimates(points, light, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_rays_are_fixed_and_in_planes():
    points = random_points(6, torch.float32)
    points = dataclasses.replace(points, normal=points.normal.clone().requires_grad_())
    rays = draw_rays(points, EnvironmentSampler(sky().float()), COUNTS, seeded())
    assert rays.directions.shape == (6, 12, 3) and rays.density.shape == (6, 12)
    assert not rays.directions.requires_grad and not rays.density.requires_grad
    assert rays.directions.permute(2, 1, 0).is_contiguous()


def test_only_rays_above_both_horizons_are_traced():
    points = random_points(300, torch.float32)
    lean = torch.nn.functional.normalize(
        points.normal + 0.5 * unit_vectors(300, seed=5, dtype=torch.float32), dim=-1
    )
    points = dataclasses.replace(points, geometric_normal=lean)
    light = EnvironmentSampler(sky().float())
    rays = draw_rays(points, light, COUNTS, seeded())
    above = (dot(points.normal[:, None], rays.directions) > 0.0) & (
        dot(lean[:, None], rays.directions) > 0.0
    )
    assert torch.equal(rays.useful, above) and 0 < int(above.sum()) < above.numel()
    asked: list[Tensor] = []

    def occluded(origins: Tensor, directions: Tensor, far: Tensor | None = None) -> Tensor:
        asked.extend((origins, directions))
        return directions[:, 0] > 0.2

    found = incoming(points, rays, light, occluded, lift=0.01)
    origins, directions = asked
    assert origins.is_contiguous() and directions.is_contiguous()
    assert len(origins) == int(rays.useful.sum())
    start = (points.position + 0.01 * lean)[:, None].expand(300, 12, 3)
    by_ray = rays.useful.t()
    torch.testing.assert_close(origins, start.transpose(0, 1)[by_ray])
    torch.testing.assert_close(directions, rays.directions.transpose(0, 1)[by_ray])
    seen = rays.useful & (rays.directions[..., 0] <= 0.2)
    expected = torch.where(seen[..., None], light.radiance(rays.directions), 0.0)
    torch.testing.assert_close(found, expected)


def test_occluders_send_back_their_bounce():
    points, light = random_points(40, torch.float32), EnvironmentSampler(sky().float())
    rays = draw_rays(points, light, COUNTS, seeded())
    glow = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)

    def bounce(origins: Tensor, directions: Tensor) -> Tensor:
        assert bool(behind_a_ball(origins, directions).all())
        return glow * directions[:, :1].abs()

    found = incoming(points, rays, light, behind_a_ball, bounce)
    dark = incoming(points, rays, light, behind_a_ball)
    back = found - dark
    hit = back[..., 0] > 0.0
    assert 0 < int(hit.sum()) < hit.numel() and not dark[hit].any()
    torch.testing.assert_close(back[hit], glow * rays.directions[hit][:, :1].abs())
    found.sum().backward()
    torch.testing.assert_close(glow.grad, rays.directions[hit][:, 0].abs().sum().expand(3))


def test_without_a_light_all_is_what_surfaces_send():
    points = random_points(20, torch.float32)
    rays = draw_rays(points, None, SampleCounts(3, 2, 0), seeded())
    assert not incoming(points, rays, None, behind_a_ball).any()
    glow = incoming(points, rays, None, behind_a_ball, lambda o, d: torch.ones_like(o))
    assert set(glow.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("counts", [(0, 0, 0), (4, -1, 4)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ConfigurationError, match="not all 0, got"):
        SampleCounts(*counts)


def test_light_samples_need_a_light():
    with pytest.raises(ConfigurationError, match="4 light samples a point were asked"):
        draw_rays(random_points(2), None, COUNTS, seeded())


def hard_points() -> SurfacePoints:
    """Every combination of a mirror and chalk, views from above to below, and a lost normal."""
    views = torch.stack([tilted(d, torch.float32) for d in (0.0, 89.9999, 90.0, 130.0, 180.0)])
    up = tilted(0.0, torch.float32)
    normals = torch.stack([up, torch.zeros(3)])
    view = views.repeat(4, 1)
    normal = normals.repeat_interleave(5, 0).repeat(2, 1)
    roughness = torch.tensor([0.0, 1.0]).repeat_interleave(10)[:, None]
    return SurfacePoints(
        torch.zeros(20, 3), normal, up.expand(20, 3), view, torch.ones(20, 3), roughness,
        roughness,
    )  # fmt: skip


ENVIRONMENTS = {
    "black": torch.zeros(8, 16, 3),
    "sun": sunny_sky().float(),
    "sun alone": torch.where(sunny_sky() > 1.0, sunny_sky(), 0.0).float(),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_values_and_gradients_are_finite_in_the_hardest_cases(name):
    points, environment = hard_points(), ENVIRONMENTS[name].clone().requires_grad_()
    leaves = {
        key: getattr(points, key).clone().requires_grad_()
        for key in ("normal", "albedo", "roughness", "metallic")
    }
    points = dataclasses.replace(points, **leaves)
    lobe = LobeLight((0.0, 1.0, 1.0), 1e5, (1e5, 1e5, 1e5))
    light = LightSampler(EnvironmentSampler(environment), [lobe] if name == "sun" else [])
    rays = draw_rays(points, light, SampleCounts(8, 8, 8), seeded())
    for found in (rays.directions, rays.density):
        assert bool(found.isfinite().all())
    parts = gather(points, rays, incoming(points, rays, light, nothing_in_the_way))
    inside = PointLight((0.0, 0.0, 0.0), (5.0, 5.0, 5.0))
    parts += shade_delta(points, [inside], nothing_in_the_way)
    assert all(bool(part.isfinite().all()) for part in parts)
    torch.stack(parts).sum().backward()
    for key, leaf in (leaves | {"environment": environment}).items():
        assert leaf.grad is not None and bool(leaf.grad.isfinite().all()), key


def test_lights_without_extent_by_hand():
    """One in the open, one behind the ball, one behind the surface, one before the ball."""
    points = same_points(1, 20.0, 0.4, 0.3)
    lights = [
        PointLight((0.0, -2.0, 2.0), (10.0, 20.0, 30.0)),
        DirectionalLight((0.8, 0.3, 1.0), (1.0, 1.0, 1.0)),
        PointLight((0.0, 0.0, -1.0), (9.0, 9.0, 9.0)),
        PointLight((0.08, 0.03, 0.1), (0.1, 0.1, 0.1)),
    ]
    traced = []

    def occluded(origins: Tensor, directions: Tensor, far: Tensor | None = None) -> Tensor:
        traced.append(len(origins))
        return behind_a_ball(origins, directions, far)

    found = shade_delta(points, lights, occluded)
    expected = [torch.zeros(1, 3, dtype=DOUBLE) for _ in range(2)]
    for light in (lights[0], lights[3]):
        position = torch.tensor([light.position], dtype=DOUBLE)
        squared = position.square().sum()
        parts = evaluate(points.normal, points.view, position / squared.sqrt(), points.albedo,
                         points.roughness, points.metallic)  # fmt: skip
        power = torch.tensor(light.intensity_linear, dtype=DOUBLE) / squared
        expected = [e + part * power for e, part in zip(expected, parts, strict=True)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert traced == [1, 1, 0, 1]


def test_no_points_at_all():
    points = random_points(5, torch.float32)
    none = SurfacePoints(**{name: value[:0] for name, value in vars(points).items()})
    light = LightSampler(EnvironmentSampler(sky().float()))
    rays = draw_rays(none, light, COUNTS, seeded())
    assert isinstance(rays, Rays)
    diffuse, specular = gather(none, rays, incoming(none, rays, light, nothing_in_the_way))
    assert diffuse.shape == specular.shape == (0, 3)
