from math import pi

import pytest
import torch
from gradients import relative_error
from sampling import DOUBLE, tilted, uniform, unit_vectors
from torch import Tensor

from relight3d.shading.brdf import MIN_ROUGHNESS, evaluate, specular_f0
from relight3d.shading.montecarlo import reflection
from relight3d.shading.montecarlo.planes import dot
from relight3d.shading.montecarlo.reflection import lobe_sums

P, S = 40, 7


def rays(points: int = P, samples: int = S) -> dict[str, Tensor]:
    """Light from everywhere, views from nearly everywhere, all of it differentiable."""
    normal = unit_vectors(points)
    view = torch.nn.functional.normalize(normal + 0.9 * unit_vectors(points, seed=1), dim=-1)
    return {
        "normal": normal.requires_grad_(),
        "roughness": (0.15 + 0.8 * uniform(points, 1, seed=2)).requires_grad_(),
        "view": view,
        "directions": unit_vectors(points, samples, seed=3),
        "weight": 0.5 + uniform(points, samples, seed=4),
        "incoming": uniform(points, samples, 3, seed=5).requires_grad_(),
    }


def from_brdf(given: dict[str, Tensor], albedo: Tensor, metallic: Tensor) -> tuple[Tensor, Tensor]:
    """The specification: `brdf.evaluate`, ray by ray."""
    diffuse, specular = evaluate(
        given["normal"][:, None], given["view"][:, None], given["directions"], albedo[:, None],
        given["roughness"][:, None], metallic[:, None],
    )  # fmt: skip
    weighted = given["weight"][..., None] * given["incoming"]
    return (diffuse * weighted).sum(1), (specular * weighted).sum(1)


def from_sums(given: dict[str, Tensor], albedo: Tensor, metallic: Tensor) -> tuple[Tensor, Tensor]:
    base, facing, grazing = lobe_sums(**given)
    f0 = specular_f0(albedo, metallic)
    return albedo * (1 - metallic) / pi * (1 - f0) * base, f0 * facing + grazing


def along_surface(gradient: Tensor, normal: Tensor) -> Tensor:
    """What a gradient says about unit normals: along the normal, formulas may differ."""
    return gradient - dot(gradient, normal)[:, None] * normal


@pytest.mark.parametrize("block", [10, 1 << 16])
def test_agrees_with_the_brdf_in_value_and_gradient(block, monkeypatch):
    monkeypatch.setattr(reflection, "_BLOCK_RAYS", block)
    given, albedo, metallic = rays(), uniform(P, 3, seed=6), uniform(P, 1, seed=7)
    names, values, gradients = ("normal", "roughness", "incoming"), [], []
    for make in (from_sums, from_brdf):
        parts = make(given, albedo, metallic)
        loss = sum((part * uniform(P, 3, seed=8)).sum() for part in parts)
        found = dict(zip(names, torch.autograd.grad(loss, [given[n] for n in names]), strict=True))  # pyright: ignore
        values.append(parts)
        gradients.append(found | {"normal": along_surface(found["normal"], given["normal"])})
    for ours, theirs in zip(*values, strict=True):
        torch.testing.assert_close(ours, theirs)
    for name in names:
        assert relative_error(gradients[0][name], gradients[1][name]) < 1e-9, name


def test_gradients_match_finite_differences():
    given = rays(4, 3)
    fixed = {name: given[name] for name in ("view", "directions", "weight")}

    def sums(normal: Tensor, roughness: Tensor, incoming: Tensor) -> tuple[Tensor, ...]:
        return lobe_sums(normal, roughness, incoming=incoming, **fixed)

    inputs = (given["normal"], given["roughness"], given["incoming"])
    assert torch.autograd.gradcheck(sums, inputs, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("wanted", ["normal", "roughness", "incoming"])
def test_each_gradient_alone_is_the_same(wanted):
    given = rays()
    together = torch.autograd.grad(sum(s.sum() for s in lobe_sums(**given)), given[wanted])[0]  # pyright: ignore
    alone = {name: tensor.detach() for name, tensor in given.items()}
    alone[wanted].requires_grad_()
    found = torch.autograd.grad(sum(s.sum() for s in lobe_sums(**alone)), alone[wanted])[0]  # pyright: ignore
    torch.testing.assert_close(found, together)


def test_any_memory_layout_will_do():
    given = {name: tensor.detach() for name, tensor in rays().items()}
    planes = given | {
        name: given[name].permute(2, 1, 0).contiguous().permute(2, 1, 0)
        for name in ("directions", "incoming")
    }
    for ours, theirs in zip(lobe_sums(**given), lobe_sums(**planes), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_light_below_the_surface_and_weightless_rays_count_nothing():
    given = {name: tensor.detach() for name, tensor in rays().items()}
    below = dot(given["normal"][:, None], given["directions"]) <= 0.0
    cleared = given | {"weight": torch.where(below, 0.0, given["weight"])}
    for ours, theirs in zip(lobe_sums(**given), lobe_sums(**cleared), strict=True):
        assert torch.equal(ours, theirs)
    for found in lobe_sums(**(given | {"weight": torch.zeros(P, S, dtype=DOUBLE)})):
        assert not found.any()


def test_float32_holds_the_peak_of_the_sharpest_lobe():
    """A mirror seen near its mirror direction, where n.h differs from 1 in the last digits."""
    normal = unit_vectors(200)
    view = torch.nn.functional.normalize(normal + 0.7 * unit_vectors(200, seed=1), dim=-1)
    mirror = 2.0 * dot(normal, view)[:, None] * normal - view
    light = torch.nn.functional.normalize(mirror + 2e-3 * unit_vectors(200, seed=2), dim=-1)
    ones = torch.ones(200, 1, dtype=DOUBLE)
    given = (
        normal,
        ones * MIN_ROUGHNESS,
        view,
        light[:, None],
        ones,
        torch.ones(200, 1, 3).double(),
    )
    exact, single = (
        lobe_sums(*(tensor.to(dtype) for tensor in given))[1] for dtype in (DOUBLE, torch.float32)
    )
    assert float(((single.double() - exact) / exact).abs().max()) < 1e-2


@pytest.mark.parametrize("roughness", [0.0, 0.04, 1.0])
@pytest.mark.parametrize("degrees", [0.0, 89.9999, 90.0, 120.0, 180.0])
def test_values_and_gradients_are_finite_everywhere(roughness, degrees):
    view = tilted(degrees, torch.float32)
    normal = torch.stack([tilted(0.0, torch.float32), torch.zeros(3)])
    directions = torch.stack([view, -view, tilted(90.0, torch.float32), tilted(-45.0).float(),
                              tilted(0.0, torch.float32), torch.zeros(3)])  # fmt: skip
    given = {
        "normal": normal.requires_grad_(),
        "roughness": torch.full((2, 1), roughness).requires_grad_(),
        "view": view.expand(2, 3),
        "directions": directions.expand(2, 6, 3),
        "weight": torch.full((2, 6), 10.0),
        "incoming": torch.full((2, 6, 3), 1e5).requires_grad_(),
    }
    sums = lobe_sums(**given)
    assert all(bool(found.isfinite().all()) for found in sums)
    assert not any(found[1].any() for found in sums)  # no normal, no reflection
    torch.stack(sums).sum().backward()
    for name in ("normal", "roughness", "incoming"):
        gradient = given[name].grad
        assert gradient is not None and bool(gradient.isfinite().all()), name
