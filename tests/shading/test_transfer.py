from math import pi
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck

from relight3d.core import sh
from relight3d.shading.directions import spherical_fibonacci
from relight3d.shading.irradiance import irradiance_from_sh
from relight3d.shading.transfer import (
    diffuse_transfer,
    irradiance,
    lobe_visibility,
    lobe_visibility_sh,
    triple_product_irradiance,
    visibility_sh,
)

DOUBLE: dict[str, Any] = {"dtype": torch.float64}


def unit(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(
        torch.randn(count, 3, generator=generator, **DOUBLE), dim=-1
    )


def equal_cells(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return spherical_fibonacci(count, **DOUBLE), torch.full((count,), 4.0 * pi / count, **DOUBLE)


def test_irradiance_of_uniform_light_is_pi():
    directions, weights = equal_cells(512)
    normals = unit(40)
    found = irradiance(
        torch.ones(40, 512, **DOUBLE), normals, directions, torch.ones(512, 3, **DOUBLE), weights
    )
    torch.testing.assert_close(found, torch.full((40, 3), pi, **DOUBLE), rtol=0.01, atol=0.0)


def test_half_the_sky_gives_half_the_light():
    """Normal up, the half-space y > 0 blocked."""
    directions, weights = equal_cells(2048)
    seen = (directions[:, 1] < 0.0).to(torch.float64)[None]
    up = torch.tensor([[0.0, 0.0, 1.0]], **DOUBLE)
    found = irradiance(seen, up, directions, torch.ones(2048, 1, **DOUBLE), weights)
    assert found.item() == pytest.approx(pi / 2, rel=0.01)


def test_transfer_and_direct_sum_agree():
    directions, weights = equal_cells(64)
    normals, seen, light = unit(30), torch.rand(30, 64, **DOUBLE), torch.rand(64, 3, **DOUBLE)
    folded = diffuse_transfer(seen, normals, directions, weights) @ light
    torch.testing.assert_close(folded, irradiance(seen, normals, directions, light, weights))


def test_irradiance_gradients():
    directions, weights = equal_cells(16)
    inputs = (
        torch.rand(5, 16, **DOUBLE),
        unit(5),
        directions,
        torch.rand(16, 3, **DOUBLE),
        weights,
    )
    inputs[1].requires_grad_()
    inputs[3].requires_grad_()
    assert gradcheck(irradiance, inputs)


@pytest.mark.parametrize("uneven", [False, True])
def test_visibility_sh_reproduces_low_frequencies(uneven):
    directions, weights = equal_cells(1024)
    coefficients = torch.randn(6, 16, **DOUBLE)
    values = coefficients @ sh.basis(directions, 3).t()
    found = visibility_sh(values, directions, 3, weights if uneven else None)
    torch.testing.assert_close(found, coefficients, atol=0.02, rtol=0.0)


def test_triple_product_without_occlusion_is_the_plain_irradiance():
    light = torch.randn(9, 3, **DOUBLE) * 0.2
    light[0] += 3.0
    open_sky = torch.zeros(20, 9, **DOUBLE)
    open_sky[:, 0] = 1.0 / sh.C0
    normals = unit(20)
    found = triple_product_irradiance(light, open_sky, normals)
    torch.testing.assert_close(found, irradiance_from_sh(light, normals))


def test_triple_product_equals_the_sum_of_band_limited_factors():
    directions, weights = equal_cells(4096)
    light, seen = torch.randn(9, 3, **DOUBLE) * 0.2, torch.randn(7, 9, **DOUBLE) * 0.2
    light[0] += 3.0
    seen[:, 0] += 3.0
    normals = unit(7)
    basis = sh.basis(directions, 2)
    factors = torch.tensor([pi] + [2 * pi / 3] * 3 + [pi / 4] * 5, **DOUBLE)
    cosine = (sh.basis(normals, 2) * factors) @ basis.t()
    plain = ((seen @ basis.t()) * cosine * weights) @ (basis @ light)
    torch.testing.assert_close(
        triple_product_irradiance(light, seen, normals), plain, rtol=5e-3, atol=1e-3
    )


def test_triple_product_gradients():
    inputs = (torch.rand(9, 3, **DOUBLE) + 0.5, torch.rand(4, 9, **DOUBLE) * 0.1, unit(4))
    inputs[0].data[0] += 5.0
    inputs[1].data[:, 0] += 3.0
    assert gradcheck(triple_product_irradiance, [t.requires_grad_() for t in inputs])


def plane_case(count: int = 60) -> tuple[torch.Tensor, ...]:
    """Reflections above an open horizontal plane, several roughnesses."""
    normal = torch.tensor([[0.0, 0.0, 1.0]], **DOUBLE).expand(count, 3)
    reflection = unit(count)
    reflection = (
        reflection * torch.tensor([1.0, 1.0, 0.0], **DOUBLE) + reflection[:, 2:].abs() * normal
    )
    return normal, reflection, torch.rand(count, 1, **DOUBLE) * 0.9 + 0.1


def test_open_plane_occludes_nothing():
    directions, _ = equal_cells(512)
    normal, reflection, roughness = plane_case()
    above = (directions[:, 2] > 0.0).to(torch.float64).expand(60, 512)
    full = lobe_visibility(above, directions, normal, reflection, roughness)
    torch.testing.assert_close(full, torch.ones(60, 1, **DOUBLE))
    coefficients = visibility_sh(above, directions, 3)
    full = lobe_visibility_sh(coefficients, normal, reflection, roughness)
    torch.testing.assert_close(full, torch.ones(60, 1, **DOUBLE), atol=0.1, rtol=0.0)


def test_a_wall_hides_what_is_mirrored_in_it():
    """Everything toward +x is blocked: reflections that way are dark, the opposite ones are not."""
    directions, _ = equal_cells(512)
    seen = ((directions[:, 2] > 0.0) & (directions[:, 0] < 0.0)).to(torch.float64).expand(2, 512)
    normal = torch.tensor([[0.0, 0.0, 1.0]] * 2, **DOUBLE)
    reflection = torch.nn.functional.normalize(
        torch.tensor([[1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]], **DOUBLE), dim=-1
    )
    rough = torch.full((2, 1), 0.3, **DOUBLE)
    found = lobe_visibility(seen, directions, normal, reflection, rough)[:, 0]
    assert found[0] < 0.02 and found[1] > 0.98
    found = lobe_visibility_sh(visibility_sh(seen, directions, 3), normal, reflection, rough)[:, 0]
    assert found[0] < 0.25 and found[1] > 0.75


def test_rough_lobe_averages_what_a_sharp_one_tells_apart():
    directions, _ = equal_cells(512)
    seen = (directions[:, 0] < 0.0).to(torch.float64)[None]
    normal = torch.tensor([[0.0, 0.0, 1.0]], **DOUBLE)
    toward_wall = torch.nn.functional.normalize(torch.tensor([[0.7, 0.0, 1.0]], **DOUBLE), dim=-1)
    sharp, rough = (
        lobe_visibility(seen, directions, normal, toward_wall, torch.full((1, 1), value, **DOUBLE))
        for value in (0.2, 1.0)
    )
    assert sharp.item() < 0.05
    assert 0.2 < rough.item() < 0.5


def test_lobe_gradients():
    directions, _ = equal_cells(32)
    normal, reflection, roughness = (t.clone() for t in plane_case(4))
    seen = torch.rand(4, 32, **DOUBLE) * 0.5 + 0.2
    inputs = [t.requires_grad_() for t in (normal, reflection, roughness.clamp(0.6, 0.9))]
    assert gradcheck(lambda n, r, a: lobe_visibility(seen, directions, n, r, a), inputs)
    coefficients = visibility_sh(seen, directions, 2).requires_grad_()
    assert gradcheck(
        lambda c, r: lobe_visibility_sh(c, normal, r, roughness), (coefficients, inputs[1])
    )
