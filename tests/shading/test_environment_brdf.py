from typing import Any

import pytest
import torch
from torch.autograd import gradcheck

from relight3d.shading.brdf import evaluate
from relight3d.shading.environment_brdf import environment_brdf

DOUBLE: dict[str, Any] = {"dtype": torch.float64}


def hemisphere(rows: int = 256, columns: int = 256) -> tuple[torch.Tensor, float]:
    """Midpoint rule, uniform in solid angle."""
    z = (torch.arange(rows, **DOUBLE) + 0.5) / rows
    azimuth = (torch.arange(columns, **DOUBLE) + 0.5) * (2.0 * torch.pi / columns)
    sine = torch.sqrt(1.0 - z * z)[:, None]
    points = [sine * azimuth.cos(), sine * azimuth.sin(), z[:, None].expand(rows, columns)]
    return torch.stack(points, -1).reshape(-1, 3), 2.0 * torch.pi / (rows * columns)


@pytest.mark.parametrize("roughness", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("n_dot_v", [0.2, 0.6, 0.98])
@pytest.mark.parametrize("metallic", [0.0, 1.0])
def test_table_is_the_integral_of_the_brdf(roughness, n_dot_v, metallic):
    lights, weight = hemisphere()
    view = torch.tensor([[(1.0 - n_dot_v**2) ** 0.5, 0.0, n_dot_v]], **DOUBLE)
    normal = torch.tensor([[0.0, 0.0, 1.0]], **DOUBLE)
    albedo = torch.tensor([[0.2, 0.5, 0.9]], **DOUBLE)
    rough, metal = (torch.full((1, 1), value, **DOUBLE) for value in (roughness, metallic))
    parts = evaluate(normal, view, lights, albedo, rough, metal)
    diffuse, specular = (part.sum(0) * weight for part in parts)
    table = environment_brdf(rough, torch.tensor([[n_dot_v]], **DOUBLE))
    f0 = 0.04 + metallic * (albedo - 0.04)
    expected = (f0 * table.scale + table.bias)[0]
    torch.testing.assert_close(specular, expected, rtol=0.015, atol=2e-3)
    base = albedo * (1.0 - metallic) * (1.0 - f0) * (1.0 - table.diffuse_schlick)
    torch.testing.assert_close(diffuse, base[0], rtol=0.005, atol=1e-4)


def test_energy_is_never_created():
    axis = torch.linspace(0.0, 1.0, 65)
    roughness, n_dot_v = (grid.reshape(-1, 1) for grid in torch.meshgrid(axis, axis, indexing="ij"))
    table = environment_brdf(roughness, n_dot_v)
    white_metal = table.scale + table.bias
    assert white_metal.max() <= 1.0 + 1e-6
    assert white_metal.min() > 0.2
    assert table.diffuse_schlick.min() > 0.0 and table.diffuse_schlick.max() < 0.5


def test_mirror_keeps_its_direction_and_its_sharpness():
    n_dot_v = torch.linspace(0.1, 1.0, 16)[:, None]
    table = environment_brdf(torch.zeros(16, 1), n_dot_v)
    assert (table.along_normal.abs() < 0.01).all()
    torch.testing.assert_close(table.along_reflection, torch.ones(16, 1), atol=0.01, rtol=0.0)
    assert (table.width > 0.8).all() and (table.width < 1.3).all()


def test_rough_lobe_leans_to_the_normal():
    table = environment_brdf(torch.ones(1, 1), torch.full((1, 1), 0.2))
    assert table.along_normal.item() > 2.0 * table.along_reflection.item()


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    roughness, n_dot_v = torch.rand(2, 20, 1, generator=generator, **DOUBLE) * 0.8 + 0.1
    inputs = (roughness.requires_grad_(), n_dot_v.requires_grad_())

    def values(roughness, n_dot_v):
        table = environment_brdf(roughness, n_dot_v)
        return table.scale, table.bias, table.diffuse_schlick, table.along_normal, table.width

    assert gradcheck(values, inputs, eps=1e-7, atol=1e-5)
