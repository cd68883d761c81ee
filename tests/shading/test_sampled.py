"""What halves of the samples tell of the noise of the whole."""

import torch

from relight3d.shading.montecarlo.estimator import (
    SampleCounts,
    SurfacePoints,
    draw_rays,
    gather,
    incoming,
)
from relight3d.shading.montecarlo.lights import EnvironmentSampler, LightSampler
from relight3d.shading.sampled import LightBySamples, gather_with_noise

COUNTS = SampleCounts(8, 4, 6)


def estimate(points_count: int, seed: int = 0, counts: SampleCounts = COUNTS):
    """Many times the same point under a striped sky, half of it hidden."""
    up = torch.tensor([0.0, 0.0, 1.0]).expand(points_count, 3)
    view = torch.nn.functional.normalize(torch.tensor([0.6, 0.0, 0.8]), dim=0).expand_as(up)
    one = torch.ones(points_count, 1)
    points = SurfacePoints(
        torch.zeros(points_count, 3), up, up, view, 0.6 * one.expand(-1, 3), 0.5 * one, 0.0 * one
    )
    stripes = torch.where(torch.arange(16) % 4 < 2, 4.0, 0.1)[None, :, None].expand(8, 16, 3)
    light = LightSampler(EnvironmentSampler(stripes.contiguous()))
    rays = draw_rays(points, light, counts, torch.Generator().manual_seed(seed))
    arriving = incoming(
        points, rays, light, lambda origins, directions, far=None: directions[:, 0] < 0
    )
    return points, rays, arriving


def test_the_whole_is_what_gathering_gives():
    points, rays, arriving = estimate(5)
    for found, expected in zip(
        gather_with_noise(points, rays, arriving, COUNTS),
        gather(points, rays, arriving),
        strict=True,
    ):
        torch.testing.assert_close(found.radiance, expected)


def test_squared_differences_are_the_variance():
    """Of well spread samples the halves tell more noise than the whole has, by a known range."""
    points, rays, arriving = estimate(4000)
    for part in gather_with_noise(points, rays, arriving, COUNTS):
        true = part.radiance.var(0)[0]
        told = part.difference.square().mean(0)[0]
        assert 0.7 < float(told / true) < 4.0


def test_parts_are_joined_in_order():
    parts = [LightBySamples(torch.full((n, 3), float(n)), torch.zeros(n, 3)) for n in (1, 2)]
    assert LightBySamples.joined(parts).radiance[:, 0].tolist() == [1.0, 2.0, 2.0]


def test_one_sample_of_a_kind_is_all_difference():
    counts = SampleCounts(1, 0, 1)
    points, rays, arriving = estimate(3, counts=counts)
    diffuse, _ = gather_with_noise(points, rays, arriving, counts)
    torch.testing.assert_close(diffuse.difference.abs(), diffuse.radiance)
