"""The chunked irradiance against the plain expression, values and gradients."""

import torch
from torch.autograd import gradcheck

from relight3d.shading.chunked_irradiance import irradiance
from relight3d.shading.directions import spherical_fibonacci


def _inputs(points: int, count: int = 24):
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(points, count, generator=generator, dtype=torch.float64)
    normals = torch.randn(points, 3, generator=generator, dtype=torch.float64)
    radiance = torch.rand(count, 4, generator=generator, dtype=torch.float64)
    directions = spherical_fibonacci(count, dtype=torch.float64)
    return weights, torch.nn.functional.normalize(normals, dim=-1), directions, radiance


def test_equals_the_plain_expression_over_several_chunks():
    weights, normals, directions, radiance = _inputs(5000)
    plain = ((normals @ directions.T).clamp_min(0) * weights) @ radiance
    torch.testing.assert_close(irradiance(weights, normals, directions, radiance), plain)


def test_gradients():
    weights, normals, directions, radiance = _inputs(7)
    assert gradcheck(
        lambda n, r: irradiance(weights, n, directions, r),
        (normals.requires_grad_(), radiance.requires_grad_()),
    )
