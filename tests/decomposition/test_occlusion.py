import math

import pytest
import torch
from balls import ball, discs

from relight3d.backends.registry import get_rasterizer
from relight3d.core.types import Gaussians, Splats
from relight3d.decomposition.occlusion import Occlusion, bake
from relight3d.shading.visibility import Sphere

LIGHT = torch.tensor([2.0, 1.0, 0.5])


def square(axes: tuple[int, int], normal: list[float], low: float = -1.5) -> Splats:
    """Discs on a square of the plane spanned by two world axes, from `low` to 1.5."""
    steps = torch.linspace(low, 1.5, 22)
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).view(-1, 2)
    means = torch.zeros(len(grid), 3)
    means[:, list(axes)] = grid
    return discs(means, torch.tensor([normal]).expand_as(means), 0.1, torch.full_like(means, 0.5))


def baked(gaussians: Gaussians, normals, count=96, shadow_map_px=96, **options) -> Occlusion:
    return bake(
        gaussians, normals, rasterize=get_rasterizer("cpu"), count=count, environment_height=16,
        shadow_map_px=shadow_map_px, **options,
    )  # fmt: skip


def irradiance_of(occlusion: Occlusion, normals, rows=None):
    sky = LIGHT.expand(len(occlusion.cells.directions), 3)
    return occlusion.irradiance(normals, sky, rows)


def test_an_open_plane_gets_pi_times_the_radiance():
    floor = square((0, 1), [0.0, 0.0, 1.0])
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(floor.means)
    found, open_share = irradiance_of(baked(floor.gaussians(), up), up)
    middle = floor.means.norm(dim=-1) < 1.0
    torch.testing.assert_close(
        found[middle], (math.pi * LIGHT).expand_as(found[middle]), rtol=0.03, atol=0.0
    )
    assert float(open_share[middle].min()) > 0.97
    assert float(open_share.max()) <= 1.0


def test_axes_of_either_sign_are_baked_alike():
    floor = square((0, 1), [0.0, 0.0, 1.0])
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(floor.means)
    both = baked(floor.gaussians(), up), baked(floor.gaussians(), -up)
    torch.testing.assert_close(both[0].weights, both[1].weights)


def test_a_corner_is_darker():
    """Where floor meets a wall, half of the sky is gone; far from it nearly nothing."""
    floor = square((0, 1), [0.0, 0.0, 1.0], low=0.0)
    wall = square((1, 2), [1.0, 0.0, 0.0], low=0.0)
    both = Splats(**{n: torch.cat([v, vars(wall)[n]]) for n, v in vars(floor).items()})
    normals = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]).repeat_interleave(len(floor), 0)
    found = irradiance_of(baked(both.gaussians(), normals), normals)[1][: len(floor), 0]
    x, y = floor.means[:, 0], floor.means[:, 1]
    middle = (y - 0.75).abs() < 0.3
    near = found[middle & (x > 0.15) & (x < 0.3)].mean()
    far = found[middle & (x > 1.2)].mean()
    assert 0.5 < float(near) < 0.72
    assert float(far) > 0.85


def test_a_ball_shadows_its_other_half():
    splats = ball(1200)
    normals = torch.nn.functional.normalize(splats.means, dim=-1)
    occlusion = baked(splats.gaussians(), normals)
    found, _ = irradiance_of(occlusion, normals)
    torch.testing.assert_close(found.mean(0), math.pi * LIGHT, rtol=0.04, atol=0.0)
    inward, _ = irradiance_of(occlusion, -normals)
    assert float((inward / LIGHT).max()) < 0.1 * math.pi


def test_nothing_beyond_the_scope_casts_shadows():
    inner, shell = ball(300), ball(600, radius=5.0)
    both = Splats(**{n: torch.cat([v, vars(shell)[n]]) for n, v in vars(inner).items()})
    normals = torch.nn.functional.normalize(both.means, dim=-1)
    some = torch.arange(300)
    enclosed = baked(both.gaussians(), normals)
    free = baked(both.gaussians(), normals, sphere=Sphere(torch.zeros(3), 1.3), shadow_map_px=64)
    assert float(irradiance_of(enclosed, normals[:300], some)[1].mean()) < 0.1
    assert float(irradiance_of(free, normals[:300], some)[1].mean()) > 0.6


def test_surroundings_are_a_geometric_series():
    """Half of the sky is gone everywhere: B = a E / pi + a B / 2, summed by hand."""
    floor = square((0, 1), [0.0, 0.0, 1.0])
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(floor.means)
    occlusion = baked(floor.gaussians(), up)
    half = Occlusion(
        occlusion.cells, 0.5 * occlusion.cells.solid_angle.expand_as(occlusion.weights),
        occlusion.sh,
    )  # fmt: skip
    albedo = torch.full_like(up, 0.6)
    share = torch.full_like(up[:, :1], 1 / len(up))
    sky = LIGHT.expand(len(occlusion.cells.directions), 3)
    found = half.surroundings(albedo, up, sky, share)
    expected, once = torch.zeros(3), 0.6 * 0.5 * LIGHT
    for _ in range(60):
        expected, once = expected + once, 0.6 * 0.5 * once
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.0)
    assert float(half.surroundings(0 * albedo, up, sky, share).max()) == 0.0


def test_irradiance_is_differentiable_in_light_and_normals():
    floor = square((0, 1), [0.0, 0.0, 1.0])
    normals = torch.tensor([0.3, 0.0, 0.95]).expand_as(floor.means).clone().requires_grad_()
    occlusion = baked(floor.gaussians(), normals.detach(), count=24, shadow_map_px=32)
    light = torch.ones(24, 3, requires_grad=True)
    occlusion.irradiance(normals, light)[0].sum().backward()
    assert normals.grad is not None and float(normals.grad.abs().sum()) > 0
    assert light.grad is not None
    below = occlusion.cells.directions[:, 2] < -0.4
    assert float(light.grad[below].abs().max()) == pytest.approx(0.0, abs=1e-5)
    assert float(light.grad[~below].max()) > 0
