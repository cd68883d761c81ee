"""The compiled irradiance against the plain expression in float64."""

import pytest
import torch

from relight3d.backends.cpu import irradiance as compiled
from relight3d.backends.cpu import library
from relight3d.core.errors import Relight3dError
from relight3d.decomposition.irradiance import irradiance
from relight3d.shading.directions import spherical_fibonacci


def inputs(points=700, count=40, channels=4, table=1000):
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(table, count, generator=generator)
    rows = torch.randint(table, (points,), generator=generator)
    normals = torch.randn(points, 3, generator=generator)
    radiance = torch.rand(count, channels, generator=generator)
    normals = torch.nn.functional.normalize(normals, dim=-1)
    return weights, rows, normals, spherical_fibonacci(count), radiance


def plain(weights, rows, normals, directions, radiance):
    chosen = weights if rows is None else weights[rows]
    return ((normals @ directions.T).clamp_min(0) * chosen) @ radiance


def differentiated(function, weights, rows, normals, directions, radiance, turning=True):
    """Values and gradients under fixed cotangents."""
    normals, radiance = normals.clone().requires_grad_(turning), radiance.clone().requires_grad_()
    out = function(weights, rows, normals, directions, radiance)
    cotangents = torch.linspace(-1.0, 2.0, out.numel(), dtype=torch.float64).view_as(out)
    out.backward(cotangents.to(out.dtype))
    return out.detach(), radiance.grad, normals.grad


def by_kernel(weights, rows, normals, directions, radiance):
    return compiled.irradiance(weights, normals, directions, radiance, rows)


@pytest.mark.parametrize("isa", library.available_isas())
@pytest.mark.parametrize("count", [1, 16, 37, 128])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_values_and_gradients(isa, count, channels):
    given = inputs(count=count, channels=channels)
    doubled = [t.double() if t.is_floating_point() else t for t in given]
    weights, rows, normals, directions, radiance = doubled
    expected = differentiated(plain, weights, rows, normals, directions, radiance)
    with library.use_isa(isa):
        found = differentiated(by_kernel, *given)
    for a, b in zip(found, expected, strict=True):
        assert a is not None and b is not None
        torch.testing.assert_close(a.double(), b, rtol=2e-5, atol=2e-5 * float(b.abs().max()))


def test_without_rows_points_follow_one_another():
    weights, _, normals, directions, radiance = inputs(points=300, table=300)
    every = torch.arange(300)
    found = compiled.irradiance(weights, normals, directions, radiance)
    chosen = compiled.irradiance(weights, normals, directions, radiance, every)
    assert torch.equal(found, chosen)


def test_constant_normals_get_no_gradient_and_change_nothing():
    given = inputs()
    _, light, turned = differentiated(by_kernel, *given)
    _, light_alone, none = differentiated(by_kernel, *given, turning=False)
    assert turned is not None and none is None
    assert torch.equal(light, light_alone)


def test_threads_do_not_change_a_bit():
    results = []
    for threads in (1, 2, 5):
        library.set_num_threads(threads)
        try:
            results.append(differentiated(by_kernel, *inputs(points=3000)))
        finally:
            library.set_num_threads(None)
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


def test_no_points_give_no_light_and_no_gradient():
    weights, _, _, directions, radiance = inputs()
    radiance.requires_grad_()
    none = torch.zeros(0, dtype=torch.int64)
    out = compiled.irradiance(weights, torch.zeros(0, 3), directions, radiance, none)
    assert out.shape == (0, 4)
    out.sum().backward()
    assert radiance.grad is not None and float(radiance.grad.abs().max()) == 0.0


@pytest.mark.parametrize("row", [-1, 1000])
def test_a_row_beyond_the_table_is_refused(row):
    weights, rows, normals, directions, radiance = inputs()
    rows[5] = row
    with pytest.raises(Relight3dError, match="row"):
        compiled.irradiance(weights, normals, directions, radiance, rows)


def test_the_room_serves_both_precisions():
    given = inputs()
    weights, rows, normals, directions, radiance = given
    doubled = [t.double() if t.is_floating_point() else t for t in given]
    single = irradiance(weights, normals, directions, radiance, rows)
    double = irradiance(doubled[0], doubled[2], doubled[3], doubled[4], rows)
    assert single.dtype == torch.float32 and double.dtype == torch.float64
    torch.testing.assert_close(double, plain(*doubled))
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)
