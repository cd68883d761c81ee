import dataclasses

import pytest
import torch

from relight3d.decomposition.gbuffer import Drawn
from relight3d.decomposition.inverse.config import InverseConfig
from relight3d.decomposition.inverse.objective import DARKEST, pixel_error, regularisers

CONFIG = InverseConfig()


def test_errors_are_weighed_by_trust():
    image, target = torch.full((4, 3), 0.5), torch.full((4, 3), 0.3)
    trust = torch.tensor([[1.0], [0.0], [0.5], [0.5]])
    assert float(pixel_error(image, target, trust)) == pytest.approx(0.2 * 0.5)
    assert float(pixel_error(image, target, 0 * trust)) == 0.0


def test_brighter_than_saturated_is_no_error_and_has_no_gradient():
    image = torch.tensor([[3.0, 0.5, 3.0]], requires_grad=True)
    error = pixel_error(image, torch.tensor([[1.0, 1.0, 0.9]]), torch.ones(1, 1))
    assert float(error.detach()) == pytest.approx((0.0 + 0.5 + 2.1) / 3)
    error.backward()
    assert image.grad is not None
    assert image.grad[0, 0] == 0.0 and image.grad[0, 1] < 0.0 < image.grad[0, 2]


def view(albedo: torch.Tensor, base: torch.Tensor | None = None) -> Drawn:
    height, width = albedo.shape[:2]
    alpha = torch.full((height, width, 1), 0.8)
    gloss = torch.rand(height, width, 2, generator=torch.Generator().manual_seed(3))
    maps = {
        "base": torch.full_like(albedo, 0.5) if base is None else base,
        "albedo": albedo * alpha,
        "roughness": gloss[..., :1],
        "metallic": gloss[..., 1:],
    }
    covered = torch.arange(height * width)
    return Drawn(maps, alpha, covered, torch.ones(height, width, 3), albedo, ("albedo",))


def albedo_map(low: float = 0.1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return low + 0.3 * torch.rand(6, 7, 3, generator=generator)


def parameters(normals_free: bool = True) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "metallic_logits": torch.randn(9, 1, generator=generator),
        "normals": torch.eye(3).repeat(3, 1).requires_grad_(normals_free),
        "light/day": torch.randn(4, 8, 3, generator=generator),
        "light/night": torch.randn(4, 8, 3, generator=generator),
    }


def terms(drawn=None, of=None, first=None, config=CONFIG):
    first = torch.eye(3).repeat(3, 1) if first is None else first
    return regularisers(drawn or view(albedo_map()), of or parameters(), first, config)


def test_all_terms_are_there_and_count():
    found = terms(first=torch.eye(3)[[1, 2, 0]].repeat(3, 1))
    assert set(found) == {"albedo", "gloss", "metallic", "normal", "light", "light_smooth"}
    assert all(float(value.detach()) > 0.0 for value in found.values())
    assert float(found["normal"].detach()) == pytest.approx(CONFIG.normal_weight)
    assert float(terms()["normal"].detach()) == pytest.approx(0.0, abs=1e-6)


def test_the_scale_of_albedo_does_not_count_above_the_darkest():
    one, double = (terms(view(scale * albedo_map()))["albedo"] for scale in (1.0, 2.0))
    torch.testing.assert_close(one, double)
    dark = terms(view(albedo_map(0.0) * DARKEST))["albedo"]
    assert float(dark) == 0.0, "all below the darkest are alike"


def test_materials_may_have_edges_where_the_field_has_them():
    albedo = torch.full((6, 6, 3), 0.2)
    albedo[:, 3:] = 0.8
    flat = terms(view(albedo))["albedo"]
    edged = terms(view(albedo, base=albedo))["albedo"]
    assert float(edged) < 0.01 * float(flat)


def test_weights_of_nothing_leave_nothing():
    names = ("normal_weight", "albedo_smoothness", "gloss_smoothness", "metallic_weight",
             "light_weight", "light_smoothness")  # fmt: skip
    silent = dataclasses.replace(CONFIG, **dict.fromkeys(names, 0.0))
    first = torch.eye(3)[[1, 2, 0]].repeat(3, 1)
    assert all(float(value.detach()) == 0.0 for value in terms(first=first, config=silent).values())


def test_what_is_fixed_is_not_asked():
    of = parameters(normals_free=False)
    del of["light/day"], of["light/night"]
    assert set(terms(of=of)) == {"albedo", "gloss", "metallic"}


def test_every_light_counts():
    both, of = terms(), parameters()
    apart = []
    for name in ("light/day", "light/night"):
        apart.append(terms(of={n: v for n, v in of.items() if n != name}))
    for term in ("light", "light_smooth"):
        torch.testing.assert_close(both[term], apart[0][term] + apart[1][term])
