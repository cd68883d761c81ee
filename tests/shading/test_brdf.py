from math import pi
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck

from relight3d.shading.brdf import evaluate, ggx_density, schlick_weight, smith_visibility

DOUBLE: dict[str, Any] = {"dtype": torch.float64}


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(
        torch.randn(*shape, 3, generator=generator, **DOUBLE), dim=-1
    )


def above(vectors: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """Mirror what lies below the surface, and keep 0.1 away from grazing."""
    cosine = (vectors * normal).sum(-1, keepdim=True)
    lifted = vectors + (cosine.abs() + 0.1 - cosine) * normal
    return torch.nn.functional.normalize(lifted, dim=-1)


@pytest.mark.parametrize("roughness", [0.2, 0.5, 1.0])
def test_projected_density_integrates_to_one(roughness):
    cos_h = (torch.arange(2**18, **DOUBLE) + 0.5) / 2**18
    density = ggx_density(cos_h, torch.tensor(roughness, **DOUBLE))
    assert 2.0 * pi * (density * cos_h).mean().item() == pytest.approx(1.0, rel=1e-4)


def test_rough_limit_is_constant():
    assert ggx_density(torch.tensor(0.3, **DOUBLE), torch.tensor(1.0, **DOUBLE)).item() == 1.0 / pi


def test_smith_visibility_by_hand():
    """At normal incidence nothing is masked: 1 / (4 n.l n.v) = 1/4 for every roughness."""
    one = torch.ones(3, **DOUBLE)
    rough = torch.tensor([0.1, 0.5, 1.0], **DOUBLE)
    torch.testing.assert_close(smith_visibility(one, one, rough), 0.25 * one)


def test_schlick_ends():
    cosine = torch.tensor([0.0, 0.5, 1.0], **DOUBLE)
    assert schlick_weight(cosine).tolist() == [1.0, 0.5**5, 0.0]


def test_value_by_hand():
    """Light, view and normal aligned, roughness 1: D = 1/pi, V = 1/4, F = F0."""
    z = torch.tensor([[0.0, 0.0, 1.0]], **DOUBLE)
    albedo = torch.tensor([[0.2, 0.5, 0.8]], **DOUBLE)
    one, zero = torch.ones(1, 1, **DOUBLE), torch.zeros(1, 1, **DOUBLE)
    diffuse, specular = evaluate(z, z, z, albedo, one, zero)
    torch.testing.assert_close(diffuse, 0.96 * albedo / pi)
    torch.testing.assert_close(specular, torch.full_like(albedo, 0.04 / (4.0 * pi)))
    diffuse, specular = evaluate(z, z, z, albedo, one, one)
    assert diffuse.abs().max().item() == 0.0
    torch.testing.assert_close(specular, albedo / (4.0 * pi))


def test_reciprocity():
    """f(v, l) = f(l, v): both sides divided by their own cosine."""
    normal = unit(50)
    view, light = above(unit(50, seed=1), normal), above(unit(50, seed=2), normal)
    albedo, roughness, metallic = (
        torch.rand(50, 3, **DOUBLE),
        torch.rand(50, 1, **DOUBLE),
        unit(50)[:, :1].abs(),
    )
    forth = sum(evaluate(normal, view, light, albedo, roughness, metallic))
    back = sum(evaluate(normal, light, view, albedo, roughness, metallic))
    n_dot_l = (normal * light).sum(-1, keepdim=True)
    n_dot_v = (normal * view).sum(-1, keepdim=True)
    torch.testing.assert_close(forth / n_dot_l, back / n_dot_v)


def test_no_light_from_below_and_finite_everywhere():
    z = torch.tensor([[0.0, 0.0, 1.0]])
    half = torch.full((1, 1), 0.5)
    for light in (-z, torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.6, 0.0, -0.8]])):
        for view in (z, -z, torch.tensor([[-1.0, 0.0, 0.0]])):
            args = [
                t.clone().requires_grad_() for t in (z, view, light, torch.ones(1, 3), half, half)
            ]
            diffuse, specular = evaluate(*args)
            assert diffuse.abs().max() == 0.0 and specular.abs().max() == 0.0
            (diffuse.sum() + specular.sum()).backward()
            assert all(t.grad is None or bool(t.grad.isfinite().all()) for t in args)


def test_gradients():
    normal = unit(6)
    view, light = above(unit(6, seed=1), normal), above(unit(6, seed=2), normal)
    generator = torch.Generator().manual_seed(3)
    albedo, roughness, metallic = (
        torch.rand(6, size, generator=generator, **DOUBLE) * 0.8 + 0.1 for size in (3, 1, 1)
    )
    inputs = [t.requires_grad_() for t in (normal, view, light, albedo, roughness, metallic)]
    assert gradcheck(evaluate, inputs, atol=1e-6, rtol=1e-5)
